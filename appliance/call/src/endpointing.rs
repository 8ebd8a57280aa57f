//! When the caller speaks: by the energy of µ-law, and for a conversation by a small network behind it.
//!
//! Blocks of 20 ms are speech when they are well above the noise of the line, which is learnt from
//! the quietest block of each second or so. With a detector, a loud block must also sound like a voice. This
//! decides turns, never content.

use ward_policy::limit;

use crate::detector::Detector;
use crate::linear::SQUARES;

/// Quieter than this is never speech: a root mean square of 150 of 32,767, about -47 dBFS.
const SPEECH_FLOOR: u64 = 150 * 150 / 64;
/// Speech is this many times the energy of the line's noise: about 9 dB.
const SPEECH_OVER_NOISE: u64 = 8;
/// The noise is never taken to be louder than this: a root mean square of 800, about -32 dBFS.
const NOISE_MAX: u64 = 800 * 800 / 64;

/// A change of the caller's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The caller has spoken for [`limit::SPEECH_ONSET_MS`].
    Began,
    /// The caller has been silent for [`limit::SPEECH_PAUSE_MS`].
    Paused,
    /// The caller has been silent for [`limit::SPEECH_END_MS`].
    Ended,
}

/// The state of one caller's voice.
#[derive(Debug)]
pub struct Endpointing {
    detector: Option<Box<Detector>>,
    sum: u64,
    samples: u64,
    noise: u64,
    /// Consecutive blocks that contradict the present state.
    contrary: u64,
    is_speaking: bool,
    /// The quietest block of the window in hand, and how many blocks that window has.
    quietest: u64,
    window: u64,
    /// Blocks since the caller began to speak.
    spoken: u64,
    /// Blocks of speech since the last pause, and blocks without since the last speech.
    loud: u64,
    quiet: u64,
}

impl Default for Endpointing {
    fn default() -> Self {
        Self {
            detector: None,
            sum: 0,
            samples: 0,
            noise: SPEECH_FLOOR / SPEECH_OVER_NOISE,
            contrary: 0,
            is_speaking: false,
            quietest: u64::MAX,
            window: 0,
            spoken: 0,
            loud: 0,
            quiet: 0,
        }
    }
}

const BLOCK_SAMPLES: u64 = limit::FRAME_MS * 8;
/// Speech pauses at least once in this many blocks (1.2 s), so the quietest of them is the line.
const WINDOW_BLOCKS: u64 = 60;
const UTTERANCE_BLOCKS_MAX: u64 = limit::UTTERANCE_MS_MAX / limit::FRAME_MS;
const ONSET_BLOCKS: u64 = limit::SPEECH_ONSET_MS / limit::FRAME_MS;
const PAUSE_BLOCKS: u64 = limit::SPEECH_PAUSE_MS / limit::FRAME_MS;
const END_BLOCKS: u64 = limit::SPEECH_END_MS / limit::FRAME_MS;

impl Endpointing {
    /// With a detector behind the energy gate.
    #[must_use]
    pub fn with_detector() -> Self {
        Self { detector: Some(Box::default()), ..Self::default() }
    }

    /// Hears `audio` and reports each change in it through `report`.
    pub fn hear(&mut self, audio: &[u8], mut report: impl FnMut(Turn)) {
        let mut rest = audio;
        while !rest.is_empty() {
            let missing = BLOCK_SAMPLES.saturating_sub(self.samples);
            let missing = usize::try_from(missing).unwrap_or(usize::MAX);
            let (piece, later) = rest.split_at(missing.min(rest.len()));
            rest = later;
            if let Some(detector) = &mut self.detector {
                detector.push(piece);
            }
            let square = |byte: &u8| SQUARES.get(usize::from(*byte)).copied().unwrap_or(0);
            let sum: u64 = piece.iter().map(|byte| u64::from(square(byte))).sum();
            self.sum = self.sum.saturating_add(sum);
            let samples = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.samples = self.samples.saturating_add(samples);
            if self.samples >= BLOCK_SAMPLES {
                let energy = self.sum / BLOCK_SAMPLES;
                (self.sum, self.samples) = (0, 0);
                if let Some(turn) = self.block(energy) {
                    report(turn);
                }
            }
        }
    }

    /// Hears `samples` samples of silence.
    pub fn hear_silence(&mut self, samples: usize, mut report: impl FnMut(Turn)) {
        for _ in 0..samples.div_ceil(limit::FRAME_BYTES) {
            if let Some(turn) = self.block(0) {
                report(turn);
            }
        }
    }

    /// How long the caller has been speaking without a pause, in milliseconds; 0 while they are silent.
    #[must_use]
    pub const fn speech_ms(&self) -> u64 {
        self.loud.saturating_mul(limit::FRAME_MS)
    }

    /// How long the caller has been silent, in milliseconds; 0 while they speak.
    #[must_use]
    pub const fn silence_ms(&self) -> u64 {
        self.quiet.saturating_mul(limit::FRAME_MS)
    }

    /// Whether the caller is speaking.
    #[must_use]
    pub const fn is_speaking(&self) -> bool {
        self.is_speaking
    }

    /// The noise of the line is the quietest block of a window that holds at least one pause. What is
    /// missing (no energy at all) says nothing about the line.
    fn learn(&mut self, energy: u64) {
        if energy == 0 {
            return;
        }
        self.quietest = self.quietest.min(energy);
        self.window = self.window.saturating_add(1);
        if self.quietest < self.noise {
            self.noise = self.quietest.max(1);
        }
        if self.window >= WINDOW_BLOCKS {
            self.noise = self.quietest.clamp(1, NOISE_MAX);
            (self.quietest, self.window) = (u64::MAX, 0);
        }
    }

    fn block(&mut self, energy: u64) -> Option<Turn> {
        self.learn(energy);
        let threshold = self.noise.saturating_mul(SPEECH_OVER_NOISE).max(SPEECH_FLOOR);
        let is_loud = energy > threshold;
        self.spoken = if self.is_speaking { self.spoken.saturating_add(1) } else { 0 };
        let is_voice = match &mut self.detector {
            Some(detector) => detector.judge(is_loud),
            None => is_loud,
        };
        let is_speech = is_voice && self.spoken < UTTERANCE_BLOCKS_MAX;
        if is_speech {
            // A gap shorter than a pause is part of the word.
            self.loud = self.loud.saturating_add(1);
            self.quiet = 0;
        } else {
            self.quiet = self.quiet.saturating_add(1);
            let is_gap = self.quiet < PAUSE_BLOCKS && self.is_speaking;
            self.loud = if is_gap { self.loud } else { 0 };
        }
        if is_speech == self.is_speaking {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        if self.is_speaking && self.contrary == PAUSE_BLOCKS {
            return Some(Turn::Paused);
        }
        let needed = if self.is_speaking { END_BLOCKS } else { ONSET_BLOCKS };
        if self.contrary < needed {
            return None;
        }
        self.contrary = 0;
        self.is_speaking = is_speech;
        Some(if is_speech { Turn::Began } else { Turn::Ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loud, soft, and silent µ-law: magnitudes about 8,000, 60 and 0.
    const LOUD: u8 = 0xA0;
    const SOFT: u8 = 0xF8;
    const SILENT: u8 = 0xFF;

    /// The turns in it, by the number of their frame; without the pauses.
    fn turns(parts: &[(u8, usize)]) -> Vec<(usize, Turn)> {
        let all = changes(parts).into_iter();
        all.filter(|(_, turn)| *turn != Turn::Paused).collect()
    }

    fn changes(parts: &[(u8, usize)]) -> Vec<(usize, Turn)> {
        let mut endpointing = Endpointing::default();
        let mut found = Vec::new();
        let frames = parts.iter().flat_map(|(byte, count)| std::iter::repeat_n(*byte, *count));
        for (number, byte) in frames.enumerate() {
            endpointing.hear(&[byte; 160], |turn| found.push((number, turn)));
        }
        found
    }

    #[test]
    fn speech_begins_after_its_onset_and_ends_after_silence() {
        let found = turns(&[(SILENT, 10), (LOUD, 20), (SILENT, 40)]);
        assert_eq!(found, [(12, Turn::Began), (59, Turn::Ended)]);
    }

    #[test]
    fn a_pause_is_told_once_and_a_shorter_one_not_at_all() {
        let found = changes(&[(LOUD, 10), (SILENT, 5), (LOUD, 10), (SILENT, 20), (LOUD, 5)]);
        assert_eq!(found, [(2, Turn::Began), (30, Turn::Paused)]);
    }

    #[test]
    fn speech_and_silence_are_measured_without_short_gaps() {
        let mut ears = Endpointing::default();
        let mut hear = |byte: u8, frames: usize| {
            ears.hear(&vec![byte; frames.saturating_mul(160)], |_| ());
            (ears.speech_ms(), ears.silence_ms())
        };
        assert_eq!(hear(SILENT, 5), (0, 100));
        assert_eq!(hear(LOUD, 10), (200, 0));
        assert_eq!(hear(SILENT, 3), (200, 60));
        assert_eq!(hear(LOUD, 5), (300, 0));
        assert_eq!(hear(SILENT, 6), (0, 120));
    }

    #[test]
    fn clicks_and_short_pauses_change_nothing() {
        assert_eq!(turns(&[(SILENT, 5), (LOUD, 2), (SILENT, 50)]), []);
        let found = turns(&[(LOUD, 10), (SILENT, 29), (LOUD, 10)]);
        assert_eq!(found, [(2, Turn::Began)]);
    }

    #[test]
    fn the_noise_of_a_line_is_not_speech() {
        assert_eq!(turns(&[(SOFT, 500)]), []);
    }

    #[test]
    fn a_line_that_is_noisy_from_the_first_frame_is_learnt_and_the_caller_still_heard() {
        // Magnitude about 330: far above the floor, below the loudest noise there is.
        const NOISY: u8 = 0xE0;
        let found = turns(&[(NOISY, 200), (LOUD, 20), (NOISY, 40)]);
        let last = found.len() - 2;
        assert_eq!(found[last..], [(202, Turn::Began), (249, Turn::Ended)], "{found:?}");
        assert!(found[..last].iter().all(|(frame, _)| *frame < 120), "{found:?}");
    }

    #[test]
    fn a_hole_in_a_noisy_call_does_not_make_its_noise_speech() {
        const NOISY: u8 = 0xE0;
        let found = turns(&[(NOISY, 200), (SILENT, 200), (NOISY, 200)]);
        assert!(found.iter().all(|(frame, _)| *frame < 120), "{found:?}");
    }

    #[test]
    fn an_utterance_ends_even_if_the_line_never_falls_silent() {
        let found = turns(&[(SOFT, 10), (LOUD, 2_000)]);
        assert!(found.iter().any(|(_, turn)| *turn == Turn::Ended), "{found:?}");
    }

    #[test]
    fn any_division_into_messages_gives_the_same_turns() {
        let mut endpointing = Endpointing::default();
        let mut found = Vec::new();
        let audio = [vec![LOUD; 160 * 10], vec![SILENT; 160 * 40]].concat();
        for piece in audio.chunks(7) {
            endpointing.hear(piece, |turn| found.push(turn));
        }
        assert_eq!(found, [Turn::Began, Turn::Paused, Turn::Ended]);
    }
}
