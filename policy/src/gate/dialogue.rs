//! The rules of what may be said, read from the files of `policy/dialogue/` and checked against each other.
//!
//! Every problem of every file is listed before anything starts. It opens nothing: texts are handed to it.

use std::fmt;

use super::pattern::Pattern;
use super::slot::{SlotClass, SlotRules};
use super::text::Reading;
use super::{EmergencyKind, Stopped};
use crate::phrase::Phrase;

mod read;

/// Something in the rules that must be mended before anything starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// The rules that come with the program: names and texts. Operators may bring their own.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("words.toml", include_str!("../../dialogue/words.toml")),
    ("emergencies.toml", include_str!("../../dialogue/emergencies.toml")),
    ("slots.toml", include_str!("../../dialogue/slots.toml")),
    ("names.toml", include_str!("../../dialogue/names.toml")),
    ("replies.toml", include_str!("../../dialogue/replies.toml")),
    ("phrases.toml", include_str!("../../dialogue/phrases.toml")),
    ("prompt.toml", include_str!("../../dialogue/prompt.toml")),
];

/// What happens after the phrase of an emergency was played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The call goes on.
    Continue,
    /// The call ends, so that the line is free for 911.
    HangUp,
}

/// What the rules say of one kind of emergency.
#[derive(Debug)]
pub struct Emergency {
    pub(super) kind: EmergencyKind,
    pub(super) phrase: Phrase,
    pub(super) then: Then,
    pub(super) patterns: Vec<Pattern>,
    pub(super) lifted_by: Vec<Pattern>,
    pub(super) can_be_denied: bool,
}

impl Emergency {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> EmergencyKind {
        self.kind
    }

    /// What the caller hears at once.
    #[must_use]
    pub const fn phrase(&self) -> Phrase {
        self.phrase
    }

    /// What happens when that was played.
    #[must_use]
    pub const fn then(&self) -> Then {
        self.then
    }
}

/// One reason why a reply is beyond the scope.
#[derive(Debug)]
pub(super) struct ScopeRule {
    pub(super) name: String,
    pub(super) patterns: Vec<Pattern>,
    pub(super) lifted_by: Vec<Pattern>,
}

/// The parsed rules, shared by all calls.
#[derive(Debug)]
pub struct Dialogue {
    pub(super) reading: Reading,
    pub(super) denials: Vec<Pattern>,
    pub(super) emergencies: Vec<Emergency>,
    pub(super) slots: SlotRules,
    /// What is an identifier in a reply: the caller's slots, and names behind what one says to a person.
    pub(super) identifiers: SlotRules,
    /// Values that a reply may have: the clinic's own, as they are compared.
    pub(super) allowed: Vec<String>,
    pub(super) scope: Vec<ScopeRule>,
    pub(super) sentence_chars_max: usize,
    pub(super) reply_chars_max: usize,
    pub(super) heard: [Phrase; 4],
    pub(super) phrases: Vec<(Phrase, String)>,
    pub(super) prompt: String,
}

impl Dialogue {
    /// The rules that come with the program.
    ///
    /// # Errors
    /// Every [`Problem`] in them; a test says that there is none.
    pub fn built_in() -> Result<Self, Vec<Problem>> {
        Self::parse(BUILT_IN.iter().copied())
    }

    /// Parses the seven files of [`BUILT_IN`], given as names and texts in any order.
    ///
    /// # Errors
    /// Every [`Problem`] in all of them: a file that is missing, there twice, unknown or too long, a key that is
    /// unknown, a phrase that can match nothing, a kind of emergency or recorded phrase that is missing or there twice.
    pub fn parse<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Result<Self, Vec<Problem>> {
        read::read(files)
    }

    /// What the model is told before a conversation.
    #[must_use]
    pub fn system_prompt(&self) -> &str {
        &self.prompt
    }

    /// Every recorded phrase: its name and what is said in it.
    pub fn phrases(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.phrases.iter().map(|(phrase, text)| (phrase.name(), text.as_str()))
    }

    /// What the caller hears instead of a reply that was stopped.
    #[must_use]
    pub const fn heard(&self, stopped: Stopped) -> Phrase {
        let [scope, identifier, length, placeholder] = self.heard;
        match stopped {
            Stopped::Scope => scope,
            Stopped::Identifier => identifier,
            Stopped::Length => length,
            Stopped::Placeholder => placeholder,
        }
    }

    /// What is done in an emergency. `None` only for rules that this program did not parse.
    #[must_use]
    pub fn emergency(&self, kind: EmergencyKind) -> Option<&Emergency> {
        self.emergencies.iter().find(|emergency| emergency.kind == kind)
    }

    /// Whether a value of this class is kept from the model.
    #[must_use]
    pub fn is_masked(&self, class: SlotClass) -> bool {
        self.slots.class(class).is_masked
    }

    /// The names of the rules by which a reply is beyond the scope.
    pub fn scope_rules(&self) -> impl Iterator<Item = &str> {
        self.scope.iter().map(|rule| rule.name.as_str())
    }

    /// The longest sentence of a reply, in characters, placeholders as they are written.
    #[must_use]
    pub const fn sentence_chars_max(&self) -> usize {
        self.sentence_chars_max
    }

    /// The longest reply, in characters.
    #[must_use]
    pub const fn reply_chars_max(&self) -> usize {
        self.reply_chars_max
    }
}
