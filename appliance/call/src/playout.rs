//! Play-out: audio leaves by an absolute clock, a little ahead, in whole frames, with marks.
//!
//! The peer holds what we send until it has played it, so what is ahead must be small enough to flush
//! and large enough to survive a late tick. `stop` drops our queue, has the peer drop its own, and
//! begins a new generation: marks of the old one come back as flushed, never as played. `pause` does the
//! same and keeps what was not played, so that a false interruption loses nothing.

mod mark;
mod unplayed;

use std::collections::VecDeque;
use std::time::Duration;

use ward_policy::count::{Count, Counts};
use ward_policy::fault::CallEnd;
use ward_policy::limit;

use crate::agent::Clip;
use crate::output::Output;
use mark::Marks;
use unplayed::Unplayed;

pub use mark::{MarkName, Returned};

/// Audio in one paced message, in bytes.
const MESSAGE_BYTES: usize = limit::bytes_in_ms(limit::PLAYOUT_MESSAGE_MS);
/// Audio that may wait, in bytes.
const QUEUE_BYTES_MAX: usize = limit::bytes_in_ms(limit::PLAYOUT_QUEUE_MS_MAX);
/// µ-law silence, for the end of a clip that is no whole frame.
const SILENCE: u8 = 0xFF;

/// How long `bytes` of audio last.
fn length_of(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes / limit::BYTES_PER_MS).unwrap_or(u64::MAX))
}

#[derive(Debug)]
enum Item {
    /// Audio; of which sentence, if it is one.
    Audio {
        clip: Clip,
        sent: usize,
        sentence: Option<u32>,
    },
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

/// The outbound half of a call.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a play-out")]
pub struct Playout {
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// Unpaced audio, the first `passed` bytes of which have been given out.
    direct: Vec<u8>,
    passed: usize,
    /// The message in hand, filled up to whole frames.
    message: Vec<u8>,
    /// When everything sent so far will have been played.
    play_end: Duration,
    marks: Marks,
    clear: Clear,
    unplayed: Unplayed,
    /// The sentence that more is to come of, and its bytes that make no whole frame yet.
    open: Option<u32>,
    odd: Vec<u8>,
    /// Bytes of the latest sentences that were sent and not taken back, by sentence.
    spoken: VecDeque<(u32, usize)>,
    is_held: bool,
    is_hanging_up: bool,
    /// Something was said since the agent was last told that all was said.
    has_news: bool,
}

impl Playout {
    pub(crate) fn say(&mut self, clip: &Clip, counts: &mut Counts) {
        if self.push(Clip::clone(clip), None, counts) {
            self.queue.push_back(Item::Mark);
        }
    }

    /// Queues the next bytes of `sentence`; whole frames of them, the rest waits for more.
    pub(crate) fn speak(&mut self, sentence: u32, audio: &[u8], counts: &mut Counts) {
        self.open = Some(sentence);
        self.odd.extend_from_slice(audio);
        let whole = self.odd.len().saturating_sub(self.odd.len() % limit::FRAME_BYTES);
        if whole > 0 {
            let clip = Clip::from(self.odd.get(..whole).unwrap_or_default());
            self.odd.drain(..whole);
            self.push(clip, Some(sentence), counts);
        }
    }

    /// Nothing more comes of `sentence`.
    pub(crate) fn end_sentence(&mut self, sentence: u32, counts: &mut Counts) {
        if self.open.take() != Some(sentence) {
            return;
        }
        if !self.odd.is_empty() {
            self.odd.resize(limit::FRAME_BYTES, SILENCE);
            let clip = Clip::from(self.odd.as_slice());
            self.odd.clear();
            self.push(clip, Some(sentence), counts);
        }
        self.queue.push_back(Item::Mark);
    }

    /// Nothing more comes of the sentence that is open; what makes no whole frame of it is dropped.
    pub(crate) fn cut_sentence(&mut self) {
        self.open = None;
        self.odd.clear();
    }

    fn push(&mut self, clip: Clip, sentence: Option<u32>, counts: &mut Counts) -> bool {
        let total = self.queued_bytes.saturating_add(clip.len());
        if total > QUEUE_BYTES_MAX {
            let ms = clip.len() / limit::BYTES_PER_MS;
            counts.add_ms(Count::PlayoutRefusedMs, u64::try_from(ms).unwrap_or(u64::MAX));
            return false;
        }
        self.queued_bytes = total;
        self.queue.push_back(Item::Audio { clip, sent: 0, sentence });
        self.has_news = true;
        true
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
        self.unplayed.clear();
        self.open = None;
        self.odd.clear();
        self.is_held = false;
        self.is_hanging_up = false;
        self.has_news = false;
        self.flush(now, was_speaking, counts);
    }

    /// Falls silent like `stop`, but keeps everything that was not played, and holds it.
    pub(crate) fn pause(&mut self, now: Duration, counts: &mut Counts) {
        let was_speaking = self.is_speaking(now);
        for item in self.unplayed.take_back(now).into_iter().rev() {
            if let Item::Audio { clip, sentence, .. } = &item {
                self.queued_bytes = self.queued_bytes.saturating_add(clip.len());
                self.count_spoken(*sentence, clip.len(), usize::saturating_sub);
            }
            self.queue.push_front(item);
        }
        self.is_held = true;
        self.flush(now, was_speaking, counts);
    }

    /// Sends nothing more of the queue until released.
    pub(crate) const fn hold(&mut self) {
        self.is_held = true;
    }

    /// Goes on with what is held.
    pub(crate) const fn release(&mut self) {
        self.is_held = false;
    }

    /// Has the peer drop what it holds.
    fn flush(&mut self, now: Duration, was_speaking: bool, counts: &mut Counts) {
        self.play_end = now;
        let interval = match self.clear {
            Clear::Never => limit::CLEAR_INTERVAL,
            Clear::Due(at) | Clear::Sent(at) => now.saturating_sub(at),
        };
        // With nothing playing a `clear` has no effect, so it is not worth one.
        if was_speaking || (!self.marks.is_empty() && interval >= limit::CLEAR_INTERVAL) {
            self.marks.flush();
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
        let is_queued = !self.queue.is_empty() && !self.is_held;
        is_queued || self.play_end > now || self.marks.has_current()
    }

    /// Audio that waits to be sent, in bytes.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// How long what waits and what was sent will be heard from `now` on, in milliseconds.
    #[must_use]
    pub fn left_ms(&self, now: Duration) -> u64 {
        let sent = self.play_end.saturating_sub(now);
        let left = sent.saturating_add(length_of(self.queued_bytes));
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// How much of `sentence` was sent and will be heard, in bytes, whatever comes after.
    #[must_use]
    pub fn spoken_bytes(&self, sentence: u32) -> usize {
        self.spoken.iter().find(|(one, _)| *one == sentence).map_or(0, |(_, bytes)| *bytes)
    }

    /// Takes back a mark.
    pub fn mark_returned(&mut self, name: &str, counts: &mut Counts) -> Returned {
        self.marks.take_back(name, counts)
    }

    /// Gives up marks that are overdue.
    pub(crate) fn expire_marks(&mut self, now: Duration, counts: &mut Counts) {
        self.marks.expire(now, counts);
    }

    /// Whether everything said has just been played: true once per silence.
    pub(crate) fn take_said_all(&mut self, now: Duration) -> bool {
        let said_all = self.has_news && self.is_done(now);
        if said_all {
            self.has_news = false;
        }
        said_all
    }

    /// Nothing is playing, waiting, or yet to come of a sentence.
    fn is_done(&self, now: Duration) -> bool {
        !self.is_speaking(now) && self.queue.is_empty() && self.open.is_none()
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
        if self.is_held {
            return None;
        }
        match self.queue.front() {
            Some(Item::Mark) => {
                self.queue.pop_front();
                self.unplayed.push(Item::Mark, self.play_end);
                Some(Output::Mark(self.marks.send(self.play_end, counts)))
            }
            Some(Item::Audio { .. }) if self.next_send() <= now => self.send_audio(now, counts),
            Some(Item::Audio { .. }) => None,
            None if self.is_hanging_up && self.is_done(now) => {
                self.is_hanging_up = false;
                Some(Output::HangUp(CallEnd::AgentFinished))
            }
            None => None,
        }
    }

    /// When [`Playout::poll`] has something again, if ever.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let marks = self.marks.next_due();
        if !self.queue.is_empty() && !self.is_held {
            return marks.into_iter().chain([self.next_send()]).min();
        }
        // With a mark on its way, it is the mark that says when all has been played.
        let is_waiting = (self.is_hanging_up || self.has_news) && !self.is_held;
        let is_clock = is_waiting && self.open.is_none() && !self.marks.has_current();
        marks.into_iter().chain(is_clock.then_some(self.play_end)).min()
    }

    /// When the next message is due: as soon as a whole one fits into the lead, and one that more may join only
    /// when the caller would hear a gap.
    fn next_send(&self) -> Duration {
        let has_more_to_come = self.open.is_some() && self.queued_bytes < MESSAGE_BYTES;
        let ahead = if has_more_to_come {
            limit::PLAYOUT_URGENT_MS
        } else {
            limit::PLAYOUT_LEAD_MS.saturating_sub(limit::PLAYOUT_MESSAGE_MS)
        };
        self.play_end.saturating_sub(Duration::from_millis(ahead))
    }

    /// One message: as many of the queue's pieces as fit, up to the next mark.
    fn send_audio(&mut self, now: Duration, counts: &mut Counts) -> Option<Output<'_>> {
        self.message.clear();
        self.unplayed.forget_played(now);
        let mut from = self.play_end.max(now);
        while self.message.len() < MESSAGE_BYTES {
            let room = MESSAGE_BYTES.saturating_sub(self.message.len());
            let Some(Item::Audio { clip, sent, sentence }) = self.queue.front_mut() else { break };
            let to = sent.saturating_add(room).min(clip.len());
            let (piece, sentence) = (clip.get(*sent..to).unwrap_or_default(), *sentence);
            let bytes = piece.len();
            self.message.extend_from_slice(piece);
            // Only the last piece of a clip can be no whole frame; it is filled up with silence.
            let padded = self.message.len().next_multiple_of(limit::FRAME_BYTES);
            self.message.resize(padded, SILENCE);
            let kept = Item::Audio { clip: Clip::from(piece), sent: 0, sentence };
            *sent = to;
            if to == clip.len() {
                self.queue.pop_front();
            }
            self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
            self.unplayed.push(kept, from);
            from = from.saturating_add(length_of(bytes.next_multiple_of(limit::FRAME_BYTES)));
            self.count_spoken(sentence, bytes, usize::saturating_add);
        }
        self.play_end = from;
        count_sent(self.message.len(), counts);
        Some(Output::Play(&self.message))
    }

    fn count_spoken(&mut self, sentence: Option<u32>, bytes: usize, op: fn(usize, usize) -> usize) {
        let Some(sentence) = sentence else { return };
        if let Some((_, spoken)) = self.spoken.iter_mut().find(|(one, _)| *one == sentence) {
            *spoken = op(*spoken, bytes);
            return;
        }
        if self.spoken.len() >= limit::SENTENCES_KEPT_MAX {
            self.spoken.pop_front();
        }
        self.spoken.push_back((sentence, op(0, bytes)));
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

    #[test]
    fn a_sentence_in_pieces_is_sent_in_messages_and_ends_with_a_mark() {
        let (mut playout, mut counts) = (Playout::default(), Counts::default());
        playout.speak(1, &[1; 250], &mut counts);
        // The caller hears nothing yet, so what is there leaves at once.
        assert_eq!(drain(&mut playout, ms(0), &mut counts), ["Play(160 bytes)"]);
        playout.speak(1, &[1; 300], &mut counts);
        // Something is playing: a small message waits for company until it must leave.
        playout.play_end = ms(200);
        assert_eq!(playout.wake_at(), Some(ms(200 - limit::PLAYOUT_URGENT_MS)));
        assert!(drain(&mut playout, ms(100), &mut counts).is_empty());
        playout.speak(1, &[1; 300], &mut counts);
        assert_eq!(drain(&mut playout, ms(100), &mut counts), ["Play(640 bytes)"]);
        playout.end_sentence(1, &mut counts);
        assert_eq!(drain(&mut playout, ms(160), &mut counts), ["Play(160 bytes)", "Mark(g0-1)"]);
        assert_eq!(playout.spoken_bytes(1), 960);
        assert!(!playout.take_said_all(ms(400)), "the mark is on its way");
        playout.mark_returned("g0-1", &mut counts);
        assert!(playout.take_said_all(ms(400)));
    }

    #[test]
    fn a_pause_takes_back_exactly_what_was_not_played() {
        let (mut playout, mut counts) = (Playout::default(), Counts::default());
        let audio: Vec<u8> = (0..20).flat_map(|frame| [frame; 160]).collect();
        playout.speak(1, &audio, &mut counts);
        playout.end_sentence(1, &mut counts);
        drain(&mut playout, ms(0), &mut counts);
        assert_eq!(playout.spoken_bytes(1), 1_920);
        // At 70 ms the fourth frame is being played; whole frames are taken back.
        playout.pause(ms(70), &mut counts);
        assert_eq!(playout.spoken_bytes(1), 4 * 160);
        assert_eq!(drain(&mut playout, ms(70), &mut counts), ["Clear"]);
        assert!(!playout.is_speaking(ms(70)) && !playout.take_said_all(ms(70)));
        assert_eq!(playout.wake_at(), None);
        playout.release();
        let mut heard = audio[..640].to_vec();
        for at in [500, 600, 700, 800] {
            while let Some(output) = playout.poll(ms(at), &mut counts) {
                if let Output::Play(audio) = output {
                    heard.extend_from_slice(audio);
                }
            }
        }
        assert!(heard == audio, "{} of {}", heard.len(), audio.len());
        assert_eq!(playout.spoken_bytes(1), audio.len());
        // The mark of the sentence is sent for what was said again.
        assert_eq!(playout.mark_returned("g1-1", &mut counts), Returned::Played);
    }

    #[test]
    fn a_mark_that_was_flushed_is_sent_again_with_what_was_before_it() {
        let (mut playout, mut counts) = (Playout::default(), Counts::default());
        playout.speak(1, &[1; 640], &mut counts);
        playout.end_sentence(1, &mut counts);
        assert_eq!(drain(&mut playout, ms(0), &mut counts), ["Play(640 bytes)", "Mark(g0-1)"]);
        playout.pause(ms(30), &mut counts);
        assert_eq!(playout.mark_returned("g0-1", &mut counts), Returned::Flushed);
        playout.release();
        let again = ["Clear", "Play(320 bytes)", "Mark(g1-2)"];
        assert_eq!(drain(&mut playout, ms(90), &mut counts), again);
    }
}
