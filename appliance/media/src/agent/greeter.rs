//! The embedded default: a greeting, an answer whenever the caller stops speaking, a tone for each key.
//!
//! Star says goodbye and hangs up. The prompts are synthetic speech made by `tests/corpus/make`; the
//! tones are those of ITU-T Q.23. It understands nothing and keeps nothing.

use std::f64::consts::TAU;
use std::sync::Arc;

use ward_call::agent::Clip;
use ward_call::{Agent, Digit, Heard, Voice};
use ward_policy::limit;
use ward_twilio::mulaw;

/// Everything the greeter can say, as µ-law.
#[derive(Debug)]
pub struct GreeterAudio {
    greeting: Clip,
    answer: Clip,
    goodbye: Clip,
    tones: [Clip; 16],
}

/// Q.23: the low group by row, the high group by column, in hertz.
const ROWS_HZ: [u32; 4] = [697, 770, 852, 941];
const COLUMNS_HZ: [u32; 4] = [1_209, 1_336, 1_477, 1_633];
/// Length of a tone, in samples: 200 ms, well over the 65 ms that receivers need.
const TONE_SAMPLES: u32 = 1_600;
/// Peak of each of the two sines, of 32,767: about -13 dBm0 each.
const TONE_PEAK: f64 = 5_000.0;

impl GreeterAudio {
    /// Decodes nothing: the prompts are µ-law already. Computes the sixteen tones.
    #[must_use]
    pub fn prepare() -> Self {
        let clip = |bytes: &'static [u8]| Clip::from(bytes);
        Self {
            greeting: clip(include_bytes!("prompts/greeting.ulaw")),
            answer: clip(include_bytes!("prompts/answer.ulaw")),
            goodbye: clip(include_bytes!("prompts/goodbye.ulaw")),
            tones: std::array::from_fn(tone),
        }
    }
}

/// The tone of the key at `place` on the pad, row by row.
fn tone(place: usize) -> Clip {
    let row = ROWS_HZ.get(place / 4).copied().unwrap_or_default();
    let column = COLUMNS_HZ.get(place % 4).copied().unwrap_or_default();
    (0..TONE_SAMPLES).map(|index| mulaw::encode(tone_sample(row, column, index))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "two sines of 5,000 stay far inside an i16"
)]
fn tone_sample(row_hz: u32, column_hz: u32, index: u32) -> i16 {
    let time = f64::from(index) / limit::SAMPLE_RATE_HZ as f64;
    let sine = |hz: u32| (TAU * f64::from(hz) * time).sin() * TONE_PEAK;
    (sine(row_hz) + sine(column_hz)) as i16
}

/// One greeter, for one call.
#[derive(Debug)]
pub struct Greeter {
    audio: Arc<GreeterAudio>,
    is_leaving: bool,
}

impl Greeter {
    /// A greeter that speaks with `audio`.
    #[must_use]
    pub const fn new(audio: Arc<GreeterAudio>) -> Self {
        Self { audio, is_leaving: false }
    }

    fn leave(&mut self, voice: &mut Voice<'_>) {
        self.is_leaving = true;
        voice.say(&self.audio.goodbye);
        voice.hang_up();
    }
}

impl Agent for Greeter {
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>) {
        if self.is_leaving {
            return;
        }
        match heard {
            Heard::Started => voice.say(&self.audio.greeting),
            Heard::SpeechEnded => voice.say(&self.audio.answer),
            Heard::Pressed(digit) if digit.key() == b'*' => self.leave(voice),
            Heard::Pressed(digit) => {
                if let Some(tone) = self.audio.tones.get(Digit::place(digit)) {
                    voice.say(tone);
                }
            }
            Heard::TimeUp => self.leave(voice),
            Heard::Audio(_)
            | Heard::SpeechBegan
            | Heard::SpeechPaused
            | Heard::SaidAll
            | Heard::Reported(_)
            | Heard::Time => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goertzel: the power of one frequency in a tone.
    fn power(clip: &Clip, hz: u32) -> f64 {
        let coefficient = 2.0 * (TAU * f64::from(hz) / 8_000.0).cos();
        let (mut one, mut two) = (0.0, 0.0);
        for byte in clip.iter() {
            let next = f64::from(mulaw::decode(*byte)) + coefficient * one - two;
            (two, one) = (one, next);
        }
        one * one + two * two - coefficient * one * two
    }

    #[test]
    fn each_key_has_its_two_frequencies_and_no_others() {
        let audio = GreeterAudio::prepare();
        for (place, clip) in audio.tones.iter().enumerate() {
            let (row, column) = (ROWS_HZ[place / 4], COLUMNS_HZ[place % 4]);
            let least = power(clip, row).min(power(clip, column));
            for other in ROWS_HZ.iter().chain(&COLUMNS_HZ) {
                let is_own = *other == row || *other == column;
                assert_eq!(power(clip, *other) * 20.0 > least, is_own, "{place} at {other} Hz");
            }
        }
    }

    #[test]
    fn the_prompts_are_whole_and_audible() {
        let audio = GreeterAudio::prepare();
        for clip in [&audio.greeting, &audio.answer, &audio.goodbye] {
            assert!(clip.len() > limit::SAMPLE_RATE_HZ);
            let loudest = clip.iter().map(|byte| mulaw::decode(*byte).unsigned_abs()).max();
            assert!(loudest > Some(8_000));
        }
    }
}
