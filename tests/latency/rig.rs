//! What every measurement needs: prepared speech, stand-ins at settled latencies, and calls that are held.
//!
//! Everything drawn is drawn from a fixed seed.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ward::caller::lines::{Cue, Line};
use ward::caller::stream::Script;
use ward::console::Console;
use ward::rehearsal::{self, Rehearsed, Settings};
use ward_policy::service::Service;
use ward_tests::binaries::{release, root};
use ward_tests::python::python;

/// Twilio's way, each way: what the requirement adds.
pub(crate) const LEG: Duration = Duration::from_millis(100);
/// The voices of the stand-ins' caller and clinic.
pub(crate) const CALLER: &str = "rms";
pub(crate) const CLINIC: &str = "slt";

/// One thing that was spoken.
#[derive(Debug, Clone)]
pub(crate) struct Spoken {
    /// µ-law, 8,000 Hz.
    pub(crate) audio: Vec<u8>,
    /// Each word with where it begins and ends, in samples.
    pub(crate) words: Vec<(String, usize, usize)>,
}

/// flite, and the recogniser that finds the words in what it says.
#[derive(Debug)]
pub(crate) struct Speech(Child);

impl Speech {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let vendors = python("vendors", "", "vendors-python", "websockets");
        let packages = vendors.get_envs().find(|(name, _)| *name == "PYTHONPATH");
        let packages = packages.and_then(|(_, value)| value).unwrap().to_owned();
        let mut command = std::process::Command::new("python3");
        command.args(["-W", "ignore"]).arg(root().join("tests/latency/speech.py"));
        command.env("PYTHONPATH", packages).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// `text` in `voice`.
    pub(crate) fn say(&mut self, text: &str, voice: &str) -> Spoken {
        let stdin = self.0.stdin.as_mut().unwrap();
        writeln!(stdin, "{}", json!({ "say": text, "voice": voice })).unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        // One line in, one line out: nothing is left in the reader.
        BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let word = |word: &Value| {
            let at = |place: usize| usize::try_from(word[place].as_u64().unwrap()).unwrap();
            (word[0].as_str().unwrap().to_owned(), at(1), at(2))
        };
        Spoken {
            audio: STANDARD.decode(answer["audio"].as_str().unwrap()).unwrap(),
            words: answer["words"].as_array().unwrap().iter().map(word).collect(),
        }
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the vendors take, in milliseconds, each drawn evenly between two numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latencies {
    /// The recogniser's last words, after it was asked for them or has heard the end itself.
    pub(crate) words: (u32, u32),
    /// Its guesses while somebody speaks.
    pub(crate) partials: (u32, u32),
    /// The model's first token.
    pub(crate) token: (u32, u32),
    /// The voice's first byte.
    pub(crate) byte: (u32, u32),
}

impl Latencies {
    /// The published ranges.
    pub(crate) const PUBLISHED: Self =
        Self { words: (80, 350), partials: (0, 0), token: (200, 400), byte: (75, 250) };

    /// One place in each range, in per cent of it.
    pub(crate) fn at(percent: u32) -> Self {
        let place = |(low, high): (u32, u32)| {
            let at = low + (high - low) * percent / 100;
            (at, at)
        };
        let Self { words, partials, token, byte } = Self::PUBLISHED;
        Self { words: place(words), partials, token: place(token), byte: place(byte) }
    }
}

/// Holds calls whose callers say `lines`, with the vendors at `latencies`.
pub(crate) fn hold(
    lines: Vec<VecDeque<Line>>,
    latencies: Latencies,
    is_guessing: bool,
) -> Rehearsed {
    let span = |(low, high): (u32, u32)| json!([low, high]);
    let object = |value: Value| value.as_object().unwrap().clone();
    let more = vec![
        (
            Service::Recogniser,
            object(json!({ "final_latency_ms": span(latencies.words),
                "partial_latency_ms": span(latencies.partials), "ready": lines.len(), "seed": 7 })),
        ),
        // A word every 10 to 20 ms: what a small hosted model gives.
        (
            Service::Model,
            object(json!({ "first_token_ms": span(latencies.token), "token_ms": [10, 20],
                "seed": 7 })),
        ),
        (Service::Voice, object(json!({ "first_byte_ms": span(latencies.byte), "seed": 7 }))),
    ];
    let script = |lines| Script {
        hang_up_after: Some(Duration::from_secs(280)),
        lines,
        leg: LEG,
        ..Script::default()
    };
    let settings = Settings {
        servers: release("ward-media").parent().map(std::path::Path::to_owned),
        media: format!("MEDIA_GUESSING={}\n", if is_guessing { "on" } else { "off" }),
        more,
        scripts: lines.into_iter().map(script).collect(),
    };
    rehearsal::hold(settings, &Console::new(true)).unwrap()
}

/// A line that follows an answer.
pub(crate) fn after_an_answer(speech: &Spoken) -> Line {
    let cue = Cue::Quiet { heard: Duration::from_millis(300), quiet: Duration::from_millis(900) };
    Line { cue, speech: speech.audio.clone() }
}

/// Whatever a server's counts of a call say of `name`.
pub(crate) fn counted(rehearsed: &Rehearsed, name: &str) -> u64 {
    rehearsed.ended.iter().map(|end| end["counts"][name].as_u64().unwrap_or(0)).sum()
}

/// The one filler.
pub(crate) fn filler() -> Vec<u8> {
    std::fs::read(root().join("appliance/media/src/agent/phrases/filler.ulaw")).unwrap()
}
