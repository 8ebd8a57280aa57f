//! What a caller says, frame by frame. It sends nothing.

use std::time::Duration;

use ward_policy::limit::FRAME_BYTES;
use ward_twilio::mulaw;

use super::stream::{ANSWER_WAIT, SPEECH_PEAK, Script};

/// The caller's frames: silence, the speech, silence.
pub(super) struct Frames {
    speak_after: Duration,
    speech: Vec<u8>,
    position: usize,
    over_at: Option<Duration>,
}

impl Frames {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            speak_after: script.speak_after,
            speech: script.speech.clone(),
            position: 0,
            over_at: None,
        }
    }

    /// Speaks this from the next frame on.
    pub(super) fn say(&mut self, speech: Vec<u8>) {
        (self.speech, self.position, self.over_at) = (speech, 0, None);
    }

    pub(super) const fn is_speaking(&self) -> bool {
        self.position < self.speech.len()
    }

    /// The frame for `now`, and whether anything can be heard in it.
    pub(super) fn next(&mut self, now: Duration) -> ([u8; FRAME_BYTES], bool) {
        let mut frame = [0xFF; FRAME_BYTES];
        if now < self.speak_after {
            return (frame, false);
        }
        let rest = self.speech.get(self.position..).unwrap_or_default();
        for (slot, byte) in frame.iter_mut().zip(rest) {
            *slot = *byte;
        }
        self.position = self.position.saturating_add(FRAME_BYTES);
        if self.position >= self.speech.len() && self.over_at.is_none() {
            self.over_at = Some(now);
        }
        (frame, frame.iter().any(|byte| mulaw::decode(*byte).unsigned_abs() >= SPEECH_PEAK))
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.over_at.is_some_and(|at| now >= at.saturating_add(ANSWER_WAIT))
    }
}
