//! What the gate keeps from a model, what it stops, and what passes, measured on invented sentences.
//!
//! `held_out/` was written before the rules, `fresh/` after them, both in the manner of callers and of models; rules are
//! tuned on `development/` alone. `generate.py` fills in names and numbers, and the figures are compared with
//! `docs/gate.md`. Floors say what may never be lost; rules that are emptied fall through them, and so does a gate that
//! stops everything. It never looks at words of a real call: there are none here.

use std::collections::BTreeMap;
use std::sync::Arc;

use ward_policy::gate::{BUILT_IN, Dialogue};
use ward_tests::binaries::root;
use ward_tests::python::python;
use ward_tests::statistics::Share;

mod report;
mod verdict;

use verdict::{Judge, Row, Verdict};

/// Least recall and precision of each class on the held-out sentences, in per cent.
const FLOORS: [(&str, &str, f64, f64); 23] = [
    ("slots", "name", 80.0, 90.0),
    ("slots", "birth_date", 92.0, 95.0),
    ("slots", "phone", 95.0, 95.0),
    ("slots", "number", 95.0, 90.0),
    ("slots", "address", 80.0, 95.0),
    ("slots", "email", 95.0, 95.0),
    ("emergencies", "chest", 95.0, 85.0),
    ("emergencies", "breathing", 95.0, 85.0),
    ("emergencies", "stroke", 95.0, 80.0),
    ("emergencies", "bleeding", 92.0, 80.0),
    ("emergencies", "unconscious", 85.0, 75.0),
    ("emergencies", "overdose", 90.0, 75.0),
    ("emergencies", "self_harm", 95.0, 80.0),
    ("emergencies", "allergic", 90.0, 80.0),
    ("replies", "advice", 85.0, 75.0),
    ("replies", "diagnosis", 90.0, 80.0),
    ("replies", "dosage", 90.0, 80.0),
    ("replies", "legal", 90.0, 75.0),
    ("replies", "financial", 85.0, 75.0),
    ("replies", "promise", 90.0, 75.0),
    ("replies", "identifier", 90.0, 90.0),
    ("replies", "length", 100.0, 100.0),
    ("replies", "placeholder", 100.0, 90.0),
];

/// Templates of a held-out class, each way, at least.
const TEMPLATES_MIN: usize = 40;

/// Lines of one kind that went right, and one of them.
#[derive(Default, Clone)]
struct Tally {
    found: u64,
    own: u64,
    all: u64,
    /// One that was found: its text, and what became of it.
    hit: Option<(String, String)>,
    /// One that was not.
    miss: Option<(String, String)>,
}

impl Tally {
    fn add(&mut self, row: &Row, verdict: &Verdict) {
        self.all += 1;
        self.found += u64::from(verdict.is_found);
        self.own += u64::from(verdict.is_own);
        let example = if verdict.is_found { &mut self.hit } else { &mut self.miss };
        if example.is_none() {
            *example = Some((row.text.clone(), verdict.shown.clone()));
        }
    }
}

/// What came of the lines of one class, by template: those that have something, those that have nothing.
#[derive(Default, Clone)]
struct Outcome {
    with: BTreeMap<String, Tally>,
    without: BTreeMap<String, Tally>,
}

fn sum(templates: &BTreeMap<String, Tally>, of: impl Fn(&Tally) -> u64) -> u64 {
    templates.values().map(of).sum()
}

impl Outcome {
    fn recall(&self) -> Share {
        Share { part: sum(&self.with, |tally| tally.found), of: sum(&self.with, |tally| tally.all) }
    }

    fn own(&self) -> Share {
        Share { part: sum(&self.with, |tally| tally.own), of: sum(&self.with, |tally| tally.all) }
    }

    fn precision(&self) -> Share {
        let right = sum(&self.with, |tally| tally.found);
        Share { part: right, of: right + sum(&self.without, |tally| tally.found) }
    }
}

/// Source and class, and what came of them, in the order of [`FLOORS`].
type Outcomes = Vec<(&'static str, &'static str, Outcome)>;

fn measure(rows: &[Row], judge: impl Fn(&Row) -> Verdict) -> Outcomes {
    let mut outcomes: Outcomes =
        FLOORS.iter().map(|(source, class, _, _)| (*source, *class, Outcome::default())).collect();
    for row in rows {
        let (_, _, outcome) = outcomes
            .iter_mut()
            .find(|(source, class, _)| *source == row.source && *class == row.class)
            .unwrap();
        let templates = if row.is_expected { &mut outcome.with } else { &mut outcome.without };
        templates.entry(row.template.clone()).or_default().add(row, &judge(row));
    }
    outcomes
}

/// Every class whose figures are under its floor, and which of them.
fn under_the_floor(outcomes: &Outcomes) -> Vec<(&'static str, &'static str)> {
    let mut under = Vec::new();
    for ((_, class, outcome), (_, _, recall, precision)) in outcomes.iter().zip(FLOORS) {
        if outcome.recall().percent() < recall {
            under.push((*class, "recall"));
        }
        // Without one hit there is no precision, and that is no merit.
        if outcome.precision().of == 0 || outcome.precision().percent() < precision {
            under.push((*class, "precision"));
        }
    }
    under
}

fn data(dialogue: &Dialogue, folder: &str, seed: &str) -> String {
    let most = dialogue.sentence_chars_max().to_string();
    let mut generator = python("gate", "generate.py", "scrubber-python", "faker");
    let output = generator.args([folder, seed, &most]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn built_in() -> Arc<Dialogue> {
    Arc::new(Dialogue::built_in().unwrap())
}

/// The same files with every list of phrases, classes and limits emptied. What the language of the rules does not let
/// anyone empty is a phrase that nobody says.
fn emptied() -> Arc<Dialogue> {
    let files: Vec<(&str, String)> =
        BUILT_IN.iter().map(|(name, text)| (*name, without_rules(text))).collect();
    Arc::new(Dialogue::parse(files.iter().map(|(name, text)| (*name, text.as_str()))).unwrap())
}

fn without_rules(text: &str) -> String {
    let mut kept = String::new();
    let mut is_inside = false;
    for line in text.lines() {
        let line = match line.split_once(" = ") {
            Some(("phrases", list)) => {
                is_inside = !list.trim_end().ends_with(']');
                "phrases = [\"zzyzx\"]"
            }
            Some(("masked", _)) => "masked = []",
            Some(("identifiers", _)) => "identifiers = []",
            Some(("sentence_chars_max", _)) => "sentence_chars_max = 1000",
            Some(("reply_chars_max", _)) => "reply_chars_max = 1000",
            _ if is_inside => {
                is_inside = line.trim() != "]";
                continue;
            }
            _ => line,
        };
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn rows(data: &str) -> Vec<Row> {
    data.lines().map(Row::parse).collect()
}

#[test]
fn recall_and_precision_are_what_the_document_says() {
    let dialogue = built_in();
    let (held_out, fresh) =
        (data(&dialogue, "held_out", "20261122"), data(&dialogue, "fresh", "20261124"));
    let judge = Judge::new(&dialogue);
    let held_out_rows = rows(&held_out);
    let outcomes = measure(&held_out_rows, |row| judge.judge(row));
    for (_, class, outcome) in &outcomes {
        let (with, without) = (outcome.with.len(), outcome.without.len());
        let is_enough = with >= TEMPLATES_MIN && without >= TEMPLATES_MIN || *class == "length";
        assert!(is_enough && outcome.recall().of >= 300, "{class}: {with}, {without}");
        println!("{class}: recall {}, precision {}", outcome.recall(), outcome.precision());
    }
    let fresh_outcomes = measure(&rows(&fresh), |row| judge.judge(row));
    let report = report::document(&dialogue, &[&held_out, &fresh], &outcomes, &fresh_outcomes);
    std::fs::create_dir_all(root().join("target")).unwrap();
    std::fs::write(root().join("target/gate.md"), &report).unwrap();
    assert_eq!(under_the_floor(&outcomes), [], "see target/gate.md");

    // The floors themselves. With the rules emptied nothing is found; only what a placeholder is stands in no rule.
    let empty = Judge::new(&emptied());
    let nothing = measure(&held_out_rows, |row| empty.judge(row));
    let under = under_the_floor(&nothing);
    for (_, class, outcome) in &nothing {
        let is_data = *class != "placeholder";
        assert_eq!(outcome.recall().part == 0, is_data, "{class}: {}", outcome.recall());
        assert_eq!(under.contains(&(*class, "recall")), is_data, "{class}");
    }
    // A gate that takes everything for something.
    let always = Verdict { is_found: true, is_own: true, shown: String::new() };
    let everything = under_the_floor(&measure(&held_out_rows, |_row| always.clone()));
    assert_eq!(everything, FLOORS.map(|(_, class, _, _)| (class, "precision")));

    let committed = std::fs::read_to_string(root().join("docs/gate.md")).unwrap_or_default();
    assert!(committed == report, "docs/gate.md is not what was measured: {}", report::REGENERATE);
}

/// No sentence is in two of the folders: what rules are tuned on measures nothing.
#[test]
fn no_template_is_both_tuned_on_and_measured_on() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for folder in ["held_out", "fresh", "development"] {
        for entry in std::fs::read_dir(root().join("tests/gate").join(folder)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines().filter(|line| line.starts_with("+ ")) {
                let other = seen.insert(line.to_owned(), folder.to_owned());
                let is_new = other.as_ref().is_none_or(|other| other == folder);
                assert!(is_new, "{line}: {other:?} and {folder}");
            }
        }
    }
    assert!(seen.len() > 900, "{}", seen.len());
}
