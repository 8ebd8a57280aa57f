//! Nothing of what was said is in a log line, and each line is one of those that are published.

use ward::deployment::Deployment;
use ward::log_lines::Line;
use ward_policy::audit::Role;
use ward_policy::line::judge_published;

use super::{BORN, NAME};

/// Words of the caller, of the clinic and of the stand-ins' replies that no event has.
const WORDS: [&str; 12] = [
    "appointment please",
    "tuesday",
    "certainly",
    "date of birth",
    "may i have",
    "is that right",
    "aaronson",
    "aspirin",
    "which day",
    "[name_",
    "[birth",
    "book an",
];

/// What is wrong with lines of the log: one that is not as published, a word of a conversation, a key, a role that
/// ended or panicked.
pub(crate) fn problems(lines: &[Line], keys: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for line in lines {
        if let Err(fault) = judge_published(line.text.as_bytes()) {
            problems.push(format!("{}: {}", fault.code(), line.text));
        }
        let text = line.text.to_lowercase();
        let names = NAME.split(' ').chain([BORN, "fifth", "nineteen", "eighty"]);
        for word in names.chain(WORDS) {
            if text.contains(word) {
                problems.push(format!("{word} in {}", line.text));
            }
        }
        if keys.iter().any(|key| line.text.contains(key)) {
            problems.push("a key in the log".to_owned());
        }
        for event in ["panicked", "role_ended", "line_refused", "scrubber_alarm", "line_dropped"] {
            if line.is_event(event) {
                problems.push(format!("{event}: {}", line.text));
            }
        }
    }
    problems
}

/// The same of everything that a deployment has logged; at least the calls must be in it.
pub(crate) fn check(deployment: &Deployment, lines: &[Line], calls: usize) {
    let keys: Vec<String> = deployment.keys().iter().map(|(_, key)| key.expose().clone()).collect();
    let found = problems(lines, &keys);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let ended = lines.iter().filter(|line| line.is_event("call_ended")).count();
    assert_eq!(ended, calls, "calls in the log");
}

#[test]
fn a_planted_name_a_key_and_a_line_that_is_none_are_found() {
    let place = r#"{"boot":"0123456789abcdef","seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#;
    let line = |rest: &str| Line { role: Role::Media, text: format!("{place}{rest}") };
    let good = line(r#""at_ms":7,"role":"media","event":"stopped"}"#);
    let key = ["a key of forty characters, or about that".to_owned()];
    assert_eq!(problems(std::slice::from_ref(&good), &key), Vec::<String>::new());
    for (planted, least) in [
        (r#""at_ms":7,"role":"media","event":"stopped","who":"John"}"#, 2),
        (r#""at_ms":7,"role":"media","event":"march the fifth nineteen eighty"}"#, 2),
        (r#""at_ms":7,"role":"media","event":"a key of forty characters, or about that"}"#, 2),
        (r#""at_ms":7,"role":"media","event":"stopped"#, 1),
    ] {
        let found = problems(&[line(planted)], &key);
        assert!(found.len() >= least, "{planted}: {found:?}");
    }
}
