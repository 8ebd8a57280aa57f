//! Turn latency and interruptions as the caller has them: real speech through both servers, with stand-ins for the
//! vendors at their published latencies and 100 ms each way for Twilio. Prints the tables of docs/latency.md.
//!
//! `measure-latency [turns|ends|pauses|interruptions [LINES]]`: a part of it, or everything; LINES are each caller's. Figures are
//! of one run on one machine.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod figures;
mod hear;
mod interruptions;
mod rig;
mod turns;

use rig::{Latencies, Speech};
use turns::Row;

/// Calls at once: a recogniser each, and cores left for the servers.
const CALLS: usize = 2;
/// The same for interruptions: each caller asks in their own words.
const QUESTIONS: usize = 3;

fn main() -> ExitCode {
    let part = std::env::args().nth(1).unwrap_or_default();
    let is_asked = |name: &str| part.is_empty() || part == name;
    let given = std::env::args().nth(2).and_then(|count| count.parse().ok());
    let mut speech = Speech::start();
    if is_asked("turns") {
        let partials = Latencies { partials: (80, 350), ..Latencies::PUBLISHED };
        rows(&mut speech, &[("drawn from the ranges", Latencies::PUBLISHED, given.unwrap_or(26))]);
        rows(
            &mut speech,
            &[("drawn, and partials as late as finals", partials, given.unwrap_or(26))],
        );
    }
    if is_asked("ends") {
        let ends = [("low end", 0), ("middle", 50), ("high end", 100)];
        rows(
            &mut speech,
            &ends.map(|(name, percent)| (name, Latencies::at(percent), given.unwrap_or(5))),
        );
    }
    if is_asked("pauses") {
        println!("| pause inside the line, ms | lines | turns taken | answered before the end |");
        println!("| ---: | ---: | ---: | ---: |");
        for ms in [300, 400, 500] {
            let row = turns::with_a_pause(&mut speech, ms, (CALLS, given.unwrap_or(5)));
            let cut_off = row.turns.iter().filter(|turn| turn.is_cut_off).count();
            println!("| {ms} | {} | {} | {cut_off} |", row.lines, row.taken);
        }
        println!();
    }
    if is_asked("interruptions") {
        // Words as soon as they can be recognised, and so late that the voice is always first.
        for (name, partials) in [("at once", (0, 0)), ("500 ms late", (500, 500))] {
            let lines = given.unwrap_or(18);
            let measured = interruptions::measure(&mut speech, partials, (QUESTIONS, lines));
            println!("Partials {name}:\n\n{}\n", measured.written());
        }
    }
    ExitCode::SUCCESS
}

fn rows(speech: &mut Speech, vendors: &[(&str, Latencies, usize)]) {
    let mut stages = Vec::new();
    println!("{}", Row::HEAD);
    for (name, latencies, lines) in vendors {
        for (start, is_guessing) in [("on", true), ("off", false)] {
            let row = turns::measure(speech, *latencies, is_guessing, (CALLS, *lines));
            println!("{}", row.written(name, start));
            stages.push(row.stages(name, start));
        }
    }
    println!("\n{}\n{}\n", Row::STAGES_HEAD, stages.join("\n"));
}
