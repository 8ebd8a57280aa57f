//! Rows, medians, ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Bench, ServerKind};

/// One server under one load.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: ServerKind,
    pub(crate) calls: usize,
    pub(crate) cpu_us_per_frame: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) rss_kib_per_call: f64,
    pub(crate) idle_rss_kib_per_call: f64,
    pub(crate) late_ticks: u64,
    pub(crate) echoed: u64,
    pub(crate) lost: u64,
    pub(crate) crossed: u64,
    pub(crate) cipher: String,
}

/// One row for people.
pub(crate) fn line(row: &Row) -> String {
    format!(
        "{:<24} {:>5} calls  {:>6.2} µs/frame  p50 {:>7.3} ms  p99 {:>8.3} ms  {:>6.1} KiB/call ({:.1} idle)  late {}  lost {}  crossed {}",
        row.kind.name(),
        row.calls,
        row.cpu_us_per_frame,
        row.p50_ms,
        row.p99_ms,
        row.rss_kib_per_call,
        row.idle_rss_kib_per_call,
        row.late_ticks,
        row.lost,
        row.crossed
    )
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else if middle > 0 {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        0.0
    }
}

/// Three decimals.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Everything measured, ready to print.
pub(crate) struct Summary {
    rows: Vec<Value>,
    ratios: Vec<Value>,
    capacity: Value,
    versions: Value,
    cipher: String,
}

impl Summary {
    pub(crate) fn new(
        rows: &BTreeMap<(usize, ServerKind), Vec<Row>>,
        capacity: &BTreeMap<ServerKind, usize>,
        bench: &Bench,
    ) -> Self {
        let of = |list: &[Row], field: fn(&Row) -> f64| {
            rounded(median(list.iter().map(field).collect()))
        };
        let summarised = rows.iter().map(|((calls, kind), list)| {
            let cpu: Vec<f64> = list.iter().map(|row| rounded(row.cpu_us_per_frame)).collect();
            json!({
                "server": kind.name(),
                "calls": calls,
                "cpu_us_per_frame": of(list, |row| row.cpu_us_per_frame),
                "cpu_us_per_frame_runs": cpu,
                "p50_ms": of(list, |row| row.p50_ms),
                "p99_ms": of(list, |row| row.p99_ms),
                "rss_kib_per_call": of(list, |row| row.rss_kib_per_call),
                "idle_rss_kib_per_call": of(list, |row| row.idle_rss_kib_per_call),
                "late_ticks": list.iter().map(|row| row.late_ticks).sum::<u64>(),
                "frames": list.iter().map(|row| row.echoed).sum::<u64>(),
                "lost": list.iter().map(|row| row.lost).sum::<u64>(),
                "crossed": list.iter().map(|row| row.crossed).sum::<u64>(),
            })
        });
        let capacity: serde_json::Map<String, Value> =
            capacity.iter().map(|(kind, calls)| (kind.name().to_owned(), json!(calls))).collect();
        Self {
            rows: summarised.collect(),
            ratios: ratios(rows),
            capacity: Value::Object(capacity),
            versions: versions(bench),
            cipher: rows.values().flatten().next().map_or_else(String::new, |r| r.cipher.clone()),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "rows": self.rows,
            "ratios": self.ratios,
            "calls_per_core_at_p99_20_ms": self.capacity,
            "versions": self.versions,
            "cipher": self.cipher,
        })
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| server | calls | CPU µs per frame | runs | p50 ms | p99 ms | KiB per call | idle | late | lost | crossed |\n\
             | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for row in &self.rows {
            let runs: Vec<String> = row["cpu_us_per_frame_runs"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|run| format!("{:.1}", run.as_f64().unwrap_or(0.0)))
                .collect();
            let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
            writeln!(
                text,
                "| {} | {} | {:.2} | {} | {:.3} | {:.2} | {:.1} | {:.1} | {} | {} | {} |",
                row["server"].as_str().unwrap_or_default(),
                row["calls"],
                number("cpu_us_per_frame"),
                runs.join(" "),
                number("p50_ms"),
                number("p99_ms"),
                number("rss_kib_per_call"),
                number("idle_rss_kib_per_call"),
                row["late_ticks"],
                row["lost"],
                row["crossed"],
            )
            .unwrap_or_default();
        }
        text.push_str(
            "\nCPU per frame of ward-media as a ratio, median of the ratios run by run:\n\n",
        );
        text.push_str("| calls | to | ratio | runs |\n| ---: | --- | ---: | --- |\n");
        for ratio in &self.ratios {
            writeln!(
                text,
                "| {} | {} | {:.3} | {} |",
                ratio["calls"],
                ratio["to"].as_str().unwrap_or_default(),
                ratio["ratio"].as_f64().unwrap_or(0.0),
                ratio["runs"],
            )
            .unwrap_or_default();
        }
        writeln!(text, "\nCalls per core at p99 ≤ 20 ms: {}", self.capacity).unwrap_or_default();
        writeln!(text, "\nVersions: {}\nCipher: {}", self.versions, self.cipher)
            .unwrap_or_default();
        text
    }
}

/// Ward against each peer, run by run, so that a drifting machine cancels out.
fn ratios(rows: &BTreeMap<(usize, ServerKind), Vec<Row>>) -> Vec<Value> {
    let mut ratios = Vec::new();
    for ((calls, kind), peers) in rows {
        let Some(ours) = rows.get(&(*calls, ServerKind::WardMedia)) else {
            continue;
        };
        if *kind == ServerKind::WardMedia {
            continue;
        }
        let pairs = ours.iter().zip(peers);
        let runs: Vec<f64> =
            pairs.map(|(a, b)| rounded(a.cpu_us_per_frame / b.cpu_us_per_frame)).collect();
        ratios.push(json!({
            "calls": calls,
            "to": kind.name(),
            "ratio": rounded(median(runs.clone())),
            "runs": runs,
        }));
    }
    ratios
}

fn versions(bench: &Bench) -> Value {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().to_owned()
    };
    let lock = std::fs::read_to_string(bench.root().join("Cargo.lock")).unwrap_or_default();
    let locked = |name: &str| {
        let entry =
            lock.split("[[package]]").find(|e| e.contains(&format!("\nname = \"{name}\"\n")));
        let version = entry.and_then(|entry| entry.split("version = \"").nth(1));
        version.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    };
    json!({
        "kernel": said("uname", &["-r"]),
        "rustc": said("rustc", &["--version"]),
        "node": said("node", &["--version"]),
        "python": said("python3", &["--version"]),
        "tungstenite": locked("tungstenite"),
        "tokio": locked("tokio"),
        "rustls": locked("rustls"),
    })
}
