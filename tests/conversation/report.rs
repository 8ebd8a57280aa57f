//! `docs/faults.md`: what a caller hears when a vendor fails, as it was heard.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use ward_policy::phrase::Phrase;
use ward_policy::service::Service;

use super::faults::{CALL_MAX, Row};
use ward_tests::binaries::root;

/// How it is made again.
const REGENERATE: &str =
    "cargo test -p ward-tests --test conversation; cp target/faults.md docs/faults.md";

/// Calls that end in their first turn are shorter.
const SHORT: Duration = Duration::from_secs(28);

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
         What a caller hears, in whole conversations through the real deployment with the faults of the\n\
         [stand-ins](../tests/vendors/README.md), each played for as long as the call lasts. There is one vendor for each\n\
         service here. With a second one for model and voice, a fault of the first costs no caller their booking\n\
         (`tests/conversation/faults.rs`).\n\n\
         No call may last longer than {} s:\n{}.\n\n\
         The recorded phrases are those of `policy/dialogue/phrases.toml` that every caller heard, by every byte of the\n\
         recording or by its words. A greeting, fillers and the question whether somebody is still there are heard\n\
         besides; an apology that comes while something else is said cuts it short. The last column is a class of the\n\
         longest call, coarse enough for any machine.\n\n\
         Made by `cargo test -p ward-tests --test conversation`, then `cp target/faults.md docs/faults.md`; do not edit.\n",
        most.as_secs(),
        "seven turns of ten seconds, `REPLY_DEADLINE` as often as `FAILURES_MAX`, and the last words",
    );
    let mut parts: BTreeMap<Service, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        parts.entry(row.part).or_default().push(row);
    }
    for (part, mut rows) in parts {
        rows.sort_by_key(|row| row.name);
        let service = match part {
            Service::Recogniser => "Speech recognition",
            Service::Model => "Language model",
            Service::Voice => "Speech synthesis",
        };
        write!(text, "\n## {service}\n\n| fault | the caller hears | the call | at most |\n")
            .unwrap();
        text.push_str("| --- | --- | --- | ---: |\n");
        for row in rows {
            let line = [row.name, &heard(row.heard), row.end.words(), &class(row.longest)];
            writeln!(text, "| {} |", line.join(" | ").trim_end()).unwrap();
        }
    }
    text
}

fn heard(heard: &[Phrase]) -> String {
    let names: Vec<String> = heard.iter().map(|phrase| format!("`{}`", phrase.name())).collect();
    if names.is_empty() { "nothing of it".to_owned() } else { names.join(", ") }
}

/// A class of durations, coarse enough for any machine.
fn class(took: Duration) -> String {
    let class = if took < SHORT { SHORT } else { CALL_MAX };
    format!("{} s", class.as_secs())
}
