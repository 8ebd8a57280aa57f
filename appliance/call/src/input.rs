//! Everything that can happen to a call. Nothing here decides what to do about it.

use crate::service::Report;

/// Something that happened. Audio is µ-law, 8,000 Hz, one channel.
pub enum Input<'a> {
    /// The stream has begun.
    Start,
    /// Audio of the caller.
    Audio {
        /// Position among the stream's messages, where the peer counts them.
        sequence: Option<u64>,
        /// Presentation time of its first sample, in milliseconds since the stream began.
        timestamp_ms: Option<u64>,
        /// The samples, one byte each.
        payload: &'a [u8],
    },
    /// A key press.
    Digit {
        /// Position among the stream's messages.
        sequence: Option<u64>,
        /// The digit as the peer spells it.
        digit: &'a str,
    },
    /// A mark came back.
    Mark {
        /// Position among the stream's messages.
        sequence: Option<u64>,
        /// Its name.
        name: &'a str,
    },
    /// A service has said something.
    Reported(Report),
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reported(_) => "Reported(…)",
            Self::Start => "Start",
            Self::Audio { .. } => "Audio(…)",
            Self::Digit { .. } => "Digit(…)",
            Self::Mark { .. } => "Mark(…)",
        })
    }
}

/// A key of a telephone: one of `0-9*#A-D`. What is pressed may be PHI, so it cannot be printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digit(u8);

impl Digit {
    /// The sixteen keys, row by row as they lie on the pad.
    pub const PAD: &[u8; 16] = b"123A456B789C*0#D";

    /// Parses exactly one key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let [key] = text.as_bytes() else { return None };
        Self::PAD.contains(key).then_some(Self(*key))
    }

    /// The key as its character.
    #[must_use]
    pub const fn key(self) -> u8 {
        self.0
    }

    /// Its place on the pad, 0 to 15, row by row.
    #[must_use]
    pub fn place(self) -> usize {
        Self::PAD.iter().position(|key| *key == self.0).unwrap_or(0)
    }
}

impl std::fmt::Debug for Digit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digit(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_exactly_one_key_of_the_pad() {
        for (place, key) in Digit::PAD.iter().enumerate() {
            let digit = Digit::parse(&char::from(*key).to_string()).unwrap();
            assert_eq!((digit.place(), digit.key()), (place, *key));
        }
        for text in ["", "12", "E", "a", " ", "é", "\0", "1 "] {
            assert!(Digit::parse(text).is_none(), "{text:?}");
        }
        assert_eq!(format!("{:?}", Digit::parse("7").unwrap()), "Digit(…)");
    }
}
