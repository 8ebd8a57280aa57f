//! The recorded phrases that a call can need: a closed list, so that each has its recording.
//!
//! What is said in them stands in `policy/dialogue/phrases.toml`; here are only their names.

/// One recorded phrase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phrase {
    /// The first thing a caller hears.
    Greeting,
    /// The answer takes a moment.
    Filler,
    /// Nothing was understood.
    NotUnderstood,
    /// Instead of a reply beyond the scope.
    StoppedScope,
    /// Instead of a reply with an identifier that the caller has not given.
    StoppedIdentifier,
    /// Instead of the rest of a reply that is too long.
    StoppedLength,
    /// It is an emergency: call 911.
    Emergency,
    /// Self-harm: call or text 988.
    SelfHarm,
    /// A vendor fails, and another is tried.
    Trouble,
    /// The call cannot go on.
    SorryGoodbye,
    /// The caller has been silent.
    StillThere,
    /// The end of a conversation.
    Goodbye,
    /// The call has lasted as long as a call may.
    TimeUp,
}

impl Phrase {
    /// Every phrase, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::Greeting,
        Self::Filler,
        Self::NotUnderstood,
        Self::StoppedScope,
        Self::StoppedIdentifier,
        Self::StoppedLength,
        Self::Emergency,
        Self::SelfHarm,
        Self::Trouble,
        Self::SorryGoodbye,
        Self::StillThere,
        Self::Goodbye,
        Self::TimeUp,
    ];

    /// The name in `phrases.toml` and of the recording.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Filler => "filler",
            Self::NotUnderstood => "not_understood",
            Self::StoppedScope => "stopped_scope",
            Self::StoppedIdentifier => "stopped_identifier",
            Self::StoppedLength => "stopped_length",
            Self::Emergency => "emergency",
            Self::SelfHarm => "self_harm",
            Self::Trouble => "trouble",
            Self::SorryGoodbye => "sorry_goodbye",
            Self::StillThere => "still_there",
            Self::Goodbye => "goodbye",
            Self::TimeUp => "time_up",
        }
    }

    /// The phrase called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phrase| phrase.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_has_a_name_of_its_own() {
        for phrase in Phrase::ALL {
            assert_eq!(Phrase::from_name(phrase.name()), Some(phrase));
        }
        assert_eq!(Phrase::from_name("Greeting"), None);
    }
}
