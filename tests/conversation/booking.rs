//! `ward demo --vendors local` as an operator runs it: a booking, its figures, and no word of it in them.

use std::process::{Command, Output};

use serde_json::Value;
use ward_tests::binaries::{release, root};

use super::{BORN, NAME, alone, servers};

/// Sentences that have nothing to do with a clinic, of the set that nothing was chosen with.
const UNRELATED: usize = 2;

fn demo(wish: Option<&str>) -> Output {
    let mut command = Command::new(release("ward"));
    command.current_dir(root()).args(["demo", "--vendors", "local", "--json"]);
    command.args(wish.iter().flat_map(|wish| ["--wish", wish]));
    command.output().unwrap()
}

/// The one JSON object on standard output.
fn figures(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.trim().lines().count(), 1, "one JSON object: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Words of a conversation in a text.
fn words_in(text: &str) -> Vec<&'static str> {
    let words = NAME.split(' ').chain([BORN, "tuesday", "march", "certainly", "is that right"]);
    let text = text.to_lowercase();
    words.filter(|word| text.contains(word)).collect()
}

#[test]
fn the_demo_books_and_its_figures_hold_no_word_of_it() {
    let _alone = alone();
    drop(servers());
    let output = demo(None);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let figures = figures(&output);
    assert_eq!(figures["is_booked"], true);
    assert_eq!(figures["server_reason"], "agent_finished");
    // A booking is six turns; each has its ledger, with numbers alone.
    let turns = figures["turns"].as_array().unwrap();
    assert!(turns.len() >= 6, "{turns:?}");
    // A turn that was taken anew is counted twice and answered once.
    assert!(Some(turns.len() as u64) <= figures["server_counts"]["turn"].as_u64());
    for turn in turns {
        let fields = turn.as_object().unwrap();
        assert!(fields.len() >= 4, "{turn}");
        assert!(fields.values().all(|value| value.is_number() || value.is_boolean()), "{turn}");
    }
    assert_eq!(words_in(&figures.to_string()), Vec::<&str>::new());
    // The control: who watches is told, on the other stream.
    assert!(words_in(&errors).len() >= 4, "{errors}");
}

#[test]
fn who_wants_something_else_books_nothing() {
    let _alone = alone();
    drop(servers());
    let file = std::fs::read_to_string(root().join("tests/vendors/sentences.json")).unwrap();
    let sentences: Value = serde_json::from_str(&file).unwrap();
    let sentences = sentences["unrelated, new"].as_array().unwrap();
    for sentence in sentences.iter().take(UNRELATED).map(|one| one.as_str().unwrap()) {
        let output = demo(Some(sentence));
        let figures = figures(&output);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(figures["is_booked"], false, "{sentence}\n{told}");
        assert_eq!(output.status.code(), Some(1), "{sentence}");
    }
}
