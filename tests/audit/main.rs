//! The audit trail leaves the machine: whole servers and a log sink that keeps, dies, dawdles and lies, and what
//! `ward audit verify` says of what it kept.
//!
//! One test at a time, because they measure.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use ward_tests::binaries;
use ward_tests::servers::Running;

use crate::sink::{Sink, wait_until};

mod sink;
mod load;
mod arriving;
mod misbehaving;
mod outage;
mod tampering;

/// Nobody measures while another test runs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Long enough for the longest pause and a deadline before it, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A media server whose log goes to `sink`, once the sink has its first record.
fn server(sink: &Sink, spool_bytes: usize) -> Arc<Running> {
    let server = Running::media_with(sink.vendors(spool_bytes), None, "");
    drop(server.logs.first("started"));
    assert!(sink.wait_kept(PATIENCE, |kept| kept.contains("started")), "{}", server.logs.text());
    Arc::new(server)
}

/// Waits until the sink has the last line that the server has written.
fn catch_up(server: &Running, sink: &Sink) {
    let is_there = || {
        let text = server.logs.text();
        let last = text.lines().next_back().unwrap_or_default().to_owned();
        sink.kept().contains(&last)
    };
    assert!(wait_until(PATIENCE, is_there), "not there:\n{}", server.logs.text());
}

/// Ends the server in order, and waits until the sink has the record that says so.
fn finish(server: &Running, sink: &Sink) {
    catch_up(server, sink);
    server.terminate();
    server.logs.wait_for("log_closed");
    assert!(
        sink.wait_kept(PATIENCE, |kept| kept.contains("log_closed")),
        "no last record:\n{}",
        server.logs.text()
    );
}

/// What `ward audit verify` says about a copy, and its exit status.
fn verify(copy: &str, arguments: &[&str]) -> (i32, Value) {
    static NEXT: Mutex<u32> = Mutex::new(0);
    let number = {
        let mut next = NEXT.lock().unwrap();
        *next += 1;
        *next
    };
    let path = std::env::temp_dir().join(format!("ward-audit-{}-{number}", std::process::id()));
    std::fs::write(&path, copy).unwrap();
    let mut ward = Command::new(binaries::release("ward"));
    ward.args(["--json", "audit", "verify"]).arg(&path).args(arguments);
    let output = ward.output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    (output.status.code().unwrap(), report)
}

/// The number of a record in its boot, with the boot.
fn place(line: &str) -> (String, u64) {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    (value["boot"].as_str().unwrap().to_owned(), value["seq"].as_u64().unwrap())
}

/// Compares what the sink kept with what came out of standard output: every record of it is there, byte for byte, or a
/// record that is there names it as lost. How many are there, and how many are named.
fn compare(written: &str, kept: &str) -> (usize, usize) {
    let kept: BTreeSet<&str> = kept.lines().collect();
    let mut named: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for line in kept.iter().filter(|line| line.contains("\"event\":\"log_gap\"")) {
        let value: Value = serde_json::from_str(line).unwrap();
        let range = (value["first"].as_u64().unwrap(), value["last"].as_u64().unwrap());
        named.entry(place(line).0).or_default().push(range);
    }
    let (mut there, mut lost) = (0, 0);
    for line in written.lines() {
        if kept.contains(line) {
            there += 1;
            continue;
        }
        let (boot, number) = place(line);
        let is_named = named.get(&boot).is_some_and(|ranges| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
        });
        assert!(is_named, "neither there nor named: {line}");
        lost += 1;
    }
    // And nothing else.
    let written: BTreeSet<&str> = written.lines().collect();
    for line in kept {
        assert!(written.contains(line), "never written: {line}");
    }
    (there, lost)
}
