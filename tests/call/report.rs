//! `edge-case-report`: the rows that the tests wrote, as two tables; fails when a case has none, or when
//! something was asked of one webhook server only.
//!
//! Arguments: where to write the edge cases, and where the comparison of the webhook servers. Rows older
//! than the run are removed by `tests/run` first.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;
use ward_tests::edge_cases::{CASES, HEADERS, folder};
use ward_tests::site::Kind;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, comparison_path] = arguments.as_slice() else {
        eprintln!("usage: edge-case-report EDGE-CASES.md CONFORMANCE.md");
        return ExitCode::from(2);
    };
    let mut rows = rows();
    let (comparison, alone) = comparison(&rows);
    // The edge cases are those of Ward's own servers.
    for list in rows.values_mut() {
        list.retain(|row| row["server"] != Kind::Web.to_string());
    }
    let missing: Vec<&str> =
        CASES.iter().map(|(id, _)| *id).filter(|id| !rows.contains_key(*id)).collect();
    for (path, text) in [(path, table(&rows)), (comparison_path, comparison)] {
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    }
    let cases = rows.iter().filter(|(case, _)| *case != HEADERS);
    let count: usize = cases.map(|(_, list)| list.len()).sum();
    eprintln!("edge cases: {} of {} with {count} rows", CASES.len() - missing.len(), CASES.len());
    if missing.is_empty() && alone.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("no row for: {}", missing.join(", "));
    eprintln!("asked of one webhook server only: {}", alone.join(", "));
    ExitCode::from(1)
}

fn rows() -> BTreeMap<String, Vec<Value>> {
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let Ok(row) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let case = row["case"].as_str().unwrap_or_default().to_owned();
        rows.entry(case).or_default().push(row);
    }
    for list in rows.values_mut() {
        list.sort_by_key(|row| (row["test"].to_string(), row["what"].to_string()));
    }
    rows
}

fn table(rows: &BTreeMap<String, Vec<Value>>) -> String {
    let mut text = String::from(
        "# Edge cases\n\nGenerated from what the tests sent and saw: run `tests/run`, do not edit.\n\
         A case without a row fails the run. *Case* says what differs from a rightful request or call; *last \
         bytes* is the end of what the test sent for the row (escaped, cut at 160); *observed* is what the \
         harness noted of the answer, the log and the counters.\n\n\
         | case | last bytes of how many | observed | meaning | test |\n| --- | --- | --- | --- | --- |\n",
    );
    for (id, title) in CASES {
        let Some(list) = rows.get(*id) else { continue };
        for (index, row) in list.iter().enumerate() {
            let cell = |name: &str| row[name].as_str().unwrap_or_default().replace('|', "\\|");
            let case = if index == 0 { format!("**{id}** {title}") } else { (*id).to_owned() };
            let line = writeln!(
                text,
                "| {case}: {} | `{}` ({} B) | {} | {} | `{}` |",
                cell("what"),
                cell("last").replace('`', "'"),
                row["bytes"],
                cell("seen"),
                cell("meaning"),
                cell("test")
            );
            line.unwrap_or_default();
        }
    }
    text
}

/// What was asked of both webhook servers, side by side; and what was asked of one only.
fn comparison(rows: &BTreeMap<String, Vec<Value>>) -> (String, Vec<String>) {
    let mut text = String::from(
        "# One webhook, two servers\n\nGenerated from what the tests saw: run `tests/run`, do not edit. \
         `ward-twiml` is Ward's own responder; `apps/web` is the Next.js host under `next start`. Both are \
         asked the same. Where the platform under `apps/web` decides, the last column says *platform* and \
         why.\n\n| case | ward-twiml | apps/web | |\n| --- | --- | --- | --- |\n",
    );
    let mut alone = Vec::new();
    for (case, list) in rows {
        let asked: BTreeSet<&str> = list
            .iter()
            .filter(|row| row["server"].is_string())
            .filter_map(|row| row["what"].as_str())
            .collect();
        for what in asked {
            let of = |kind: Kind| {
                list.iter().find(|row| row["what"] == what && row["server"] == kind.to_string())
            };
            let meaning = |row: Option<&Value>| {
                row.and_then(|row| row["meaning"].as_str()).unwrap_or("–").replace('|', "\\|")
            };
            let (ours, theirs) = (of(Kind::Responder), of(Kind::Web));
            // The headers of a path that only one of them has are not to be compared.
            if case != HEADERS && (ours.is_none() || theirs.is_none()) {
                alone.push(format!("{case} {what}"));
            }
            let platform = theirs.and_then(|row| row["platform"].as_str());
            let note = platform.map(|why| format!("*platform*: {why}")).unwrap_or_default();
            let what = what.replace('|', "\\|");
            writeln!(text, "| {case}: {what} | {} | {} | {note} |", meaning(ours), meaning(theirs))
                .unwrap_or_default();
        }
    }
    (text, alone)
}
