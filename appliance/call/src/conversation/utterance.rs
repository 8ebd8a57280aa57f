//! What the caller is saying in this turn, as far as it is known.
//!
//! It keeps the recogniser's words until the turn is taken, and decides nothing.

use std::time::Duration;

use ward_policy::limit;
use ward_policy::phi::Phi;

use crate::input::Digit;

/// Words that listeners say to show that they listen.
const BACK_CHANNELS: [&str; 14] =
    ["mhm", "mm", "hmm", "hm", "uh", "huh", "um", "ah", "oh", "okay", "ok", "right", "yeah", "yes"];

/// The caller's turn in the making.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a turn")]
pub(super) struct Utterance {
    /// What will not change.
    settled: Phi<String>,
    /// What may, and follows it.
    partial: Phi<String>,
    /// A partial that was taken with the last turn: its final is not news. The recogniser's next words begin with it.
    taken: Phi<String>,
    /// What was settled of that turn before it.
    taken_head: Phi<String>,
    /// When it was taken.
    taken_at: Duration,
    /// The recogniser says that the caller has finished.
    pub(super) is_ended: bool,
    /// It thinks so.
    pub(super) is_probably_ended: bool,
    /// In this pause it was asked to settle its words.
    pub(super) is_finalised: bool,
    /// When the words changed last.
    pub(super) changed_at: Duration,
    /// When a key was pressed last.
    pub(super) pressed_at: Option<Duration>,
    /// How long the caller has been heard to speak, in milliseconds.
    pub(super) voiced_ms: u64,
}

impl Default for Utterance {
    fn default() -> Self {
        Self {
            settled: Phi::new(String::new()),
            partial: Phi::new(String::new()),
            taken: Phi::new(String::new()),
            taken_head: Phi::new(String::new()),
            taken_at: Duration::ZERO,
            is_ended: false,
            is_probably_ended: false,
            is_finalised: false,
            changed_at: Duration::ZERO,
            pressed_at: None,
            voiced_ms: 0,
        }
    }
}

/// What a text of the recogniser's turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Words of this turn.
    New,
    /// What was taken with the last turn already.
    Old,
    /// Another reading of what was taken with the last turn.
    Correction,
}

impl Utterance {
    /// The recogniser's view of what follows what is settled. While the last turn `may_change`, another reading of it
    /// takes its place.
    pub(super) fn replace_partial(&mut self, now: Duration, text: &str, may_change: bool) -> News {
        let (mut text, mut news) = (clip(text), News::New);
        if self.has_taken(now) && self.settled.expose().is_empty() {
            // A late view of what was taken already.
            if behind_words(self.taken.expose(), text).is_some() {
                return News::Old;
            }
            if let Some(rest) = behind_words(text, self.taken.expose()) {
                text = rest;
            } else if may_change {
                self.settled = self.forget_taken();
                news = News::Correction;
            }
        }
        if !same_words(self.partial.expose(), text) {
            self.changed_at = now;
            // They have gone on.
            (self.is_probably_ended, self.is_ended) = (false, false);
        }
        self.partial = Phi::new(text.to_owned());
        news
    }

    /// Words that will not change. While the last turn `may_change`, another reading of it takes its place.
    pub(super) fn settle(&mut self, now: Duration, text: &str, may_change: bool) -> News {
        let mut text = clip(text);
        let partial = std::mem::replace(&mut self.partial, Phi::new(String::new()));
        if self.has_taken(now) {
            let taken = std::mem::replace(&mut self.taken, Phi::new(String::new()));
            if same_words(taken.expose(), text) {
                return News::Old;
            }
            if let Some(rest) = behind_words(text, taken.expose()) {
                text = rest;
            } else if self.settled.expose().is_empty() && may_change {
                // The turn as it should have been.
                self.settled = self.forget_taken();
                self.append(text);
                return News::Correction;
            } else if self.settled.expose().is_empty() && partial.expose().is_empty() {
                // It was answered, as it was understood then.
                return News::Old;
            }
        }
        if !same_words(partial.expose(), text) {
            self.changed_at = now;
        }
        self.append(text);
        News::New
    }

    /// What may change will not any more: nobody will say what became of it.
    pub(super) fn keep(&mut self) {
        drop(self.forget_taken());
        let partial = std::mem::replace(&mut self.partial, Phi::new(String::new()));
        self.append(partial.expose());
    }

    /// Whether the final of words that were taken is still to come: a recogniser that is alive sends it soon.
    fn has_taken(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.taken_at) >= limit::RECOGNISER_STALL {
            drop(self.forget_taken());
        }
        !self.taken.expose().is_empty()
    }

    /// Forgets what was taken, and gives back what was settled before it.
    fn forget_taken(&mut self) -> Phi<String> {
        self.taken = Phi::new(String::new());
        std::mem::replace(&mut self.taken_head, Phi::new(String::new()))
    }

    /// A key of the telephone, as a word.
    pub(super) fn press(&mut self, now: Duration, digit: Digit) {
        let mut key = [0; 4];
        let key: &str = char::from(digit.key()).encode_utf8(&mut key);
        self.append(key);
        (self.changed_at, self.pressed_at) = (now, Some(now));
    }

    fn append(&mut self, text: &str) {
        let settled = self.settled.expose();
        let room = limit::UTTERANCE_CHARS_MAX.saturating_sub(settled.len());
        if text.is_empty() || text.len() >= room {
            return;
        }
        let gap = if settled.is_empty() { "" } else { " " };
        self.settled = Phi::new([settled, gap, text].concat());
    }

    /// Everything so far.
    pub(super) fn text(&self) -> Phi<String> {
        joined(self.settled.expose(), self.partial.expose())
    }

    /// Whether there are any words.
    pub(super) fn is_empty(&self) -> bool {
        self.settled.expose().is_empty() && self.partial.expose().is_empty()
    }

    /// Whether there are words that may change.
    pub(super) fn is_changing(&self) -> bool {
        !self.partial.expose().is_empty()
    }

    /// Whether there are words, and none of them may change.
    pub(super) fn is_settled(&self) -> bool {
        self.partial.expose().is_empty() && !self.settled.expose().is_empty()
    }

    /// Whether there are words, and all of them only say "I am listening".
    pub(super) fn is_back_channel(&self) -> bool {
        let text = self.text();
        let mut words = words(text.expose()).peekable();
        words.peek().is_some() && words.all(|word| BACK_CHANNELS.iter().any(|one| same(one, word)))
    }

    /// Whether there are words that ask for the floor.
    pub(super) fn has_words(&self) -> bool {
        !self.is_empty() && !self.is_back_channel()
    }

    /// Begins the next turn; what was taken, behind what the caller had said `before`, and may still come as a final is
    /// remembered.
    pub(super) fn take(&mut self, now: Duration, before: &str) {
        let mut taken_head = joined(before, self.settled.expose());
        let mut taken = std::mem::replace(&mut self.partial, Phi::new(String::new()));
        if self.has_taken(now) && self.settled.expose().is_empty() {
            // No final has come in between: the same words of the recogniser's go on.
            taken = joined(self.taken.expose(), taken.expose());
            if !before.is_empty() {
                taken_head = self.forget_taken();
            }
        }
        *self = Self { taken, taken_head, taken_at: now, ..Self::default() };
    }

    /// Forgets what was said since the last turn, but not that turn: its final may still come.
    pub(super) fn clear(&mut self) {
        let taken = std::mem::replace(&mut self.taken, Phi::new(String::new()));
        let taken_head = std::mem::replace(&mut self.taken_head, Phi::new(String::new()));
        *self = Self { taken, taken_head, taken_at: self.taken_at, ..Self::default() };
    }
}

/// At most as much as is read of one text, at a character.
fn clip(text: &str) -> &str {
    let end = text.floor_char_boundary(limit::UTTERANCE_CHARS_MAX);
    text.get(..end).unwrap_or_default().trim()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_other = |letter: char| !letter.is_alphanumeric() && letter != '\'';
    text.split(is_other).filter(|word| !word.is_empty())
}

fn same(one: &str, other: &str) -> bool {
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

/// Whether two texts have the same words, whatever stands between them.
pub(super) fn same_words(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (words(one), words(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(left), Some(right)) if same(left, right) => {}
            _ => return false,
        }
    }
}

/// What is behind the words of `head` in `text`, if it begins with them.
fn behind_words<'t>(text: &'t str, head: &str) -> Option<&'t str> {
    let mut rest = text;
    for word in words(head) {
        let first = words(rest).next().filter(|first| same(first, word))?;
        let (_, behind) = rest.split_once(first)?;
        rest = behind;
    }
    Some(rest.trim_start_matches([' ', ',', '.', ';', ':', '?', '!', '-']))
}

/// Two texts as one.
pub(super) fn joined(one: &str, other: &str) -> Phi<String> {
    let gap = if one.is_empty() || other.is_empty() { "" } else { " " };
    Phi::new([one, gap, other].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn partials_replace_each_other_and_finals_stay() {
        let mut utterance = Utterance::default();
        utterance.replace_partial(ms(10), "I would", true);
        utterance.replace_partial(ms(20), "i would like", true);
        assert_eq!(utterance.settle(ms(30), "I would like", true), News::New);
        assert_eq!(utterance.changed_at, ms(20), "the same words are no change");
        utterance.replace_partial(ms(40), "an appointment", true);
        assert_eq!(utterance.text().expose(), "I would like an appointment");
    }

    #[test]
    fn the_final_of_what_was_taken_is_not_news() {
        let mut utterance = Utterance::default();
        utterance.replace_partial(ms(1), "on tuesday", true);
        utterance.take(ms(1), "");
        utterance.replace_partial(ms(2), "on tuesday", true);
        assert!(utterance.is_empty());
        assert_eq!(utterance.settle(ms(2), "On Tuesday.", true), News::Old);
        assert_eq!(utterance.settle(ms(3), "at ten", true), News::New);
        let mut utterance = Utterance::default();
        utterance.replace_partial(ms(1), "on tuesday", true);
        utterance.take(ms(1), "");
        assert_eq!(utterance.settle(ms(2), "on thursday", true), News::Correction);
    }

    #[test]
    fn what_was_taken_is_the_beginning_of_what_follows_until_its_final() {
        let taken = || {
            let mut utterance = Utterance::default();
            utterance.settle(ms(1), "yes", true);
            utterance.replace_partial(ms(1), "on tuesday", true);
            utterance.take(ms(1), "hello");
            utterance
        };
        // More of it, as a partial and as a final.
        let mut utterance = taken();
        assert_eq!(utterance.replace_partial(ms(2), "On Tuesday, at", true), News::New);
        assert_eq!(utterance.text().expose(), "at");
        assert_eq!(utterance.settle(ms(3), "on tuesday at ten", false), News::New);
        assert_eq!(utterance.text().expose(), "at ten");
        // Another reading, while it may change and when it was answered.
        let mut utterance = taken();
        assert_eq!(utterance.replace_partial(ms(2), "on thursday at", true), News::Correction);
        assert_eq!(utterance.text().expose(), "hello yes on thursday at");
        let mut utterance = taken();
        assert_eq!(utterance.settle(ms(2), "on thursday", false), News::Old);
        assert!(utterance.is_empty());
        // A final that never came.
        let mut utterance = taken();
        assert_eq!(utterance.settle(ms(9_000), "no", true), News::New);
        assert_eq!(utterance.text().expose(), "no");
    }

    #[test]
    fn two_turns_without_a_final_are_one_beginning() {
        let mut utterance = Utterance::default();
        utterance.replace_partial(ms(1), "on tuesday", true);
        utterance.take(ms(1), "");
        utterance.replace_partial(ms(2), "on tuesday at ten", true);
        assert_eq!(utterance.text().expose(), "at ten");
        utterance.take(ms(2), "on tuesday");
        utterance.replace_partial(ms(3), "on tuesday at ten please", true);
        assert_eq!(utterance.text().expose(), "please");
        assert_eq!(utterance.settle(ms(4), "on thursday at ten", true), News::Correction);
        assert_eq!(utterance.text().expose(), "on thursday at ten");
    }

    #[test]
    fn listening_noises_ask_for_nothing() {
        let mut utterance = Utterance::default();
        assert!(!utterance.is_back_channel() && !utterance.has_words());
        for text in ["mhm", "Uh, huh.", "okay", "yeah right"] {
            utterance.replace_partial(ms(1), text, true);
            assert!(utterance.is_back_channel(), "{text}");
        }
        for text in ["no", "okay stop", "what", "tuesday"] {
            utterance.replace_partial(ms(1), text, true);
            assert!(utterance.has_words(), "{text}");
        }
    }

    #[test]
    fn a_text_without_end_is_cut_and_an_utterance_bounded() {
        let mut utterance = Utterance::default();
        for _ in 0..100 {
            utterance.settle(ms(1), &"é".repeat(limit::UTTERANCE_CHARS_MAX / 8), true);
        }
        assert!(utterance.text().expose().len() <= limit::UTTERANCE_CHARS_MAX);
        utterance.replace_partial(ms(2), &"é".repeat(limit::UTTERANCE_CHARS_MAX), true);
        assert!(utterance.text().expose().len() <= limit::UTTERANCE_CHARS_MAX.saturating_mul(2));
    }
}
