//! `edge-case-report`: the rows that the tests wrote, as a table; fails when a case has none.
//!
//! Arguments: where to write the Markdown. Rows older than the run are removed by `tests/run` first.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;
use ward_tests::edge_cases::{CASES, folder};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: edge-case-report FILE.md");
        return ExitCode::from(2);
    };
    let rows = rows();
    let missing: Vec<&str> =
        CASES.iter().map(|(id, _)| *id).filter(|id| !rows.contains_key(*id)).collect();
    if let Err(error) = std::fs::write(&path, table(&rows)) {
        eprintln!("{path}: {error}");
        return ExitCode::from(2);
    }
    let count: usize = rows.values().map(Vec::len).sum();
    eprintln!("edge cases: {} of {} with {count} rows", CASES.len() - missing.len(), CASES.len());
    if missing.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("no row for: {}", missing.join(", "));
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
