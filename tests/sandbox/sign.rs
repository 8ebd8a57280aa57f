//! The process that holds the TLS key: what happens without it. That nobody else has the key is shown in
//! `tests/memory`.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use ward_policy::audit::Role;
use ward_tests::binaries::release;
use ward_tests::servers::Running;
use ward_tests::websocket::Stream;
use ward_tests::wire::{exchange, status};

use crate::kills::signal;

#[test]
fn without_the_signing_process_live_calls_go_on_until_it_is_back() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    // One that dies at once, time and again, is not started for ever; this one has been there.
    std::thread::sleep(2 * ward_policy::limit::ROLE_STARTED_AFTER);
    for number in 1..=5 {
        let before = server.process(Role::Sign);
        signal(before, Signal::KILL);
        // A handshake in between either waits for the new one, or fails cleanly.
        let begun = Instant::now();
        while !is_served(&server) {
            assert!(begun.elapsed() < Duration::from_secs(5), "nobody signs");
        }
        let ended = server.logs.nth("role_ended", number);
        assert_eq!((&ended["which"], &ended["signal"]), (&"sign".into(), &9.into()));
        assert_ne!(server.process(Role::Sign), before);
        stream.proves_alive(1 + u64::try_from(number).unwrap());
    }
    assert_eq!(stream.close(), 1000);
}

/// Whether a handshake and a request after it succeed.
fn is_served(server: &Running) -> bool {
    let port = server.port;
    let served = std::panic::catch_unwind(move || {
        status(&exchange(port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"))
    });
    served.is_ok_and(|code| code == 200 || code == 503)
}

#[test]
fn a_signing_process_that_hangs_holds_nobody_up() {
    let mut server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    signal(server.process(Role::Sign), Signal::STOP);
    // Far more than a channel holds: what is asked in vain must not pile up, nor hold up the worker.
    let begin = Instant::now();
    for number in 1..=300 {
        assert!(!is_served(&server), "a handshake without a signature");
        if number % 50 == 0 {
            stream.proves_alive(1 + number / 50);
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(server.logs.first("signing_failed")["reason"], "signing_late");
    signal(server.process(Role::Sign), Signal::CONT);
    std::thread::sleep(ward_policy::limit::SIGN_REST + Duration::from_millis(200));
    assert!(is_served(&server), "it signs again, and nothing old is taken for new");
    // The stop signals end the server even if it hangs again.
    signal(server.process(Role::Sign), Signal::STOP);
    assert!(!is_served(&server));
    server.terminate();
    drop(server.logs.first("draining"));
    server.terminate();
    let begin = Instant::now();
    assert_eq!(server.server().exit_status(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

#[test]
fn a_server_that_is_stopped_and_continued_goes_on() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    for number in 1..=60 {
        // While the worker pauses between frames, which the kernel then takes up again by a call of its own.
        stream.proves_alive(number);
        signal(server.id(), Signal::STOP);
        std::thread::sleep(Duration::from_millis(3));
        signal(server.id(), Signal::CONT);
    }
    stream.proves_alive(61);
    assert_eq!(stream.close(), 1000);
}

#[test]
fn a_server_whose_launcher_is_gone_does_not_start() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer: std::os::fd::OwnedFd = writer.into();
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
    let start = |launcher: u32| {
        let log = format!("log={}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let target = format!("target={}", ward::launch::target().name());
        let output = std::process::Command::new(release("ward-init"))
            .args(["sign", &log, &target, &format!("launcher={launcher}")])
            .output()
            .unwrap();
        output.status.code()
    };
    // Not the process that started it: as if that had ended before.
    assert_eq!(start(1), Some(67));
    // The one that did: it comes as far as its key, of which there is none.
    assert_eq!(start(std::process::id()), Some(66));
    drop(writer);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert!(!text.contains("started"), "{text}");
}

#[test]
fn nobody_outlives_the_supervisor() {
    let server = Running::media("");
    let all = [Role::Log, Role::Sign, Role::Broker, Role::Media].map(|role| server.process(role));
    assert_eq!(status(&exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    signal(server.process(Role::Init), Signal::KILL);
    let until = Instant::now() + Duration::from_secs(5);
    let is_there = |id: &u32| {
        std::fs::read_to_string(format!("/proc/{id}/status"))
            .is_ok_and(|text| !text.contains("State:\tZ"))
    };
    while all.iter().any(is_there) {
        assert!(Instant::now() < until, "{all:?} are still there:\n{}", server.logs.text());
        std::thread::sleep(Duration::from_millis(10));
    }
    // What they said last has been written: the log is the last to go.
    server.logs.wait_for("\"event\":\"stopped\"");
}
