//! What was said, as the model may know it: with placeholders, and of us only what was heard.
//!
//! Bounded in turns and characters; the oldest goes first, and the first line is always the caller's, as models demand.
//! It is wiped with the call.

use std::collections::VecDeque;

use ward_policy::limit;
use ward_policy::phi::Phi;

use crate::service::{Line, Speaker};

/// The conversation so far, turn by turn: those of one speaker in a row are one line for a model.
#[derive(Default)]
pub(super) struct History(VecDeque<Line>);

impl History {
    /// Adds what was said.
    pub(super) fn push(&mut self, speaker: Speaker, text: &str) {
        if text.is_empty() {
            return;
        }
        self.0.push_back(Line { speaker, text: Phi::new(text.to_owned()) });
        let chars = |lines: &VecDeque<Line>| {
            lines.iter().fold(0_usize, |sum, line| sum.saturating_add(line.text.expose().len()))
        };
        while self.0.len() > 1
            && (self.0.len() > limit::HISTORY_LINES_MAX
                || chars(&self.0) > limit::HISTORY_CHARS_MAX)
        {
            self.0.pop_front();
        }
        while self.0.pop_front_if(|line| line.speaker == Speaker::Ward).is_some() {}
    }

    /// Whether the caller spoke last: what they said is not answered.
    pub(super) fn is_unanswered(&self) -> bool {
        self.0.back().is_some_and(|line| line.speaker == Speaker::Caller)
    }

    /// Takes back the caller's last turn, if nobody has spoken since.
    pub(super) fn take_back_caller(&mut self) {
        self.0.pop_back_if(|line| line.speaker == Speaker::Caller);
    }

    /// Everything: what a model is asked again.
    pub(super) fn lines(&self) -> Vec<Line> {
        merged(self.0.iter())
    }

    /// Everything, and then what the caller says now, which may begin with their last turn: what a model is asked.
    pub(super) fn lines_with(&self, said: &str, has_last_turn: bool) -> Vec<Line> {
        let turns = self.0.len().saturating_sub(usize::from(has_last_turn));
        let said = Line { speaker: Speaker::Caller, text: Phi::new(said.to_owned()) };
        merged(self.0.iter().take(turns).chain([&said]))
    }
}

/// One line for all that a speaker said in a row.
fn merged<'l>(turns: impl Iterator<Item = &'l Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for turn in turns {
        let text = turn.text.expose();
        match lines.last_mut() {
            Some(line) if line.speaker == turn.speaker => {
                line.text = Phi::new([line.text.expose(), " ", text].concat());
            }
            _ => lines.push(Line { speaker: turn.speaker, text: Phi::new(text.clone()) }),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(history: &History, said: &str) -> Vec<(Speaker, String)> {
        let lines = history.lines_with(said, false);
        lines.iter().map(|line| (line.speaker, line.text.expose().clone())).collect()
    }

    #[test]
    fn speakers_take_turns_and_the_last_line_is_the_callers() {
        let mut history = History::default();
        history.push(Speaker::Caller, "good morning");
        history.push(Speaker::Ward, "Hello.");
        history.push(Speaker::Ward, "How can I help?");
        history.push(Speaker::Caller, "I need");
        let caller = |text: &str| (Speaker::Caller, text.to_owned());
        let ward = (Speaker::Ward, "Hello. How can I help?".to_owned());
        let expected = [caller("good morning"), ward, caller("I need an appointment")];
        assert_eq!(texts(&history, "an appointment"), expected);
        assert_eq!(history.lines_with("I need an appointment", true).len(), 3);
        assert!(history.is_unanswered());
        history.take_back_caller();
        history.take_back_caller();
        assert!(!history.is_unanswered());
        assert_eq!(texts(&history, "bye").len(), 3);
    }

    #[test]
    fn only_the_last_turn_is_taken_back() {
        let mut history = History::default();
        history.push(Speaker::Caller, "I need an appointment");
        history.push(Speaker::Caller, "on tuesday");
        history.take_back_caller();
        let all = texts(&history, "on thursday");
        assert_eq!(all, [(Speaker::Caller, "I need an appointment on thursday".to_owned())]);
    }

    #[test]
    fn the_first_line_is_the_callers_whatever_goes() {
        let mut history = History::default();
        history.push(Speaker::Ward, "Are you still there?");
        assert_eq!(history.lines().len(), 0);
        for number in 0..1_000_u32 {
            // Now and then the caller speaks twice in a row.
            history.push(Speaker::Caller, "a");
            assert_eq!(history.lines().first().map(|line| line.speaker), Some(Speaker::Caller));
            if number % 7 > 0 {
                history.push(Speaker::Ward, "b");
            }
            assert_eq!(history.lines().first().map(|line| line.speaker), Some(Speaker::Caller));
        }
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let mut history = History::default();
        for number in 0..10_000 {
            let speaker = if number % 2 == 0 { Speaker::Caller } else { Speaker::Ward };
            history.push(speaker, &format!("line {number}"));
        }
        let all = texts(&history, "x");
        assert!(all.len() <= limit::HISTORY_LINES_MAX + 1, "{}", all.len());
        assert!(all.len() > limit::HISTORY_LINES_MAX - 2, "{}", all.len());
        assert_eq!(all[all.len() - 2].1, "line 9999");
        history.push(Speaker::Caller, &"a".repeat(limit::HISTORY_CHARS_MAX));
        assert_eq!(texts(&history, "x").len(), 1);
    }
}
