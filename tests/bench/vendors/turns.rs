//! When each turn of each conversation passed each vendor and its caller, on one clock.
//!
//! A conversation is told apart by a word in what the recogniser "hears": the model's reply repeats it, and the voice's
//! audio carries its numbers in every frame. So a reply that reaches another caller is seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Which conversation, as the recogniser counts them, and which of its turns; both below 4,096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) conversation: u16,
    pub(crate) turn: u16,
}

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aeio";
/// What a name's word begins with.
const BEGIN: &str = "quo";
/// Letters behind it: six bits in two of them, twelve for each number.
const LETTERS: usize = 8;

impl Name {
    /// The word that stands for it.
    pub(crate) fn word(self) -> String {
        let mut word = BEGIN.to_owned();
        for number in [self.conversation, self.turn] {
            for six in [number >> 6, number & 63] {
                word.push(char::from(CONSONANTS[usize::from(six >> 2 & 15)]));
                word.push(char::from(VOWELS[usize::from(six & 3)]));
            }
        }
        word
    }

    /// The last one that is named in `text`.
    pub(crate) fn last_in(text: &[u8]) -> Option<Self> {
        let at = text.windows(BEGIN.len()).rposition(|window| window == BEGIN.as_bytes())?;
        let letters = text.get(at + BEGIN.len()..at + BEGIN.len() + LETTERS)?;
        let mut bits = 0_u32;
        for pair in letters.chunks_exact(2) {
            let consonant = CONSONANTS.iter().position(|one| *one == pair[0])?;
            let vowel = VOWELS.iter().position(|one| *one == pair[1])?;
            bits = bits << 6 | u32::try_from(consonant << 2 | vowel).ok()?;
        }
        Some(Self { conversation: (bits >> 12) as u16, turn: (bits & 0xFFF) as u16 })
    }
}

/// One turn; a time is absent until it has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// The recogniser's partial was sent, and its final.
    pub(crate) partial: Option<Instant>,
    pub(crate) last: Option<Instant>,
    /// The model was asked, and had sent what completes its first sentence.
    pub(crate) asked: Option<Instant>,
    pub(crate) sentence: Option<Instant>,
    /// The voice was asked, and had sent its first audio.
    pub(crate) said: Option<Instant>,
    pub(crate) spoken: Option<Instant>,
    /// The caller had the first frame of it.
    pub(crate) heard: Option<Instant>,
}

impl Turn {
    /// The time that was Ward's: from each thing that came in to what went out because of it.
    pub(crate) fn own_share(&self) -> Option<[Duration; 3]> {
        let asked = self.asked?;
        let words = self.last.filter(|last| *last <= asked).or(self.partial)?;
        let may_speak = self.spoken?.max(self.last?);
        Some([
            asked.saturating_duration_since(words),
            self.said?.saturating_duration_since(self.sentence?),
            self.heard?.saturating_duration_since(may_speak),
        ])
    }
}

/// Every turn, and what else the vendors count.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    all: Mutex<BTreeMap<Name, Turn>>,
    counts: Mutex<Counts>,
}

/// What the vendors have seen since the last time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) audio_messages: u64,
    pub(crate) audio_bytes: u64,
    pub(crate) asked: u64,
    pub(crate) said: u64,
    pub(crate) granted: u64,
    pub(crate) connections: u64,
    pub(crate) unreadable: u64,
}

impl Turns {
    pub(crate) fn note(&self, name: Name, change: impl FnOnce(&mut Turn)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(name).or_default());
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn take(&self) -> (Vec<Turn>, Counts) {
        let all = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        let counts =
            std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        (all.into_values().collect(), counts)
    }
}
