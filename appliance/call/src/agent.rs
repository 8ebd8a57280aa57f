//! Who talks to the caller: the one interface that every agent has.
//!
//! An agent is told what was heard and answers through [`Voice`]. It never sees messages, sockets or
//! the clock, and it cannot break the pacing: the play-out does that.

use std::sync::Arc;
use std::time::Duration;

use ward_policy::count::Counts;

use crate::input::Digit;
use crate::playout::Playout;

/// Something an agent is told.
pub enum Heard<'a> {
    /// The call has begun.
    Started,
    /// Audio of the caller, as it came.
    Audio(&'a [u8]),
    /// The caller has begun to speak.
    SpeechBegan,
    /// The caller has stopped speaking.
    SpeechEnded,
    /// A key was pressed.
    Pressed(Digit),
    /// Everything said so far has been played, or will never be.
    SaidAll,
    /// The call has lasted as long as a call may.
    TimeUp,
}

impl std::fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "Started",
            Self::Audio(_) => "Audio(…)",
            Self::SpeechBegan => "SpeechBegan",
            Self::SpeechEnded => "SpeechEnded",
            Self::Pressed(_) => "Pressed(…)",
            Self::SaidAll => "SaidAll",
            Self::TimeUp => "TimeUp",
        })
    }
}

/// One side of a conversation.
pub trait Agent: Send {
    /// Reacts to what was heard.
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>);

    /// Whether the caller's audio is kept for a recogniser, to be taken with
    /// [`Call::take_audio`](crate::Call::take_audio).
    fn has_recogniser(&self) -> bool {
        false
    }
}

/// Prepared audio: shared by every call that plays it.
pub type Clip = Arc<[u8]>;

/// How an agent talks.
#[derive(Debug)]
pub struct Voice<'a> {
    pub(crate) now: Duration,
    pub(crate) playout: &'a mut Playout,
    pub(crate) counts: &'a mut Counts,
}

impl Voice<'_> {
    /// Queues `clip` behind everything said so far.
    pub fn say(&mut self, clip: &Clip) {
        self.playout.say(clip, self.counts);
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
            | Heard::SpeechEnded
            | Heard::Pressed(_)
            | Heard::SaidAll => {}
        }
    }
}
