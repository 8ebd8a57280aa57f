//! What every conversation shares: the rules, the recorded phrases, and the settings of turn-taking.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ward_policy::gate::Dialogue;
use ward_policy::phrase::Phrase;

use crate::agent::Clip;

/// The rules, the phrases, the settings.
pub struct Script {
    dialogue: Arc<Dialogue>,
    system: Arc<str>,
    clips: BTreeMap<Phrase, Clip>,
    texts: BTreeMap<Phrase, String>,
    is_guessing: bool,
}

impl Script {
    /// Everything that a conversation needs; `clip` gives the audio of a phrase, µ-law. With `is_guessing`, a reply is
    /// begun before it is certain that the caller has finished.
    #[must_use]
    pub fn new(dialogue: Dialogue, clip: impl Fn(Phrase) -> Clip, is_guessing: bool) -> Self {
        let system = Arc::from(dialogue.system_prompt());
        let clips = Phrase::ALL.iter().map(|phrase| (*phrase, clip(*phrase))).collect();
        let text = |(name, text): (&str, &str)| Some((Phrase::from_name(name)?, text.to_owned()));
        let texts = dialogue.phrases().filter_map(text).collect();
        Self { dialogue: Arc::new(dialogue), system, clips, texts, is_guessing }
    }

    pub(super) fn dialogue(&self) -> &Arc<Dialogue> {
        &self.dialogue
    }

    pub(super) fn system(&self) -> Arc<str> {
        Arc::clone(&self.system)
    }

    pub(super) fn clip(&self, phrase: Phrase) -> Option<&Clip> {
        self.clips.get(&phrase)
    }

    /// What is said in a phrase.
    pub(super) fn text(&self, phrase: Phrase) -> &str {
        self.texts.get(&phrase).map(String::as_str).unwrap_or_default()
    }

    pub(super) const fn is_guessing(&self) -> bool {
        self.is_guessing
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} phrases)", self.clips.len())
    }
}
