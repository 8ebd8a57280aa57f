//! When nothing is wrong: every record arrives as it was written, once, with a credential that nobody else has; what is killed
//! and started again loses nothing more than it must.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_tests::digest::sha256;
use ward_tests::memory::{Needles, scan};
use ward_tests::servers::Running;
use ward_tests::websocket::Stream;

use crate::load::short_calls;
use crate::sink::{KEY, Manner, Sink, wait_until};
use crate::{alone, catch_up, compare, finish, server, verify};

fn kill(id: u32) {
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn the_sinks_copy_is_standard_output_and_both_are_whole() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    short_calls(&server, 10);
    finish(&server, &sink);
    let (written, kept) = (server.logs.text(), sink.kept());
    assert_eq!(written.trim_end(), kept.trim_end(), "the same records in the same order");
    let (there, lost) = compare(&written, &kept);
    assert!(there > 40 && lost == 0, "{there} {lost}");
    assert_eq!(sink.problems(), Vec::<String>::new());
    // Records go in bundles, not each by itself.
    assert!(sink.requests() < there, "{}", sink.requests());
    for copy in [written + "\n", kept.clone()] {
        let (status, report) = verify(&copy, &[]);
        assert_eq!(status, 0, "{report}");
        assert_eq!(report["boots"][0]["end"], "closed");
        assert_eq!(report["boots"][0]["duplicates"], 0);
    }
    assert!(kept.contains("\"event\":\"sink_connected\",\"vendor\":\"collector\""));
    assert!(!kept.contains("sink_failed") && !kept.contains(KEY));
}

#[test]
fn the_collectors_key_is_in_no_process_that_hears_a_caller() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    short_calls(&server, 3);
    catch_up(&server, &sink);
    let needles = Needles::texts(&[("key", KEY)]);
    for role in [Role::Init, Role::Sign, Role::Media] {
        assert!(!scan(server.process(role), &needles).has("key"), "{}", role.name());
    }
    // The control: this process has it.
    assert!(scan(std::process::id(), &needles).has("key"));
}

#[test]
fn media_gets_no_connection_to_the_sink() {
    let _alone = alone();
    let sink = Sink::start();
    let vendors = sink.vendors(limit::LOG_SPOOL_BYTES);
    let server = Running::media_with(vendors, None, "MEDIA_VENDORS=collector:none\n");
    drop(server.logs.first("started"));
    let stream = Stream::started(&server);
    assert_eq!(server.logs.first("vendor_refused")["reason"], "infrastructure");
    assert_eq!(server.logs.first("vendor_failed")["reason"], "infrastructure");
    assert_eq!(stream.close(), 1_000);
    // The log, which asks for the same entry, has it.
    finish(&server, &sink);
}

#[test]
fn the_responders_log_goes_there_too() {
    let _alone = alone();
    let sink = Sink::start();
    let server = Running::twiml_with(sink.vendors(limit::LOG_SPOOL_BYTES));
    finish(&server, &sink);
    assert!(sink.kept().contains("\"role\":\"twiml\",\"event\":\"started\""));
    assert_eq!(verify(&sink.kept(), &[]).0, 0);
}

#[test]
fn a_broker_that_is_killed_is_not_missed() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    let before = server.process(Role::Broker);
    kill(before);
    short_calls(&server, 2);
    catch_up(&server, &sink);
    // And one that is started again is asked for the next connection.
    assert!(wait_until(Duration::from_secs(5), || server.process(Role::Broker) != before));
    sink.behave(Manner::OneByOne);
    short_calls(&server, 2);
    catch_up(&server, &sink);
    sink.behave(Manner::Keeps);
    finish(&server, &sink);
    let (_, lost) = compare(&server.logs.text(), &sink.kept());
    assert_eq!((lost, verify(&sink.kept(), &[]).0), (0, 0));
}

#[test]
fn a_log_that_is_killed_leaves_an_open_end_that_is_said_to_be_one() {
    let _alone = alone();
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    catch_up(&server, &sink);
    // What waits dies with the process.
    sink.behave(Manner::Dead);
    short_calls(&server, 3);
    drop(server.logs.nth("call_ended", 3));
    let before = server.process(Role::Log);
    kill(before);
    assert!(wait_until(Duration::from_secs(5), || server.process(Role::Log) != before));
    sink.behave(Manner::Keeps);
    short_calls(&server, 1);
    finish(&server, &sink);
    let (status, report) = verify(&sink.kept(), &[]);
    assert_eq!((status, &report["flaws"]), (3, &serde_json::json!([])), "{report}");
    let ends: Vec<_> = (0..2).map(|boot| report["boots"][boot]["end"].as_str().unwrap()).collect();
    assert_eq!(ends, ["open", "closed"]);
    // Whoever has standard output knows what the end was, and finds that it is not there.
    let written = server.logs.text();
    let first: Vec<&str> = written.lines().collect();
    let boot = crate::place(first[0]).0;
    let last = first.iter().rfind(|line| crate::place(line).0 == boot).unwrap();
    let (status, report) = verify(&sink.kept(), &["--expect", &sha256(last.as_bytes())]);
    assert_eq!((status, &report["flaws"][0]["kind"]), (1, &"not_there".into()), "{report}");
}
