//! Every fault of a vendor, in conversations: nobody waits for ever, the right words are heard, nothing leaks.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use ward::deployment::{Deployment, Setup};
use ward::local_vendors::Event;
use ward::log_lines::Line;
use ward_policy::limit;
use ward_policy::phrase::Phrase;
use ward_policy::service::Service;

use super::{
    Conversation, alone, always, await_ends, converse, more, privacy, report, set_fault, setup,
    start,
};

/// One way of going wrong.
pub(crate) struct Case {
    pub(crate) part: Service,
    pub(crate) name: &'static str,
    what: What,
    /// What every caller hears, from its first byte to its last.
    hears: &'static [Phrase],
    end: End,
}

/// What goes wrong.
enum What {
    /// A fault of the stand-in, each time.
    Fault(Value),
    /// The entry reads otherwise: a text of it, and what stands in its place.
    Terms(&'static str, &'static str),
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The appointment is booked.
    Booked,
    /// With an apology and a goodbye.
    Ended,
    /// It goes on until the caller hangs up.
    GoesOn,
}

impl End {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Booked => "goes on: the appointment is booked",
            Self::Ended => "is ended by the clinic",
            Self::GoesOn => "goes on until the caller hangs up",
        }
    }
}

/// What came of all conversations with one fault.
pub(crate) struct Row {
    pub(crate) part: Service,
    pub(crate) name: &'static str,
    pub(crate) calls: usize,
    /// What every caller heard, whole.
    pub(crate) heard: &'static [Phrase],
    pub(crate) end: End,
    pub(crate) longest: Duration,
}

/// Calls on one deployment at once: its recogniser has as many ears.
const CALLS_AT_ONCE: usize = 4;
/// Calls at once on all deployments together.
const ALL_CALLS_AT_ONCE: usize = 8;

/// What a caller and the clinic say in one turn, and turns of a booking with one that was not understood.
const TURN: Duration = Duration::from_secs(10);
const TURNS: u32 = 7;
/// No call is longer, whatever fails: each turn, an answer that is late as often as a call bears it, the last words.
pub(crate) const CALL_MAX: Duration = {
    let said = TURN.as_secs() * TURNS as u64;
    let waited = limit::REPLY_DEADLINE.as_secs() * limit::FAILURES_MAX as u64;
    Duration::from_secs(said + waited + limit::GOODBYE_MAX.as_secs())
};
/// How long a caller stays whom nothing makes hang up: longer than a call may take, or the limit would be theirs.
const PATIENCE: Duration = CALL_MAX.saturating_add(Duration::from_secs(15));
/// How long a caller stays who is told again and again what is not an answer.
const PATIENCE_WITH_REFUSALS: Duration = Duration::from_secs(45);

/// From the beginning of a request for it to be in the middle of an answer: the stand-ins take their time.
const MIDDLE_MS: u64 = 250;
/// From the beginning of the stream of audio to the middle of what the caller says.
const MIDDLE_OF_SPEECH_MS: u64 = 5_500;

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |part, name, fault, hears, end| {
        cases.push(Case { part, name, what: What::Fault(always(&fault)), hears, end });
    };
    for part in Service::ALL {
        let middle = if part == Service::Recogniser { MIDDLE_OF_SPEECH_MS } else { MIDDLE_MS };
        add(part, "slow", json!({ "kind": "slow", "ms": 1_000 }), &[], End::Booked);
        for (name, kind, after_ms) in [
            ("stall", "stall", 0),
            ("stall in the middle", "stall", middle),
            ("drop", "drop", 0),
            ("drop in the middle", "drop", middle),
            ("half_close", "half_close", 0),
            ("half_close in the middle", "half_close", middle),
        ] {
            // Long enough a wait, or a reply that breaks off: they are told that something is wrong first.
            let is_told = matches!(
                (part, name),
                (Service::Model, "stall") | (Service::Voice, "stall in the middle")
            );
            let hears = if is_told { TROUBLE } else { SORRY };
            add(part, name, json!({ "kind": kind, "after_ms": after_ms }), hears, End::Ended);
        }
        for kind in ["refuse", "http_429", "http_402", "http_500", "unauthorized"] {
            add(part, kind, json!({ "kind": kind }), SORRY, End::Ended);
        }
        add(part, "huge", json!({ "kind": "huge" }), SORRY, End::Ended);
    }
    for (part, name, kind, what, hears, end) in [
        (Service::Recogniser, "garbage: text", "garbage", "text", &[][..], End::Booked),
        (Service::Recogniser, "garbage: binary", "garbage", "binary", &[], End::Booked),
        (Service::Model, "garbage: json", "garbage", "json", SORRY, End::Ended),
        (Service::Model, "garbage: framing", "garbage", "framing", SORRY, End::Ended),
        (Service::Model, "garbage: binary", "garbage", "binary", SORRY, End::Ended),
        (Service::Voice, "garbage", "garbage", "", SORRY, End::Ended),
        (Service::Model, "lying: advice", "lying", "advice", &[Phrase::StoppedScope], End::GoesOn),
        (
            Service::Model,
            "lying: identifier",
            "lying",
            "identifier",
            &[Phrase::StoppedIdentifier],
            End::GoesOn,
        ),
        (
            Service::Model,
            "lying: endless",
            "lying",
            "endless",
            &[Phrase::StoppedLength],
            End::GoesOn,
        ),
        (Service::Voice, "lying: content_type", "lying", "content_type", SORRY, End::Ended),
        (Service::Voice, "lying: rate", "lying", "rate", &[], End::GoesOn),
    ] {
        add(part, name, json!({ "kind": kind, "what": what }), hears, end);
    }
    for part in [Service::Recogniser, Service::Voice] {
        add(part, "no token", json!({ "kind": "http_500", "on": "grant" }), SORRY, End::Ended);
    }
    for part in Service::ALL {
        // Once in a conversation: a recogniser that is gone again sooner than `RECONNECT_SETTLED_AFTER` is given up.
        let over = What::Terms("max_session_s = 3600", "max_session_s = 31");
        let name = "session over in the middle";
        cases.push(Case { part, name, what: over, hears: &[], end: End::Booked });
        let expired = What::Terms(
            "effective = \"2026-01-01\"",
            "effective = \"2026-01-01\"\nexpires = \"2026-01-02\"",
        );
        let name = "agreement expired";
        cases.push(Case { part, name, what: expired, hears: SORRY, end: End::Ended });
    }
    cases
}

/// What is said when a call cannot go on.
const SORRY: &[Phrase] = &[Phrase::SorryGoodbye];
/// The same after another try.
const TROUBLE: &[Phrase] = &[Phrase::Trouble, Phrase::SorryGoodbye];

/// How many conversations each kind of fault of a vendor gets at least.
fn conversations() -> usize {
    let set = std::env::var("WARD_CONVERSATIONS").ok();
    set.map_or(2, |text| text.parse().unwrap())
}

/// What a fault is to whoever waits for the vendor. A kind has several ways; each has its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Slow,
    Dead,
    Lying,
    OutOfQuota,
    /// Ended by us: the longest session, or the agreement.
    Over,
}

impl Case {
    fn kind(&self) -> Kind {
        match self.name {
            "slow" => Kind::Slow,
            "http_429" | "http_402" => Kind::OutOfQuota,
            "session over in the middle" | "agreement expired" => Kind::Over,
            "huge" => Kind::Lying,
            name if name.starts_with("garbage") || name.starts_with("lying") => Kind::Lying,
            _ => Kind::Dead,
        }
    }
}

/// How many conversations each case gets, so that its kind and vendor together have `all`: one at least.
fn shares(cases: &[Case], all: usize) -> Vec<usize> {
    let alike = |one: &Case| {
        cases.iter().filter(|other| (other.part, other.kind()) == (one.part, one.kind())).count()
    };
    cases.iter().map(|case| all.div_ceil(alike(case))).collect()
}

/// Stand-ins that take their time, so that an answer has a middle.
fn slowly(setup: Setup) -> Setup {
    let more = vec![
        (Service::Recogniser, more(&json!({ "ready": CALLS_AT_ONCE }))),
        (Service::Model, more(&json!({ "token_ms": [40, 40] }))),
        (Service::Voice, more(&json!({ "speed": 4, "chunk_bytes": 800 }))),
    ];
    Setup { more, ..setup }
}

/// Holds the conversations of one case.
fn play(deployment: &mut Deployment, case: &Case, count: usize) -> Row {
    if let What::Fault(fault) = &case.what {
        drop(set_fault(deployment, case.part, Some(fault)));
    }
    let patience = if case.end == End::GoesOn { PATIENCE_WITH_REFUSALS } else { PATIENCE };
    let mut conversations: Vec<Conversation> = Vec::new();
    let mut lines: Vec<Line> = deployment.start_lines().cloned().collect();
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
    judge(case, &conversations, &lines, &events)
}

/// Whether the conversations were as they have to be.
fn judge(case: &Case, conversations: &[Conversation], lines: &[Line], events: &[Event]) -> Row {
    let booked = events.iter().filter(|event| matches!(event, Event::Booking { .. })).count();
    let played = events.iter().filter(|event| matches!(event, Event::Fault { .. })).count();
    let reasons: BTreeSet<String> = lines.iter().filter_map(reason).collect();
    let what = format!(
        "{} {}: {booked} booked, {played} faults, {reasons:?}, {:?}",
        case.part.name(),
        case.name,
        conversations.iter().map(Conversation::summary).collect::<Vec<_>>(),
    );
    println!("{what}");
    let is_other =
        |one: &&Conversation| one.is_booked != (case.end == End::Booked) || one.took > CALL_MAX;
    for one in conversations.iter().filter(is_other) {
        println!("this one went another way:{}", one.transcript());
    }
    if conversations.iter().any(|one| is_other(&one)) {
        println!("the stand-ins of all of them:{}", told(events));
    }
    if matches!(case.what, What::Fault(_)) {
        assert!(played >= conversations.len(), "the fault was not there: {what}");
    }
    for one in conversations {
        assert!(one.took <= CALL_MAX, "longer than {CALL_MAX:?}: {what}");
        assert_eq!(one.close_code, Some(1000), "{what}");
        for phrase in case.hears {
            assert!(one.has_heard(*phrase), "{} was not heard: {what}", phrase.name());
        }
        assert_eq!(one.has_heard(Phrase::SorryGoodbye), case.end == End::Ended, "{what}");
        assert_eq!(one.is_booked, case.end == End::Booked, "{what}");
    }
    // A reply may be made for a guess, too, and is not heard then.
    assert!(case.end == End::Booked || booked == 0, "{what}");
    let reason = if case.end == End::GoesOn { "peer_ended" } else { "agent_finished" };
    assert_eq!(reasons, BTreeSet::from([reason.to_owned()]), "{what}");
    Row {
        part: case.part,
        name: case.name,
        calls: conversations.len(),
        heard: case.hears,
        end: case.end,
        longest: conversations.iter().map(|one| one.took).max().unwrap(),
    }
}

/// What was recognised, and what the model answered, for whoever has to find out what went wrong.
fn told(events: &[Event]) -> String {
    let told = events.iter().filter_map(|event| match event {
        Event::Utterance { text } => Some(format!("\n  asr {text}")),
        Event::Reply { text } => Some(format!("\n  llm {text}")),
        _ => None,
    });
    told.collect()
}

fn reason(line: &Line) -> Option<String> {
    let event: Value = serde_json::from_str(&line.text).unwrap();
    (event["event"] == "call_ended").then(|| event["reason"].as_str().unwrap().to_owned())
}

/// Plays the cases on so many deployments at once; what each was, and what went wrong.
fn play_all(cases: Vec<(Case, usize)>) -> (Vec<Row>, Vec<String>) {
    let most = cases.iter().map(|(_, count)| (*count).min(CALLS_AT_ONCE)).max().unwrap_or(1);
    let waiting = Mutex::new(cases.into_iter().rev().collect::<Vec<_>>());
    let (rows, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let work = || {
        let mut shared: Option<Deployment> = None;
        loop {
            let Some((case, count)) = waiting.lock().unwrap().pop() else { return };
            let played = catch_unwind(AssertUnwindSafe(|| match case.what {
                What::Fault(_) => {
                    play(shared.get_or_insert_with(|| start(slowly(setup()))), &case, count)
                }
                What::Terms(text, other) => {
                    let terms = vec![(case.part, text, other.to_owned())];
                    play(&mut start(slowly(Setup { terms, ..setup() })), &case, count)
                }
            }));
            match played {
                Ok(row) => rows.lock().unwrap().push(row),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    failed.lock().unwrap().push(text);
                    // Whatever state it is in.
                    shared = None;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..ALL_CALLS_AT_ONCE / most {
            scope.spawn(work);
        }
    });
    (rows.into_inner().unwrap(), failed.into_inner().unwrap())
}

#[test]
fn each_fault_has_its_words_and_its_end() {
    let _alone = alone();
    let only = std::env::var("WARD_FAULTS").ok();
    let cases = cases();
    let is_wanted = |case: &Case| format!("{} {}", case.part.name(), case.name);
    let shares = shares(&cases, conversations());
    let mut cases: Vec<_> = cases.into_iter().zip(shares).collect();
    cases.retain(|(case, _)| only.as_ref().is_none_or(|only| is_wanted(case).contains(only)));
    let (rows, failed) = play_all(cases);
    let calls: usize = rows.iter().map(|row| row.calls).sum();
    let longest = rows.iter().map(|row| row.longest).max();
    println!("{} faults, {calls} conversations, the longest {longest:?}", rows.len());
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    if only.is_none() {
        report::compare(&rows);
    }
}

#[test]
fn every_kind_of_fault_of_each_vendor_has_as_many_conversations_as_were_asked_for() {
    let cases = cases();
    for part in Service::ALL {
        for kind in [Kind::Slow, Kind::Dead, Kind::Lying, Kind::OutOfQuota, Kind::Over] {
            let of_it = |(case, share): (&Case, usize)| {
                ((case.part, case.kind()) == (part, kind)).then_some(share)
            };
            let all = cases.iter().zip(shares(&cases, 20)).filter_map(of_it).sum::<usize>();
            assert!((20..40).contains(&all), "{} {kind:?}: {all}", part.name());
        }
    }
    assert!(shares(&cases, 2).iter().all(|share| *share > 0));
}

#[test]
fn with_a_second_vendor_no_fault_is_noticed() {
    let _alone = alone();
    let cases = [
        (Service::Model, json!({ "kind": "drop" })),
        (Service::Model, json!({ "kind": "http_429" })),
        (Service::Model, json!({ "kind": "garbage" })),
        (Service::Model, json!({ "kind": "unauthorized" })),
        (Service::Voice, json!({ "kind": "refuse" })),
        (Service::Voice, json!({ "kind": "http_500" })),
        (Service::Voice, json!({ "kind": "lying", "what": "content_type" })),
        (Service::Voice, json!({ "kind": "half_close" })),
    ];
    std::thread::scope(|scope| {
        for (part, fault) in &cases {
            scope.spawn(move || {
                // A call has four vendors at most.
                let seconds = vec![*part];
                let mut deployment = start(slowly(Setup { seconds, ..setup() }));
                play_unnoticed(&mut deployment, *part, fault);
            });
        }
    });
}

fn play_unnoticed(deployment: &mut Deployment, part: Service, fault: &Value) {
    let what = format!("{} {fault}", part.name());
    drop(set_fault(deployment, part, Some(&always(fault))));
    let count = conversations().min(CALLS_AT_ONCE);
    let conversations = converse(deployment, count, PATIENCE);
    let mut lines = Vec::new();
    await_ends(deployment, &mut lines, count);
    let events = set_fault(deployment, part, None);
    let others = deployment.events_of_the_second();
    privacy::check(deployment, &lines, count);
    assert!(events.iter().any(|event| matches!(event, Event::Fault { .. })), "{what}: no fault");
    // The control: without the second vendor, the same fault is the end of the call.
    assert!(others.iter().any(|event| matches!(event, Event::Request { .. })), "{what}");
    for one in conversations {
        println!("{what}: {}", one.summary());
        for phrase in [Phrase::Trouble, Phrase::SorryGoodbye, Phrase::NotUnderstood] {
            assert!(!one.has_heard(phrase), "{what}: {}", phrase.name());
        }
        assert!(one.is_booked, "{what}");
        assert!(one.took <= CALL_MAX, "{what}");
    }
}

#[test]
fn another_end_other_words_and_a_fault_that_was_not_there_are_noticed() {
    let case = Case {
        part: Service::Model,
        name: "planted",
        what: What::Fault(json!({})),
        hears: SORRY,
        end: End::Ended,
    };
    let conversation = |phrase: Phrase, took: Duration| {
        let phrases = BTreeSet::from([phrase]);
        Conversation {
            took,
            close_code: Some(1000),
            is_booked: false,
            recognised: phrases.clone(),
            recorded: phrases,
            said: Vec::new(),
        }
    };
    let line = |reason: &str| Line {
        role: ward_policy::audit::Role::Media,
        text: format!(r#"{{"event":"call_ended","reason":"{reason}"}}"#),
    };
    let fault = Event::Fault { part: Service::Model, kind: "drop".to_owned() };
    let right = conversation(Phrase::SorryGoodbye, TURN);
    let ended = [line("agent_finished")];
    let row = judge(&case, &[right], &ended, std::slice::from_ref(&fault));
    assert_eq!((row.calls, row.end), (1, End::Ended));
    for (phrase, took, reason, events) in [
        (Phrase::Goodbye, TURN, "agent_finished", vec![fault.clone()]),
        (Phrase::SorryGoodbye, CALL_MAX + TURN, "agent_finished", vec![fault.clone()]),
        (Phrase::SorryGoodbye, TURN, "peer_ended", vec![fault]),
        (Phrase::SorryGoodbye, TURN, "agent_finished", vec![]),
    ] {
        let one = [conversation(phrase, took)];
        let lines = [line(reason)];
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&case, &one, &lines, &events)));
        assert!(judged.is_err(), "{} {reason}", phrase.name());
    }
}
