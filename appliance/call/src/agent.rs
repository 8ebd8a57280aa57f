//! Who talks to the caller: the one interface that every agent has.
//!
//! An agent is told what was heard and answers through [`Voice`]. It never sees messages, sockets or
//! the clock, and it cannot break the pacing: the play-out does that.

use std::sync::Arc;
use std::time::Duration;

use ward_policy::count::Counts;
use ward_policy::ledger::Ledger;

use crate::input::Digit;
use crate::playout::Playout;
use crate::service::{Report, Request};

/// Something an agent is told.
pub enum Heard<'a> {
    /// The call has begun.
    Started,
    /// Audio of the caller, as it came.
    Audio(&'a [u8]),
    /// The caller has begun to speak.
    SpeechBegan,
    /// The caller may have finished: a hint.
    SpeechPaused,
    /// The caller has stopped speaking.
    SpeechEnded,
    /// A key was pressed.
    Pressed(Digit),
    /// Everything said so far has been played, or will never be.
    SaidAll,
    /// A service has said something.
    Reported(Report),
    /// Time has passed, or a frame has been heard.
    Time,
    /// The call has lasted as long as a call may.
    TimeUp,
}

impl std::fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "Started",
            Self::Audio(_) => "Audio(…)",
            Self::SpeechBegan => "SpeechBegan",
            Self::SpeechPaused => "SpeechPaused",
            Self::SpeechEnded => "SpeechEnded",
            Self::Pressed(_) => "Pressed(…)",
            Self::SaidAll => "SaidAll",
            Self::Reported(_) => "Reported(…)",
            Self::Time => "Time",
            Self::TimeUp => "TimeUp",
        })
    }
}

/// One side of a conversation.
pub trait Agent: Send {
    /// Reacts to what was heard.
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>);

    /// Whether it holds a conversation: it has services, takes its own turns, and is told the time.
    fn is_conversation(&self) -> bool {
        false
    }

    /// The next thing to ask a service.
    fn next_request(&mut self) -> Option<Request> {
        None
    }

    /// When it must be told the time, if nothing else happens.
    fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// The account of a turn, once for each.
    fn take_ledger(&mut self) -> Option<Ledger> {
        None
    }
}

/// What is known of the caller's voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caller {
    /// How long they have been speaking without a pause, in milliseconds.
    pub speech_ms: u64,
    /// How long they have been silent, in milliseconds.
    pub silence_ms: u64,
}

/// Prepared audio: shared by every call that plays it.
pub type Clip = Arc<[u8]>;

/// How an agent talks.
#[derive(Debug)]
pub struct Voice<'a> {
    pub(crate) now: Duration,
    pub(crate) caller: Caller,
    pub(crate) playout: &'a mut Playout,
    pub(crate) counts: &'a mut Counts,
}

impl Voice<'_> {
    /// Queues `clip` behind everything said so far.
    pub fn say(&mut self, clip: &Clip) {
        self.playout.say(clip, self.counts);
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// What is known of the caller's voice.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
    }

    /// The same counters as the call's.
    pub const fn counts(&mut self) -> &mut Counts {
        self.counts
    }

    /// Queues the next audio of a sentence behind everything said so far.
    pub fn speak(&mut self, sentence: u32, audio: &[u8]) {
        self.playout.speak(sentence, audio, self.counts);
    }

    /// Nothing more comes of a sentence.
    pub fn end_sentence(&mut self, sentence: u32) {
        self.playout.end_sentence(sentence, self.counts);
    }

    /// Nothing more comes of the sentence that is being spoken, wherever it stops.
    pub fn cut_sentence(&mut self) {
        self.playout.cut_sentence();
    }

    /// How much of a sentence was sent and will be heard, in bytes.
    #[must_use]
    pub fn spoken_bytes(&self, sentence: u32) -> usize {
        self.playout.spoken_bytes(sentence)
    }

    /// How long what waits and what was sent will be heard, in milliseconds.
    #[must_use]
    pub fn left_ms(&self) -> u64 {
        self.playout.left_ms(self.now)
    }

    /// Keeps everything that is queued from leaving.
    pub const fn hold(&mut self) {
        self.playout.hold();
    }

    /// Lets it leave.
    pub const fn release(&mut self) {
        self.playout.release();
    }

    /// Falls silent at once and keeps what was not played.
    pub fn pause(&mut self) {
        self.playout.pause(self.now, self.counts);
    }

    /// Sends `audio` at once and unpaced, whole frames of it; the rest waits for more.
    pub fn pass(&mut self, audio: &[u8]) {
        self.playout.pass(audio, self.counts);
    }

    /// Whether the caller can still hear something of ours.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        self.playout.is_speaking(self.now)
    }

    /// Falls silent at once: drops what is queued and has the peer drop what it holds.
    pub fn stop(&mut self) {
        self.playout.stop(self.now, self.counts);
    }

    /// Hangs up once everything said has been played.
    pub const fn hang_up(&mut self) {
        self.playout.hang_up();
    }
}

/// Sends every frame back at once: for measuring, and for hearing one's own line.
#[derive(Debug, Default)]
pub struct Echo;

impl Agent for Echo {
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>) {
        match heard {
            Heard::Audio(audio) => voice.pass(audio),
            Heard::TimeUp => voice.hang_up(),
            Heard::Started
            | Heard::SpeechBegan
            | Heard::SpeechPaused
            | Heard::SpeechEnded
            | Heard::Pressed(_)
            | Heard::SaidAll
            | Heard::Reported(_)
            | Heard::Time => {}
        }
    }
}
