//! Marks: their names, which are on their way, and what it means when one comes back.
//!
//! A mark belongs to a generation; `clear` begins a new one, and marks of an old one were flushed, never played.

use std::collections::VecDeque;
use std::time::Duration;

use ward_policy::count::{Count, Counts};
use ward_policy::limit;

/// The name of a mark: generation and number, `g` digits `-` digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkName(String);

impl MarkName {
    /// The name as text: at most 22 letters, digits and hyphens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a returned mark meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// The audio before it was heard.
    Played,
    /// The audio before it was dropped by `clear`.
    Flushed,
    /// We sent no such mark, or it has come back before.
    Unknown,
}

#[derive(Debug)]
struct Outstanding {
    generation: u32,
    number: u32,
    /// When it counts as lost.
    due: Duration,
}

/// The marks of one call.
#[derive(Debug, Default)]
pub(super) struct Marks {
    generation: u32,
    number: u32,
    outstanding: VecDeque<Outstanding>,
}

impl Marks {
    /// A name for a mark behind audio that will have been played at `play_end`.
    pub(super) fn send(&mut self, play_end: Duration, counts: &mut Counts) -> MarkName {
        self.number = self.number.wrapping_add(1);
        counts.one(Count::MarkSent);
        if self.outstanding.len() >= limit::MARKS_OUTSTANDING_MAX {
            self.outstanding.pop_front();
            counts.one(Count::MarkLost);
        }
        let due = play_end.saturating_add(limit::MARK_SLACK);
        let (generation, number) = (self.generation, self.number);
        self.outstanding.push_back(Outstanding { generation, number, due });
        MarkName(format!("g{generation}-{number}"))
    }

    /// Everything on its way is being flushed.
    pub(super) const fn flush(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Takes one back.
    pub(super) fn take_back(&mut self, name: &str, counts: &mut Counts) -> Returned {
        if name.len() > limit::MARK_NAME_BYTES_MAX {
            counts.one(Count::MarkNameLong);
            return Returned::Unknown;
        }
        let numbers = name.strip_prefix('g').and_then(|rest| rest.split_once('-'));
        let parsed = numbers.and_then(|(generation, number)| {
            Some((generation.parse().ok()?, number.parse().ok()?))
        });
        let place = parsed.and_then(|(generation, number): (u32, u32)| {
            self.outstanding
                .iter()
                .position(|mark| mark.generation == generation && mark.number == number)
        });
        let Some(mark) = place.and_then(|place| self.outstanding.remove(place)) else {
            counts.one(Count::MarkUnknown);
            return Returned::Unknown;
        };
        if mark.generation == self.generation {
            counts.one(Count::MarkPlayed);
            Returned::Played
        } else {
            counts.one(Count::MarkFlushed);
            Returned::Flushed
        }
    }

    /// Gives up those that are overdue.
    pub(super) fn expire(&mut self, now: Duration, counts: &mut Counts) {
        let before = self.outstanding.len();
        self.outstanding.retain(|mark| mark.due > now);
        let lost = before.saturating_sub(self.outstanding.len());
        counts.add(Count::MarkLost, u32::try_from(lost).unwrap_or(u32::MAX));
    }

    /// When the next one is overdue.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.outstanding.iter().map(|mark| mark.due).min()
    }

    /// Whether one of this generation is on its way.
    pub(super) fn has_current(&self) -> bool {
        self.outstanding.iter().any(|mark| mark.generation == self.generation)
    }

    /// Whether any is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }
}
