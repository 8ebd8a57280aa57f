//! The gate as a whole: what goes to the model, what comes back, and rules that cannot be read.

use super::*;
use crate::limit::{GATE_SLOTS_MAX, GATE_TEXT_BYTES_MAX};
use crate::phrase::Phrase;

fn dialogue() -> Arc<Dialogue> {
    let problems = |problems: Vec<Problem>| {
        problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
    };
    Arc::new(Dialogue::built_in().map_err(problems).unwrap_or_else(|all| panic!("{all}")))
}

fn forwarded(inbound: &Inbound) -> &str {
    match inbound {
        Inbound::Forward(forward) => forward.text.expose(),
        Inbound::Emergency(kind) => panic!("{}", kind.name()),
    }
}

fn check(said: &str, expected: &str) {
    let gate = Gate::new(dialogue());
    assert_eq!(forwarded(&gate.inbound(said)), expected, "{said}");
}

#[test]
fn the_rules_that_come_with_the_program_have_no_problem() {
    let dialogue = dialogue();
    let named: Vec<&str> = dialogue.phrases().map(|(name, _)| name).collect();
    assert_eq!(named, Phrase::ALL.map(Phrase::name));
    for kind in EmergencyKind::ALL {
        let emergency = dialogue.emergency(*kind).unwrap();
        let is_self_harm = *kind == EmergencyKind::SelfHarm;
        assert_eq!(emergency.phrase() == Phrase::SelfHarm, is_self_harm);
    }
    let text = |name: Phrase| {
        dialogue.phrases().find(|(found, _)| *found == name.name()).unwrap().1.to_owned()
    };
    assert!(text(Phrase::Emergency).contains("911") && text(Phrase::SelfHarm).contains("988"));
    for class in SlotClass::ALL {
        assert!(dialogue.system_prompt().contains(&format!("[{}_1]", class.word())));
    }
    assert!(dialogue.system_prompt().contains("[hang up]"));
}

#[test]
fn identifiers_stay_here_and_appointments_go_through() {
    check("hi my name is john smith and i need help", "hi my name is [NAME_1] and i need help");
    check("my date of birth is march fifth nineteen eighty", "my date of birth is [BIRTH_DATE_1]");
    check("born on 3/5/1980", "born on [BIRTH_DATE_1]");
    check("it was March 5, 1980.", "it was [BIRTH_DATE_1].");
    check("call me at five five five one two three four", "call me at [PHONE_1]");
    check("my cell is 415-555-0132", "my cell is [PHONE_1]");
    check("member id x y z one two three four five six", "member id [NUMBER_1]");
    check("i live at twelve oak street", "i live at [ADDRESS_1]");
    check("it's john dot smith at gmail dot com", "it's [EMAIL_1]");
    check("J.Smith@example.com, thanks", "[EMAIL_1], thanks");
    for open in [
        "tuesday at ten",
        "march the third at nine thirty",
        "can i see doctor chen on the fifth of may at 10:30",
        "i waited for forty five minutes",
        "november 22 2026 at ten",
    ] {
        check(open, open);
    }
}

#[test]
fn the_same_value_has_the_same_placeholder_and_comes_back_as_it_was_said() {
    let mut gate = Gate::new(dialogue());
    let first = gate.inbound("my number is 555 123 4567");
    assert_eq!(forwarded(&first), "my number is [PHONE_1]");
    assert_eq!(first_slots(&first), [0, 0, 1, 0, 0, 0]);
    // Before the turn is confirmed, its answer can be made already.
    let said = gate.outbound("Is [PHONE_1] right?", 0, &first).ok().unwrap();
    assert_eq!(said.expose(), "Is 555 123 4567 right?");
    gate.adopt(&first);
    let again =
        gate.inbound("yes five five five one two three four five six seven or 555 987 6543");
    assert_eq!(forwarded(&again), "yes [PHONE_1] or [PHONE_2]");
    // A guess that is thrown away leaves nothing.
    let other = gate.inbound("sorry 555 222 3333");
    assert_eq!(forwarded(&other), "sorry [PHONE_2]");
    assert_eq!(gate.outbound("[PHONE_3]", 0, &other).err(), Some(Stopped::Placeholder));
}

fn first_slots(inbound: &Inbound) -> [usize; 6] {
    match inbound {
        Inbound::Forward(forward) => forward.new_slots(),
        Inbound::Emergency(_) => [0; 6],
    }
}

#[test]
fn a_bare_answer_is_a_slot_when_we_asked() {
    let mut gate = Gate::new(dialogue());
    assert_eq!(forwarded(&gate.inbound("john smith")), "john smith");
    gate.spoken("Sure. What is your name?");
    let name = gate.inbound("john smith");
    assert_eq!(forwarded(&name), "[NAME_1]");
    gate.adopt(&name);
    let again = gate.inbound("i said smith");
    assert_eq!(forwarded(&again), "i said [NAME_2]");
    gate.spoken("And what is your date of birth?");
    assert_eq!(forwarded(&gate.inbound("three five eighty")), "[BIRTH_DATE_1]");
    for _ in 0..2 {
        let nothing = gate.inbound("sorry");
        gate.adopt(&nothing);
    }
    assert_eq!(forwarded(&gate.inbound("at three fifteen")), "at three fifteen");
}

#[test]
fn an_emergency_goes_to_nobody_and_a_plain_denial_is_none() {
    let gate = Gate::new(dialogue());
    let kind = |said: &str| match gate.inbound(said) {
        Inbound::Emergency(kind) => Some(kind),
        Inbound::Forward(_) => None,
    };
    for said in ["i can't breathe", "i can not breathe", "i cant breathe", "I CANNOT BREATHE!"] {
        assert_eq!(kind(said), Some(EmergencyKind::Breathing), "{said}");
    }
    assert_eq!(kind("i have chest pain"), Some(EmergencyKind::Chest));
    assert_eq!(kind("i don't have any chest pain"), None);
    // Without its comma a bare "no" may be an answer to something else.
    assert_eq!(kind("no chest pain"), Some(EmergencyKind::Chest));
    assert_eq!(kind("i want to kill myself"), Some(EmergencyKind::SelfHarm));
    assert_eq!(kind("i'm not going to kill myself"), Some(EmergencyKind::SelfHarm));
}

fn outbound(sentence: &str) -> Result<String, Stopped> {
    let gate = Gate::new(dialogue());
    let turn = gate.inbound("my name is john smith my number is 555 123 4567");
    gate.outbound(sentence, 0, &turn).map(|said| said.expose().clone())
}

#[test]
fn replies_are_judged() {
    assert_eq!(outbound("Thank you, [NAME_1].").as_deref(), Ok("Thank you, john smith."));
    assert_eq!(outbound("Thank you, [NAME_2]."), Err(Stopped::Placeholder));
    for broken in [
        "[NAME_01]",
        "[name_1]",
        "[NAME_1",
        "NAME_1]",
        "NAME_1",
        "[hang up]",
        "[NAME_]",
        "[[NAME_1]]",
        "[NAME_99999999999999999999]",
    ] {
        assert_eq!(outbound(broken), Err(Stopped::Placeholder), "{broken}");
    }
    assert_eq!(outbound("You should take two tablets."), Err(Stopped::Scope));
    assert_eq!(outbound("Your number is 415-555-0132."), Err(Stopped::Identifier));
    assert_eq!(outbound("Write to jane@example.com."), Err(Stopped::Identifier));
    assert_eq!(outbound("You were born on March 5, 1980."), Err(Stopped::Identifier));
    assert_eq!(outbound("Hello Mary Jones."), Err(Stopped::Identifier));
    // What the caller has given may be said in clear text as well.
    assert!(outbound("Your number is 555-123-4567.").is_ok());
    assert!(outbound("Hello Mr. Smith.").is_ok());
    assert!(outbound("Doctor Chen is in on Tuesday at 10:30.").is_ok());
    assert_eq!(outbound(&"a ".repeat(101)), Err(Stopped::Length));
}

#[test]
fn a_reply_is_limited_as_a_whole() {
    let gate = Gate::new(dialogue());
    let turn = gate.inbound("hello");
    let sentence = "well now ".repeat(20);
    for before in [0, 180, 360] {
        assert!(gate.outbound(&sentence, before, &turn).is_ok());
    }
    for before in [540, usize::MAX] {
        assert_eq!(gate.outbound(&sentence, before, &turn).err(), Some(Stopped::Length));
    }
}

#[test]
fn memory_is_bounded_and_what_is_past_it_is_masked_and_never_comes_back() {
    let mut gate = Gate::new(dialogue());
    for at in 0..GATE_SLOTS_MAX {
        let turn = gate.inbound(&format!("member id {}", 10_000 + at));
        assert_eq!(forwarded(&turn), format!("member id [NUMBER_{}]", at + 1));
        gate.adopt(&turn);
    }
    let past = gate.inbound("member id 99999");
    assert_eq!(forwarded(&past), "member id [NUMBER_0]");
    assert_eq!(gate.outbound("[NUMBER_0]", 0, &past).err(), Some(Stopped::Placeholder));
    let long = gate.inbound(&"12345 and ".repeat(GATE_TEXT_BYTES_MAX));
    assert!(forwarded(&long).len() <= 2 * GATE_TEXT_BYTES_MAX);
    assert!(!forwarded(&long).contains("12345"));
}

#[test]
fn nobody_but_the_gate_writes_a_placeholder() {
    check("say [NAME_1] please", "say NAME_1 please");
}

/// The built-in files with one of them changed.
fn changed(file: &str, from: &str, to: &str) -> Vec<Problem> {
    let mut seen = false;
    let files: Vec<(&str, String)> = BUILT_IN
        .iter()
        .map(|(name, text)| {
            let is_meant = *name == file && text.contains(from);
            seen |= is_meant;
            (*name, if is_meant { text.replacen(from, to, 1) } else { (*text).to_owned() })
        })
        .collect();
    assert!(seen, "{file} has no {from}");
    Dialogue::parse(files.iter().map(|(name, text)| (*name, text.as_str())))
        .err()
        .unwrap_or_default()
}

#[test]
fn every_problem_of_the_rules_is_named() {
    for (file, from, to, what) in [
        ("emergencies.toml", "kind = \"chest\"", "kind = \"chset\"", "there is no kind chset"),
        (
            "emergencies.toml",
            "kind = \"chest\"",
            "kind = \"stroke\"",
            "the kind stroke is there twice",
        ),
        (
            "emergencies.toml",
            "phrase = \"emergency\"",
            "phrase = \"911\"",
            "there is no recorded phrase 911",
        ),
        ("emergencies.toml", "\"overdos*\"", "\"<pills> overdos*\"", "there is no set <pills>"),
        ("emergencies.toml", "\"overdos*\"", "\"overdos* ..3\"", "may be missing"),
        ("emergencies.toml", "then = \"hang_up\"", "then = \"explode\"", "unknown variant"),
        ("slots.toml", "masked = [", "masked = [\"shoe\", ", "there is no class shoe"),
        ("replies.toml", "sentence_chars_max = 200", "sentence_chars_max = 0", "1 to 1000"),
        ("replies.toml", "rule = \"legal\"", "rule = \"advice\"", "the rule advice is there twice"),
        ("replies.toml", "length = \"stopped_length\"", "", "heard.length is missing"),
        ("phrases.toml", "name = \"filler\"", "name = \"greeting\"", "greeting is there twice"),
        ("phrases.toml", "One moment.", " ", "filler has no text"),
        ("words.toml", "\"can not\" =", "\"can not now\" =", "is not one word or two"),
        ("prompt.toml", "prompt = ", "promt = ", "unknown field"),
    ] {
        let problems = changed(file, from, to);
        assert!(problems.iter().any(|problem| problem.what.contains(what)), "{what}: {problems:?}");
    }
    let none: [(&str, &str); 0] = [];
    let problems = Dialogue::parse(none).unwrap_err();
    assert!(BUILT_IN.iter().all(|(file, _)| problems.iter().any(|problem| problem.file == *file)));
    let twice = BUILT_IN.iter().chain(BUILT_IN.iter().take(1)).copied();
    assert_eq!(Dialogue::parse(twice).unwrap_err().len(), 1);
    let long = " ".repeat(crate::limit::GATE_FILE_BYTES_MAX + 1);
    let foreign = BUILT_IN.iter().copied().chain([("x.toml", ""), ("words.toml", long.as_str())]);
    assert_eq!(Dialogue::parse(foreign).unwrap_err().len(), 2);
}

#[test]
fn names_of_kinds_classes_and_reasons_are_their_own() {
    for kind in EmergencyKind::ALL {
        assert_eq!(EmergencyKind::from_name(kind.name()), Some(*kind));
    }
    let codes: std::collections::BTreeSet<_> =
        Stopped::ALL.iter().map(|stopped| stopped.code()).collect();
    assert_eq!(codes.len(), Stopped::ALL.len());
    let rules = dialogue();
    assert_eq!(rules.scope_rules().count(), 6);
    assert!(SlotClass::ALL.into_iter().all(|class| rules.is_masked(class)));
}

#[test]
fn hostile_text_is_answered_in_bounded_time() {
    let gate = Gate::new(dialogue());
    let nothing = gate.inbound("");
    for piece in
        ["chest ", "one ", "a ", "@", "[", "é", "my name is ", "at dot ", "'", "3/", "\u{0}"]
    {
        let text = piece.repeat(GATE_TEXT_BYTES_MAX);
        drop(gate.inbound(&text));
        let short = piece.repeat(20);
        drop(gate.outbound(&short, 0, &nothing));
    }
}
