//! What kinds of data there are, as far as sending them matters. It decides nothing.

use serde::Deserialize;

/// A class of data, as far as sending it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataClass {
    /// The caller's voice: an identifier by itself, 45 CFR 164.514(b)(2)(i)(P).
    Audio,
    /// What the caller said, as text.
    Transcript,
    /// What a language model is asked.
    Prompt,
    /// What is to be spoken to the caller.
    SynthText,
    /// Numbers, times and places of a call.
    CallMetadata,
    /// A credential and nothing else.
    TokenOnly,
    /// Nothing about anyone.
    None,
}

impl DataClass {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Audio,
        Self::Transcript,
        Self::Prompt,
        Self::SynthText,
        Self::CallMetadata,
        Self::TokenOnly,
        Self::None,
    ];

    /// The word in the registry's files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Transcript => "transcript",
            Self::Prompt => "prompt",
            Self::SynthText => "synth-text",
            Self::CallMetadata => "call-metadata",
            Self::TokenOnly => "token-only",
            Self::None => "none",
        }
    }

    /// The class called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether it is PHI.
    #[must_use]
    pub const fn is_phi(self) -> bool {
        !matches!(self, Self::TokenOnly | Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own() {
        for class in DataClass::ALL {
            assert_eq!(DataClass::from_name(class.name()), Some(class));
        }
        assert!(DataClass::Audio.is_phi() && !DataClass::TokenOnly.is_phi());
        assert_eq!(DataClass::from_name("Audio"), None);
    }
}
