//! A caller who says one prepared thing after the other, each at its cue. They understand nothing of what they hear.

use std::collections::VecDeque;
use std::time::Duration;

/// When a line is said. Times are the caller's own: at their mouth and ear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// At least `heard` of audio has come since the line before, and then it has been quiet for `quiet`.
    Quiet {
        /// Audio, silence in it included: more than a filler has.
        heard: Duration,
        /// How long.
        quiet: Duration,
    },
    /// This much audio has come since the line before, and more is coming: an interruption.
    Into(Duration),
}

/// One thing to say.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub cue: Cue,
    /// What: µ-law, 8,000 Hz.
    pub speech: Vec<u8>,
}

/// What is heard of the other side since the line before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    /// Audio that has been played.
    pub(crate) audio: Duration,
    /// Since when nothing is played; none while something is.
    pub(crate) quiet: Option<Duration>,
}

/// The lines that have not been said.
#[derive(Debug, Default)]
pub(crate) struct Lines(VecDeque<Line>);

impl Lines {
    /// All of them.
    pub(crate) const fn new(lines: VecDeque<Line>) -> Self {
        Self(lines)
    }

    /// The next line, if its cue has come.
    pub(crate) fn next(&mut self, heard: Heard) -> Option<Vec<u8>> {
        let is_due = |line: &mut Line| match line.cue {
            Cue::Quiet { heard: least, quiet } => {
                heard.audio >= least && heard.quiet.is_some_and(|since| since >= quiet)
            }
            Cue::Into(least) => heard.audio >= least && heard.quiet.is_none(),
        };
        self.0.pop_front_if(is_due).map(|line| line.speech)
    }

    /// Whether everything has been said.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_waits_for_its_cue() {
        let ms = Duration::from_millis;
        let quiet = Cue::Quiet { heard: ms(500), quiet: ms(300) };
        let line = |cue, byte| Line { cue, speech: vec![byte] };
        let mut lines = Lines::new([line(quiet, 1), line(Cue::Into(ms(200)), 2)].into());
        let mut at = |audio, quiet: Option<u64>| {
            lines.next(Heard { audio: ms(audio), quiet: quiet.map(ms) })
        };
        assert_eq!(at(499, Some(900)), None, "a filler is no answer");
        assert_eq!(at(900, None), None);
        assert_eq!(at(900, Some(299)), None);
        assert_eq!(at(900, Some(300)), Some(vec![1]));
        assert_eq!(at(200, Some(0)), None, "nobody is there to be interrupted");
        assert_eq!(at(200, None), Some(vec![2]));
        assert!(lines.is_over());
    }
}
