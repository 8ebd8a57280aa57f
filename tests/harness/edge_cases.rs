//! The edge cases, and the rows that tests write about them.
//!
//! The harness notes every byte sent and every status, close code, reason and counter seen; a test
//! says what they mean. `edge-case-report` makes a table of the rows and fails when a case has none.

use std::cell::RefCell;
use std::path::PathBuf;

use serde_json::json;

use crate::binaries::root;
use crate::site::Kind;

/// Every case that the report must have, with what it is about.
pub const CASES: &[(&str, &str)] = &[
    ("E01", "upgrade without a signature"),
    ("E02", "upgrade with a wrong or malformed signature"),
    ("E03", "upgrade signed over each spelling of the URL"),
    ("E04", "upgrade signed over another URL"),
    ("E05", "X-Forwarded-* on an upgrade"),
    ("E06", "a captured handshake, sent again"),
    ("E07", "the same call or stream twice"),
    ("E08", "tickets that are over, used or for another call"),
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
    ("E57", "rotation of auth token and ticket key"),
    ("E58", "clocks that disagree"),
    ("E61", "webhooks that are not to be answered"),
    ("E62", "a webhook that is sent again"),
    ("E63", "media URLs that cannot be dialled"),
    ("E64", "no auth token"),
    ("E65", "a leaked handshake signature"),
];

/// The rows about headers: for the comparison of the two webhook servers, and no edge case.
pub const HEADERS: &str = "headers";

/// Where rows are written.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("target/edge-cases")
}

/// What one test has sent and seen since its last row.
#[derive(Default)]
struct Trace {
    messages: usize,
    bytes: usize,
    last: String,
    seen: Vec<String>,
    is_written: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// What is shown of a long message, in bytes: its beginning and its end.
const HEAD_SHOWN: usize = 60;
/// See [`HEAD_SHOWN`].
const TAIL_SHOWN: usize = 100;

/// Notes bytes that were sent.
pub fn note_sent(bytes: &[u8]) {
    TRACE.with_borrow_mut(|trace| {
        if std::mem::take(&mut trace.is_written) {
            *trace = Trace::default();
        }
        trace.messages += 1;
        trace.bytes += bytes.len();
        let (head, tail) = if bytes.len() <= HEAD_SHOWN + TAIL_SHOWN {
            (bytes, &[][..])
        } else {
            (&bytes[..HEAD_SHOWN], &bytes[bytes.len() - TAIL_SHOWN..])
        };
        let gap = if tail.is_empty() { "" } else { " … " };
        trace.last = format!("{}{gap}{}", head.escape_ascii(), tail.escape_ascii());
    });
}

/// Notes something that was seen: a status, a close code, a reason, a counter.
pub fn note_seen(what: &str) {
    TRACE.with_borrow_mut(|trace| {
        if std::mem::take(&mut trace.is_written) {
            *trace = Trace::default();
        }
        if !trace.seen.iter().any(|known| known == what) {
            trace.seen.push(what.to_owned());
        }
    });
}

/// Writes one row: what was sent and seen since the last one, and what it means, in words.
pub fn row(case: &str, sent: &str, meaning: &str) {
    write(case, sent, meaning, None, None);
}

/// The same about one of the two webhook servers. `platform` says why what is seen there is not ours to
/// decide.
pub fn row_of(server: Kind, case: &str, sent: &str, meaning: &str, platform: Option<&str>) {
    write(case, sent, meaning, Some(server), platform);
}

fn write(case: &str, sent: &str, meaning: &str, server: Option<Kind>, platform: Option<&str>) {
    let is_known = case == HEADERS || CASES.iter().any(|(id, _)| *id == case);
    assert!(is_known, "{case} is not a case");
    let thread = std::thread::current();
    let test = thread.name().expect("tests run on named threads").to_owned();
    let row = TRACE.with_borrow_mut(|trace| {
        trace.is_written = true;
        assert!(!trace.seen.is_empty(), "{case}, {sent}: a row without anything seen");
        json!({
            "case": case,
            "what": sent,
            "messages": trace.messages,
            "bytes": trace.bytes,
            "last": trace.last,
            "seen": trace.seen.join(", "),
            "meaning": meaning,
            "test": test,
            "server": server.map(|server| server.to_string()),
            "platform": platform,
        })
    });
    std::fs::create_dir_all(folder()).unwrap();
    let server = server.map(|server| server.to_string()).unwrap_or_default();
    let digest =
        sent.bytes().chain(server.bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let name = format!("{case}-{}-{digest:016x}.json", test.replace("::", "-"));
    std::fs::write(folder().join(name), row.to_string()).unwrap();
}
