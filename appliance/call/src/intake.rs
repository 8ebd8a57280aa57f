//! What arrives, put in order: sequence numbers, holes in the audio, and audio faster than speech.
//!
//! Sequence numbers are counted and compared, never used as an index. Timestamps say where silence is
//! missing; a broken clock is set again rather than believed.

use std::time::Duration;

use ward_policy::count::{Count, Counts};
use ward_policy::limit;

/// Samples in one millisecond, for timestamps.
const SAMPLES_PER_MS: u64 = limit::BYTES_PER_MS as u64;

/// What to do with audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Hear it, after this many samples of silence.
    Hear {
        /// Samples missing before it, already cut to the maximum.
        silence: usize,
    },
    /// Drop it; it is counted.
    Drop,
    /// It is no call that sends this much: end it.
    Flood,
}

/// The state of one stream's input.
#[derive(Debug)]
pub struct Intake {
    last_sequence: Option<u64>,
    /// Where the next sample should be, in samples since the stream began.
    expected: Option<u64>,
    /// Audio that may come at once, in microseconds.
    allowance_us: u64,
    refilled_at: Duration,
    /// Audio dropped for its rate since the allowance was last full, in milliseconds.
    dropped_ms: u64,
}

const ALLOWANCE_US_MAX: u64 = limit::AUDIO_BURST_MS_MAX * 1_000;

impl Intake {
    /// A stream that begins at `now`.
    #[must_use]
    pub const fn new(now: Duration) -> Self {
        Self {
            last_sequence: None,
            expected: None,
            allowance_us: ALLOWANCE_US_MAX,
            refilled_at: now,
            dropped_ms: 0,
        }
    }

    /// Judges a message's sequence number: `false` when the message repeats or goes back.
    pub fn in_sequence(&mut self, sequence: Option<u64>, counts: &mut Counts) -> bool {
        let Some(sequence) = sequence else {
            return true;
        };
        if let Some(last) = self.last_sequence {
            if sequence <= last {
                counts.one(Count::SequenceRepeat);
                return false;
            }
            if sequence > last.saturating_add(1) {
                counts.one(Count::SequenceGap);
            }
            // One wild number must not make every later message look old.
            if sequence > last.saturating_add(limit::SEQUENCE_JUMP_MAX) {
                return true;
            }
        }
        self.last_sequence = Some(sequence);
        true
    }

    /// Judges audio of `samples` samples.
    pub fn judge(
        &mut self,
        now: Duration,
        timestamp_ms: Option<u64>,
        samples: usize,
        counts: &mut Counts,
    ) -> Verdict {
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        if !self.is_within_rate(now, samples) {
            let ms = samples.div_ceil(SAMPLES_PER_MS);
            counts.add_ms(Count::OverRateMs, ms);
            self.dropped_ms = self.dropped_ms.saturating_add(ms);
            let flood = self.dropped_ms > limit::AUDIO_FLOOD_MS_MAX;
            return if flood { Verdict::Flood } else { Verdict::Drop };
        }
        let silence = self.missing(timestamp_ms, samples, counts);
        counts.one(Count::FramesIn);
        counts.add_ms(Count::AudioInMs, samples / SAMPLES_PER_MS);
        Verdict::Hear { silence: usize::try_from(silence).unwrap_or(0) }
    }

    /// Silence to put before audio at `timestamp_ms`, in samples.
    fn missing(&mut self, timestamp_ms: Option<u64>, samples: u64, counts: &mut Counts) -> u64 {
        let at = match (timestamp_ms, self.expected) {
            (Some(ms), _) => ms.saturating_mul(SAMPLES_PER_MS),
            (None, Some(expected)) => expected,
            (None, None) => 0,
        };
        let expected = self.expected.replace(at.saturating_add(samples)).unwrap_or(at);
        let tolerance = limit::FRAME_MS.saturating_mul(SAMPLES_PER_MS);
        let hole = at.saturating_sub(expected);
        let back = expected.saturating_sub(at);
        if hole > limit::GAP_MS_MAX.saturating_mul(SAMPLES_PER_MS) || back >= tolerance {
            counts.one(Count::ClockReset);
            return 0;
        }
        if hole < tolerance {
            return 0;
        }
        let filled = hole.min(limit::GAP_FILL_MS_MAX.saturating_mul(SAMPLES_PER_MS));
        counts.one(Count::Gap);
        counts.add_ms(Count::GapFilledMs, filled / SAMPLES_PER_MS);
        filled
    }

    /// A token bucket on audio time: a burst, then a little more than real time.
    fn is_within_rate(&mut self, now: Duration, samples: u64) -> bool {
        let elapsed = now.saturating_sub(self.refilled_at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let refill = elapsed_us.saturating_mul(limit::AUDIO_RATE_PERCENT_MAX) / 100;
        self.refilled_at = now;
        self.allowance_us = self.allowance_us.saturating_add(refill).min(ALLOWANCE_US_MAX);
        if self.allowance_us == ALLOWANCE_US_MAX {
            self.dropped_ms = 0;
        }
        let cost = samples.saturating_mul(1_000) / SAMPLES_PER_MS;
        match self.allowance_us.checked_sub(cost) {
            Some(left) => {
                self.allowance_us = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stamps: &[u64], silences: &[usize]) -> Counts {
        let mut intake = Intake::new(Duration::ZERO);
        let mut counts = Counts::default();
        for (stamp, silence) in stamps.iter().zip(silences) {
            let verdict = intake.judge(Duration::ZERO, Some(*stamp), 160, &mut counts);
            assert_eq!(verdict, Verdict::Hear { silence: *silence }, "at {stamp}");
        }
        counts
    }

    #[test]
    fn holes_are_filled_up_to_their_maximum() {
        let counts = check(&[5, 25, 65, 85, 4_085], &[0, 0, 160, 0, 4_000]);
        assert_eq!((counts.of(Count::Gap), counts.of(Count::GapFilledMs)), (2, 520));
    }

    #[test]
    fn a_clock_that_jumps_is_set_again() {
        let counts = check(&[1_000, 0, 20, 1_000_000_000_000_000, u64::MAX], &[0, 0, 0, 0, 0]);
        assert_eq!((counts.of(Count::Gap), counts.of(Count::ClockReset)), (0, 3));
    }

    #[test]
    fn one_wild_sequence_number_makes_no_later_message_old() {
        let mut intake = Intake::new(Duration::ZERO);
        let mut counts = Counts::default();
        for sequence in [2, 3, u64::MAX, 4, 5, 1_000_000, 6] {
            assert!(intake.in_sequence(Some(sequence), &mut counts), "{sequence}");
        }
        assert!(!intake.in_sequence(Some(6), &mut counts));
        assert_eq!((counts.of(Count::SequenceGap), counts.of(Count::SequenceRepeat)), (2, 1));
    }

    #[test]
    fn audio_without_timestamps_is_taken_as_it_comes() {
        let mut intake = Intake::new(Duration::ZERO);
        let mut counts = Counts::default();
        for _ in 0..3 {
            let verdict = intake.judge(Duration::ZERO, None, 160, &mut counts);
            assert_eq!(verdict, Verdict::Hear { silence: 0 });
        }
    }
}
