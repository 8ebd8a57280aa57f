//! Words: the caller's are neither lost nor taken twice, and of ours only what was heard is remembered.

use super::*;

fn last_asked(scene: &mut Scene) -> String {
    scene.asked().into_iter().rfind(|asked| asked.starts_with("ask")).unwrap_or_default()
}

fn finally(scene: &mut Scene, text: &str) {
    scene.report(Report::Final(Phi::new(text.to_owned())));
}

#[test]
fn a_partial_that_begins_with_the_turn_that_was_taken_is_not_said_twice() {
    for is_guessing in [false, true] {
        let mut scene = Scene::new(is_guessing);
        scene.speak("on tuesday", 600);
        scene.silence(UNSETTLED);
        assert!(last_asked(&mut scene).ends_with("caller: on tuesday"));
        // The recogniser has not settled it: what follows is told together with it.
        scene.speak("on tuesday at ten", 300);
        scene.silence(100);
        finally(&mut scene, "on tuesday at ten");
        scene.report(Report::TurnEnd);
        assert!(last_asked(&mut scene).ends_with("caller: on tuesday at ten"));
    }
}

#[test]
fn another_reading_of_a_turn_that_was_taken_replaces_it() {
    // As a partial first, and with more words behind it.
    for text in ["on thursday", "on thursday at ten"] {
        let mut scene = Scene::new(false);
        scene.speak("on tuesday", 600);
        scene.silence(UNSETTLED);
        scene.asked();
        scene.partial(text);
        scene.silence(100);
        finally(&mut scene, text);
        scene.silence(700);
        assert!(last_asked(&mut scene).ends_with(&format!("caller: {text}")), "{text}");
    }
}

#[test]
fn another_reading_takes_back_no_more_than_its_own_turn() {
    let mut scene = Scene::new(false);
    scene.turn("I need an appointment");
    scene.asked();
    scene.speak("on tuesday", 400);
    scene.silence(UNSETTLED);
    assert!(last_asked(&mut scene).ends_with("caller: I need an appointment on tuesday"));
    finally(&mut scene, "on thursday");
    scene.silence(100);
    assert!(last_asked(&mut scene).ends_with("caller: I need an appointment on thursday"));
}

#[test]
fn a_final_that_never_came_hides_no_later_words() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    scene.asked();
    scene.reply(1, "At ten?");
    scene.voice(2, 400);
    scene.silence(6_000);
    scene.asked();
    // A short word comes without a partial.
    for _ in 0..10 {
        scene.frame(LOUD);
    }
    scene.silence(200);
    scene.turn_end("yes");
    scene.silence(100);
    assert!(last_asked(&mut scene).ends_with("ward: At ten? / caller: yes"));
}

#[test]
fn an_emergency_is_heard_across_a_pause() {
    let mut scene = Scene::new(false);
    scene.turn("I can't");
    scene.silence(100);
    assert_eq!(scene.call.counts().of(Count::Emergency), 0);
    scene.turn("breathe");
    assert_eq!(scene.call.counts().of(Count::Emergency), 1);
    // Once something was answered it is another turn.
    let mut scene = Scene::new(false);
    scene.turn("I can't");
    scene.reply(1, "Yes?");
    scene.voice(2, 400);
    scene.silence(800);
    scene.turn("breathe");
    assert_eq!(scene.call.counts().of(Count::Emergency), 0);
}

#[test]
fn words_over_an_emergencys_phrase_are_a_turn_after_it() {
    let mut scene = Scene::new(false);
    scene.turn("I want to kill myself");
    scene.silence(40);
    scene.speak("please help me", 100);
    finally(&mut scene, "please help me");
    scene.silence(2_000);
    assert_eq!(scene.count_heard(Phrase::SelfHarm), 25);
    assert!(last_asked(&mut scene).ends_with("caller: please help me"));
}

#[test]
fn a_key_leaves_of_our_sentence_what_was_heard() {
    // Five letters a word, 20 ms a letter; the play-out is 240 ms ahead.
    let text = "aaaaa bbbbb ccccc ddddd eeeee fffff ggggg hhhhh iiiii jjjjj";
    let mut scene = Scene::new(false);
    scene.turn("opening hours");
    scene.reply(1, text);
    scene.voice(2, 1_000);
    scene.silence(500);
    scene.asked();
    scene.handle(Input::Digit { sequence: None, digit: "5" });
    let heard = scene.speech_heard();
    scene.silence(2_000);
    assert_eq!(scene.speech_heard(), heard, "nothing more is heard");
    // The last frame may not have been heard whole.
    let count = usize::try_from((heard - FRAME) / 100).unwrap();
    let words: Vec<&str> = text.split(' ').take(count).collect();
    let expected = format!("/ ward: {} / caller: 5", words.join(" "));
    let asked = last_asked(&mut scene);
    assert!(asked.ends_with(&expected), "{heard}: {asked}");
}

#[test]
fn the_first_line_is_always_the_callers() {
    let mut scene = Scene::new(false);
    for number in 0..limit::HISTORY_LINES_MAX {
        scene.turn(&format!("question {number}"));
        let asked = last_asked(&mut scene);
        assert!(
            asked.split_once(" caller:").is_some_and(|(head, _)| !head.contains(':')),
            "{asked}"
        );
        let request: u32 = asked.split(' ').nth(1).unwrap().parse().unwrap();
        scene.reply(request, "Yes.");
        scene.voice(request + 1, 100);
        scene.silence(300);
        scene.asked();
    }
}

#[test]
fn the_recorded_answer_is_remembered_as_far_as_it_was_heard() {
    let text = "I can help with appointments, opening hours and messages for a nurse.";
    let mut scene = Scene::new(false);
    scene.turn("I have a cold");
    scene.reply(1, "You should take two aspirin now. ");
    scene.silence(900);
    assert_eq!(scene.count_heard(Phrase::StoppedScope), 25);
    scene.turn("on tuesday then");
    let asked = last_asked(&mut scene);
    let expected = format!("caller: I have a cold / ward: {text}");
    assert!(asked.contains(&expected) && asked.ends_with("/ caller: on tuesday then"), "{asked}");
}

#[test]
fn a_reply_as_a_whole_is_no_longer_than_a_reply_may_be() {
    // 620 letters in sentences that each may be said.
    let sentence = format!("{}.", ["word"; 31].join(" "));
    for is_guessing in [false, true] {
        let mut scene = Scene::new(is_guessing);
        scene.turn("opening hours");
        scene.asked();
        scene.reply(1, &[sentence.as_str(); 4].join(" "));
        let said = scene.asked().iter().filter(|asked| asked.starts_with("say")).count();
        assert_eq!(said, 3, "600 letters are the most");
        assert_eq!(scene.call.counts().of(Count::ReplyStopped), 1);
    }
    // What was said before it does not count, also when the reply is begun as a guess.
    let mut scene = Scene::new(true);
    scene.turn("opening hours");
    scene.asked();
    scene.reply(1, &[sentence.as_str(); 3].join(" "));
    for number in 2..5 {
        scene.voice(number, 200);
    }
    scene.silence(1_200);
    scene.asked();
    scene.speak("and on monday", 600);
    scene.silence(140);
    assert_eq!(scene.asked().len(), 1);
    scene.reply(5, &sentence);
    assert_eq!(scene.asked(), [format!("say 6 {sentence}")]);
    assert_eq!(scene.call.counts().of(Count::ReplyStopped), 0);
}

#[test]
fn an_end_before_the_callers_last_words_is_no_end_of_them() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    // It comes late: they speak on.
    scene.turn_end("on tuesday");
    scene.speak("at ten", 300);
    scene.silence(40);
    assert_eq!(scene.call.counts().of(Count::Turn), 0);
    scene.speak("at ten please", 300);
    scene.silence(60);
    scene.turn_end("at ten please");
    scene.silence(20);
    assert!(last_asked(&mut scene).ends_with("caller: on tuesday at ten please"));
}

#[test]
fn words_are_kept_when_the_recogniser_begins_anew() {
    let mut scene = Scene::new(false);
    scene.speak("I need an appointment", 600);
    scene.report(Report::BegunAnew);
    scene.speak("on tuesday", 300);
    scene.silence(100);
    scene.turn_end("on tuesday");
    assert!(last_asked(&mut scene).ends_with("caller: I need an appointment on tuesday"));
    // Of a turn that was taken no final comes any more.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    scene.asked();
    scene.report(Report::BegunAnew);
    scene.turn("on tuesday please");
    assert!(last_asked(&mut scene).ends_with("caller: on tuesday on tuesday please"));
}

#[test]
fn a_reply_to_words_that_changed_is_not_heard_behind_a_filler() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    scene.asked();
    // All of it comes while the filler is heard.
    assert!(scene.count_heard(Phrase::Filler) > 0);
    scene.reply(1, "Tuesday it is.");
    scene.voice(2, 400);
    finally(&mut scene, "on thursday");
    scene.silence(60);
    assert!(last_asked(&mut scene).ends_with("caller: on thursday"));
    scene.silence(500);
    assert_eq!(scene.speech_heard(), 0);
}

#[test]
fn a_final_that_comes_after_a_noise_is_no_second_turn() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    scene.reply(1, "At ten?");
    scene.voice(2, 1_000);
    scene.silence(320);
    scene.asked();
    (0..16).for_each(|_| scene.frame(LOUD));
    scene.silence(1_100);
    assert_eq!(scene.call.counts().of(Count::FalseInterruption), 1);
    finally(&mut scene, "on tuesday");
    scene.silence(1_000);
    assert_eq!((scene.speech_heard(), scene.call.counts().of(Count::Turn)), (1_000, 1));
}
