//! `ward-bench conversation`: whole conversations on one core, beside the plain peer's echo at the same number of calls.
//!
//! Ward's figure is everything that it runs: media server, broker, `sign`, log and the process above them. It judges
//! nothing: what the figures must be stands in docs/benchmark.md.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ward_policy::audit::Role;

use crate::callers::{Callers, Seen};
use crate::line::Target;
use crate::report::median;
use crate::server::{Bench, Running, ServerKind, cpu_time, resident_kib};
use crate::vendors::{Counts, MEDIA_SETTINGS, Turn, Vendors};

/// Greeting, first turns, and until they are spread.
const WARM_UP: Duration = Duration::from_secs(16);
/// Frames of a call in a second.
const FRAMES_PER_SECOND: f64 = 50.0;

/// What to measure.
pub(crate) struct Plan {
    pub(crate) calls: Vec<usize>,
    pub(crate) runs: usize,
    pub(crate) window: Duration,
    pub(crate) json: bool,
}

/// One run of one load.
struct Row {
    calls: usize,
    /// Microseconds a second of call.
    media_us: f64,
    others_us: f64,
    peer_us: f64,
    media_kib: f64,
    others_kib: f64,
    seen: Seen,
    counts: Counts,
    /// Milliseconds of each turn: words to question, sentence to voice, speech to caller, and their sum.
    shares: [Vec<f64>; 4],
    seconds: f64,
    /// Processes that others had running: the machine's load average of the last minute, at the end.
    load: f64,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.peer_us / (self.media_us + self.others_us)
    }
}

/// Runs and prints; whether nothing was lost or crossed.
pub(crate) fn run(bench: &Bench, plan: &Plan) -> Result<bool, String> {
    let mut rows: Vec<Row> = Vec::new();
    for calls in &plan.calls {
        // Interleaved, so that a machine that slows down slows everyone.
        for round in 0..plan.runs {
            let peer_window = plan.window.min(Duration::from_secs(6));
            let peer = bench.measure(ServerKind::TokioTungstenite, *calls, peer_window)?;
            let mut row = converse(bench, *calls, plan.window)?;
            row.peer_us = peer.cpu_us_per_frame * FRAMES_PER_SECOND;
            eprintln!("run {} {}", round + 1, line(&row));
            rows.push(row);
        }
    }
    let is_clean = rows.iter().all(|row| row.seen.lost + row.seen.crossed + row.seen.ended == 0);
    let summary: Vec<Value> = plan
        .calls
        .iter()
        .map(|calls| {
            let of_calls: Vec<&Row> = rows.iter().filter(|row| row.calls == *calls).collect();
            summary(*calls, &of_calls)
        })
        .collect();
    if plan.json {
        println!("{}", json!({ "conversations": summary }));
    } else {
        println!("{}", markdown(&summary));
    }
    Ok(is_clean)
}

/// Holds `calls` conversations for `window`.
fn converse(bench: &Bench, calls: usize, window: Duration) -> Result<Row, String> {
    let vendors = bench.start_vendors()?;
    let Vendors { registry, turns } = vendors;
    let (port, running) = bench.start_conversation(registry, MEDIA_SETTINGS)?;
    let target = Target { port, ca: bench.certificate() };
    let outcome = (|| {
        let media = running.id();
        let others = others(&running);
        // One conversation warms up allocators, code and caches before the empty size is read.
        let mut first = Callers::connect(&target, 1, turns.clone(), bench.root())?;
        first.run(WARM_UP);
        drop(first);
        std::thread::sleep(Duration::from_millis(500));
        let empty = (resident_kib(media)?, sum(&others, resident_kib));
        let mut callers = Callers::connect(&target, calls, turns.clone(), bench.root())?;
        callers.run(WARM_UP);
        callers.seen = Seen::default();
        drop(turns.take());
        let before = (cpu_time(media)?, sum(&others, cpu_time));
        let began = Instant::now();
        callers.run(window);
        let seconds = began.elapsed().as_secs_f64();
        let cpu = (
            cpu_time(media)?.saturating_sub(before.0),
            sum(&others, cpu_time).saturating_sub(before.1),
        );
        let full = (resident_kib(media)?, sum(&others, resident_kib));
        let (all, counts) = turns.take();
        let seen = callers.seen;
        if callers.broken() > 0 {
            eprintln!("{} of {calls} calls were ended by the server", callers.broken());
        }
        let per_call = |time: Duration| time.as_secs_f64() * 1e6 / seconds / calls as f64;
        let grown = |now: u64, then: u64| now.saturating_sub(then) as f64 / calls as f64;
        Ok(Row {
            calls,
            media_us: per_call(cpu.0),
            others_us: per_call(cpu.1),
            peer_us: 0.0,
            media_kib: grown(full.0, empty.0),
            others_kib: grown(full.1, empty.1),
            seen,
            counts,
            shares: shares(&all),
            seconds,
            load: load_average(),
        })
    })();
    running.stop();
    outcome
}

/// Every process of Ward beside the media server.
fn others(running: &Running) -> Vec<u32> {
    let Running::Ward(server, _) = running else { return Vec::new() };
    let roles = [Role::Broker, Role::Sign, Role::Log];
    let mut all: Vec<u32> = roles.iter().filter_map(|role| server.process(*role)).collect();
    all.push(server.supervisor());
    all
}

fn sum<T: std::iter::Sum>(all: &[u32], of: fn(u32) -> Result<T, String>) -> T {
    all.iter().filter_map(|id| of(*id).ok()).sum()
}

fn shares(turns: &[Turn]) -> [Vec<f64>; 4] {
    let mut all: [Vec<f64>; 4] = std::array::from_fn(|_| Vec::new());
    for parts in turns.iter().filter_map(Turn::own_share) {
        let total: Duration = parts.iter().sum();
        for (list, part) in all.iter_mut().zip(parts.into_iter().chain([total])) {
            list.push(part.as_secs_f64() * 1e3);
        }
    }
    all
}

fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * percent / 100.0).round() as usize).copied().unwrap_or(0.0)
}

fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// One row for people.
fn line(row: &Row) -> String {
    let part = |at: usize| percentile(&row.shares[at], 99.0);
    let per_second = |count: u64| count as f64 / row.seconds / row.calls as f64;
    format!(
        "{:>4} conversations  media {:>6.1} + others {:>5.1} µs/s  peer {:>6.1}  ratio {:.2}  {:.1} + {:.1} KiB  \
         own p50 {:.2} p99 {:.2} ms (asr {:.2} llm {:.2} tts {:.2}) of {}  asr {:.1}/s out {:.2}/s {:.0} ms/s  \
         spoken {:.2}  dials {:.3}/s  {:?}  load {:.1}",
        row.calls,
        row.media_us,
        row.others_us,
        row.peer_us,
        row.ratio(),
        row.media_kib,
        row.others_kib,
        percentile(&row.shares[3], 50.0),
        part(3),
        part(0),
        part(1),
        part(2),
        row.shares[3].len(),
        per_second(row.counts.audio_messages),
        per_second(row.seen.media_in),
        per_second(row.seen.audio_in_ms),
        row.seen.spoken_frames as f64 / row.seen.frames_out.max(1) as f64,
        per_second(row.counts.connections),
        row.seen,
        row.load,
    )
}

fn summary(calls: usize, rows: &[&Row]) -> Value {
    let of = |field: &dyn Fn(&Row) -> f64| -> f64 {
        let value = median(rows.iter().map(|row| field(row)).collect());
        (value * 1e3).round() / 1e3
    };
    let runs = |field: &dyn Fn(&Row) -> f64| -> Vec<f64> {
        rows.iter().map(|row| (field(row) * 1e3).round() / 1e3).collect()
    };
    let total = |field: fn(&Row) -> u64| rows.iter().map(|row| field(row)).sum::<u64>();
    json!({
        "conversations": calls,
        "media_us_per_second": of(&|row| row.media_us),
        "others_us_per_second": of(&|row| row.others_us),
        "ward_us_per_second_runs": runs(&|row| row.media_us + row.others_us),
        "peer_echo_us_per_second": of(&|row| row.peer_us),
        "peer_echo_us_per_second_runs": runs(&|row| row.peer_us),
        "ratio": of(&Row::ratio),
        "ratio_runs": runs(&Row::ratio),
        "media_kib_per_call": of(&|row| row.media_kib),
        "others_kib_per_call": of(&|row| row.others_kib),
        "own_share_p50_ms": of(&|row| percentile(&row.shares[3], 50.0)),
        "own_share_p99_ms": of(&|row| percentile(&row.shares[3], 99.0)),
        "own_share_p99_ms_runs": runs(&|row| percentile(&row.shares[3], 99.0)),
        "turns": total(|row| row.shares[3].len() as u64),
        "replies": total(|row| row.seen.replies),
        "filled": total(|row| row.seen.filled),
        "lost": total(|row| row.seen.lost),
        "crossed": total(|row| row.seen.crossed),
        "ended": total(|row| row.seen.ended),
        "late_ticks": total(|row| row.seen.late_ticks),
        "load_average_runs": runs(&|row| row.load),
    })
}

fn markdown(rows: &[Value]) -> String {
    let mut text = String::from(
        "| conversations | Ward µs a second (media + others) | runs | peer's echo µs a second | runs | conversations per echo call | runs | KiB (media + others) | own share p50 ms | p99 ms | runs | turns | with a filler | lost | crossed | late |\n\
         | ---: | ---: | --- | ---: | --- | ---: | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
        let runs = |name: &str, digits: usize| -> String {
            let all = row[name].as_array().into_iter().flatten().filter_map(Value::as_f64);
            all.map(|run| format!("{run:.digits$}")).collect::<Vec<_>>().join(", ")
        };
        text.push_str(&format!(
            "| {} | {:.0} + {:.0} | {} | {:.0} | {} | **{:.2}** | {} | {:.1} + {:.1} | {:.2} | {:.2} | {} | {} | {} | {} | {} | {} |\n",
            row["conversations"],
            number("media_us_per_second"),
            number("others_us_per_second"),
            runs("ward_us_per_second_runs", 0),
            number("peer_echo_us_per_second"),
            runs("peer_echo_us_per_second_runs", 0),
            number("ratio"),
            runs("ratio_runs", 2),
            number("media_kib_per_call"),
            number("others_kib_per_call"),
            number("own_share_p50_ms"),
            number("own_share_p99_ms"),
            runs("own_share_p99_ms_runs", 1),
            row["turns"],
            row["filled"],
            row["lost"],
            row["crossed"],
            row["late_ticks"],
        ));
    }
    text
}
