//! A captured handshake, ticket and `start`, sent again in every way: refused each time, by name. E06 and E08.

use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::time::Duration;

use ward_policy::audit::Role;
use ward_tests::edge_cases::{note_seen, row};
use ward_tests::random::fresh;
use ward_tests::servers::Running;
use ward_tests::websocket::{Stream, connected, start};

use crate::desk::{
    Fate, Form, await_open, call, given, is_live, key, lives, media, named, present, present_from,
    refused, start_with, taken, ticket,
};

/// Who connects from elsewhere: another address of loopback.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[test]
fn e06_what_was_captured_is_refused_while_its_call_lives_and_after() {
    for form in Form::BOTH {
        let server = media(form.mode());
        let captured = ticket(1);
        let mut live = taken(&server, form, &captured, 1);
        refused(&server, form, &present(&server, form, &captured, 1), "ticket_used");
        refused(
            &server,
            form,
            &present_from(ELSEWHERE, &server, form, &captured, 1),
            "ticket_used",
        );
        live.proves_alive(2);
        assert_eq!(live.close(), 1000);
        let again = present(&server, form, &captured, 1);
        refused(&server, form, &again, "ticket_used");
        let what = format!("handshake, ticket and start of a call, over again ({form:?})");
        let when = match form {
            Form::Parameter => "101, then 1008 at start, ticket_used",
            Form::Path => "403, ticket_used",
        };
        row("E06", &what, &format!("{when}: while the call lives, after it, from another address"));
        given(&server, "ticket_used", 3);
        // The control: the same call with a ticket of its own.
        drop(taken(&server, form, &ticket(1), 1));
    }
}

#[test]
fn e06_on_the_same_connection_nothing_begins_twice() {
    let server = media("signature+ticket");
    let captured = ticket(1);
    let mut live = taken(&server, Form::Parameter, &captured, 1);
    live.send(&start_with(&captured));
    assert_eq!(live.close_code(), 1008);
    assert_eq!(server.logs.first("call_ended")["reason"], "out_of_order");
    row("E06", "start with its ticket, again on the same stream", "1008, out_of_order");
    // A connection is good for one request: what was refused on it is not asked again.
    let server = media("ticket");
    let target = format!("/rtm/voice/{}", key(1).issue(&call(1), lives(30), fresh()));
    let request = ward_tests::websocket::upgrade_request(&target, &[]);
    let answer = ward_tests::wire::exchange(server.port, request.repeat(2).as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(ward_tests::wire::status(&answer), 403);
    server.logs.wait_for(&named("ticket_unknown_key"));
}

#[test]
fn e06_of_many_at_once_one_is_taken() {
    const AT_ONCE: usize = 16;
    for form in Form::BOTH {
        let server = media(form.mode());
        for round in 0..5 {
            let captured = ticket(round);
            let begin = Barrier::new(AT_ONCE);
            let fates: Vec<Fate> = std::thread::scope(|scope| {
                let one = || {
                    begin.wait();
                    present(&server, form, &captured, round)
                };
                let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            let live = fates.iter().filter(|fate| matches!(fate, Fate::Live(_))).count();
            assert_eq!(live, 1, "{form:?}: {fates:?}");
            for fate in fates.iter().filter(|fate| !matches!(fate, Fate::Live(_))) {
                refused(&server, form, fate, "ticket_used");
            }
        }
        given(&server, "ticket_used", 5 * (AT_ONCE - 1));
        note_seen("ticket_used");
        let what = format!("one ticket on sixteen connections at once, five times ({form:?})");
        row("E06", &what, "one call each time; fifteen refused, ticket_used");
    }
}

#[test]
fn e06_what_one_worker_has_taken_every_worker_refuses() {
    const TRIES: usize = 24;
    for form in Form::BOTH {
        let settings = format!("MEDIA_HANDSHAKE={}\n{}", form.mode(), crate::desk::public(&[0]));
        let server = Running::media_of(2, &settings);
        assert_eq!(server.logs.first("started")["workers"], 2);
        await_open();
        let captured = ticket(1);
        let begin = Barrier::new(TRIES);
        let fates: Vec<Fate> = std::thread::scope(|scope| {
            let one = || {
                begin.wait();
                present(&server, form, &captured, 1)
            };
            let all: Vec<_> = (0..TRIES).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let live = fates.iter().filter(|fate| matches!(fate, Fate::Live(_))).count();
        assert_eq!(live, 1, "{form:?}: {fates:?}");
        drop(fates);
        // The kernel deals connections out by their port: that all of these come to the worker that took it has a chance of 1 in 2^24.
        for _ in 0..TRIES {
            refused(&server, form, &present(&server, form, &captured, 1), "ticket_used");
        }
        given(&server, "ticket_used", 2 * TRIES - 1);
        drop(taken(&server, form, &ticket(2), 2));
        row(
            "E06",
            &format!("one ticket at two workers, at once and one after the other ({form:?})"),
            "one call; every other is refused, ticket_used",
        );
    }
}

#[test]
fn e06_without_tickets_a_captured_handshake_opens_a_stream() {
    // What is not met without tickets, and the control of everything above: the same bytes, twice.
    let server = Running::media("");
    for _ in 0..2 {
        let stream = Stream::started(&server);
        assert!(matches!(is_live(stream), Fate::Live(_)));
    }
    row(
        "E06",
        "MEDIA_HANDSHAKE=signature: handshake and start over again, after their call",
        "taken: the signature is a constant, and only tickets say that a call is not new",
    );
}

#[test]
fn e08_a_ticket_is_for_one_call_and_a_short_time() {
    for form in Form::BOTH {
        let server = media(form.mode());
        let other = ticket(1);
        refused(&server, form, &present(&server, form, &other, 2), "ticket_other_call");
        row("E08", &format!("a ticket for another call ({form:?})"), "1008, ticket_other_call");
        let over = key(0).issue(&call(3), lives(1), fresh());
        std::thread::sleep(Duration::from_secs(2));
        refused(&server, form, &present(&server, form, &over, 3), "ticket_expired");
        let close = if form == Form::Path { "403" } else { "1008" };
        let what = format!("a ticket one second after its end ({form:?})");
        row("E08", &what, &format!("{close}, ticket_expired"));
        for (what, reason, wrong) in [
            ("a ticket of a key that is not held", "ticket_unknown_key", {
                key(1).issue(&call(4), lives(30), fresh())
            }),
            ("a ticket that lives 61 s", "ticket_malformed", {
                key(0).issue(&call(4), lives(61), fresh())
            }),
            ("a ticket issued ten seconds from now", "ticket_early", {
                let mut ahead = lives(30);
                ahead.issued_ms += 10_000;
                key(0).issue(&call(4), ahead, fresh())
            }),
            ("a ticket with one character changed", "ticket_wrong", {
                let right = ticket(4);
                let at = right.len() - 20;
                let other = if right.as_bytes()[at] == b'A' { "B" } else { "A" };
                format!("{}{other}{}", &right[..at], &right[at + 1..])
            }),
            ("half a ticket", "ticket_malformed", ticket(4)[..87].to_owned()),
        ] {
            refused(&server, form, &present(&server, form, &wrong, 4), reason);
            row("E08", &format!("{what} ({form:?})"), &format!("{close}, {reason}"));
        }
        // The control.
        drop(taken(&server, form, &ticket(4), 4));
    }
}

#[test]
fn e08_none_and_two_are_refused() {
    let server = media("signature+ticket");
    let mut stream = Stream::open(&server);
    stream.send(&connected());
    stream.send(&start());
    assert_eq!(stream.close_code(), 1008);
    assert_eq!(server.logs.first("call_ended")["reason"], "ticket_absent");
    row("E08", "signature+ticket: no ticket in start", "1008, ticket_absent");
    let server = media("ticket");
    let wire = ward_tests::wire::Wire::open(server.port);
    let target = format!("/rtm/voice/{}", ticket(1));
    let mut stream = Stream::over(wire, &target, &[]).unwrap();
    stream.be(1);
    stream.send(&connected());
    stream.send(&start_with(&ticket(1)));
    assert_eq!(stream.close_code(), 1008);
    assert_eq!(server.logs.first("call_ended")["reason"], "ticket_repeated");
    row("E08", "a ticket in the path and another in start", "1008, ticket_repeated");
}

#[test]
fn e06_a_process_that_is_started_again_takes_nothing_from_before() {
    for form in Form::BOTH {
        let server = media(form.mode());
        let (used, unused) = (ticket(1), ticket(2));
        drop(taken(&server, form, &used, 1));
        let before = server.id();
        end(before);
        while server.logs.count("\"event\":\"started\"") == 0
            || server.process(Role::Media) == before
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.logs.wait_for_count("\"role\":\"media\",\"event\":\"started\"", 2);
        let young = ticket(3);
        for (number, replayed) in [(1, &used), (2, &unused), (3, &young)] {
            let fate = present(&server, form, replayed, number);
            refused(&server, form, &fate, "ticket_stale");
        }
        given(&server, "ticket_stale", 3);
        await_open();
        refused(&server, form, &present(&server, form, &used, 1), "ticket_stale");
        drop(taken(&server, form, &ticket(3), 3));
        row(
            "E06",
            &format!(
                "a used ticket, an unused and a fresh one right after media was killed ({form:?})"
            ),
            "ticket_stale, each; tickets issued two seconds after the start are taken",
        );
    }
}

/// Ends a process at once.
fn end(id: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
