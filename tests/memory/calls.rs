//! What callers say, press and are called from, while they call and after.

use std::time::Duration;

use ward_policy::audit::Role;
use ward_tests::memory::{Scan, scan, scan_until};
use ward_tests::servers::Running;

use crate::patient::{Leaving, Patient};

/// After the end of a call, nothing of it is in memory.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// How long something that is there may take to show.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Makes a whole call and looks for each part of it right after it came.
fn whole_call(server: &Running) -> Patient {
    let mut patient = Patient::begin(server);
    let needles = patient.needles();
    let check = |names: &[&str]| {
        let (found, _) =
            scan_until(server.id(), &needles, SEEN_WITHIN, |s| names.iter().all(|n| s.has(n)));
        for name in names {
            assert!(found.has(name), "{name} is not seen while the call is live: {found:#?}");
        }
    };
    check(&["call SID", "stream SID", "parameter"]);
    patient.press_keys();
    check(&["stream SID", "message about a key"]);
    patient.return_mark();
    check(&["stream SID", "mark"]);
    patient.speak(60);
    check(&["stream SID", "audio"]);
    patient
}

/// Looks for everything of a call until nothing is left; the last scan.
fn after(server: &Running, patient: Patient, leaving: Leaving) -> Scan {
    let needles = patient.needles();
    patient.leave(leaving);
    let (last, took) =
        scan_until(server.id(), &needles, GONE_WITHIN, |found| found.hits.is_empty());
    println!(
        "{leaving:?}: {} pieces after {took:?}; {} KiB read in {:?}",
        last.hits.len(),
        last.bytes / 1_024,
        last.took
    );
    last
}

fn nothing_is_left(server: &Running, leaving: Leaving) {
    let patient = whole_call(server);
    let left = after(server, patient, leaving);
    assert!(left.hits.is_empty(), "{leaving:?}: {left:#?}");
}

#[test]
fn nothing_is_left_after_stop_and_close_or_a_reset() {
    for agent in ["echo", "greeter"] {
        let server = Running::media(&format!("MEDIA_AGENT={agent}"));
        for leaving in [Leaving::Stop, Leaving::Close, Leaving::Reset, Leaving::Cut] {
            nothing_is_left(&server, leaving);
        }
        // Nor did anything of a call ever reach the process that signs.
        let patient = whole_call(&server);
        let found = scan(server.process(Role::Sign), &patient.needles());
        assert!(found.hits.is_empty(), "{found:#?}");
    }
}

#[test]
fn keys_are_never_joined_by_the_servers_own_agents() {
    // One message carries one key, and nothing that ships puts them in a row. An agent that does is the control.
    for (variant, expected) in [(None, false), (Some("ward-media-keeper"), true)] {
        let server = match variant {
            None => Running::media("MEDIA_AGENT=greeter"),
            Some(variant) => Running::media_variant(variant, ""),
        };
        let patient = whole_call(&server);
        let found = scan(server.id(), &patient.needles());
        assert_eq!(found.has("keys"), expected, "{found:#?}");
    }
}

#[test]
fn nothing_is_left_after_a_panic_with_everything_in_hand() {
    let server = Running::media_variant("ward-media-keeper", "");
    for number in 1..=3 {
        let patient = whole_call(&server);
        let needles = patient.needles();
        // The agent has all of it: far more than what lies in the buffers of a connection.
        let live = scan(server.id(), &needles);
        let most = live.of("audio").iter().map(|hit| hit.length).max();
        assert!(live.has("keys") && most > Some(8_000), "{live:#?}");
        let left = after(&server, patient, Leaving::Panic);
        assert!(left.hits.is_empty(), "{left:#?}");
        assert_eq!(server.logs.nth("call_ended", number)["reason"], "panicked");
    }
}

#[test]
fn one_of_many_calls_ends_and_only_its_own_is_gone() {
    for server in [Running::media(""), Running::media_variant("ward-media-keeper", "")] {
        let mut patients: Vec<Patient> = (0..6).map(|_| Patient::begin(&server)).collect();
        for _ in 0..30 {
            for patient in &mut patients {
                patient.speak(1);
            }
        }
        for leaving in [Leaving::Stop, Leaving::Reset, Leaving::Close] {
            let leaver = patients.remove(patients.len() / 2);
            let left = after(&server, leaver, leaving);
            assert!(left.hits.is_empty(), "{left:#?}");
            for patient in &patients {
                let found = scan(server.id(), &patient.needles());
                assert!(found.has("audio") && found.has("stream SID"), "{found:#?}");
            }
        }
    }
}

#[test]
fn without_the_wiping_allocator_a_call_stays() {
    let server = Running::media_variant("ward-media-unwiped", "");
    for leaving in [Leaving::Stop, Leaving::Reset] {
        let patient = whole_call(&server);
        let left = after(&server, patient, leaving);
        assert!(left.has("audio") && left.has("stream SID"), "{leaving:?}: {left:#?}");
    }
}
