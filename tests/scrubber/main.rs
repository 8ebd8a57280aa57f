//! What the scrubber finds and what it takes for an identifier, measured on invented lines.
//!
//! `generate.py` writes the lines, Faker and a fixed seed make them, and the figures are compared with
//! `docs/scrubber.md`. Floors say what may never be lost; a scanner that finds nothing and one that finds
//! everything fall through them. It never looks at lines of a real call: there are none here.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use ward_policy::scrub::{Class, Hits, scan};
use ward_tests::binaries::root;
use ward_tests::python::python;
use ward_tests::statistics::Share;

mod report;

/// Least recall and precision of each class, in per cent: what is known to be missed is below 100.
const FLOORS: [(Class, f64, f64); 8] = [
    (Class::E164, 95.0, 97.0),
    (Class::TwilioSid, 66.0, 99.0),
    (Class::Bearer, 68.0, 99.0),
    (Class::Jwt, 68.0, 99.0),
    (Class::Digits, 64.0, 80.0),
    (Class::Email, 77.0, 87.0),
    (Class::Base64, 79.0, 84.0),
    (Class::SpokenDigits, 56.0, 90.0),
];

/// One line of the data.
struct Row {
    class: Class,
    format: String,
    context: String,
    text: String,
    is_expected: bool,
}

/// Lines of one kind, and one of those that went wrong.
#[derive(Default, Clone)]
struct Tally {
    right: u64,
    all: u64,
    wrong: Option<String>,
}

impl Tally {
    fn add(&mut self, is_right: bool, text: &str) {
        self.right += u64::from(is_right);
        self.all += 1;
        if !is_right && self.wrong.is_none() {
            self.wrong = Some(text.to_owned());
        }
    }
}

/// What a scanner made of the lines of one class.
#[derive(Default, Clone)]
struct Outcome {
    /// Lines with an identifier in which its class was found.
    found: Tally,
    /// The same, whatever class was found: an alarm is an alarm.
    alarmed: Tally,
    /// Lines without one in which its class was not found.
    passed: Tally,
    by_format: BTreeMap<String, Tally>,
    by_context: BTreeMap<String, Tally>,
    by_false_alarm: BTreeMap<String, Tally>,
}

impl Outcome {
    fn recall(&self) -> Share {
        Share { part: self.found.right, of: self.found.all }
    }

    fn precision(&self) -> Share {
        let alarms = self.found.right + self.passed.all - self.passed.right;
        Share { part: self.found.right, of: alarms }
    }
}

fn measure(rows: &[Row], scanner: impl Fn(&[u8]) -> Hits) -> Vec<(Class, Outcome)> {
    let mut outcomes = Class::ALL.map(|class| (class, Outcome::default()));
    for row in rows {
        let hits = scanner(row.text.as_bytes());
        let is_found = hits.contains(row.class);
        let outcome = &mut outcomes[row.class as usize].1;
        if row.is_expected {
            outcome.found.add(is_found, &row.text);
            outcome.alarmed.add(!hits.is_empty(), &row.text);
            outcome.by_format.entry(row.format.clone()).or_default().add(is_found, &row.text);
            outcome.by_context.entry(row.context.clone()).or_default().add(is_found, &row.text);
        } else {
            outcome.passed.add(!is_found, &row.text);
            outcome.by_false_alarm.entry(row.format.clone()).or_default().add(!is_found, &row.text);
        }
    }
    outcomes.into()
}

/// Every class whose figures are under its floor, and which of them.
fn under_the_floor(outcomes: &[(Class, Outcome)]) -> Vec<(Class, &'static str)> {
    let mut under = Vec::new();
    for ((class, outcome), (floor, recall, precision)) in outcomes.iter().zip(FLOORS) {
        assert_eq!(*class, floor);
        if outcome.recall().percent() < recall {
            under.push((*class, "recall"));
        }
        // Without one alarm there is no precision, and that is no merit.
        if outcome.precision().of == 0 || outcome.precision().percent() < precision {
            under.push((*class, "precision"));
        }
    }
    under
}

fn generator() -> Command {
    python("scrubber", "generate.py", "scrubber-python", "faker")
}

fn row(line: &str) -> Row {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    let name = text("class");
    Row {
        class: Class::ALL.into_iter().find(|class| class.name() == name).unwrap(),
        format: text("format"),
        context: text("context"),
        text: text("text"),
        is_expected: value["expected"].as_bool().unwrap(),
    }
}

#[test]
fn recall_and_precision_are_what_the_document_says() {
    let output = generator().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Row> = data.lines().map(row).collect();
    for class in Class::ALL {
        let of = |is_expected| {
            rows.iter().filter(|row| row.class == class && row.is_expected == is_expected).count()
        };
        assert!(of(true) >= 2_000 && of(false) >= 2_000, "{}", class.name());
    }
    let outcomes = measure(&rows, scan);
    for (class, outcome) in &outcomes {
        println!(
            "{}: recall {}, precision {}",
            class.name(),
            outcome.recall(),
            outcome.precision()
        );
    }
    let report = report::document(&data, &outcomes);
    std::fs::create_dir_all(root().join("target")).unwrap();
    std::fs::write(root().join("target/scrubber.md"), &report).unwrap();
    assert_eq!(under_the_floor(&outcomes), [], "see target/scrubber.md");

    // The floors themselves: a scanner that finds nothing, and one that finds everything.
    let nothing = under_the_floor(&measure(&rows, |_line| Hits::default()));
    assert_eq!(nothing.iter().filter(|(_, figure)| *figure == "recall").count(), 8, "{nothing:?}");
    let all = scan(EVERY_CLASS.as_bytes());
    assert_eq!(all.iter().count(), Class::ALL.len());
    let everything = under_the_floor(&measure(&rows, |_line| all));
    assert_eq!(everything, Class::ALL.map(|class| (class, "precision")));

    let committed = std::fs::read_to_string(root().join("docs/scrubber.md")).unwrap_or_default();
    assert!(
        committed == report,
        "docs/scrubber.md is not what was measured: {}",
        report::REGENERATE
    );
}

/// A line with an identifier of each class.
const EVERY_CLASS: &str = "+14155550132 CA0123456789abcdef0123456789abcdef Bearer abcDEF123456 \
    eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl 123-45-6789 jane@example.com \
    //////////////////////////////////////////////////////////////////// one two three four five six";
