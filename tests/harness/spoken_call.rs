//! One spoken call as packets and recording, and what must be true of it.
//!
//! The greeting, the answer and the tone are found in the recording by correlation and by frequency, so
//! a test knows what the caller heard, not only that bytes came.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ward_twilio::mulaw;

use crate::binaries::root;

/// What `ward demo` or `ward call` left behind.
#[derive(Debug, Clone)]
pub struct SpokenCall {
    /// The figures it printed.
    pub figures: Value,
    /// Every message: microseconds since the stream began, whether the caller sent it, and the message.
    pub packets: Vec<(u64, bool, Value)>,
    /// What the caller heard: samples at 8 kHz.
    pub recording: Vec<f64>,
}

impl SpokenCall {
    /// Reads what the tool printed and wrote.
    #[must_use]
    pub fn read(figures: &str, packets: &Path, recording: &Path) -> Self {
        let lines = std::fs::read_to_string(packets).unwrap();
        let packets = lines
            .lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let message = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
                (line["t_us"].as_u64().unwrap(), line["direction"] == "sent", message)
            })
            .collect();
        let wav = std::fs::read(recording).unwrap();
        let samples =
            wav[44..].chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
        let recording = samples.collect();
        Self { figures: serde_json::from_str(figures).unwrap(), packets, recording }
    }

    fn times(&self, is_sent: bool, event: &str) -> Vec<u64> {
        let of_kind =
            self.packets.iter().filter(|(_, sent, m)| *sent == is_sent && m["event"] == event);
        of_kind.map(|(at, _, _)| *at).collect()
    }

    fn audio(message: &Value) -> Vec<u8> {
        STANDARD.decode(message["media"]["payload"].as_str().unwrap()).unwrap()
    }

    /// When the caller's first audible frame left, in microseconds.
    fn speech_at(&self) -> u64 {
        let spoken = self.packets.iter().find(|(_, sent, message)| {
            *sent
                && message["event"] == "media"
                && Self::audio(message)
                    .iter()
                    .any(|byte| mulaw::decode(*byte).unsigned_abs() >= 1_000)
        });
        spoken.unwrap().0
    }

    fn figure(&self, name: &str) -> f64 {
        self.figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {}", self.figures))
    }

    /// Checks that the figures follow from the packets, and that the recording is a whole call: greeted,
    /// interrupted, answered, the tone of key 5, goodbye.
    pub fn check(&self) {
        let figures = &self.figures;
        assert_eq!(figures["signed_status"], 200);
        let url = figures["stream_url"].as_str().unwrap();
        assert_eq!(
            figures["twiml"],
            format!("<Response><Connect><Stream url=\"{url}\"/></Connect></Response>")
        );
        assert_eq!(self.figure("frames_sent") as usize, self.times(true, "media").len());
        assert_eq!(self.figure("frames_received") as usize, self.times(false, "media").len());
        let first = self.times(false, "media")[0] as f64 / 1e3;
        assert!((self.figure("first_audio_ms") - first).abs() < 1.0, "{first} {figures}");
        let clears = self.times(false, "clear");
        assert_eq!((clears.len(), &figures["clears"]), (1, &1.into()));
        let silence = (clears[0] - self.speech_at()) as f64 / 1e3;
        let told = self.figure("barge_in_to_silence_ms");
        assert!((told - silence).abs() < 1.0, "{silence} {figures}");
        assert_eq!(figures["close_code"], 1000);
        self.check_recording(clears[0]);
    }

    /// The greeting up to the interruption, silence, the answer, the tone of key 5, the goodbye: in order.
    fn check_recording(&self, clear_us: u64) {
        let recording = &self.recording;
        let at_sample = |us: u64| usize::try_from(us / 125).unwrap();
        let (greeting_at, likeness) = find(&prompt("greeting")[..4_000], &recording[..8_000]);
        assert!(likeness > 0.99, "the greeting: {likeness}");
        let expected = at_sample(self.times(false, "media")[0]);
        assert!(greeting_at.abs_diff(expected) <= 8, "{greeting_at} {expected}");
        let quiet = &recording[at_sample(clear_us) + 16..at_sample(clear_us) + 4_000];
        assert!(quiet.iter().all(|sample| sample.abs() < 1.0), "silence after the clear");
        let after = at_sample(clear_us);
        let (answer_at, likeness) = find(&prompt("answer")[4_000..6_000], &recording[after..]);
        assert!(likeness > 0.99, "the answer: {likeness}");
        let (goodbye_at, likeness) = find(&prompt("goodbye")[4_000..6_000], &recording[after..]);
        assert!(likeness > 0.99 && goodbye_at > answer_at, "the goodbye: {likeness}");
        let pressed = self.times(true, "dtmf")[0];
        let tone = &recording[at_sample(pressed) + 80..at_sample(pressed) + 1_440];
        assert!(share(tone, 770.0) > 0.4 && share(tone, 1_336.0) > 0.4, "the tone of key 5");
        assert!(share(tone, 852.0) < 0.05 && share(tone, 1_209.0) < 0.05);
    }
}

fn prompt(name: &str) -> Vec<f64> {
    let path = root().join(format!("appliance/media/src/agent/prompts/{name}.ulaw"));
    std::fs::read(path).unwrap().into_iter().map(|byte| f64::from(mulaw::decode(byte))).collect()
}

/// Where `template` lies in `signal`, and how well: normalised cross-correlation.
fn find(template: &[f64], signal: &[f64]) -> (usize, f64) {
    let energy = |part: &[f64]| part.iter().map(|x| x * x).sum::<f64>();
    let own = energy(template);
    (0..signal.len().saturating_sub(template.len()))
        .map(|at| {
            let part = &signal[at..at + template.len()];
            let product: f64 = part.iter().zip(template).map(|(a, b)| a * b).sum();
            (at, product / (own * energy(part)).sqrt().max(1.0))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap()
}

/// The share of a stretch's energy at one frequency: Goertzel.
fn share(signal: &[f64], hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / 8_000.0).cos();
    let (one, two) =
        signal.iter().fold((0.0, 0.0), |(one, two), x| (x + coefficient * one - two, one));
    let power = one * one + two * two - coefficient * one * two;
    power / (signal.iter().map(|x| x * x).sum::<f64>() * signal.len() as f64 / 2.0)
}
