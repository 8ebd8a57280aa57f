//! Processes that are killed: who goes on, who comes back, and how soon.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ward_policy::audit::Role;
use ward_tests::servers::Running;
use ward_tests::websocket::Stream;

/// Sends a signal to a process of ours.
pub(crate) fn signal(id: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    // One that has ended meanwhile was to end.
    kill_process(pid, signal).unwrap_or_default();
}

/// Whether a process is still there, in whole.
fn is_there(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/status"))
        .is_ok_and(|text| !text.contains("State:\tZ") && !text.contains("State:\tX"))
}

/// For how long; a long run says more.
fn patience() -> Duration {
    let seconds = std::env::var("WARD_KILL_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

#[test]
fn a_server_that_does_not_heed_the_signal_is_ended() {
    let server = Running::media("");
    let (init, media) = (server.process(Role::Init), server.process(Role::Media));
    // What a server does that was taken over and ignores what it can.
    signal(media, Signal::STOP);
    signal(init, Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_there(media), "the first signal gives calls their time");
    let begun = Instant::now();
    signal(init, Signal::TERM);
    let most = ward_policy::limit::END_DEADLINE + Duration::from_secs(10);
    while (is_there(media) || is_there(init)) && begun.elapsed() < most {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!is_there(media) && !is_there(init), "{:?}", begun.elapsed());
}

#[test]
fn a_media_server_that_is_killed_again_and_again_comes_back_within_a_second() {
    let server = Running::media("");
    let others = [Role::Init, Role::Log, Role::Sign, Role::Broker];
    let before = others.map(|role| server.process(role));
    std::thread::sleep(2 * ward_policy::limit::ROLE_STARTED_AFTER);
    let begun = Instant::now();
    let (mut kills, mut longest) = (0_u64, Duration::ZERO);
    while begun.elapsed() < patience() {
        let media = server.process(Role::Media);
        kills += 1;
        // Mid-call: what it says is taken in and answered.
        let mut stream = Stream::named(&server, kills);
        let digit = serde_json::json!({
            "event": "dtmf", "sequenceNumber": "3",
            "streamSid": "MZ00000000000000000000000000000000",
            "dtmf": { "track": "inbound_track", "digit": "7" },
        });
        stream.proves_alive(1);
        stream.send(&digit);
        let waiting = Instant::now();
        signal(media, Signal::KILL);
        // Whom it still accepted goes with it; a newcomer after that connects while nobody is there, and is served.
        while is_there(media) {
            std::thread::sleep(Duration::from_micros(200));
        }
        let mut next = Stream::named(&server, 1_000_000 + kills);
        next.proves_alive(1);
        longest = longest.max(waiting.elapsed());
        assert!(waiting.elapsed() < Duration::from_secs(1), "{:?}", waiting.elapsed());
        assert_ne!(server.process(Role::Media), media);
    }
    assert!(kills >= 5, "{kills}");
    assert_eq!(others.map(|role| server.process(role)), before, "the others live");
    // What the calls were is nowhere in what was written: no SID, no account, no audio.
    let text = server.logs.text();
    for what in ["0000000000000000000000000000", "qqqqqqqq", "inbound_track"] {
        // The first line of a chain has a predecessor of zeros.
        let found =
            text.lines().filter(|line| !line.contains("\"seq\":0,")).any(|l| l.contains(what));
        assert!(!found, "{what}");
    }
    assert!(!text.contains("line_refused") && !text.contains("scrubber_alarm"));
    println!("{kills} kills in {:?}; the longest wait was {longest:?}", begun.elapsed());
}

#[test]
fn the_one_writer_of_the_log_comes_back_and_loses_nothing_that_was_written_since() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    let log = server.process(Role::Log);
    signal(log, Signal::KILL);
    // Said while nobody reads: it waits in the pipe.
    assert_eq!(Stream::named(&server, 2).close(), 1000);
    drop(server.logs.nth("call_ended", 1));
    let begun = Instant::now();
    while server.process(Role::Log) == log {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.proves_alive(2);
    // Another chain, from its beginning.
    let text = server.logs.text();
    assert_eq!(text.matches("\"seq\":0,").count(), 2, "{text}");
    assert_eq!(server.logs.nth("role_started", 5)["which"], "log");
}

#[test]
fn what_a_taken_over_server_did_to_its_channels_and_listeners_ends_with_it() {
    // It fills its channels, sends what is no message, shuts down what it can, and ends as if it had been told to.
    let server = Running::media_variant("ward-media-saboteur", "");
    assert_eq!(server.logs.nth("role_ended", 1)["status"], 0);
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    assert_eq!(stream.close(), 1000);
    let others = server.logs.text().matches("\"event\":\"role_ended\"").count();
    assert_eq!(others, 1, "{}", server.logs.text());
    let mark = format!("ward-saboteur-{}", server.process(Role::Init));
    std::fs::remove_file(std::env::temp_dir().join(mark)).unwrap();
}

#[test]
fn while_a_server_drains_its_helpers_may_die_and_live_calls_go_on() {
    let mut server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    std::thread::sleep(2 * ward_policy::limit::ROLE_STARTED_AFTER);
    server.terminate();
    drop(server.logs.first("draining"));
    for (number, role) in (1..).zip([Role::Broker, Role::Sign, Role::Log, Role::Broker]) {
        signal(server.process(role), Signal::KILL);
        assert_eq!(server.logs.nth("role_ended", number)["which"], role.name());
        stream.proves_alive(1 + u64::try_from(number).unwrap());
    }
    assert_eq!(stream.close(), 1000);
    assert_eq!(server.server().exit_status(), Some(0));
    server.logs.wait_for("\"event\":\"stopped\"");
}
