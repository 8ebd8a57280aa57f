//! The three modes of `MEDIA_HANDSHAKE`: what each demands, and what none of them takes.

use ward_policy::limit::UNPROVEN_STREAMS_MAX;
use ward_tests::headers;
use ward_tests::websocket::{Stream, connected, upgrade_request};
use ward_tests::wire::{Wire, exchange, status};

use crate::desk::{Fate, Form, is_live, media, named, present, refused, start_with, taken, ticket};

const UNSIGNED: (&str, &str) = ("X-Twilio-Signature", "");
const WRONG: (&str, &str) = ("X-Twilio-Signature", "Vij22jir6R+t9gbbSc1DUsBFJ5w=");

/// The status of an upgrade.
fn upgrade(port: u16, target: &str, changes: &[(&str, &str)]) -> u16 {
    let answer = exchange(port, upgrade_request(target, changes).as_bytes());
    drop(headers::check(&answer));
    status(&answer)
}

#[test]
fn a_wrong_signature_is_refused_in_every_mode_and_an_absent_one_in_two() {
    for (mode, is_needed) in [("signature", true), ("signature+ticket", true), ("ticket", false)] {
        let server = media(mode);
        assert_eq!(upgrade(server.port, "/rtm/voice", &[WRONG]), 403, "{mode}");
        server.logs.wait_for(&named("signature_wrong"));
        let mut answered = match Stream::over(Wire::open(server.port), "/rtm/voice", &[UNSIGNED]) {
            Ok(stream) => stream,
            Err(head) => {
                assert!(is_needed && status(&head) == 403, "{mode}: {head}");
                server.logs.wait_for("upgrade_unsigned");
                continue;
            }
        };
        assert!(!is_needed, "{mode}");
        assert_eq!(server.logs.first("upgrade_accepted")["proof"], "nothing");
        answered.send(&connected());
        answered.send(&start_with(&ticket(0)));
        let Fate::Live(mut live) = is_live(answered) else { panic!("{}", server.logs.text()) };
        assert_eq!(server.logs.first("call_started")["ticket"], "parameter");
        live.proves_alive(2);
        // The same without a ticket is nobody.
        let mut nobody = Stream::over(Wire::open(server.port), "/rtm/voice", &[UNSIGNED]).unwrap();
        nobody.be(1);
        nobody.send(&connected());
        nobody.send(&ward_tests::websocket::start());
        assert_eq!(nobody.close_code(), 1008);
        assert_eq!(server.logs.first("call_ended")["reason"], "ticket_absent");
    }
}

#[test]
fn where_a_signature_suffices_a_ticket_that_is_there_must_still_be_right() {
    let server = media("signature");
    let live = taken(&server, Form::Parameter, &ticket(1), 1);
    assert_eq!(server.logs.first("upgrade_accepted")["proof"], "signature_0");
    assert_eq!(server.logs.first("call_started")["ticket"], "parameter");
    let fate = present(&server, Form::Parameter, &ticket(1), 2);
    refused(&server, Form::Parameter, &fate, "ticket_other_call");
    // And one without is taken.
    let mut without = Stream::open(&server);
    without.be(3);
    without.send(&connected());
    without.send(&ward_tests::websocket::start());
    assert!(matches!(is_live(without), Fate::Live(_)));
    assert_eq!(server.logs.nth("call_started", 2)["ticket"], "none");
    drop(live);
}

#[test]
fn a_path_with_a_ticket_is_a_route_in_one_mode_only() {
    for mode in ["signature", "signature+ticket"] {
        let server = media(mode);
        let target = format!("/rtm/voice/{}", ticket(1));
        assert_eq!(upgrade(server.port, &target, &[]), 404, "{mode}");
        server.logs.wait_for(&named("route"));
    }
    let server = media("ticket");
    for (target, expected) in [
        ("/rtm/voice/".to_owned(), 404),
        ("/rtm/voice/x/y".to_owned(), 404),
        (format!("/rtm/voice/{}?x=1", ticket(1)), 404),
        ("/rtm/voice/x".to_owned(), 403),
        ("/rtm/voicex".to_owned(), 404),
        (format!("/rtm/voice/{}", ticket(1)), 101),
    ] {
        let mut wire = Wire::open(server.port);
        wire.send(upgrade_request(&target, &[UNSIGNED]).as_bytes());
        assert_eq!(status(&wire.receive_head()), expected, "{target}");
    }
    server.logs.wait_for(&named("ticket_malformed"));
    assert_eq!(server.logs.first("upgrade_accepted")["proof"], "ticket");
    // Another method does not use one up.
    let target = format!("/rtm/voice/{}", ticket(2));
    let post = upgrade_request(&target, &[]).replacen("GET", "POST", 1);
    assert_eq!(status(&exchange(server.port, post.as_bytes())), 405);
    assert_eq!(upgrade_status_open(server.port, &target), 101);
}

fn upgrade_status_open(port: u16, target: &str) -> u16 {
    let mut wire = Wire::open(port);
    wire.send(upgrade_request(target, &[UNSIGNED]).as_bytes());
    status(&wire.receive_head())
}

#[test]
fn strangers_take_their_own_few_places_and_those_with_proof_have_the_others() {
    let server = media("ticket");
    let open =
        |changes: &[(&str, &str)]| Stream::over(Wire::open(server.port), "/rtm/voice", changes);
    let mut strangers: Vec<Stream> =
        (0..UNPROVEN_STREAMS_MAX).map(|_| open(&[UNSIGNED]).unwrap()).collect();
    let refusal = open(&[UNSIGNED]).unwrap_err();
    assert_eq!(status(&refusal), 503);
    assert_eq!(headers::values(&refusal, "retry-after"), ["5"]);
    server.logs.wait_for(&named("unproven"));
    // A signature, or a ticket in the path, is proof.
    drop(open(&[]).unwrap());
    drop(taken(&server, Form::Path, &ticket(1), 1));
    // One of them shows a ticket, and its place is free.
    let mut one = strangers.pop().unwrap();
    one.be(2);
    one.send(&connected());
    one.send(&start_with(&ticket(2)));
    let Fate::Live(live) = is_live(one) else { panic!("{}", server.logs.text()) };
    drop(open(&[UNSIGNED]).unwrap());
    drop((live, strangers));
}

#[test]
fn a_small_worker_has_places_that_no_stranger_can_take() {
    let few = "MEDIA_HANDSHAKE=ticket\nCALLS_PER_WORKER_MAX=8\n";
    let server =
        ward_tests::servers::Running::media(&format!("{few}{}", crate::desk::public(&[0])));
    crate::desk::await_open();
    let open =
        |changes: &[(&str, &str)]| Stream::over(Wire::open(server.port), "/rtm/voice", changes);
    // A quarter is theirs, however many come.
    let strangers: Vec<_> = (0..8).map(|_| open(&[UNSIGNED])).collect();
    assert_eq!(strangers.iter().filter(|one| one.is_ok()).count(), 2);
    for refusal in strangers.iter().filter_map(|one| one.as_ref().err()) {
        assert_eq!(status(refusal), 503);
    }
    server.logs.wait_for(&named("unproven"));
    let calls: Vec<_> =
        (1..=6).map(|call| taken(&server, Form::Path, &ticket(call), call)).collect();
    // The control: the worker is full now, for those with proof too.
    assert_eq!(status(&open(&[]).unwrap_err()), 503);
    server.logs.wait_for(&named("capacity"));
    drop((strangers, calls));
}
