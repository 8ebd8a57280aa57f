//! Our kernel's configuration against the published list of hardening options, `nix/kernel/hardening`.
//!
//! The judge is calibrated first: Debian's cloud kernel has the score that the list's own tool gives it. Then
//! every row that our kernel does not meet must stand in `nix/kernel/exceptions` with a reason, and nothing
//! else may stand there. Builds nothing: what is judged is the configuration that a build left behind and
//! compares with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use ward_tests::binaries::root;

/// Rows of the list for this architecture.
const ROWS: usize = 259;
/// What the list's own tool says of Debian's cloud kernel 6.1.
const CALIBRATION: usize = 127;
/// The least that ships, of `ROWS`.
const FLOOR: usize = 225;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A kernel's configuration as the list asks about it.
struct Config {
    version: Vec<u32>,
    options: BTreeMap<String, String>,
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut version = Vec::new();
        let mut options = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, value)) =
                line.strip_prefix("CONFIG_").and_then(|rest| rest.split_once('='))
            {
                options.insert(name.to_owned(), value.to_owned());
            } else if let Some(name) =
                line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"))
            {
                options.insert(name.to_owned(), "off".to_owned());
            } else if let Some(rest) = line.strip_prefix("# Linux/x86 ") {
                let number = rest.split_whitespace().next().expect("a version");
                version = number.split('.').map(|part| part.parse().expect("a number")).collect();
            }
        }
        assert!(!version.is_empty(), "a configuration says which kernel it is of");
        Self { version, options }
    }

    /// Whether one part of an expression holds.
    fn meets(&self, part: &str) -> bool {
        if let Some(least) = part.strip_prefix("version>=") {
            let least: Vec<u32> = least.split('.').map(|n| n.parse().expect("a number")).collect();
            return self.version >= least;
        }
        let (name, wanted) = part.split_once('=').expect("an option and its value");
        let value = self.options.get(name).map(String::as_str);
        match wanted {
            "off" => value.is_none_or(|v| v == "off"),
            "present" => value.is_some(),
            "max" => {
                value.is_some()
                    && value == self.options.get(&format!("{name}_MAX")).map(String::as_str)
            }
            list if list.starts_with('*') => {
                value.is_some_and(|v| v.contains(list.trim_matches('*')))
            }
            plain => value == Some(plain),
        }
    }
}

/// A row of the list: who asks for it, and what must hold.
struct Row {
    source: String,
    expression: String,
}

impl Row {
    fn met_by(&self, config: &Config) -> bool {
        self.expression
            .split(" | ")
            .any(|side| side.split(" & ").all(|part| config.meets(part.trim())))
    }

    /// The first option, which the row is named by.
    fn name(&self) -> &str {
        self.expression.split([' ']).next().expect("an option")
    }
}

fn rows() -> Vec<Row> {
    read("nix/kernel/hardening")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (source, expression) = line.split_once("  ").expect("a source and an expression");
            Row { source: source.to_owned(), expression: expression.trim().to_owned() }
        })
        .collect()
}

/// Names and reasons.
fn exceptions(text: &str) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, reason) = line.split_once("  ").expect("a row and a reason");
        assert!(reason.trim().len() > 7, "{name}: a reason, in words");
        assert!(named.insert(name.to_owned(), reason.trim().to_owned()).is_none(), "{name}: twice");
    }
    named
}

/// What is wrong between what a kernel does not meet and what is excepted; empty when nothing is.
fn complaints(unmet: &BTreeSet<String>, excepted: &BTreeMap<String, String>) -> Vec<String> {
    let unexplained = unmet.iter().filter(|name| !excepted.contains_key(*name));
    let stale = excepted.keys().filter(|name| !unmet.contains(*name));
    unexplained
        .map(|n| format!("{n}: not met, no reason"))
        .chain(stale.map(|n| format!("{n}: stale")))
        .collect()
}

fn resolved() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root().join("nix/kernel/resolved"))
        .expect("nix/kernel/resolved")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "at least one kernel is built");
    files
}

fn unmet(config: &Config) -> BTreeSet<String> {
    rows().iter().filter(|row| !row.met_by(config)).map(|row| row.name().to_owned()).collect()
}

#[test]
fn the_list_is_whole_and_the_judge_agrees_with_the_lists_own_tool() {
    let rows = rows();
    assert_eq!(rows.len(), ROWS);
    let sources =
        ["checker", "clipos", "defconfig", "grapheneos", "grsec", "kspp", "lockdown", "maintainer"];
    for row in &rows {
        assert!(sources.contains(&row.source.as_str()), "{}: unknown source", row.expression);
    }
    let debian = Config::parse(&read("tests/image/debian-6.1-cloud.config"));
    assert_eq!(rows.iter().filter(|row| row.met_by(&debian)).count(), CALIBRATION);
    // Negative control: a judge that is content with everything, or with nothing, would not give this.
    let nothing = Config { version: vec![6, 1, 0], options: BTreeMap::new() };
    let empty = rows.iter().filter(|row| row.met_by(&nothing)).count();
    assert!(
        empty > 50 && empty < CALIBRATION + 50,
        "{empty} rows are met by a kernel without options"
    );
}

#[test]
fn our_kernel_meets_the_list_but_for_what_is_explained() {
    let excepted = exceptions(&read("nix/kernel/exceptions"));
    for file in resolved() {
        let config = Config::parse(&fs::read_to_string(&file).expect("a configuration"));
        let unmet = unmet(&config);
        let score = ROWS - unmet.len();
        println!("{}: {score} of {ROWS}", file.display());
        assert!(score >= FLOOR, "{}: {score} of {ROWS}", file.display());
        assert_eq!(complaints(&unmet, &excepted), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn an_option_that_is_lost_and_an_exception_that_is_stale_are_noticed() {
    let mut excepted = exceptions(&read("nix/kernel/exceptions"));
    for file in resolved() {
        let mut config = Config::parse(&fs::read_to_string(&file).expect("a configuration"));
        config.options.insert("IO_URING".to_owned(), "y".to_owned());
        config.options.remove("VMAP_STACK");
        let found = complaints(&unmet(&config), &excepted);
        assert_eq!(found, ["IO_URING=off: not met, no reason", "VMAP_STACK=y: not met, no reason"]);
    }
    excepted.insert("KSM=off".to_owned(), "no reason at all".to_owned());
    let config = Config::parse(&fs::read_to_string(&resolved()[0]).expect("a configuration"));
    assert_eq!(complaints(&unmet(&config), &excepted), ["KSM=off: stale"]);
}

/// The fragment's own lines: name, value, reason.
fn fragment() -> Vec<(String, String, String)> {
    read("nix/kernel/fragment")
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .map(|line| {
            let (setting, reason) =
                line.split_once("  # ").unwrap_or_else(|| panic!("no reason: {line}"));
            let (name, value) = setting.split_once('=').expect("a value");
            (name.trim_start_matches("CONFIG_").to_owned(), value.to_owned(), reason.to_owned())
        })
        .collect()
}

#[test]
fn what_was_asked_for_is_what_was_built() {
    let asked = fragment();
    let names: BTreeSet<_> = asked.iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), asked.len(), "a line is written twice");
    for file in resolved() {
        let config = Config::parse(&fs::read_to_string(&file).expect("a configuration"));
        for (name, value, reason) in &asked {
            assert!(!reason.is_empty(), "{name}: a reason");
            let is = config.options.get(name).map_or("off", String::as_str);
            let wanted = if value == "n" { "off" } else { value };
            assert_eq!(is, wanted, "{name} in {}", file.display());
        }
    }
}

#[test]
fn the_command_line_is_the_one_that_pid_1_compares_with() {
    let compiled =
        fragment().into_iter().find(|(name, ..)| name == "CMDLINE").expect("a command line").1;
    assert_eq!(compiled.trim_matches('"'), read("policy/boot/cmdline").trim_end());
}
