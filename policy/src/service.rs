//! The three services that a conversation needs. It decides nothing.

use crate::data_class::DataClass;

/// What somebody does for a conversation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Service {
    /// Turns speech into text: ASR.
    Recogniser,
    /// Says what to answer: LLM.
    Model,
    /// Turns text into speech: TTS.
    Voice,
}

impl Service {
    /// Every service, in the order a turn needs them.
    pub const ALL: [Self; 3] = [Self::Recogniser, Self::Model, Self::Voice];

    /// The word for it in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recogniser => "asr",
            Self::Model => "llm",
            Self::Voice => "tts",
        }
    }

    /// The service called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// What it is given of a caller.
    #[must_use]
    pub const fn class(self) -> DataClass {
        match self {
            Self::Recogniser => DataClass::Audio,
            Self::Model => DataClass::Prompt,
            Self::Voice => DataClass::SynthText,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_a_name_and_is_given_one_thing() {
        for service in Service::ALL {
            assert_eq!(Service::from_name(service.name()), Some(service));
            assert!(service.class().is_phi());
        }
        assert_eq!(Service::from_name("ASR"), None);
    }
}
