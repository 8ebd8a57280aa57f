//! A sink that is not there for a long time: with a spool that is large enough nothing is missing, and with one that is not,
//! what is missing is named.

use std::time::{Duration, Instant};

use ward_policy::limit;

use crate::load::{Load, short_calls};
use crate::sink::{Manner, Sink};
use crate::{PATIENCE, alone, compare, finish, server, verify};

/// For how long; `tests/run --full` has five minutes.
fn outage() -> Duration {
    let seconds = std::env::var("WARD_SINK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

#[test]
fn a_sink_that_was_dead_gets_everything_when_it_is_back() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    sink.behave(Manner::Dead);
    let (load, others) = (Load::begin(&server), Load::begin_elsewhere());
    std::thread::sleep(outage());
    let (felt, others) = (load.end(), others.end());
    let before = sink.kept().lines().count();
    let returned = Instant::now();
    sink.behave(Manner::Keeps);
    finish(&server, &sink);
    let took = returned.elapsed();
    let (there, lost) = compare(&server.logs.text(), &sink.kept());
    println!(
        "without a sink: {others}\ndead for {:?}: {felt}; {} of {there} records waited, all there {took:?} after it was back",
        outage(),
        there - before
    );
    assert!(felt.is_unaffected(&others), "{felt}; {others}");
    assert!(there > before + 100 && lost == 0, "{before} {there} {lost}");
    let (status, report) = verify(&sink.kept(), &[]);
    assert_eq!((status, &report["boots"][0]["gaps"]), (0, &serde_json::json!([])), "{report}");
}

/// Waits until everything that was written while the sink was dead is there, while it takes no more at once than `manner` says.
fn catches_up_with(manner: Manner, reason: &str) {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    sink.behave(Manner::Dead);
    // More than a full request of a sink that takes 12 KiB a second may take.
    while server.logs.text().len() - sink.kept().len() < 160 * 1024 {
        short_calls(&server, 10);
    }
    let written = server.logs.text();
    let last = written.lines().rfind(|line| line.contains("call_ended")).unwrap().to_owned();
    let waiting = written.len() - sink.kept().len();
    let returned = Instant::now();
    sink.behave(manner);
    let is_there = sink.wait_kept(PATIENCE, |kept| kept.contains(&last));
    assert!(is_there, "{manner:?} {}", server.logs.text());
    println!("{manner:?}: {waiting} bytes there {:?} after it was back", returned.elapsed());
    // It would not have taken it at once.
    let reason = format!("\"reason\":\"{reason}\"");
    assert!(server.logs.text().contains(&reason), "{}", server.logs.text());
    sink.behave(Manner::Keeps);
    finish(&server, &sink);
    let (_, lost) = compare(&server.logs.text(), &sink.kept());
    assert_eq!((lost, verify(&sink.kept(), &[]).0), (0, 0));
}

#[test]
fn a_sink_that_takes_short_bodies_only_gets_everything_that_waited() {
    catches_up_with(Manner::Short(4 * 1024), "sink_rejected");
}

#[test]
fn a_sink_that_is_too_slow_for_a_full_request_gets_everything_that_waited() {
    // What waits would take it longer than a request may.
    catches_up_with(Manner::Drags(12 * 1024), "sink_late");
}

#[test]
fn what_a_small_spool_has_no_room_for_is_named_twice_over() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES_MIN);
    for outage in 1..=2 {
        sink.behave(Manner::Dead);
        // About 1 KiB each.
        short_calls(&server, 100);
        sink.behave(Manner::Keeps);
        drop(server.logs.nth("log_gap", outage));
    }
    finish(&server, &sink);
    let (written, kept) = (server.logs.text(), sink.kept());
    let (there, lost) = compare(&written, &kept);
    let (status, report) = verify(&kept, &[]);
    assert_eq!(status, 0, "{report}");
    let gaps = report["boots"][0]["gaps"].as_array().unwrap();
    let count = |gap: &serde_json::Value| {
        gap["last"].as_u64().unwrap() - gap["first"].as_u64().unwrap() + 1
    };
    let named: u64 = gaps.iter().map(count).sum();
    println!("{there} records there, {lost} named as lost in {} gaps", gaps.len());
    assert_eq!((gaps.len(), named), (2, u64::try_from(lost).unwrap()), "{report}");
    assert!(lost > 100, "{lost}");
    assert!(gaps.iter().all(|gap| gap["present"] == 0));
    // What waited never took more than it may: each record is at least 200 bytes.
    assert!(there < written.lines().count());
    // Standard output lacks nothing, and says the same of the gaps.
    let (status, report) = verify(&written, &[]);
    assert_eq!(status, 0, "{report}");
    let gaps = report["boots"][0]["gaps"].as_array().unwrap();
    assert!(gaps.iter().all(|gap| gap["present"] == count(gap)), "{report}");
    // Without the records that name them, the gaps are found.
    let unnamed: String = kept
        .lines()
        .filter(|line| !line.contains("log_gap"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(verify(&unnamed, &[]).0, 1);
}
