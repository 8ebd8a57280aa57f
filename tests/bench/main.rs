//! The benchmark: Ward's media server and its peers under the same calls, on the same core, in one run.
//!
//! The server is pinned to one core and the generator to another. Every figure that matters is a ratio
//! to a peer of the same run; absolute ones belong to the machine of the day.
#![forbid(unsafe_code)]

mod callers;
mod conversation;
mod generator;
mod line;
mod report;
mod server;
mod vendors;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use report::Row;
use server::{Bench, ServerKind};

/// What to measure.
struct Plan {
    workload: Workload,
    calls: Vec<usize>,
    runs: usize,
    seconds: u64,
    servers: Vec<ServerKind>,
    capacity: Vec<usize>,
    json: bool,
}

/// What callers do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Workload {
    /// Every frame comes back.
    Echo,
    /// They speak and are answered.
    Conversation,
}

impl Plan {
    fn from_arguments() -> Result<Self, String> {
        let mut arguments = std::env::args().skip(1).peekable();
        let is_conversation = arguments.next_if(|word| word == "conversation").is_some();
        let mut plan = Self {
            workload: Workload::Echo,
            calls: vec![100, 250, 500, 1_000],
            runs: 3,
            seconds: 6,
            servers: ServerKind::ALL.to_vec(),
            capacity: vec![100, 250, 500, 750, 1_000, 1_250, 1_500, 2_000],
            json: false,
        };
        if is_conversation {
            // A turn lasts six seconds, and every third opens a new connection to a voice.
            (plan.workload, plan.calls) = (Workload::Conversation, vec![100, 200, 250, 500]);
            plan.seconds = 20;
        }
        while let Some(argument) = arguments.next() {
            if argument == "--json" {
                plan.json = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{argument} wants a value"))?;
            let numbers = || -> Result<Vec<usize>, String> {
                let parts = value.split(',').filter(|part| !part.is_empty());
                parts.map(|part| part.parse().map_err(|_| format!("{part}: no number"))).collect()
            };
            match argument.as_str() {
                "--calls" => plan.calls = numbers()?,
                "--capacity" => plan.capacity = numbers()?,
                "--runs" => plan.runs = numbers()?.first().copied().unwrap_or(1),
                "--seconds" => plan.seconds = value.parse().map_err(|_| "no number".to_owned())?,
                "--servers" => {
                    plan.servers = value
                        .split(',')
                        .map(|name| ServerKind::parse(name).ok_or_else(|| format!("{name}?")))
                        .collect::<Result<_, _>>()?;
                }
                other => return Err(format!("{other} is not an argument")),
            }
        }
        Ok(plan)
    }
}

fn main() -> ExitCode {
    let outcome = Plan::from_arguments().and_then(|plan| run(&plan));
    match outcome {
        Ok(is_clean) => ExitCode::from(u8::from(!is_clean)),
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(plan: &Plan) -> Result<bool, String> {
    let bench = Bench::prepare()?;
    if plan.workload == Workload::Conversation {
        let (calls, runs, json) = (plan.calls.clone(), plan.runs, plan.json);
        let window = Duration::from_secs(plan.seconds);
        return conversation::run(&bench, &conversation::Plan { calls, runs, window, json });
    }
    let mut rows: BTreeMap<(usize, ServerKind), Vec<Row>> = BTreeMap::new();
    for calls in &plan.calls {
        // Interleaved, so that a machine that slows down slows everyone.
        for round in 0..plan.runs {
            for kind in &plan.servers {
                if *calls > kind.calls_max() {
                    continue;
                }
                let row = bench.measure(*kind, *calls, Duration::from_secs(plan.seconds))?;
                eprintln!("run {} {}", round + 1, report::line(&row));
                rows.entry((*calls, *kind)).or_default().push(row);
            }
        }
    }
    let capacity = measure_capacity(&bench, plan)?;
    let is_clean = rows.values().flatten().all(|row| row.lost == 0 && row.crossed == 0);
    let summary = report::Summary::new(&rows, &capacity, &bench);
    if plan.json {
        println!("{}", summary.to_json());
    } else {
        println!("{}", summary.to_markdown());
    }
    Ok(is_clean)
}

/// The most calls that each server carried with p99 within one frame.
fn measure_capacity(bench: &Bench, plan: &Plan) -> Result<BTreeMap<ServerKind, usize>, String> {
    let mut capacity = BTreeMap::new();
    for kind in &plan.servers {
        for calls in &plan.capacity {
            // The best of two: a neighbour on a shared machine must not decide.
            let mut best = f64::INFINITY;
            for _ in 0..2 {
                let row = bench.measure(*kind, *calls, Duration::from_secs(plan.seconds.min(5)))?;
                eprintln!("capacity {}", report::line(&row));
                best = best.min(if row.lost == 0 { row.p99_ms } else { f64::INFINITY });
                if best <= 20.0 {
                    break;
                }
            }
            if best > 20.0 {
                break;
            }
            capacity.insert(*kind, *calls);
        }
    }
    Ok(capacity)
}
