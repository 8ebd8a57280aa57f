//! What a media stream has shown to be believed: closed lists for log lines and metrics.
//!
//! It decides nothing; `ward-media` does.

use crate::limit;

/// What an upgrade showed before it was answered with 101.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// The handshake signature, which matched the expected value of this index: spelling of the URL within token.
    Signature(u8),
    /// A ticket in the path.
    Ticket,
    /// Nothing: `MEDIA_HANDSHAKE=ticket` awaits a ticket in `start`.
    Nothing,
}

/// The word of each proof: a signature's by the index of the value that matched.
const WORDS: [&str; limit::HANDSHAKE_VALUES_MAX + 2] = [
    "signature_0",
    "signature_1",
    "signature_2",
    "signature_3",
    "signature_4",
    "signature_5",
    "signature_6",
    "signature_7",
    "signature_8",
    "signature_9",
    "signature_10",
    "signature_11",
    "signature_12",
    "signature_13",
    "signature_14",
    "signature_15",
    "ticket",
    "nothing",
];

impl Proof {
    /// The word of every proof.
    pub const WORDS: &[&str] = &WORDS;

    /// The word in log lines and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Signature(index) => {
                let signatures = WORDS.get(..limit::HANDSHAKE_VALUES_MAX).unwrap_or_default();
                signatures.get(usize::from(index)).copied().unwrap_or("nothing")
            }
            Self::Ticket => "ticket",
            Self::Nothing => "nothing",
        }
    }
}

/// Where a call's ticket was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TicketPlace {
    /// There was none.
    Nowhere,
    /// In a `<Parameter>`, and so in `start`.
    Parameter,
    /// In the path.
    Path,
}

impl TicketPlace {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Nowhere, Self::Parameter, Self::Path];

    /// The word in log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nowhere => "none",
            Self::Parameter => "parameter",
            Self::Path => "path",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proof_has_a_word_of_its_own() {
        let signatures = (0..limit::HANDSHAKE_VALUES_MAX).filter_map(|n| u8::try_from(n).ok());
        let all = signatures.map(Proof::Signature).chain([Proof::Ticket, Proof::Nothing]);
        let words: Vec<&str> = all.map(Proof::word).collect();
        assert_eq!(words, Proof::WORDS);
    }
}
