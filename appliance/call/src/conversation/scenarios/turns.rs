//! Turns: taken, guessed, interrupted, remembered.

use super::*;

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
        last.ends_with("/ ward: We are open every day of the week until six. / caller: thanks"),
        "{last}"
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
fn silence_takes_a_turn_that_the_recogniser_does_not_end() {
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    assert!(scene.requests.iter().any(|one| matches!(one, Request::Finalise)));
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    // The final that comes after it is the same turn.
    scene.turn_end("On Tuesday.");
    scene.silence(100);
    assert!(scene.asked().is_empty());
    // One that reads otherwise is taken instead, while nothing was heard.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    scene.asked();
    scene.turn_end("on thursday");
    assert_eq!(scene.asked(), ["cancel 1", "ask 2 caller: on thursday"]);
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
    // When they are settled later than that, at once.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(800);
    assert!(scene.asked().is_empty());
    pause(&mut scene, "on tuesday");
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    // When nobody settles them, after the whole silence.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(1_280);
    assert!(scene.asked().is_empty());
    scene.silence(40);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
}

#[test]
fn a_recogniser_that_lags_a_second_behind_makes_no_reply_begin_too_soon() {
    // What is heard at 600 ms of silence is how far the caller was 400 ms before they fell silent.
    for is_guessing in [false, true] {
        let mut scene = Scene::new(is_guessing);
        scene.speak("I would like", 800);
        scene.silence(300);
        scene.partial("I would like to book");
        scene.silence(300);
        scene.partial("I would like to book an appointment");
        scene.silence(300);
        assert_eq!(scene.call.counts().of(Count::Turn), 0);
        scene.turn_end("I would like to book an appointment please");
        scene.silence(100);
        assert_eq!(scene.call.counts().of(Count::Turn), 1);
        let asked = scene.asked().pop().unwrap();
        assert!(asked.ends_with("caller: I would like to book an appointment please"), "{asked}");
        assert_eq!(scene.call.counts().of(Count::BargeIn), 0);
    }
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
fn words_that_were_none_after_all_are_no_turn() {
    // Taken as a turn already: it is taken back, and asked about.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.silence(UNSETTLED);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    scene.report(Report::Final(Phi::new(String::new())));
    assert_eq!(scene.asked(), ["cancel 1"]);
    scene.silence(1_500);
    assert_eq!(scene.count_heard(Phrase::NotUnderstood), 25);
    scene.turn("on thursday");
    // Its number is after that of the recorded sentence.
    assert_eq!(scene.asked(), ["ask 3 caller: on thursday"]);
    // Only its end was none: the rest stands.
    let mut scene = Scene::new(false);
    scene.speak("on tuesday", 600);
    scene.report(Report::Final(Phi::new("on tuesday".to_owned())));
    scene.partial("oh");
    scene.silence(UNSETTLED);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday oh"]);
    scene.report(Report::Final(Phi::new(String::new())));
    assert_eq!(scene.asked(), ["cancel 1", "ask 2 caller: on tuesday"]);
    // A guess: nothing of it is heard.
    let mut scene = Scene::new(true);
    scene.speak("on tuesday", 600);
    scene.silence(200);
    assert_eq!(scene.asked(), ["ask 1 caller: on tuesday"]);
    scene.reply(1, "Fine.");
    scene.voice(2, 300);
    scene.report(Report::Final(Phi::new(String::new())));
    scene.silence(800);
    assert_eq!(scene.asked(), ["say 2 Fine.", "unsay"]);
    assert_eq!(scene.speech_heard(), 0);
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
fn keys_are_words() {
    let mut scene = Scene::new(false);
    for digit in ["4", "2"] {
        scene.handle(Input::Digit { sequence: None, digit });
        scene.silence(200);
    }
    scene.silence(1_500);
    assert_eq!(scene.asked(), ["ask 1 caller: 4 2"]);
}

#[test]
fn a_caller_who_did_not_go_on_after_all_is_answered() {
    // In silence, and while a filler is heard.
    for (is_guessing, wait) in [(false, 100), (true, 100), (false, 700), (true, 700)] {
        let mut scene = Scene::new(is_guessing);
        scene.turn("my name is john smith");
        scene.silence(wait);
        scene.asked();
        // A noise, in which the recogniser hears a word for a moment.
        scene.speak("tuesday", 100);
        scene.silence(60);
        scene.report(Report::Final(Phi::new(String::new())));
        scene.silence(100);
        let asked = scene.asked();
        let last = asked.iter().rfind(|asked| asked.starts_with("ask")).unwrap();
        assert!(last.ends_with("caller: my name is [NAME_1]"), "{asked:?}");
        let request: u32 = last.split(' ').nth(1).unwrap().parse().unwrap();
        scene.reply(request, "Thank you.");
        let said = scene.asked();
        let sentence = said[0].split(' ').nth(1).unwrap().parse().unwrap();
        scene.voice(sentence, 400);
        scene.silence(3_000);
        assert_eq!(scene.speech_heard(), 400, "{said:?}");
    }
}
