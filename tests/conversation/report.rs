//! `docs/faults.md`: what a caller hears when a vendor fails, as it was heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use ward::local_vendors::Part;
use ward_policy::phrase::Phrase;

use super::faults::{CALL_MAX, Row};
use ward_tests::binaries::root;

/// How it is made again.
const REGENERATE: &str =
    "cargo test -p ward-tests --test conversation; cp target/faults.md docs/faults.md";

/// Words that are said while all is well too, and depend on how fast the machine is.
const ORDINARY: [Phrase; 4] =
    [Phrase::Greeting, Phrase::Filler, Phrase::StillThere, Phrase::Goodbye];

/// Compares what was seen with what is written down.
pub(crate) fn compare(rows: &[Row]) {
    let text = document(rows, CALL_MAX);
    std::fs::create_dir_all(root().join("target")).unwrap();
    std::fs::write(root().join("target/faults.md"), &text).unwrap();
    let committed = std::fs::read_to_string(root().join("docs/faults.md")).unwrap_or_default();
    assert!(committed == text, "docs/faults.md is not what was heard: {REGENERATE}");
}

/// The document.
fn document(rows: &[Row], most: Duration) -> String {
    let mut text = format!(
        "# When a vendor fails\n\n\
         Each fault of [tests/vendors](../tests/vendors/README.md) is played for as long as a call lasts, in whole\n\
         conversations through the real deployment, by `tests/conversation`. This file is made by it and compared\n\
         with what it sees. There is one vendor for each service here; with a second one, no fault below is\n\
         noticed but by a moment's wait (`with_a_second_vendor_no_fault_is_noticed`).\n\n\
         No call of these was longer than {} s: {}.\n\n\
         What is heard besides the greeting, fillers, and questions whether the caller is still there; the longest of\n\
         the calls, as a class.\n",
        most.as_secs(),
        "what the clinic and the caller say, and every deadline of `policy/src/limit.rs` that applies once",
    );
    let mut parts: BTreeMap<Part, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        parts.entry(row.part).or_default().push(row);
    }
    for (part, mut rows) in parts {
        rows.sort_by_key(|row| row.name);
        let service = match part {
            Part::Asr => "Speech recognition",
            Part::Llm => "Language model",
            Part::Tts => "Speech synthesis",
        };
        write!(text, "\n## {service}\n\n| fault | the caller hears | the call | at most |\n")
            .unwrap();
        text.push_str("| --- | --- | --- | ---: |\n");
        for row in rows {
            let line = [row.name, &heard(&row.heard), row.end.words(), class(row.longest)];
            writeln!(text, "| {} |", line.join(" | ").trim_end()).unwrap();
        }
    }
    text
}

/// What was heard in every conversation.
fn heard(heard: &BTreeSet<Phrase>) -> String {
    let names: Vec<String> = heard
        .iter()
        .filter(|phrase| !ORDINARY.contains(phrase))
        .map(|phrase| format!("`{}`", phrase.name()))
        .collect();
    if names.is_empty() { "nothing of it".to_owned() } else { names.join(", ") }
}

/// A class of durations, coarse enough for any machine.
fn class(took: Duration) -> &'static str {
    let whole = took.as_secs();
    match whole {
        0..45 => "45 s",
        45..90 => "90 s",
        _ => "longer",
    }
}
