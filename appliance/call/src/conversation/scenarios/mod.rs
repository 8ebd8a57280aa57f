//! Scenarios of a conversation in virtual time: what happens, and what is asked, said and heard.
//!
//! The caller's ear is Twilio's playback buffer without delay; recogniser, model and voice are played by the test.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "virtual time and known lengths; a wrong one fails the test"
)]

mod floor;
mod late;
mod random;
mod turns;
mod words;

use super::*;
use crate::agent::Clip;
use crate::call::Call;
use crate::endpointing::Endpointing;
use crate::input::Input;
use crate::output::Output;
use crate::service::Speaker;
use ward_policy::count::Count;
use ward_policy::fault::{CallEnd, ServiceFault};
use ward_policy::gate::Dialogue;
use ward_policy::phi::Phi;
use ward_policy::service::Service;

const LOUD: u8 = 0xA0;
const SILENT: u8 = 0xFF;
/// What our voice sounds like, and what each phrase does: a byte of its own.
const SPEECH: u8 = 0x90;
const PHRASE: u8 = 0x20;
const FRAME: u64 = 20;

/// Silence that takes a turn whose words nobody settles, in milliseconds.
const UNSETTLED: u64 = 1_320;

fn phrase_byte(phrase: Phrase) -> u8 {
    PHRASE + u8::try_from(Phrase::ALL.iter().position(|one| *one == phrase).unwrap()).unwrap()
}

enum InEar {
    Frame(u8),
    Mark(String),
}

struct Scene {
    call: Call,
    now: u64,
    /// What the ear has yet to play, and what it has played: a byte a frame.
    ear: VecDeque<InEar>,
    heard: Vec<(u64, u8)>,
    clears: Vec<u64>,
    requests: VecDeque<Request>,
    ended: Option<CallEnd>,
    ledgers: Vec<Ledger>,
}

impl Scene {
    fn new(is_guessing: bool) -> Self {
        let clip = |phrase| Clip::from(vec![phrase_byte(phrase); 160 * 25]);
        let script = Script::new(Dialogue::built_in().unwrap(), clip, is_guessing);
        let agent = Box::new(Conversation::new(Arc::new(script)));
        let hour = Duration::from_hours(1);
        let ears = Endpointing::default();
        let call = Call::with_endpointing(agent, ears, Duration::ZERO, hour);
        let mut scene = Self {
            call,
            now: 0,
            ear: VecDeque::new(),
            heard: Vec::new(),
            clears: Vec::new(),
            requests: VecDeque::new(),
            ended: None,
            ledgers: Vec::new(),
        };
        scene.handle(Input::Start);
        // The greeting, and a moment.
        scene.silence(700);
        assert_eq!(scene.count_heard(Phrase::Greeting), 25);
        scene
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = Duration::from_millis(self.now);
        self.call.handle(now, input);
        while let Some(output) = self.call.poll(now) {
            match output {
                Output::Play(audio) => {
                    let frames = audio.chunks(160).map(|frame| InEar::Frame(frame[0]));
                    self.ear.extend(frames);
                }
                Output::Mark(name) => self.ear.push_back(InEar::Mark(name.as_str().to_owned())),
                Output::Clear => {
                    self.clears.push(self.now);
                    self.ear.retain(|one| matches!(one, InEar::Mark(_)));
                }
                Output::HangUp(end) => {
                    self.ended = Some(end);
                    break;
                }
            }
        }
        while let Some(request) = self.call.next_request() {
            self.requests.push_back(request);
        }
        self.ledgers.extend(self.call.take_ledger());
    }

    /// Twenty milliseconds: the ear plays, the caller is heard.
    fn frame(&mut self, byte: u8) {
        if self.ended.is_some() {
            return;
        }
        let mut marks = Vec::new();
        while let Some(InEar::Mark(_)) = self.ear.front() {
            if let Some(InEar::Mark(name)) = self.ear.pop_front() {
                marks.push(name);
            }
        }
        if let Some(InEar::Frame(byte)) = self.ear.pop_front() {
            self.heard.push((self.now, byte));
        }
        self.now += FRAME;
        for name in marks {
            self.handle(Input::Mark { sequence: None, name: &name });
        }
        self.handle(Input::Audio { sequence: None, timestamp_ms: None, payload: &[byte; 160] });
    }

    fn silence(&mut self, ms: u64) {
        for _ in 0..ms / FRAME {
            self.frame(SILENT);
        }
    }

    /// The caller speaks; what they said is a partial by the end of it.
    fn speak(&mut self, text: &str, ms: u64) {
        for _ in 0..ms / FRAME {
            self.frame(LOUD);
        }
        self.partial(text);
    }

    fn report(&mut self, report: Report) {
        self.handle(Input::Reported(report));
    }

    fn partial(&mut self, text: &str) {
        self.report(Report::Partial(Phi::new(text.to_owned())));
    }

    fn turn_end(&mut self, text: &str) {
        self.report(Report::Final(Phi::new(text.to_owned())));
        self.report(Report::TurnEnd);
    }

    /// A whole turn of the caller's, and 100 ms for the recogniser.
    fn turn(&mut self, text: &str) {
        self.speak(text, 600);
        self.silence(100);
        self.turn_end(text);
    }

    /// What was asked since this was last called, as text.
    fn asked(&mut self) -> Vec<String> {
        let tell = |request: Request| match request {
            Request::Finalise => String::new(),
            Request::Ask { request, prompt } => {
                let lines = prompt.lines.iter().map(|line| {
                    let who = if line.speaker == Speaker::Caller { "caller" } else { "ward" };
                    format!("{who}: {}", line.text.expose())
                });
                format!("ask {request} {}", lines.collect::<Vec<_>>().join(" / "))
            }
            Request::Cancel { request } => format!("cancel {request}"),
            Request::Say { sentence, text } => format!("say {sentence} {}", text.expose()),
            Request::Unsay => "unsay".to_owned(),
        };
        self.requests.drain(..).map(tell).filter(|asked| !asked.is_empty()).collect()
    }

    fn reply(&mut self, request: u32, text: &str) {
        self.report(Report::Piece { request, text: Phi::new(text.to_owned()) });
        self.report(Report::ReplyEnd { request });
    }

    /// The voice speaks a sentence, all of it at once.
    fn voice(&mut self, sentence: u32, ms: usize) {
        self.report(Report::Audio { sentence, audio: Phi::new(vec![SPEECH; ms * 8]) });
        self.report(Report::SentenceEnd { sentence });
    }

    fn count_heard(&self, phrase: Phrase) -> usize {
        self.heard.iter().filter(|(_, byte)| *byte == phrase_byte(phrase)).count()
    }

    /// Milliseconds of our voice that were heard.
    fn speech_heard(&self) -> u64 {
        let frames = self.heard.iter().filter(|(_, byte)| *byte == SPEECH).count();
        u64::try_from(frames).unwrap() * FRAME
    }

    fn first_heard(&self, byte: u8) -> Option<u64> {
        self.heard.iter().find(|(_, one)| *one == byte).map(|(at, _)| *at)
    }
}

/// What a recogniser says of a pause: words that will not change, and that the caller has probably finished.
fn pause(scene: &mut Scene, text: &str) {
    scene.report(Report::Final(Phi::new(text.to_owned())));
    scene.report(Report::EagerEnd);
}
