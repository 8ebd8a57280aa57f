//! The edge cases, and the rows that tests write about them.
//!
//! Each test writes what it sent and what it saw; `edge-case-report` makes a table of the rows and
//! fails when a case has none.

use std::path::PathBuf;

use serde_json::json;

use crate::binaries::root;

/// Every case that the report must have, with what it is about.
pub const CASES: &[(&str, &str)] = &[
    ("E01", "upgrade without a signature"),
    ("E02", "upgrade with a wrong or malformed signature"),
    ("E03", "upgrade signed over each spelling of the URL"),
    ("E04", "upgrade signed over another URL"),
    ("E05", "X-Forwarded-* on an upgrade"),
    ("E07", "the same call or stream twice"),
    ("E09", "other paths and targets"),
    ("E10", "no upgrade, other methods and versions"),
    ("E11", "request smuggling shapes"),
    ("E12", "slow handshakes and heads"),
    ("E13", "an Origin header"),
    ("E14", "offered subprotocols and extensions"),
    ("E15", "at capacity"),
    ("E16", "old TLS, weak suites, SNI, early data"),
    ("E17", "WebSocket protocol violations"),
    ("E18", "fragmented messages with pings between"),
    ("E19", "frames and messages past their maximum"),
    ("E20", "binary messages"),
    ("E21", "connected missing, twice or unknown"),
    ("E22", "messages before start, a second start"),
    ("E23", "no start in time"),
    ("E24", "start with foreign or contradictory SIDs"),
    ("E25", "start with another format"),
    ("E26", "start with hostile parameters"),
    ("E27", "text that is no JSON object"),
    ("E28", "unknown events and fields"),
    ("E29", "known events without their fields"),
    ("E30", "payloads that are not base64"),
    ("E31", "payloads of any length"),
    ("E32", "another track"),
    ("E33", "another stream"),
    ("E34", "sequence gaps, repeats, nonsense"),
    ("E35", "timestamps that jump forward"),
    ("E36", "timestamps that go back or run wild"),
    ("E37", "a burst after a stall"),
    ("E38", "a flood of audio"),
    ("E39", "a recogniser that does not listen"),
    ("E40", "a peer that does not read"),
    ("E41", "pacing of what is sent"),
    ("E42", "barge-in"),
    ("E43", "barge-in with nothing playing"),
    ("E44", "marks that come back in every way"),
    ("E45", "names of marks"),
    ("E46", "alignment of what is sent"),
    ("E47", "key presses"),
    ("E48", "messages after stop"),
    ("E49", "stop without close"),
    ("E50", "close without stop, resets, truncated TLS"),
    ("E51", "a connection that is half open"),
    ("E52", "pings and pongs"),
    ("E53", "a close that is never answered"),
    ("E54", "the longest call"),
    ("E56", "a panic in one call"),
    ("E58", "clocks that disagree"),
    ("E61", "webhooks that are not to be answered"),
    ("E62", "a webhook that is sent again"),
    ("E63", "media URLs that cannot be dialled"),
    ("E64", "no auth token"),
];

/// Where rows are written.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("target/edge-cases")
}

/// Writes one row: what was sent and what was seen, in words that never change from run to run.
pub fn row(case: &str, sent: &str, seen: &str) {
    assert!(
        CASES.iter().any(|(id, _)| *id == case),
        "{case} is not a case"
    );
    let thread = std::thread::current();
    let test = thread
        .name()
        .expect("tests run on named threads")
        .to_owned();
    let row = json!({ "case": case, "sent": sent, "seen": seen, "test": test });
    std::fs::create_dir_all(folder()).unwrap();
    let digest = sent.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name = format!("{case}-{}-{digest:016x}.json", test.replace("::", "-"));
    std::fs::write(folder().join(name), row.to_string()).unwrap();
}
