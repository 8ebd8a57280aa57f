//! Scenarios of a conversation in virtual time: what happens, and what is asked, said and heard.
//!
//! The caller's ear is Twilio's playback buffer without delay; recogniser, model and voice are played by the test.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "virtual time and known lengths; a wrong one fails the test"
)]

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

#[test]
fn a_turn_is_asked_answered_spoken_and_remembered() {
    let mut scene = Scene::new(false);
    scene.turn("I need an appointment");
    let fell_silent = scene.now - 100;
    assert_eq!(scene.asked(), ["ask 1 caller: I need an appointment"]);
    scene.reply(1, "Certainly. Which day?");
    assert_eq!(scene.asked(), ["say 2 Certainly.", "say 3 Which day?"]);
    scene.voice(2, 400);
    scene.voice(3, 500);
    scene.silence(1_200);
    assert_eq!(scene.speech_heard(), 900);
    let total_ms = scene.first_heard(SPEECH).unwrap() - fell_silent;
    assert_eq!(scene.ledgers.len(), 1);
    let ledger = scene.ledgers[0];
    assert_eq!((ledger.endpoint_ms, ledger.total_ms, ledger.is_guessed), (100, total_ms, false));
    scene.turn("on Tuesday");
    let all = "caller: I need an appointment / ward: Certainly. Which day? / caller: on Tuesday";
    assert_eq!(scene.asked(), [format!("ask 4 {all}")]);
}

#[test]
fn a_guess_is_prepared_and_not_heard_before_the_turn_is_over() {
    let mut scene = Scene::new(true);
    scene.speak("I need an appointment", 600);
    scene.silence(140);
    assert_eq!(scene.asked(), ["ask 1 caller: I need an appointment"]);
    scene.reply(1, "Certainly.");
    assert_eq!(scene.asked(), ["say 2 Certainly."]);
    scene.voice(2, 400);
    scene.silence(100);
    assert_eq!(scene.speech_heard(), 0, "the turn is not over");
    let over_at = scene.now;
    scene.turn_end("I need an appointment.");
    scene.silence(600);
    assert_eq!(scene.speech_heard(), 400);
    assert_eq!(scene.first_heard(SPEECH), Some(over_at));
    assert!(scene.ledgers[0].is_guessed && scene.asked().is_empty());
}

#[test]
fn a_guess_that_was_wrong_is_thrown_away_unheard() {
    let mut scene = Scene::new(true);
    scene.speak("I need", 400);
    scene.silence(140);
    assert_eq!(scene.asked(), ["ask 1 caller: I need"]);
    scene.reply(1, "What do you need?");
    scene.voice(2, 400);
    scene.asked();
    scene.speak("I need a nurse", 400);
    scene.silence(140);
    assert_eq!(scene.asked(), ["unsay", "ask 3 caller: I need a nurse"]);
    scene.turn_end("I need a nurse");
    scene.reply(3, "Yes.");
    scene.voice(4, 300);
    scene.silence(600);
    assert_eq!(scene.speech_heard(), 300);
    assert_eq!(scene.call.counts().of(Count::GuessDropped), 1);
    scene.turn("bye");
    let last = scene.asked().pop().unwrap();
    assert!(last.ends_with("caller: I need a nurse / ward: Yes. / caller: bye"), "{last}");
}

#[test]
fn an_interruption_silences_at_once_and_the_history_holds_what_was_heard() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.asked();
    // Five letters a word, 100 ms a letter.
    scene.reply(1, "aaaaa bbbbb ccccc ddddd");
    scene.voice(2, 2_000);
    scene.asked();
    scene.silence(900);
    let began = scene.now;
    for _ in 0..15 {
        scene.frame(LOUD);
    }
    // 300 ms of speech complete the condition; the same frame sends the clear.
    assert_eq!(scene.clears.last(), Some(&(began + 300)));
    let heard = scene.speech_heard();
    assert!((1_180..=1_220).contains(&heard), "{heard}");
    scene.silence(60);
    assert_eq!(scene.speech_heard(), heard, "nothing more is heard");
    scene.partial("stop");
    scene.silence(60);
    scene.turn_end("stop");
    let asked = scene.asked();
    assert_eq!(asked, ["ask 3 caller: opening hours / ward: aaaaa bbbbb / caller: stop"]);
    assert_eq!(scene.call.counts().of(Count::BargeIn), 1);
}

#[test]
fn a_word_interrupts_before_300_milliseconds_and_the_rest_is_unsaid() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "We are open. Every day of the week.");
    scene.asked();
    scene.voice(2, 600);
    scene.report(Report::Audio { sentence: 3, audio: Phi::new(vec![SPEECH; 800]) });
    scene.silence(200);
    scene.speak("no", 100);
    assert_eq!(scene.asked(), ["unsay"]);
    let heard = scene.speech_heard();
    // What the voice still sends is for nobody.
    scene.report(Report::Audio { sentence: 3, audio: Phi::new(vec![SPEECH; 8_000]) });
    scene.silence(200);
    assert_eq!(scene.speech_heard(), heard);
}

#[test]
fn a_noise_is_a_false_interruption_and_nothing_is_lost() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "We are open every day of the week until six.");
    scene.voice(2, 2_000);
    scene.asked();
    scene.silence(600);
    for _ in 0..20 {
        scene.frame(LOUD);
    }
    let paused = scene.speech_heard();
    scene.silence(900);
    assert_eq!(scene.speech_heard(), paused);
    scene.silence(3_000);
    assert_eq!(scene.speech_heard(), 2_000, "nothing is lost, and nothing said twice");
    assert_eq!(scene.call.counts().of(Count::FalseInterruption), 1);
    assert!(scene.asked().is_empty());
    scene.turn("thanks");
    let last = scene.asked().pop().unwrap();
    assert!(
        last.ends_with("/ ward: We are open every day of the week until six. / caller: thanks")
    );
}

#[test]
fn a_listening_noise_stops_nothing_and_is_no_turn() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "We are open every day of the week until six.");
    scene.voice(2, 3_000);
    scene.asked();
    scene.silence(300);
    scene.speak("mhm", 160);
    scene.silence(100);
    scene.turn_end("mhm");
    scene.silence(3_000);
    assert_eq!(scene.speech_heard(), 3_000);
    assert!(scene.clears.is_empty() && scene.asked().is_empty());
    // At our end it is an answer.
    let mut scene = Scene::new(false);
    scene.turn("tuesday");
    scene.reply(1, "Is that right?");
    scene.voice(2, 600);
    scene.asked();
    scene.silence(400);
    scene.speak("yes", 160);
    scene.silence(100);
    scene.turn_end("yes");
    scene.silence(400);
    let last = scene.asked().pop().unwrap();
    assert!(last.ends_with("/ ward: Is that right? / caller: yes"), "{last}");
}

#[test]
fn a_filler_is_heard_once_after_600_milliseconds() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    let fell_silent = scene.now - 100;
    scene.silence(3_000);
    assert_eq!(scene.count_heard(Phrase::Filler), 25);
    let at = scene.first_heard(phrase_byte(Phrase::Filler)).unwrap() - fell_silent;
    assert!((600..=620).contains(&at), "{at}");
    scene.reply(1, "At six.");
    scene.asked();
    scene.voice(2, 300);
    scene.silence(600);
    assert_eq!(scene.speech_heard(), 300);
    assert!(scene.ledgers[0].has_filler);
}

#[test]
fn a_model_that_fails_is_excused_once_and_then_the_call_ends() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.asked();
    let failed =
        |number| Report::Failed { service: Service::Model, number, fault: ServiceFault::Broken };
    scene.report(failed(1));
    assert_eq!(scene.asked(), ["cancel 1", "ask 2 caller: opening hours"]);
    scene.silence(1_000);
    assert_eq!(scene.count_heard(Phrase::Trouble), 25);
    scene.report(failed(2));
    scene.silence(2_000);
    assert_eq!(scene.count_heard(Phrase::SorryGoodbye), 25);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
}

#[test]
fn a_service_that_says_nothing_ends_the_call_in_time() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    let asked_at = scene.now;
    while scene.ended.is_none() && scene.now < asked_at + 60_000 {
        scene.silence(FRAME);
    }
    let took = scene.now - asked_at;
    assert!((10_000..12_000).contains(&took), "{took}");
    for phrase in [Phrase::Filler, Phrase::Trouble, Phrase::SorryGoodbye] {
        assert_eq!(scene.count_heard(phrase), 25, "{phrase:?}");
    }
    // A voice that stops in the middle of a sentence.
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "At six.");
    scene.asked();
    scene.report(Report::Audio { sentence: 2, audio: Phi::new(vec![SPEECH; 1_600]) });
    let spoke_at = scene.now;
    scene.silence(6_000);
    assert_eq!(scene.count_heard(Phrase::Trouble), 25);
    while scene.ended.is_none() && scene.now < spoke_at + 60_000 {
        scene.silence(FRAME);
    }
    assert!(scene.now - spoke_at < 20_000, "{}", scene.now - spoke_at);
}

#[test]
fn a_voice_that_does_not_stop_is_a_voice_that_fails() {
    let mut scene = Scene::new(false);
    scene.turn("I need an appointment");
    scene.asked();
    for (request, sentence) in [(1, 2), (3, 4)] {
        scene.reply(request, "Certainly.");
        scene.silence(20);
        assert_eq!(scene.asked(), [format!("say {sentence} Certainly.")]);
        for _ in 0..60 {
            let audio = Phi::new(vec![SPEECH; 8_000]);
            scene.report(Report::Audio { sentence, audio });
            scene.silence(1_000);
            if scene.asked().iter().any(|asked| asked.starts_with("ask")) {
                break;
            }
        }
    }
    // Ten letters: six seconds each time, at most.
    let heard = scene.speech_heard();
    assert!((10_000..=12_000).contains(&heard), "{heard}");
    assert_eq!(scene.count_heard(Phrase::Trouble), 25);
    assert_eq!(scene.count_heard(Phrase::SorryGoodbye), 25);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
}

#[test]
fn without_a_recogniser_the_call_ends_at_once() {
    let mut scene = Scene::new(false);
    let (service, fault) = (Service::Recogniser, ServiceFault::Closed);
    scene.report(Report::Failed { service, number: 0, fault });
    scene.silence(1_000);
    assert_eq!(scene.count_heard(Phrase::SorryGoodbye), 25);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
}

#[test]
fn an_emergency_waits_for_no_model() {
    for is_guessing in [false, true] {
        let mut scene = Scene::new(is_guessing);
        scene.speak("I have chest pain", 600);
        scene.silence(140);
        if !is_guessing {
            scene.turn_end("I have chest pain");
        }
        scene.silence(300);
        assert!(scene.count_heard(Phrase::Emergency) > 5);
        // It is heard to its end, whatever the caller says.
        scene.speak("hello", 400);
        scene.silence(1_500);
        assert_eq!(scene.count_heard(Phrase::Emergency), 25);
        assert!(scene.asked().iter().all(|asked| !asked.contains("chest")));
    }
}

#[test]
fn silence_takes_a_turn_that_the_recogniser_does_not_end() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(700);
    assert!(scene.requests.iter().any(|one| matches!(one, Request::Finalise)));
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    // The final that comes after it is the same turn.
    scene.turn_end("On Tuesday.");
    scene.silence(100);
    assert!(scene.asked().is_empty());
    // One that reads otherwise is taken instead, while nothing was heard.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(700);
    scene.asked();
    scene.turn_end("on thursday");
    assert_eq!(scene.asked(), ["cancel 1", "ask 2 caller: on thursday"]);
}

/// What a recogniser says of a pause: words that will not change, and that the caller has probably finished.
fn pause(scene: &mut Scene, text: &str) {
    scene.report(Report::Final(Phi::new(text.to_owned())));
    scene.report(Report::EagerEnd);
}

#[test]
fn settled_words_and_400_milliseconds_of_silence_take_a_turn() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(140);
    assert!(scene.requests.is_empty());
    scene.silence(60);
    let finalised = scene.requests.iter().filter(|one| matches!(one, Request::Finalise)).count();
    assert_eq!(finalised, 1, "the recogniser is asked once in a pause");
    pause(&mut scene, "on tuesday");
    scene.silence(180);
    assert!(scene.asked().is_empty(), "380 ms are no end");
    scene.silence(20);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    // Without settled words it takes the whole silence.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(580);
    assert!(scene.asked().is_empty());
    scene.silence(20);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
}

#[test]
fn a_pause_of_300_milliseconds_inside_a_sentence_ends_no_turn() {
    for is_guessing in [false, true] {
        let mut scene = Scene::new(is_guessing);
        scene.speak("on tuesday", 600);
        scene.silence(240);
        pause(&mut scene, "on tuesday");
        scene.silence(60);
        scene.speak("at ten please", 600);
        assert_eq!(scene.call.counts().of(Count::Turn), 0);
        scene.silence(240);
        pause(&mut scene, "at ten please");
        scene.silence(160);
        let last = scene.asked().pop().unwrap();
        assert!(last.ends_with("caller: on tuesday at ten please"), "{last}");
        assert_eq!(scene.call.counts().of(Count::Turn), 1);
    }
}

#[test]
fn a_reply_is_begun_to_words_that_stay_while_the_caller_is_still_heard() {
    let mut scene = Scene::new(true);
    scene.speak("I need an appointment", 600);
    for _ in 0..14 {
        scene.frame(LOUD);
    }
    assert!(scene.asked().is_empty());
    (0..2).for_each(|_| scene.frame(LOUD));
    assert_eq!(scene.asked(), ["ask 1 caller: I need an appointment"]);
    // An emergency is not taken out of the caller's mouth.
    let mut scene = Scene::new(true);
    scene.speak("I have chest pain", 600);
    (0..30).for_each(|_| scene.frame(LOUD));
    assert_eq!(scene.call.counts().of(Count::Emergency), 0);
    scene.silence(140);
    assert_eq!(scene.call.counts().of(Count::Emergency), 1);
}

#[test]
fn no_filler_is_begun_when_the_reply_is_about_to_be_spoken() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.asked();
    scene.silence(440);
    scene.reply(1, "At six.");
    scene.silence(400);
    assert_eq!(scene.count_heard(Phrase::Filler), 0);
    // A voice that is slow is covered all the same.
    scene.silence(1_000);
    assert_eq!(scene.count_heard(Phrase::Filler), 25);
}

#[test]
fn silence_before_a_reply_is_not_waited_for() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "At six. Or at ten.");
    scene.asked();
    let now = scene.now;
    let audio = [vec![SILENT; 160 * 12], vec![SPEECH; 160 * 10]].concat();
    for sentence in [2, 3] {
        scene.report(Report::Audio { sentence, audio: Phi::new(audio.clone()) });
        scene.report(Report::SentenceEnd { sentence });
    }
    scene.silence(1_000);
    // One quiet frame stays, of the first sentence alone.
    let spoken: Vec<u64> =
        scene.heard.iter().filter(|(_, byte)| *byte == SPEECH).map(|(at, _)| at - now).collect();
    assert_eq!((spoken[0], spoken[9], spoken[10]), (20, 200, 200 + 260));
}

#[test]
fn a_caller_who_goes_on_is_answered_as_a_whole() {
    let mut scene = Scene::new(false);
    scene.turn("I need an appointment");
    scene.asked();
    scene.speak("on tuesday", 400);
    assert_eq!(scene.asked(), ["cancel 1"]);
    scene.silence(100);
    scene.turn_end("on tuesday");
    assert_eq!(scene.asked(), ["ask 2 caller: I need an appointment on tuesday"]);
}

#[test]
fn what_the_gate_stops_is_not_spoken() {
    let mut scene = Scene::new(false);
    scene.turn("I have a cold");
    scene.asked();
    scene.report(Report::Piece {
        request: 1,
        text: Phi::new("Sure. You should take two aspirin now. ".into()),
    });
    assert_eq!(scene.asked(), ["say 2 Sure.", "cancel 1"]);
    scene.voice(2, 300);
    scene.silence(1_500);
    assert_eq!((scene.speech_heard(), scene.count_heard(Phrase::StoppedScope)), (300, 25));
    assert_eq!(scene.call.counts().of(Count::ReplyStopped), 1);
}

#[test]
fn what_the_model_need_not_know_is_a_placeholder_and_is_spoken_in_full() {
    let mut scene = Scene::new(false);
    scene.turn("my name is john smith");
    assert_eq!(scene.asked(), ["ask 1 caller: my name is [NAME_1]"]);
    scene.reply(1, "Thank you, [NAME_1].");
    assert_eq!(scene.asked(), ["say 2 Thank you, john smith."]);
    scene.voice(2, 500);
    scene.silence(800);
    scene.turn("bye");
    let last = scene.asked().pop().unwrap();
    assert!(last.contains("ward: Thank you, [NAME_1]. /"), "{last}");
}

#[test]
fn the_marker_hangs_up_after_the_last_word() {
    let mut scene = Scene::new(false);
    scene.turn("thanks");
    scene.asked();
    scene.reply(1, "Goodbye. [hang up]");
    assert_eq!(scene.asked(), ["say 2 Goodbye."]);
    scene.voice(2, 500);
    scene.silence(1_500);
    assert_eq!((scene.speech_heard(), scene.ended), (500, Some(CallEnd::AgentFinished)));
}

#[test]
fn nobody_there_is_asked_twice_and_let_go() {
    let mut scene = Scene::new(false);
    scene.silence(45_000);
    assert_eq!(scene.count_heard(Phrase::StillThere), 50);
    assert_eq!(scene.count_heard(Phrase::Goodbye), 25);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
}

#[test]
fn speech_without_words_is_asked_about() {
    let mut scene = Scene::new(false);
    for _ in 0..3 {
        for _ in 0..40 {
            scene.frame(LOUD);
        }
        scene.silence(4_500);
    }
    assert_eq!(scene.count_heard(Phrase::NotUnderstood), 50);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
}

#[test]
fn keys_are_words() {
    let mut scene = Scene::new(false);
    for digit in ["4", "2"] {
        scene.handle(Input::Digit { sequence: None, digit });
        scene.silence(200);
    }
    scene.silence(1_500);
    assert_eq!(scene.asked(), ["ask 1 caller: 4 2"]);
}

/// Whatever services say, in whatever order: nothing panics, and a call that nobody speaks in ends.
#[test]
fn no_order_of_reports_leaves_a_call_stuck() {
    let mut seed = 0x5EED_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..60 {
        let mut scene = Scene::new(random(2) == 0);
        for _ in 0..80 {
            let number = u32::try_from(random(8)).unwrap();
            let text = ["yes", "mhm", "on tuesday at ten", "my name is a", "", "Ok. Fine then. "];
            let text = Phi::new(text[usize::try_from(random(6)).unwrap()].to_owned());
            let service = Service::ALL[usize::try_from(random(3)).unwrap()];
            match random(13) {
                0 => scene.report(Report::Partial(text)),
                1 => scene.report(Report::Final(text)),
                2 => scene.report(Report::TurnEnd),
                3 => scene.report(Report::EagerEnd),
                4 => scene.report(Report::Piece { request: number, text }),
                5 => scene.report(Report::ReplyEnd { request: number }),
                6 => scene.voice(number, 300),
                7 if random(20) == 0 => {
                    let fault = ServiceFault::Late;
                    scene.report(Report::Failed { service, number, fault });
                }
                8 => {
                    let audio = Phi::new(vec![SPEECH; 333]);
                    scene.report(Report::Audio { sentence: number, audio });
                }
                9 => (0..random(30)).for_each(|_| scene.frame(LOUD)),
                10 => scene.handle(Input::Digit { sequence: None, digit: "7" }),
                _ => scene.silence(random(800)),
            }
            if scene.ended.is_some() {
                break;
            }
        }
        let began = scene.now;
        while scene.ended.is_none() && scene.now < began + 120_000 {
            scene.silence(1_000);
        }
        assert!(scene.ended.is_some(), "{:?}", scene.call);
    }
}
