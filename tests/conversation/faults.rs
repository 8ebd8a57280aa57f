//! Every fault of a vendor, in conversations: nobody waits for ever, the right words are heard, nothing leaks.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use ward::deployment::{Deployment, Setup};
use ward::local_vendors::{Event, Part};
use ward::log_lines::Line;
use ward_policy::phrase::Phrase;

use super::{Conversation, alone, always, await_ends, converse, more, privacy, set_fault, setup, start};

/// One way of going wrong.
pub(crate) struct Case {
    pub(crate) part: Part,
    pub(crate) name: &'static str,
    fault: Value,
}

/// What came of all conversations with one fault.
pub(crate) struct Row {
    pub(crate) part: Part,
    pub(crate) name: &'static str,
    pub(crate) calls: usize,
    pub(crate) booked: usize,
    pub(crate) heard: Vec<BTreeSet<Phrase>>,
    pub(crate) reasons: BTreeSet<String>,
    pub(crate) longest: Duration,
    pub(crate) played: usize,
}

/// How many deployments there are at once, and calls on each.
const DEPLOYMENTS: usize = 6;
const CALLS_AT_ONCE: usize = 4;

/// From the beginning of a request for it to be in the middle of an answer: the stand-ins take their time.
const MIDDLE_MS: u64 = 250;
/// From the beginning of the stream of audio to the middle of what the caller says.
const MIDDLE_OF_SPEECH_MS: u64 = 5_500;

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |part, name, fault| cases.push(Case { part, name, fault: always(&fault) });
    for part in Part::ALL {
        let middle = if part == Part::Asr { MIDDLE_OF_SPEECH_MS } else { MIDDLE_MS };
        add(part, "slow", json!({ "kind": "slow", "ms": 1_000 }));
        for (name, kind, after_ms) in [
            ("stall", "stall", 0),
            ("stall in the middle", "stall", middle),
            ("drop", "drop", 0),
            ("drop in the middle", "drop", middle),
            ("half_close", "half_close", 0),
            ("half_close in the middle", "half_close", middle),
        ] {
            add(part, name, json!({ "kind": kind, "after_ms": after_ms }));
        }
        for kind in ["refuse", "http_429", "http_402", "http_500", "unauthorized"] {
            add(part, kind, json!({ "kind": kind }));
        }
        add(part, "huge", json!({ "kind": "huge" }));
    }
    for (part, name, kind, what) in [
        (Part::Asr, "garbage: text", "garbage", "text"),
        (Part::Asr, "garbage: binary", "garbage", "binary"),
        (Part::Llm, "garbage: json", "garbage", "json"),
        (Part::Llm, "garbage: framing", "garbage", "framing"),
        (Part::Llm, "garbage: binary", "garbage", "binary"),
        (Part::Tts, "garbage", "garbage", ""),
        (Part::Llm, "lying: advice", "lying", "advice"),
        (Part::Llm, "lying: identifier", "lying", "identifier"),
        (Part::Llm, "lying: endless", "lying", "endless"),
        (Part::Tts, "lying: content_type", "lying", "content_type"),
        (Part::Tts, "lying: rate", "lying", "rate"),
    ] {
        add(part, name, json!({ "kind": kind, "what": what }));
    }
    for part in [Part::Asr, Part::Tts] {
        add(part, "no token", json!({ "kind": "http_500", "on": "grant" }));
    }
    cases
}

/// How many conversations each fault gets.
fn conversations() -> usize {
    let set = std::env::var("WARD_CONVERSATIONS").ok();
    set.map_or(2, |text| text.parse().unwrap())
}

/// Stand-ins that take their time, so that an answer has a middle.
fn slowly(setup: Setup) -> Setup {
    let more = vec![
        (Part::Asr, more(json!({ "ready": CALLS_AT_ONCE }))),
        (Part::Llm, more(json!({ "token_ms": [40, 40] }))),
        (Part::Tts, more(json!({ "speed": 4, "chunk_bytes": 800 }))),
    ];
    Setup { more, ..setup }
}

/// Holds the conversations of one case.
fn play(deployment: &mut Deployment, case: &Case, count: usize, patience: Duration) -> Row {
    drop(set_fault(deployment, case.part, Some(&case.fault)));
    let mut conversations: Vec<Conversation> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    let mut events = Vec::new();
    while conversations.len() < count {
        let now = (count - conversations.len()).min(CALLS_AT_ONCE);
        conversations.extend(converse(deployment, now, patience));
        await_ends(deployment, &mut lines, conversations.len());
        events.extend(deployment.events(Duration::ZERO));
    }
    events.extend(set_fault(deployment, case.part, None));
    lines.extend(deployment.lines());
    privacy::check(deployment, &lines, count);
    if std::env::var("WARD_DEBUG").is_ok() {
        for line in &lines {
            if !line.is_event("metrics") { println!("{}", line.said()); }
        }
        for event in &events { println!("   {}", format!("{event:?}").chars().take(300).collect::<String>()); }
    }
    let is_booking = |event: &&Event| matches!(event, Event::Booking { .. });
    let is_fault = |event: &&Event| matches!(event, Event::Fault { .. });
    Row {
        part: case.part,
        name: case.name,
        calls: conversations.len(),
        booked: events.iter().filter(is_booking).count(),
        heard: conversations.iter().map(|one| one.recognised.clone()).collect(),
        reasons: lines.iter().filter_map(reason).collect(),
        longest: conversations.iter().map(|one| one.took).max().unwrap(),
        played: events.iter().filter(is_fault).count(),
    }
}

fn reason(line: &Line) -> Option<String> {
    let event: Value = serde_json::from_str(&line.text).unwrap();
    (event["event"] == "call_ended").then(|| event["reason"].as_str().unwrap().to_owned())
}

#[test]
fn each_fault_has_its_words_and_its_end() {
    let _alone = alone();
    let count = conversations();
    let only = std::env::var("WARD_FAULTS").unwrap_or_default();
    let mut waiting = cases();
    waiting.retain(|case| format!("{} {}", case.part.name(), case.name).contains(&only));
    waiting.reverse();
    let waiting = Mutex::new(waiting);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let count_of = waiting.lock().unwrap().len().min(DEPLOYMENTS);
        for _ in 0..count_of {
            scope.spawn(|| {
                let mut deployment = start(slowly(setup()));
                loop {
                    let Some(case) = waiting.lock().unwrap().pop() else { return };
                    let row = play(&mut deployment, &case, count, Duration::from_secs(80));
                    println!(
                        "{} {}: {} calls, {} booked, {:?}, {:?}, {:?}, {} faults",
                        row.part.name(),
                        row.name,
                        row.calls,
                        row.booked,
                        row.heard,
                        row.reasons,
                        row.longest,
                        row.played
                    );
                    rows.lock().unwrap().push(row);
                }
            });
        }
    });
}
