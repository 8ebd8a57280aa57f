//! `ward metrics`: what the roles have counted, from their log, in Prometheus's text format.
//!
//! It listens on no port and keeps nothing: a scraper's `textfile` collector, or a person, reads what it
//! prints. Every name and label value is from a closed list; of a line that is not by the book nothing is
//! printed, and it is counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use serde_json::{Value, json};
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::line::judge_published;
use ward_policy::metric::{
    CALLS_LIVE, COUNTS_FAMILY, DURATION_BUCKETS_S, DURATION_FAMILY, EVENTS_FAMILY,
    LINES_SUPPRESSED, METRICS, PROOF_FAMILY, SUM_MS, families,
};

use crate::console::{Console, Failure};

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A log; without it, standard input.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] when the log cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let mut totals = Totals::default();
    let read = match &arguments.file {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| Failure::file(path, error))?;
            totals.read(BufReader::new(file)).map_err(|error| Failure::file(path, error))
        }
        None => totals
            .read(std::io::stdin().lock())
            .map_err(|error| Failure::Usage(format!("standard input: {error}"))),
    };
    read?;
    console.either(&totals.object(), &totals.exposition());
    Ok(true)
}

/// Numbers by family and name; those that are in no family stand under their own name in [`PLAIN`].
type Numbers = BTreeMap<(&'static str, &'static str), u64>;

/// Where the numbers without a family stand.
const PLAIN: &str = "";

/// What one role has counted, over all its processes in the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counted {
    /// Of the processes that are over.
    before: Numbers,
    /// The latest record of the process that came last.
    latest: Numbers,
}

impl Counted {
    /// Another process of the role has started: it counts from zero.
    fn restart(&mut self) {
        for (name, value) in std::mem::take(&mut self.latest) {
            let slot = self.before.entry(name).or_default();
            *slot = slot.saturating_add(value);
        }
        // The calls of a process that is over are over.
        self.before.remove(&(PLAIN, CALLS_LIVE));
    }
}

/// What a log says.
#[derive(Debug, Default)]
struct Totals {
    /// By boot, which is empty when the lines name none, and role.
    counted: BTreeMap<(String, &'static str), Counted>,
    /// The boot that each role was seen in last: only its calls are live.
    boots: BTreeMap<&'static str, String>,
    refused: u64,
}

impl Totals {
    /// Reads a log to its end, and of each line no more than a legal one can have.
    fn read(&mut self, mut log: impl BufRead) -> std::io::Result<()> {
        const MOST: usize = limit::LOG_LINE_BYTES_MAX + limit::LOG_CHAIN_BYTES_MAX + 1;
        let mut line = Vec::with_capacity(MOST);
        loop {
            line.clear();
            let most = u64::try_from(MOST).unwrap_or(u64::MAX);
            if log.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.pop_if(|byte| *byte == b'\n').is_none() && line.len() >= MOST {
                log.skip_until(b'\n')?;
            }
            self.note(&line);
        }
    }

    fn note(&mut self, line: &[u8]) {
        let Ok(published) = judge_published(line) else {
            self.refused = self.refused.saturating_add(1);
            return;
        };
        let role = published.role.name();
        let boot = published.boot.unwrap_or_default();
        if self.boots.get(role).is_none_or(|known| known != boot) {
            self.boots.insert(role, boot.to_owned());
        }
        if published.code == "started" {
            self.counted.entry((boot.to_owned(), role)).or_default().restart();
        }
        if published.code == METRICS.code {
            // A line that the judge accepts is JSON.
            let record: Value = serde_json::from_slice(line).unwrap_or_default();
            let counted = self.counted.entry((boot.to_owned(), role)).or_default();
            take(&record, &mut counted.latest);
        }
    }

    /// A role's numbers over all boots; the calls that are live are those of the last one.
    fn of(&self, role: &'static str) -> Option<Numbers> {
        let last = self.boots.get(role)?;
        let mut sums = Numbers::new();
        let mut has_record = false;
        for ((boot, _), counted) in self.counted.iter().filter(|((_, of), _)| *of == role) {
            for (name, value) in counted.before.iter().chain(&counted.latest) {
                has_record = true;
                if *name != (PLAIN, CALLS_LIVE) || boot == last {
                    let slot = sums.entry(*name).or_default();
                    *slot = slot.saturating_add(*value);
                }
            }
        }
        has_record.then_some(sums)
    }

    fn roles(&self) -> impl Iterator<Item = (&'static str, Numbers)> {
        Role::ALL.into_iter().filter_map(|role| Some((role.name(), self.of(role.name())?)))
    }

    fn object(&self) -> Value {
        let of = |numbers: &Numbers| {
            let mut object = serde_json::Map::new();
            for ((family, name), value) in numbers {
                if *family == PLAIN {
                    object.insert((*name).to_owned(), Value::from(*value));
                } else {
                    let inner = object.entry(*family).or_insert_with(|| json!({}));
                    if let Some(inner) = inner.as_object_mut() {
                        inner.insert((*name).to_owned(), Value::from(*value));
                    }
                }
            }
            Value::Object(object)
        };
        let roles: serde_json::Map<String, Value> =
            self.roles().map(|(role, numbers)| (role.to_owned(), of(&numbers))).collect();
        json!({ "roles": roles, "lines_refused": self.refused })
    }

    /// The text format, version 0.0.4.
    fn exposition(&self) -> String {
        let roles: Vec<(&'static str, Numbers)> = self.roles().collect();
        let mut text = Exposition(String::new());
        text.family("ward_events_total", "counter", "What happened, by event and reason.");
        for (role, numbers) in &roles {
            for ((family, name), value) in numbers {
                if *family == EVENTS_FAMILY {
                    text.sample("ward_events_total", &[("role", role), ("event", name)], value);
                } else if ![PLAIN, COUNTS_FAMILY, DURATION_FAMILY, PROOF_FAMILY].contains(family) {
                    let labels = [("role", *role), ("event", *family), ("reason", *name)];
                    text.sample("ward_events_total", &labels, value);
                }
            }
        }
        let name = "ward_upgrades_total";
        text.family(name, "counter", "Streams that were accepted, by what they showed.");
        for (role, numbers) in &roles {
            let proofs = numbers.iter().filter(|((family, _), _)| *family == PROOF_FAMILY);
            for ((_, proof), value) in proofs {
                text.sample(name, &[("role", role), ("proof", proof)], value);
            }
        }
        call_counts(&roles, &mut text);
        durations(&roles, &mut text);
        for (name, kind, help, number) in [
            ("ward_calls_live", "gauge", "Calls that are live.", CALLS_LIVE),
            (
                "ward_log_lines_suppressed_total",
                "counter",
                "Log lines that were not written: strangers caused too many, or the reader was slow.",
                LINES_SUPPRESSED,
            ),
        ] {
            text.family(name, kind, help);
            for (role, numbers) in &roles {
                text.sample(name, &[("role", role)], of(numbers, PLAIN, number));
            }
        }
        let name = "ward_log_lines_refused_total";
        text.family(name, "counter", "Lines in the log that are not by the book.");
        text.sample(name, &[], self.refused);
        text.0
    }
}

/// A record's numbers replace those of the same family, and nothing else: a process may write its families on
/// several lines.
fn take(record: &Value, latest: &mut Numbers) {
    for name in [CALLS_LIVE, LINES_SUPPRESSED] {
        if let Some(value) = record[name].as_u64() {
            latest.insert((PLAIN, name), value);
        }
    }
    for (family, names) in families().filter(|(family, _)| record[*family].is_object()) {
        for name in names {
            match record[family][*name].as_u64() {
                Some(value) => latest.insert((family, *name), value),
                None => latest.remove(&(family, *name)),
            };
        }
    }
}

fn of(numbers: &Numbers, family: &'static str, name: &'static str) -> u64 {
    numbers.get(&(family, name)).copied().unwrap_or_default()
}

/// What was counted in calls: things in one metric, and time, in seconds, in another.
fn call_counts(roles: &[(&'static str, Numbers)], text: &mut Exposition) {
    let each = |is_time: bool| {
        roles.iter().flat_map(move |(role, numbers)| {
            let counts = numbers.iter().filter(|((family, _), _)| *family == COUNTS_FAMILY);
            counts
                .filter(move |((_, name), _)| name.ends_with("_ms") == is_time)
                .map(move |((_, name), value)| (*role, *name, *value))
        })
    };
    let name = "ward_call_counts_total";
    text.family(name, "counter", "What was counted in calls that have ended.");
    for (role, count, value) in each(false) {
        text.sample(name, &[("role", role), ("count", count)], value);
    }
    let name = "ward_call_audio_seconds_total";
    text.family(name, "counter", "Audio in calls that have ended, by what became of it.");
    for (role, count, value) in each(true) {
        let count = count.trim_end_matches("_ms");
        text.sample(name, &[("role", role), ("count", count)], seconds(value));
    }
}

fn durations(roles: &[(&'static str, Numbers)], text: &mut Exposition) {
    let name = "ward_call_duration_seconds";
    text.family(name, "histogram", "Calls that have ended, from the upgrade to the end.");
    let buckets = families().find(|(family, _)| *family == DURATION_FAMILY);
    let buckets = buckets.map(|(_, names)| names).unwrap_or_default();
    for (role, numbers) in roles {
        let mut calls = 0_u64;
        let ends = DURATION_BUCKETS_S.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (end, bucket) in ends.zip(buckets) {
            calls = calls.saturating_add(of(numbers, DURATION_FAMILY, bucket));
            let labels = [("role", *role), ("le", end.as_str())];
            text.sample(&format!("{name}_bucket"), &labels, calls);
        }
        let sum = seconds(of(numbers, DURATION_FAMILY, SUM_MS));
        text.sample(&format!("{name}_sum"), &[("role", role)], sum);
        text.sample(&format!("{name}_count"), &[("role", role)], calls);
    }
}

/// Milliseconds as seconds, exactly.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Text in Prometheus's format. Names and label values are our own words, so nothing needs escaping.
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{labels} {value}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#""at_ms":60000,"role":"media","event":"metrics""#;
    const STARTED: &str = r#"{"at_ms":3,"role":"media","event":"started","workers":1}"#;

    fn record(live: u64, frames: u64) -> String {
        format!(
            r#"{{{HEAD},"calls_live":{live},"lines_suppressed":1,"refused":{{"route":2}},"call_counts":{{"frames_in":{frames},"audio_in_ms":1240}},"call_duration":{{"up_to_15_s":1,"longer":2,"sum_ms":7200001}}}}"#
        )
    }

    fn of_boot(boot: u8, line: &str) -> String {
        let prev = "0".repeat(64);
        line.replacen('{', &format!(r#"{{"boot":"{boot:016x}","seq":9,"prev":"{prev}","#), 1)
    }

    fn totals(lines: &[String]) -> Totals {
        let mut totals = Totals::default();
        totals.read(lines.join("\n").as_bytes()).unwrap();
        totals
    }

    #[test]
    fn the_latest_record_of_a_process_stands_and_processes_are_added() {
        let media = |lines: &[String]| totals(lines).of("media").unwrap();
        let frames = |numbers: &Numbers| of(numbers, COUNTS_FAMILY, "frames_in");
        let live = |numbers: &Numbers| of(numbers, PLAIN, CALLS_LIVE);
        let one = media(&[STARTED.to_owned(), record(1, 5), record(2, 8)]);
        assert_eq!((frames(&one), live(&one)), (8, 2));
        // A process that starts anew counts from zero, and its calls are its own.
        let again = [STARTED.to_owned(), record(2, 8), STARTED.to_owned(), record(1, 3)];
        assert_eq!((frames(&media(&again)), live(&media(&again))), (11, 1));
        let starting = media(&again[..3]);
        assert_eq!((frames(&starting), live(&starting)), (8, 0));
        let boots: Vec<String> = [(1, record(2, 8)), (2, record(1, 3)), (2, record(3, 4))]
            .iter()
            .map(|(boot, line)| of_boot(*boot, line))
            .collect();
        assert_eq!((frames(&media(&boots)), live(&media(&boots))), (12, 3));
        assert!(totals(&[STARTED.to_owned()]).of("media").is_none());
    }

    #[test]
    fn families_may_come_on_several_lines_and_each_stays_until_its_next() {
        let first = format!(
            r#"{{{HEAD},"calls_live":1,"lines_suppressed":0,"refused":{{"route":2,"method":1}}}}"#
        );
        let second =
            format!(r#"{{{HEAD},"calls_live":0,"lines_suppressed":0,"call_counts":{{"ping":4}}}}"#);
        let numbers = totals(&[first, second]).of("media").unwrap();
        assert_eq!(of(&numbers, "refused", "route"), 2);
        assert_eq!(of(&numbers, COUNTS_FAMILY, "ping"), 4);
        assert_eq!(of(&numbers, PLAIN, CALLS_LIVE), 0);
    }

    #[test]
    fn what_is_not_by_the_book_is_counted_and_never_shown() {
        let long = "hunter2".repeat(10_000);
        let wrong = ["hunter2", &long, r#"{"role":"launcher","event":"line_refused"}"#, ""];
        let mut lines: Vec<String> = wrong.iter().map(|line| (*line).to_owned()).collect();
        lines.push(record(0, 1).replace("frames_in", "hunter2"));
        lines.push(record(0, 1));
        let text = totals(&lines).exposition();
        assert!(text.contains("\nward_log_lines_refused_total 5\n"), "{text}");
        assert!(text.contains("ward_call_counts_total{role=\"media\",count=\"frames_in\"} 1\n"));
        assert!(!text.contains("hunter"), "{text}");
    }

    #[test]
    fn the_text_has_base_units_and_cumulative_buckets() {
        let text = totals(&[record(4, 9)]).exposition();
        for line in [
            r#"ward_events_total{role="media",event="refused",reason="route"} 2"#,
            r#"ward_call_counts_total{role="media",count="frames_in"} 9"#,
            r#"ward_call_audio_seconds_total{role="media",count="audio_in"} 1.240"#,
            r#"ward_call_duration_seconds_bucket{role="media",le="5"} 0"#,
            r#"ward_call_duration_seconds_bucket{role="media",le="15"} 1"#,
            r#"ward_call_duration_seconds_bucket{role="media",le="3600"} 1"#,
            r#"ward_call_duration_seconds_bucket{role="media",le="+Inf"} 3"#,
            r#"ward_call_duration_seconds_sum{role="media"} 7200.001"#,
            r#"ward_call_duration_seconds_count{role="media"} 3"#,
            r#"ward_calls_live{role="media"} 4"#,
            r#"ward_log_lines_suppressed_total{role="media"} 1"#,
            "ward_log_lines_refused_total 0",
            "# TYPE ward_call_duration_seconds histogram",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("_ms"), "{text}");
    }
}
