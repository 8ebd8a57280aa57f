//! Where the time of a turn went: from the end of the caller's speech to the first sound of ours.
//!
//! Numbers only. Waiting for a vendor and waiting of our own are told apart; what happens on the way to the caller's
//! ear is not seen from here.

use std::time::Duration;

use ward_policy::ledger::Ledger;

/// When things happened in the turn in hand.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Times {
    /// The caller fell silent.
    pub(super) silent_at: Duration,
    /// The last words of the turn came.
    pub(super) words_at: Duration,
    /// The turn was taken.
    pub(super) taken_at: Option<Duration>,
    /// The model was asked what was then answered.
    pub(super) asked_at: Duration,
    /// Its first piece came.
    pub(super) piece_at: Option<Duration>,
    /// The voice was asked for the first sentence.
    pub(super) said_at: Option<Duration>,
    /// Its first audio came.
    pub(super) audio_at: Option<Duration>,
    /// A reply was begun before the turn was taken, and used.
    pub(super) is_guessed: bool,
    /// A filler was played.
    pub(super) has_filler: bool,
}

impl Times {
    /// The account of a turn whose reply is first heard at `now`.
    pub(super) fn account(&self, now: Duration) -> Ledger {
        let ms = |from: Duration, to: Duration| {
            u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX)
        };
        let said_at = self.said_at.unwrap_or(now);
        Ledger {
            endpoint_ms: ms(self.silent_at, self.taken_at.unwrap_or(now)),
            asr_ms: ms(self.silent_at, self.words_at),
            llm_ms: ms(self.asked_at, self.piece_at.unwrap_or(now)),
            tts_ms: ms(said_at, self.audio_at.unwrap_or(now)),
            total_ms: ms(self.silent_at, now),
            is_guessed: self.is_guessed,
            has_filler: self.has_filler,
        }
    }
}
