//! A sink that misbehaves in every way there is a name for: calls do not notice, and what it did not keep it gets, or it shows
//! that it has not kept it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use ward_policy::limit;

use crate::load::{Felt, Load};
use crate::sink::{Manner, Sink};
use crate::{alone, catch_up, compare, finish, place, server, verify};

/// How long it misbehaves.
const WHILE: Duration = Duration::from_secs(3);

/// Every manner, with the reason that the log gives for not getting through, if it does not.
const MANNERS: [(Manner, Option<&str>); 17] = [
    (Manner::Keeps, None),
    (Manner::Slow(Duration::from_millis(800)), None),
    (Manner::OneByOne, None),
    (Manner::Forgets, None),
    (Manner::Trickle, None),
    (Manner::Dead, Some("sink_unreachable")),
    (Manner::CutsShort, Some("sink_closed")),
    (Manner::KeepsAndCuts, Some("sink_closed")),
    (Manner::Garbage, Some("sink_garbage")),
    (Manner::Status(301), Some("sink_rejected")),
    (Manner::Status(413), Some("sink_rejected")),
    (Manner::Status(403), Some("sink_unauthorized")),
    (Manner::Status(503), Some("sink_busy")),
    (Manner::WrongName, Some("sink_tls")),
    (Manner::SelfSigned, Some("sink_tls")),
    (Manner::Tickets, Some("sink_garbage")),
    // Longer than it misbehaves here: the deadlines are 3 s and 10 s.
    (Manner::Mute, Some("sink_closed")),
];

/// Calls while the sink misbehaves, and everything that must be so afterwards.
fn check(manner: Manner, reason: Option<&str>) -> Felt {
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    sink.behave(manner);
    let load = Load::begin(&server);
    std::thread::sleep(WHILE);
    let felt = load.end();
    sink.behave(Manner::Keeps);
    finish(&server, &sink);
    let (written, kept) = (server.logs.text(), sink.kept());
    let failed = written.lines().filter(|line| line.contains("\"event\":\"sink_failed\""));
    let failed: Vec<&str> = failed.collect();
    match reason {
        Some(reason) => {
            let reason = format!("\"reason\":\"{reason}\"");
            assert!(failed.iter().any(|line| line.contains(&reason)), "{manner:?} {failed:#?}");
        }
        None => assert!(failed.is_empty(), "{manner:?} {failed:#?}"),
    }
    let (status, report) = verify(&kept, &[]);
    if manner == Manner::Forgets {
        found(&sink.forgotten(), status, &report);
        return felt;
    }
    let (there, lost) = compare(&written, &kept);
    assert!(there > 50 && lost == 0, "{manner:?} {there} {lost}");
    assert_eq!(status, 0, "{manner:?} {report}");
    let duplicates = report["boots"][0]["duplicates"].as_u64().unwrap();
    let keeps_without_saying = matches!(manner, Manner::CutsShort | Manner::KeepsAndCuts);
    assert!(duplicates > 0 || !keeps_without_saying, "{manner:?} {report}");
    // What was not said to be kept in time is sent again; what was, is not.
    assert!(duplicates == 0 || !failed.is_empty(), "{manner:?} {report}");
    felt
}

/// What a sink says to have and has not is missing in its copy, and nothing else.
fn found(forgotten: &str, status: i32, report: &Value) {
    assert_eq!(status, 1, "{report}");
    let mut missing = Vec::new();
    for flaw in report["flaws"].as_array().unwrap() {
        assert_eq!(flaw["kind"], "missing", "{report}");
        missing.extend(flaw["first"].as_u64().unwrap()..=flaw["last"].as_u64().unwrap());
    }
    let forgotten: Vec<u64> = forgotten.lines().map(|line| place(line).1).collect();
    assert!(!forgotten.is_empty());
    assert_eq!(missing, forgotten);
}

#[test]
fn calls_do_not_notice_and_afterwards_everything_is_there_or_found_missing() {
    let _alone = alone();
    let others = Load::begin_elsewhere();
    // A few side by side: each is mostly waiting.
    let groups = MANNERS.chunks(4).map(|group| {
        std::thread::spawn(move || {
            let one =
                |(manner, reason): &(Manner, Option<&str>)| (*manner, check(*manner, *reason));
            group.iter().map(one).collect::<Vec<_>>()
        })
    });
    let groups: Vec<_> = groups.collect();
    let all: Vec<_> = groups.into_iter().flat_map(|group| group.join().unwrap()).collect();
    let others = others.end();
    println!("without a sink: {others}");
    for (manner, felt) in &all {
        println!("{manner:?}: {felt}");
    }
    for (manner, felt) in &all {
        assert!(felt.is_unaffected(&others), "{manner:?}: {felt}");
    }
    assert_eq!(all.len(), MANNERS.len());
}

#[test]
fn a_sink_that_never_answers_is_given_up_on_and_asked_again() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    sink.behave(Manner::Silent);
    let (load, others) = (Load::begin(&server), Load::begin_elsewhere());
    std::thread::sleep(limit::SINK_ANSWER_DEADLINE + Duration::from_secs(2));
    let (felt, others) = (load.end(), others.end());
    println!("Silent: {felt}\nwithout a sink: {others}");
    assert!(felt.is_unaffected(&others), "{felt}");
    assert_eq!(server.logs.first("sink_failed")["reason"], "sink_late");
    sink.behave(Manner::Keeps);
    catch_up(&server, &sink);
    finish(&server, &sink);
    let (_, lost) = compare(&server.logs.text(), &sink.kept());
    assert_eq!((lost, verify(&sink.kept(), &[]).0), (0, 0));
}

#[test]
fn calls_that_do_notice_something_are_noticed() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    let (load, others) = (Load::begin(&server), Load::begin_elsewhere());
    let media = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    kill_process(media, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    kill_process(media, Signal::CONT).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let (felt, others) = (load.end(), others.end());
    assert!(!felt.is_unaffected(&others), "{felt}; {others}");
}
