//! The floor: who has it, that it always goes back, and that a call in which nobody takes it ends.

use super::*;

/// `ms` of something loud without a word.
fn noise(scene: &mut Scene, ms: u64) {
    for _ in 0..ms / FRAME {
        scene.frame(LOUD);
    }
}

/// The time until the call ends by itself, in milliseconds, if it does within `most`.
fn ends_within(scene: &mut Scene, most: u64) -> Option<u64> {
    let began = scene.now;
    while scene.ended.is_none() && scene.now < began + most {
        scene.frame(SILENT);
    }
    scene.ended.map(|_end| scene.now - began)
}

#[test]
fn a_noise_over_the_goodbye_does_not_keep_the_line_open() {
    let mut scene = Scene::new(false);
    scene.turn("thanks");
    scene.asked();
    scene.reply(1, "Goodbye. [hang up]");
    scene.report(Report::Audio { sentence: 2, audio: Phi::new(vec![SPEECH; 1_000 * 8]) });
    scene.silence(300);
    noise(&mut scene, 320);
    // Its end comes while we are silent.
    scene.report(Report::SentenceEnd { sentence: 2 });
    assert!(ends_within(&mut scene, 5_000).is_some());
    assert_eq!((scene.speech_heard(), scene.ended), (1_000, Some(CallEnd::AgentFinished)));
}

#[test]
fn a_word_over_the_goodbye_is_heard() {
    let mut scene = Scene::new(false);
    scene.turn("thanks");
    scene.asked();
    scene.reply(1, "Goodbye. [hang up]");
    scene.report(Report::Audio { sentence: 2, audio: Phi::new(vec![SPEECH; 1_000 * 8]) });
    scene.silence(300);
    noise(&mut scene, 320);
    scene.report(Report::SentenceEnd { sentence: 2 });
    scene.partial("wait one more thing");
    scene.silence(UNSETTLED);
    let asked = scene.asked().pop().unwrap();
    // Not a whole word of it was heard.
    assert!(asked.ends_with("ask 3 caller: thanks wait one more thing"), "{asked}");
    assert_eq!(scene.ended, None);
}

#[test]
fn a_goodbye_without_a_word_ends_a_call_whose_last_sentence_stopped_short() {
    let mut scene = Scene::new(false);
    scene.turn("thanks");
    scene.asked();
    scene.reply(1, "You are welcome.");
    // The voice gives a little of it, and no more.
    scene.report(Report::Audio { sentence: 2, audio: Phi::new(vec![SPEECH; 1_000]) });
    scene.silence(500);
    scene.turn("bye");
    let asked = scene.asked().pop().unwrap();
    let request: u32 = asked.split(' ').nth(1).unwrap().parse().unwrap();
    scene.reply(request, "[hang up]");
    assert!(ends_within(&mut scene, 5_000).is_some());
}

#[test]
fn noise_without_words_does_not_silence_us_for_long() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.asked();
    scene.reply(1, "We are open every day of the week until six.");
    scene.voice(2, 3_000);
    scene.silence(200);
    // Somebody else's television.
    let began = scene.now;
    while scene.speech_heard() < 3_000 && scene.now < began + 30_000 {
        noise(&mut scene, 1_500);
        scene.silence(200);
    }
    let took = scene.now - began;
    assert!(took < 12_000, "{took}");
    // Words interrupt all the same.
    scene.silence(1_000);
    scene.turn("and on sunday");
    let asked = scene.asked().pop().unwrap();
    let request: u32 = asked.split(' ').nth(1).unwrap().parse().unwrap();
    scene.reply(request, "No.");
    scene.voice(request + 1, 2_000);
    noise(&mut scene, 1_000);
    scene.partial("stop");
    let heard = scene.speech_heard();
    noise(&mut scene, 1_000);
    assert_eq!(scene.speech_heard(), heard);
}

#[test]
fn a_reply_that_was_ready_and_not_heard_is_not_lost_to_a_word_that_was_none() {
    for is_complete in [false, true] {
        let mut scene = Scene::new(false);
        scene.turn("opening hours");
        scene.asked();
        // The filler begins, and something loud is heard over it.
        scene.silence(640);
        noise(&mut scene, 320);
        scene.reply(1, "At six.");
        scene.report(Report::Audio { sentence: 2, audio: Phi::new(vec![SPEECH; 8_000]) });
        if is_complete {
            scene.report(Report::SentenceEnd { sentence: 2 });
        }
        scene.asked();
        scene.partial("oh no");
        scene.silence(60);
        scene.report(Report::Final(Phi::new(String::new())));
        scene.silence(200);
        let asked = scene.asked();
        let asks = asked.iter().filter(|asked| asked.ends_with("caller: opening hours")).count();
        assert_eq!(asks, 1, "{asked:?}");
    }
}

#[test]
fn a_word_that_was_none_is_asked_about_and_not_met_with_silence() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.asked();
    scene.reply(1, "We are open every day of the week until six.");
    scene.voice(2, 3_000);
    scene.silence(1_000);
    scene.speak("no", 200);
    scene.silence(100);
    scene.report(Report::Final(Phi::new(String::new())));
    scene.silence(3_500);
    assert_eq!(scene.count_heard(Phrase::NotUnderstood), 25);
}

#[test]
fn words_that_come_and_go_do_not_ask_for_ever() {
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    let began = scene.now;
    let mut asks = 0;
    while scene.ended.is_none() && scene.now < began + 60_000 {
        scene.speak("oh no", 100);
        scene.silence(60);
        scene.report(Report::Final(Phi::new(String::new())));
        scene.silence(340);
        asks += scene.asked().iter().filter(|asked| asked.starts_with("ask")).count();
    }
    assert!(asks <= 4, "{asks}");
    assert!(scene.count_heard(Phrase::NotUnderstood) > 0);
}

#[test]
fn the_same_answer_to_another_question_is_another_turn() {
    let mut scene = Scene::new(false);
    scene.turn("yes");
    scene.asked();
    // Two sentences; the voice gives the first one and takes its time.
    scene.reply(1, "Fine. Is the name right?");
    scene.voice(2, 400);
    scene.silence(1_000);
    scene.asked();
    scene.turn("yes");
    let asked = scene.asked();
    let last = asked.last().cloned().unwrap_or_default();
    assert!(
        last.starts_with("ask") && last.ends_with("caller: yes / ward: Fine. / caller: yes"),
        "{asked:?}"
    );
}
