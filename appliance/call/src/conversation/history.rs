//! What was said, as the model may know it: with placeholders, and of us only what was heard.
//!
//! Bounded in lines and characters; the oldest goes first. It is wiped with the call.

use std::collections::VecDeque;

use ward_policy::limit;
use ward_policy::phi::Phi;

use crate::service::{Line, Speaker};

/// The conversation so far.
#[derive(Default)]
pub(super) struct History(VecDeque<Line>);

impl History {
    /// Adds what was said; two lines of one speaker become one.
    pub(super) fn push(&mut self, speaker: Speaker, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.0.back_mut() {
            Some(line) if line.speaker == speaker => {
                line.text = Phi::new([line.text.expose(), " ", text].concat());
            }
            _ => self.0.push_back(Line { speaker, text: Phi::new(text.to_owned()) }),
        }
        let chars = |lines: &VecDeque<Line>| {
            lines.iter().fold(0_usize, |sum, line| sum.saturating_add(line.text.expose().len()))
        };
        while self.0.len() > 1
            && (self.0.len() > limit::HISTORY_LINES_MAX
                || chars(&self.0) > limit::HISTORY_CHARS_MAX)
        {
            self.0.pop_front();
        }
    }

    /// Takes back what the caller said last, if nobody has spoken since.
    pub(super) fn take_back_caller(&mut self) {
        self.0.pop_back_if(|line| line.speaker == Speaker::Caller);
    }

    /// Everything.
    pub(super) fn lines(&self) -> Vec<Line> {
        let copy = |line: &Line| Line {
            speaker: line.speaker,
            text: Phi::new(line.text.expose().clone()),
        };
        self.0.iter().map(copy).collect()
    }

    /// Everything, and then what the caller says now: what a model is asked.
    pub(super) fn lines_with(&self, said: &str) -> Vec<Line> {
        let mut lines = self.lines();
        match lines.last_mut() {
            Some(line) if line.speaker == Speaker::Caller => {
                line.text = Phi::new([line.text.expose(), " ", said].concat());
            }
            _ => lines.push(Line { speaker: Speaker::Caller, text: Phi::new(said.to_owned()) }),
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(history: &History, said: &str) -> Vec<(Speaker, String)> {
        let lines = history.lines_with(said);
        lines.iter().map(|line| (line.speaker, line.text.expose().clone())).collect()
    }

    #[test]
    fn speakers_take_turns_and_the_last_line_is_the_callers() {
        let mut history = History::default();
        history.push(Speaker::Ward, "Hello.");
        history.push(Speaker::Ward, "How can I help?");
        history.push(Speaker::Caller, "I need");
        assert_eq!(
            texts(&history, "an appointment"),
            [
                (Speaker::Ward, "Hello. How can I help?".to_owned()),
                (Speaker::Caller, "I need an appointment".to_owned())
            ]
        );
        history.take_back_caller();
        history.take_back_caller();
        assert_eq!(texts(&history, "bye").len(), 2);
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
        assert_eq!(all[all.len() - 2].1, "line 9999");
        history.push(Speaker::Caller, &"a".repeat(limit::HISTORY_CHARS_MAX));
        assert_eq!(texts(&history, "x").len(), 1);
    }
}
