//! The process that holds the TLS key: what happens without it. That nobody else has the key is shown in
//! `tests/memory`.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ward_policy::audit::Role;
use ward_tests::binaries::release;
use ward_tests::servers::Running;
use ward_tests::websocket::Stream;
use ward_tests::wire::{Wire, exchange, status};

fn signal(id: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn kill(id: u32) {
    signal(id, Signal::KILL);
}

#[test]
fn without_the_signing_process_live_calls_go_on_and_new_handshakes_fail() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    kill(server.process(Role::Sign));
    // No certificate without a signature: the handshake ends, and nothing hangs.
    for number in 1..=3 {
        let refused = std::panic::catch_unwind(|| {
            let mut wire = Wire::open(server.port);
            wire.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                && wire.receive().is_some_and(|b| !b.is_empty())
        });
        assert!(!refused.unwrap_or(false), "a handshake without a signature");
        assert_eq!(server.logs.nth("signing_failed", number)["reason"], "signing_gone");
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
fn a_server_that_is_gone_takes_its_signing_process_with_it() {
    let mut server = Running::twiml("");
    let id = server.process(Role::Sign);
    assert_eq!(status(&exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    kill(server.id());
    assert_eq!(server.server().exit_status(), None, "ended by a signal");
    let until = Instant::now() + Duration::from_secs(5);
    let has_ended = || {
        // Ended and not yet waited for counts: its launcher is this test.
        std::fs::read_to_string(format!("/proc/{id}/status"))
            .is_ok_and(|text| text.contains("State:\tZ"))
    };
    while !has_ended() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(has_ended(), "sign is still there");
}
