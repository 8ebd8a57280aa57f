//! What is late, fails, is stopped or ends.

use super::*;

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
fn a_voice_that_fails_is_asked_again_and_the_model_is_not() {
    let mut scene = Scene::new(false);
    scene.turn("my name is john smith");
    scene.reply(1, "Thank you, [NAME_1]. You are booked. Goodbye. [hang up]");
    let said = ["say 2 Thank you, john smith.", "say 3 You are booked.", "say 4 Goodbye."];
    assert_eq!(scene.asked()[1..], said);
    scene.voice(2, 500);
    let (service, fault) = (Service::Voice, ServiceFault::Closed);
    scene.report(Report::Failed { service, number: 3, fault });
    assert_eq!(scene.asked(), ["unsay", "say 5 You are booked.", "say 6 Goodbye."]);
    scene.voice(5, 300);
    scene.voice(6, 200);
    scene.silence(3_000);
    assert_eq!((scene.speech_heard(), scene.count_heard(Phrase::Trouble)), (1_000, 25));
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
    // Twice is too often.
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, "At six.");
    scene.report(Report::Failed { service, number: 2, fault });
    scene.report(Report::Failed { service, number: 3, fault });
    scene.silence(2_000);
    assert_eq!(scene.count_heard(Phrase::SorryGoodbye), 25);
    assert_eq!(scene.ended, Some(CallEnd::AgentFinished));
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
