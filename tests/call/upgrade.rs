//! E01–E05, E07, E13–E15: who may open a stream.

use ward_policy::phi::Secret;
use ward_tests::edge_cases::row;
use ward_tests::headers;
use ward_tests::servers::{HANDSHAKE, Running, TOKEN};
use ward_tests::websocket::{Stream, connected, media, start, upgrade_request};
use ward_tests::wire::{Wire, exchange, status};
use ward_twilio::signature::AuthToken;

fn sign(url: &str) -> String {
    AuthToken::new(&Secret::new(TOKEN.to_owned())).unwrap().sign_url(url).to_base64()
}

/// The status of an upgrade with `changes`; the connection is closed afterwards.
fn upgrade(server: &Running, changes: &[(&str, &str)]) -> u16 {
    let mut wire = Wire::open(server.port);
    wire.send(upgrade_request("/rtm/voice", changes).as_bytes());
    let head = wire.receive_head();
    drop(headers::check(&head));
    status(&head)
}

#[test]
fn e01_an_unsigned_upgrade_is_refused_and_the_event_names_the_setting() {
    let server = Running::media("");
    let response = exchange(
        server.port,
        upgrade_request("/rtm/voice", &[("X-Twilio-Signature", "")]).as_bytes(),
    );
    assert_eq!(status(&response), 403);
    assert!(response.ends_with("\r\n\r\nForbidden"), "no detail: {response}");
    let event = server.logs.first("upgrade_unsigned");
    assert_eq!(event["setting"], "MEDIA_HANDSHAKE");
    row(
        "E01",
        "upgrade without X-Twilio-Signature",
        "403, closed, event upgrade_unsigned names MEDIA_HANDSHAKE",
    );
}

#[test]
fn e02_a_wrong_or_malformed_signature_is_refused() {
    let server = Running::media("");
    let long = "A".repeat(10_000);
    for (what, value, reason) in [
        ("a wrong signature", "Vij22jir6R+t9gbbSc1DUsBFJ5w=", "signature_wrong"),
        ("one character less", "hT6TllFCjXqRGzPszuGWRqAQ2lY", "signature_malformed"),
        ("no base64", "!!!!!!!!!!!!!!!!!!!!!!!!!!!!", "signature_malformed"),
        ("not ASCII", "h\u{e9}6TllFCjXqRGzPszuGWRqAQ2l=", "signature_malformed"),
        ("10 kB", &long, "signature_malformed"),
    ] {
        let before = server.logs.text().matches("\"refused\"").count();
        assert_eq!(upgrade(&server, &[("X-Twilio-Signature", value)]), 403, "{what}");
        assert_eq!(server.logs.nth("refused", before + 1)["reason"], reason, "{what}");
        row("E02", what, &format!("403, {reason}"));
    }
    let two = upgrade_request("/rtm/voice", &[]).replacen(
        "\r\n\r\n",
        &format!("\r\nX-Twilio-Signature: {HANDSHAKE}\r\n\r\n"),
        1,
    );
    assert_eq!(status(&exchange(server.port, two.as_bytes())), 403);
    server.logs.wait_for("signature_repeated");
    row("E02", "the right signature twice", "403, signature_repeated");
}

#[test]
fn e03_every_documented_spelling_of_the_url_is_accepted() {
    let server = Running::media("");
    let base = "wss://media.example.com";
    for (index, (id, url)) in [
        ("V-W1", format!("{base}/rtm/voice")),
        ("V-W2", format!("{base}/rtm/voice/")),
        ("V-W3", format!("{base}:443/rtm/voice")),
        ("V-W4", format!("{base}:443/rtm/voice/")),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(upgrade(&server, &[("X-Twilio-Signature", &sign(&url))]), 101, "{id}");
        let proof = format!("signature_{index}");
        assert_eq!(server.logs.nth("upgrade_accepted", index + 1)["proof"], proof, "{id}");
        row("E03", &format!("{id}: signed over {url}"), &format!("101, {proof}"));
    }
}

#[test]
fn e04_a_signature_over_another_url_is_refused() {
    let server = Running::media("");
    for url in [
        "https://media.example.com/rtm/voice",
        "wss://media.example.com:80/rtm/voice",
        "wss://attacker.example/rtm/voice",
    ] {
        let changes = [("X-Twilio-Signature", &*sign(url)), ("Host", "attacker.example")];
        assert_eq!(upgrade(&server, &changes), 403, "{url}");
        row("E04", &format!("signed over {url}, Host: attacker.example"), "403, signature_wrong");
    }
}

#[test]
fn e05_forwarded_headers_change_nothing() {
    let server = Running::media("");
    let forwarded = [
        ("X-Forwarded-Host", "attacker.example"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "host=attacker.example"),
    ];
    assert_eq!(upgrade(&server, &forwarded), 101);
    row("E05", "X-Forwarded-Host and -Proto beside the right signature", "101: ignored");
    let mut changes = forwarded.to_vec();
    let foreign = sign("wss://attacker.example/rtm/voice");
    changes.push(("X-Twilio-Signature", &foreign));
    assert_eq!(upgrade(&server, &changes), 403);
    row("E05", "the same beside a signature over the forwarded host", "403: ignored");
}

#[test]
fn e07_a_newcomer_with_a_live_call_or_stream_is_refused() {
    let server = Running::media("");
    let mut first = Stream::started(&server);
    first.proves_alive(1);
    for (what, old, new) in [
        ("the same CallSid, another StreamSid", "MZ00", "MZ11"),
        ("the same StreamSid, another CallSid", "CA00", "CA11"),
    ] {
        let mut second = Stream::open(&server);
        second.send(&connected());
        second.send_text(&start().to_string().replace(old, new));
        assert_eq!(second.close_code(), 1008, "{what}");
        row("E07", what, "1008, already_live; the first call goes on");
    }
    first.proves_alive(2);
    assert_eq!(server.logs.first("call_ended")["reason"], "already_live");
}

#[test]
fn e07_a_call_that_has_been_silent_for_five_seconds_gives_way() {
    let server = Running::media("");
    let mut first = Stream::started(&server);
    first.proves_alive(1);
    std::thread::sleep(std::time::Duration::from_millis(5_200));
    let mut second = Stream::started(&server);
    second.proves_alive(1);
    assert_eq!(first.close_code(), 1008);
    assert_eq!(server.logs.first("call_ended")["reason"], "replaced");
    second.proves_alive(2);
    row(
        "E07",
        "the same CallSid after 5 s of silence",
        "the newcomer is live; the old one 1008, replaced",
    );
}

#[test]
fn e13_an_origin_neither_helps_nor_hurts() {
    let server = Running::media("");
    let origin = ("Origin", "https://evil.example");
    assert_eq!(upgrade(&server, &[origin]), 101);
    row("E13", "Origin beside the right signature", "101: the signature decides");
    assert_eq!(upgrade(&server, &[origin, ("X-Twilio-Signature", "")]), 403);
    row("E13", "Origin without a signature, as a browser would", "403");
}

#[test]
fn e14_offered_subprotocols_and_extensions_are_never_selected() {
    let server = Running::media("");
    let mut wire = Wire::open(server.port);
    let offers =
        [("Sec-WebSocket-Protocol", "audio"), ("Sec-WebSocket-Extensions", "permessage-deflate")];
    wire.send(upgrade_request("/rtm/voice", &offers).as_bytes());
    let head = wire.receive_head();
    assert_eq!(status(&head), 101);
    assert!(headers::values(&head, "sec-websocket-protocol").is_empty());
    assert!(headers::values(&head, "sec-websocket-extensions").is_empty());
    row(
        "E14",
        "Sec-WebSocket-Protocol: audio, -Extensions: permessage-deflate",
        "101, none selected",
    );
}

#[test]
fn e15_capacity_is_judged_after_the_signature() {
    let server = Running::media("CALLS_PER_WORKER_MAX=2");
    let mut live = [Stream::open(&server), Stream::open(&server)];
    let response = exchange(server.port, upgrade_request("/rtm/voice", &[]).as_bytes());
    assert_eq!(status(&response), 503);
    assert_eq!(headers::values(&response, "retry-after"), ["5"]);
    row("E15", "a signed upgrade past CALLS_PER_WORKER_MAX", "503, Retry-After, capacity");
    assert_eq!(upgrade(&server, &[("X-Twilio-Signature", "")]), 403);
    row("E15", "an unsigned upgrade past CALLS_PER_WORKER_MAX", "403: strangers learn nothing");
    live[0].send(&connected());
    live[0].send(&start());
    live[0].proves_alive(1);
    let [one, two] = live;
    assert_eq!(two.close(), 1000);
    drop(server.logs.first("call_ended"));
    assert_eq!(upgrade(&server, &[]), 101, "a place that is given up is taken again");
    drop(one);
}

#[test]
fn e15_silent_connections_push_out_neither_a_call_nor_a_newcomer() {
    let server = Running::media("");
    let mut call = Stream::started(&server);
    call.proves_alive(1);
    // Open, silent connections: as many as may be pending, and more.
    let idle: Vec<_> = (0..600)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap())
        .collect();
    call.send(&media(2, &[1; 160]));
    assert_eq!(call.next_message()["event"], "media");
    assert_eq!(server.logs.first("connection_ended")["reason"], "crowded");
    assert_eq!(upgrade(&server, &[]), 101, "a newcomer with a signature is not locked out");
    drop(idle);
    row(
        "E15",
        "600 silent connections beside a live call",
        "the call goes on and a signed newcomer gets 101; the oldest of the silent are closed, crowded",
    );
}

#[test]
fn the_expected_signatures_can_be_replaced_while_calls_are_live() {
    let mut server = Running::media("");
    let mut live = Stream::started(&server);
    live.proves_alive(1);
    let next = AuthToken::new(&Secret::new("67890".to_owned())).unwrap();
    let url = "wss://media.example.com/rtm/voice";
    server.expect_signatures(&[next.sign_url(url)]);
    assert_eq!(server.logs.nth("handshake_values_set", 2)["values"], 1);
    assert_eq!(upgrade(&server, &[]), 403, "the old signature");
    let signature = next.sign_url(url).to_base64();
    assert_eq!(upgrade(&server, &[("X-Twilio-Signature", &signature)]), 101, "the new one");
    live.proves_alive(2);
    let too_many = [next.sign_url(url); 17];
    server.expect_signatures(&too_many);
    drop(server.logs.first("handshake_values_refused"));
    assert_eq!(upgrade(&server, &[("X-Twilio-Signature", &signature)]), 101, "the set stays");
}
