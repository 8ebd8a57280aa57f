//! Play-out: audio leaves by an absolute clock, a little ahead, in whole frames, with marks.
//!
//! The peer holds what we send until it has played it, so what is ahead must be small enough to flush
//! and large enough to survive a late tick. `stop` drops our queue, has the peer drop its own, and
//! begins a new generation: marks of the old one come back as flushed, never as played.

use std::collections::VecDeque;
use std::time::Duration;

use ward_policy::count::{Count, Counts};
use ward_policy::fault::CallEnd;
use ward_policy::limit;

use crate::agent::Clip;
use crate::output::Output;

/// Audio in one paced message, in bytes.
const MESSAGE_BYTES: usize = limit::bytes_in_ms(limit::PLAYOUT_MESSAGE_MS);
/// Audio that may wait, in bytes.
const QUEUE_BYTES_MAX: usize = limit::bytes_in_ms(limit::PLAYOUT_QUEUE_MS_MAX);
/// µ-law silence, for the end of a clip that is no whole frame.
const SILENCE: u8 = 0xFF;

/// The name of a mark: generation and number, `g` digits `-` digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkName(String);

impl MarkName {
    fn new(generation: u32, number: u32) -> Self {
        Self(format!("g{generation}-{number}"))
    }

    /// The name as text: at most 22 letters, digits and hyphens.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug)]
enum Item {
    Audio { clip: Clip, sent: usize },
    Mark,
}

/// The latest `clear`.
#[derive(Debug, Clone, Copy, Default)]
enum Clear {
    #[default]
    Never,
    /// Asked for at this time, not sent yet.
    Due(Duration),
    /// Sent; asked for at this time.
    Sent(Duration),
}

#[derive(Debug)]
struct Outstanding {
    generation: u32,
    number: u32,
    /// When it counts as lost.
    due: Duration,
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

/// The outbound half of a call.
#[derive(Debug, Default)]
pub struct Playout {
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// Unpaced audio, the first `passed` bytes of which have been given out.
    direct: Vec<u8>,
    passed: usize,
    /// A clip's last piece, filled up to whole frames.
    tail: Vec<u8>,
    /// When everything sent so far will have been played.
    play_end: Duration,
    generation: u32,
    mark_number: u32,
    outstanding: VecDeque<Outstanding>,
    clear: Clear,
    is_hanging_up: bool,
    /// Something was said since the agent was last told that all was said.
    has_news: bool,
}

impl Playout {
    pub(crate) fn say(&mut self, clip: &Clip, counts: &mut Counts) {
        let total = self.queued_bytes.saturating_add(clip.len());
        if total > QUEUE_BYTES_MAX {
            let ms = clip.len() / limit::BYTES_PER_MS;
            counts.add_ms(Count::PlayoutRefusedMs, u64::try_from(ms).unwrap_or(u64::MAX));
            return;
        }
        self.queued_bytes = total;
        self.queue.push_back(Item::Audio { clip: Clip::clone(clip), sent: 0 });
        self.queue.push_back(Item::Mark);
        self.has_news = true;
    }

    pub(crate) fn pass(&mut self, audio: &[u8], counts: &mut Counts) {
        self.forget_passed();
        if self.direct.len().saturating_add(audio.len()) > QUEUE_BYTES_MAX {
            let ms = audio.len() / limit::BYTES_PER_MS;
            counts.add_ms(Count::PlayoutRefusedMs, u64::try_from(ms).unwrap_or(u64::MAX));
            return;
        }
        self.direct.extend_from_slice(audio);
    }

    pub(crate) fn stop(&mut self, now: Duration, counts: &mut Counts) {
        let was_speaking = self.is_speaking(now);
        self.queue.clear();
        self.queued_bytes = 0;
        self.direct.clear();
        self.passed = 0;
        self.play_end = now;
        self.is_hanging_up = false;
        self.has_news = false;
        let interval = match self.clear {
            Clear::Never => limit::CLEAR_INTERVAL,
            Clear::Due(at) | Clear::Sent(at) => now.saturating_sub(at),
        };
        // With nothing playing a `clear` has no effect, so it is not worth one.
        if was_speaking || (!self.outstanding.is_empty() && interval >= limit::CLEAR_INTERVAL) {
            self.generation = self.generation.wrapping_add(1);
            self.clear = Clear::Due(now);
            counts.one(Count::Clear);
        }
    }

    pub(crate) const fn hang_up(&mut self) {
        self.is_hanging_up = true;
    }

    /// Whether the call ends once everything said has been played.
    pub(crate) const fn is_hanging_up(&self) -> bool {
        self.is_hanging_up
    }

    /// Whether the caller can still hear something: queued, on its way, or unacknowledged.
    #[must_use]
    pub fn is_speaking(&self, now: Duration) -> bool {
        !self.queue.is_empty() || self.play_end > now || self.has_current_mark()
    }

    /// Takes back a mark.
    pub fn mark_returned(&mut self, name: &str, counts: &mut Counts) -> Returned {
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

    /// Gives up marks that are overdue.
    pub(crate) fn expire_marks(&mut self, now: Duration, counts: &mut Counts) {
        let before = self.outstanding.len();
        self.outstanding.retain(|mark| mark.due > now);
        let lost = before.saturating_sub(self.outstanding.len());
        counts.add(Count::MarkLost, u32::try_from(lost).unwrap_or(u32::MAX));
    }

    /// Whether everything said has just been played: true once per silence.
    pub(crate) fn take_said_all(&mut self, now: Duration) -> bool {
        let said_all = self.has_news && !self.is_speaking(now);
        if said_all {
            self.has_news = false;
        }
        said_all
    }

    /// The next thing to send at `now`.
    pub(crate) fn poll(&mut self, now: Duration, counts: &mut Counts) -> Option<Output<'_>> {
        self.forget_passed();
        if let Clear::Due(at) = self.clear {
            self.clear = Clear::Sent(at);
            return Some(Output::Clear);
        }
        let whole = self.direct.len().saturating_sub(self.direct.len() % limit::FRAME_BYTES);
        if whole > 0 {
            self.passed = whole;
            count_sent(whole, counts);
            return self.direct.get(..whole).map(Output::Play);
        }
        match self.queue.front() {
            Some(Item::Mark) => {
                self.queue.pop_front();
                Some(Output::Mark(self.send_mark(counts)))
            }
            Some(Item::Audio { .. }) if self.next_send() <= now => self.send_audio(now, counts),
            Some(Item::Audio { .. }) => None,
            None if self.is_hanging_up && !self.is_speaking(now) => {
                self.is_hanging_up = false;
                Some(Output::HangUp(CallEnd::AgentFinished))
            }
            None => None,
        }
    }

    /// When [`Playout::poll`] has something again, if ever.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let marks = self.outstanding.iter().map(|mark| mark.due).min();
        if !self.queue.is_empty() {
            return marks.into_iter().chain([self.next_send()]).min();
        }
        // With a mark on its way, it is the mark that says when all has been played.
        let is_waiting = self.is_hanging_up || self.has_news;
        let end = (is_waiting && !self.has_current_mark()).then_some(self.play_end);
        marks.into_iter().chain(end).min()
    }

    fn has_current_mark(&self) -> bool {
        self.outstanding.iter().any(|mark| mark.generation == self.generation)
    }

    /// When the next message is due: as soon as a whole one fits into the lead.
    fn next_send(&self) -> Duration {
        let ahead = limit::PLAYOUT_LEAD_MS.saturating_sub(limit::PLAYOUT_MESSAGE_MS);
        self.play_end.saturating_sub(Duration::from_millis(ahead))
    }

    fn send_mark(&mut self, counts: &mut Counts) -> MarkName {
        self.mark_number = self.mark_number.wrapping_add(1);
        counts.one(Count::MarkSent);
        if self.outstanding.len() >= limit::MARKS_OUTSTANDING_MAX {
            self.outstanding.pop_front();
            counts.one(Count::MarkLost);
        }
        let due = self.play_end.saturating_add(limit::MARK_SLACK);
        let (generation, number) = (self.generation, self.mark_number);
        self.outstanding.push_back(Outstanding { generation, number, due });
        MarkName::new(generation, number)
    }

    fn send_audio(&mut self, now: Duration, counts: &mut Counts) -> Option<Output<'_>> {
        let Some(Item::Audio { clip, sent }) = self.queue.front_mut() else {
            return None;
        };
        let from = *sent;
        let to = from.saturating_add(MESSAGE_BYTES).min(clip.len());
        *sent = to;
        let clip = Clip::clone(clip);
        let piece = clip.get(from..to).unwrap_or_default();
        // Only the last piece of a clip can be no whole frame; it is filled up with silence.
        self.tail.clear();
        self.tail.extend_from_slice(piece);
        let padded = piece.len().next_multiple_of(limit::FRAME_BYTES);
        self.tail.resize(padded, SILENCE);
        if to == clip.len() {
            self.queue.pop_front();
        }
        self.queued_bytes = self.queued_bytes.saturating_sub(piece.len());
        let ms = u64::try_from(padded / limit::BYTES_PER_MS).unwrap_or(0);
        self.play_end = self.play_end.max(now).saturating_add(Duration::from_millis(ms));
        count_sent(padded, counts);
        Some(Output::Play(&self.tail))
    }

    fn forget_passed(&mut self) {
        if self.passed > 0 {
            self.direct.drain(..self.passed.min(self.direct.len()));
            self.passed = 0;
        }
    }
}

fn count_sent(bytes: usize, counts: &mut Counts) {
    counts.one(Count::FramesOut);
    let ms = u64::try_from(bytes / limit::BYTES_PER_MS).unwrap_or(u64::MAX);
    counts.add_ms(Count::AudioOutMs, ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn drain(playout: &mut Playout, now: Duration, counts: &mut Counts) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(output) = playout.poll(now, counts) {
            found.push(format!("{output:?}"));
        }
        found
    }

    #[test]
    fn audio_leaves_a_lead_ahead_and_then_by_the_clock() {
        let mut playout = Playout::default();
        let mut counts = Counts::default();
        playout.say(&Clip::from(vec![1; 5 * 640 + 100]), &mut counts);
        assert_eq!(drain(&mut playout, ms(0), &mut counts), ["Play(640 bytes)"; 3]);
        assert_eq!(playout.wake_at(), Some(ms(80)));
        assert!(drain(&mut playout, ms(79), &mut counts).is_empty());
        // A tick that is late by 200 ms is made up for: the clock is absolute.
        assert_eq!(
            drain(&mut playout, ms(240), &mut counts),
            ["Play(640 bytes)", "Play(640 bytes)", "Play(160 bytes)", "Mark(g0-1)"]
        );
        assert!(playout.is_speaking(ms(420)));
        assert_eq!(playout.mark_returned("g0-1", &mut counts), Returned::Played);
        assert!(!playout.is_speaking(ms(420)));
        assert!(playout.take_said_all(ms(420)) && !playout.take_said_all(ms(420)));
    }

    #[test]
    fn nothing_is_due_while_a_mark_is_on_its_way() {
        let mut playout = Playout::default();
        let mut counts = Counts::default();
        playout.say(&Clip::from(vec![1; 160]), &mut counts);
        playout.hang_up();
        drain(&mut playout, ms(0), &mut counts);
        assert_eq!(playout.wake_at(), Some(ms(20) + limit::MARK_SLACK));
        playout.mark_returned("g0-1", &mut counts);
        assert_eq!(playout.wake_at(), Some(ms(20)));
        assert_eq!(drain(&mut playout, ms(19), &mut counts).len(), 0);
        assert_eq!(drain(&mut playout, ms(20), &mut counts), ["HangUp(agent_finished)"]);
    }

    #[test]
    fn stopping_clears_once_and_flushes_the_generation() {
        let mut playout = Playout::default();
        let mut counts = Counts::default();
        playout.say(&Clip::from(vec![1; 320]), &mut counts);
        drain(&mut playout, ms(0), &mut counts);
        playout.stop(ms(10), &mut counts);
        playout.stop(ms(11), &mut counts);
        assert_eq!(drain(&mut playout, ms(11), &mut counts), ["Clear"]);
        assert_eq!(playout.mark_returned("g0-1", &mut counts), Returned::Flushed);
        assert_eq!(playout.mark_returned("g0-1", &mut counts), Returned::Unknown);
        for name in ["", "g", "g0", "g-", "g0-x", "0-1", "g99999999999-1"] {
            assert_eq!(playout.mark_returned(name, &mut counts), Returned::Unknown, "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_the_queue_is_refused_and_counted() {
        let mut playout = Playout::default();
        let mut counts = Counts::default();
        let minute = Clip::from(vec![1; QUEUE_BYTES_MAX]);
        playout.say(&minute, &mut counts);
        playout.say(&Clip::from(vec![1; 160]), &mut counts);
        assert_eq!(counts.of(Count::PlayoutRefusedMs), 20);
    }
}
