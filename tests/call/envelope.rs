//! E21–E29: Twilio's messages and their order.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use serde_json::{Value, json};
use ward_media::agent::{AgentKind, Embedded};
use ward_media::session::Session;
use ward_media::socket::close_code;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_tests::edge_cases::{note_seen, note_sent, row};
use ward_tests::servers::Running;
use ward_tests::virtual_call::{VirtualCall, context, opened};
use ward_tests::websocket::{Stream, connected, media, start, stop};

/// Sends messages to a fresh session and returns why it ended.
fn end_of(messages: &[Value]) -> Option<CallEnd> {
    let context = context(Box::new(Embedded::new(AgentKind::Echo, true).unwrap()), "");
    let mut session = Session::new(Arc::clone(&context), opened(&context), Duration::ZERO);
    let end = messages.iter().find_map(|message| {
        note_sent(message.to_string().as_bytes());
        session.on_text(Duration::ZERO, &message.to_string(), Waker::noop()).err()
    });
    note_seen(end.map_or("the call goes on", CallEnd::code));
    end
}

fn ends(case: &str, what: &str, messages: &[Value], expected: CallEnd) {
    assert_eq!(end_of(messages), Some(expected), "{what}");
    let code = close_code(expected).unwrap();
    note_seen(&format!("close {code}: {}", expected.code()));
    row(case, what, &format!("{code}, {}", expected.code()));
}

#[test]
fn e21_connected_comes_first_and_once() {
    ends("E21", "start without connected", &[start()], CallEnd::OutOfOrder);
    ends("E21", "connected twice", &[connected(), connected()], CallEnd::OutOfOrder);
    ends("E21", "connected after start", &[connected(), start(), connected()], CallEnd::OutOfOrder);
    for (name, value) in [("protocol", "Fax"), ("version", "2.0.0"), ("version", "")] {
        let mut message = connected();
        message[name] = json!(value);
        ends(
            "E21",
            &format!("connected with {name} {value:?}"),
            &[message],
            CallEnd::UnknownProtocol,
        );
    }
    let mut minor = connected();
    minor["version"] = json!("1.7.0");
    assert_eq!(end_of(&[minor, start()]), None);
    row("E21", "connected with version 1.7.0", "accepted: only the major version breaks");
}

#[test]
fn e22_nothing_is_heard_before_start_and_start_comes_once() {
    let mark = json!({ "event": "mark", "mark": { "name": "m" }, "streamSid": "MZ0" });
    let dtmf = json!({ "event": "dtmf", "dtmf": { "digit": "1" }, "streamSid": "MZ0" });
    for (what, message) in
        [("media", media(1, &[0; 160])), ("mark", mark), ("dtmf", dtmf), ("stop", stop(2))]
    {
        ends("E22", &format!("{what} before start"), &[connected(), message], CallEnd::OutOfOrder);
    }
    ends("E22", "start twice", &[connected(), start(), start()], CallEnd::OutOfOrder);
}

#[test]
fn e22_the_close_code_is_seen_on_the_wire() {
    let server = Running::media("");
    let mut stream = Stream::open(&server);
    stream.send(&connected());
    stream.send(&media(1, &[0; 160]));
    assert_eq!(stream.close_code(), 1008);
    assert_eq!(server.logs.first("call_ended")["reason"], "out_of_order");
}

#[tokio::test(start_paused = true)]
async fn e23_a_stream_without_start_is_closed_after_five_seconds() {
    let (end, waited) = crate::ending::run_silent(&[connected().to_string()]).await;
    assert_eq!(end, Some(1008));
    assert!((5_000..5_200).contains(&waited.as_millis()), "{waited:?}");
    row("E23", "connected, then nothing", "1008 after 5 s, start_late");
}

#[test]
fn e24_start_must_name_our_account_one_call_and_one_stream() {
    let with = |pointer: &str, value: Value| {
        let mut message = start();
        *message.pointer_mut(pointer).unwrap() = value;
        [connected(), message]
    };
    let foreign = json!("AC11111111111111111111111111111111");
    ends(
        "E24",
        "a foreign AccountSid",
        &with("/start/accountSid", foreign),
        CallEnd::ForeignAccount,
    );
    for (what, pointer, value) in [
        ("an AccountSid that is none", "/start/accountSid", json!("AC0")),
        ("a CallSid that is none", "/start/callSid", json!("CA")),
        ("an empty CallSid", "/start/callSid", json!("")),
        ("a StreamSid that is none", "/streamSid", json!("MZ0")),
        (
            "two StreamSids that differ",
            "/start/streamSid",
            json!("MZ11111111111111111111111111111111"),
        ),
    ] {
        ends("E24", what, &with(pointer, value), CallEnd::BadStart);
    }
}

#[test]
fn e24_a_start_without_its_fields_is_no_call() {
    let server = Running::media("");
    let mut stream = Stream::open(&server);
    stream.send(&connected());
    let mut message = start();
    message["start"].as_object_mut().unwrap().remove("callSid");
    stream.send(&message);
    assert_eq!(stream.close_code(), 1008);
    let ended = server.logs.first("call_ended");
    assert_eq!(
        (&ended["reason"], &ended["counts"]["bad_message"]),
        (&"bad_start".into(), &1.into())
    );
    row("E24", "start without callSid", "bad_message=1, then 1008, bad_start");
}

#[test]
fn e25_only_mulaw_8000_mono_with_the_inbound_track_is_heard() {
    for (what, pointer, value) in [
        ("audio/x-l16", "/start/mediaFormat/encoding", json!("audio/x-l16")),
        ("16,000 Hz", "/start/mediaFormat/sampleRate", json!(16_000)),
        ("two channels", "/start/mediaFormat/channels", json!(2)),
        ("no inbound track", "/start/tracks", json!(["outbound"])),
        ("no track at all", "/start/tracks", json!([])),
    ] {
        let mut message = start();
        *message.pointer_mut(pointer).unwrap() = value;
        ends("E25", what, &[connected(), message], CallEnd::BadFormat);
    }
    let mut strings = start();
    strings["start"]["mediaFormat"]["sampleRate"] = json!("8000");
    assert_eq!(end_of(&[connected(), strings]), None);
    row("E25", "the sample rate as a string", "accepted");
}

#[test]
fn e26_parameters_are_bounded_in_number_and_length() {
    let many: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (what, value) in [
        ("10,000 entries", Value::Object(many)),
        ("one of 100 kB", json!({ "k": "v".repeat(60_000) })),
        ("one past 500 bytes", json!({ "k": "v".repeat(500) })),
        ("a control character", json!({ "k": "\u{7}" })),
    ] {
        let mut message = start();
        message["start"]["customParameters"] = value;
        ends("E26", what, &[connected(), message], CallEnd::BadParameters);
    }
    let twice = start()
        .to_string()
        .replace(r#""customParameters":{}"#, r#""customParameters":{"a":"1","a":"2"}"#);
    let context = context(Box::new(Embedded::new(AgentKind::Echo, true).unwrap()), "");
    let opened = opened(&context);
    let mut session = Session::new(context, opened, Duration::ZERO);
    session.on_text(Duration::ZERO, &connected().to_string(), Waker::noop()).unwrap();
    let ended = session.on_text(Duration::ZERO, &twice, Waker::noop());
    assert_eq!(ended, Err(CallEnd::BadParameters));
    note_sent(twice.as_bytes());
    note_seen("close 1008: bad_parameters");
    row("E26", "a name that stands twice", "1008, bad_parameters");
    let mut nested = start();
    nested["start"]["customParameters"] = json!({ "k": { "deep": 1 } });
    assert_eq!(end_of(&[connected(), nested, media(1, &[0; 160])]), Some(CallEnd::BadStart));
    row("E26", "an object instead of a string", "1008, bad_start");
}

#[test]
fn e27_what_is_no_json_object_is_dropped_and_only_many_end_the_call() {
    let deep = "[".repeat(60_000);
    for text in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "\"x\"",
        "NaN",
        "{\"event\":NaN}",
        "\u{FEFF}{}",
        &deep,
        r#"{"event":"\ud800"}"#,
        r#"{"event":"media","event":"media"}"#,
        r#"{"event":"media","media":{"payload":"AAAA"#,
        r#"{"event":"stop","sequenceNumber":1e999,"stop":{},"streamSid":"MZ0"}"#,
    ] {
        let mut call = VirtualCall::with(AgentKind::Echo);
        call.text(text);
        assert_eq!(call.ended, None, "{text:.40}");
        assert_eq!(call.count(Count::BadJson) + call.count(Count::BadMessage), 1, "{text:.40}");
        call.audio(&[0xAA; 160]);
        assert_eq!(call.sent_count("media"), 1, "{text:.40}");
        let shown: String = text.chars().take(40).collect();
        row(
            "E27",
            &format!("{shown:?} ({} bytes)", text.len()),
            "dropped, counted; the call goes on",
        );
    }
    let mut call = VirtualCall::with(AgentKind::Echo);
    for _ in 0..6 {
        call.text("{");
    }
    assert_eq!(call.ended, Some(CallEnd::TooManyBad));
    row("E27", "six in a row", "1008, too_many_bad, bad_json=6");
    let mut call = VirtualCall::with(AgentKind::Echo);
    for _ in 0..100 {
        call.text("{");
        call.silence(10_000);
    }
    assert_eq!((call.ended, call.count(Count::BadJson)), (None, 100));
    row(
        "E27",
        "one every ten seconds, a hundred times",
        "the call goes on: one is forgiven every 10 s",
    );
}

#[test]
fn e28_unknown_events_and_fields_are_tolerated() {
    let mut call = VirtualCall::with(AgentKind::Echo);
    for _ in 0..100 {
        call.text(r#"{"event":"novelty","anything":[1,{"deep":null}]}"#);
    }
    assert_eq!((call.ended, call.count(Count::UnknownEvent)), (None, 100));
    row("E28", "a hundred unknown events", "ignored, unknown_event=100; the call goes on");
    let mut message = media(1, &[0xAA; 160]);
    message["novelty"] = json!({ "deep": [1, 2, 3] });
    message["media"]["novelty"] = json!(true);
    call.text(&message.to_string());
    assert_eq!(call.sent_count("media"), 1);
    row("E28", "media with unknown fields at both levels", "heard");
}

#[test]
fn e29_known_events_without_their_fields_are_dropped_and_integers_are_taken() {
    for (what, message) in [
        ("media without media", json!({ "event": "media", "streamSid": "MZ0" })),
        ("media without payload", json!({ "event": "media", "media": {}, "streamSid": "MZ0" })),
        (
            "a payload that is a number",
            json!({ "event": "media", "media": { "payload": 7 }, "streamSid": "MZ0" }),
        ),
        ("mark without a name", json!({ "event": "mark", "mark": {}, "streamSid": "MZ0" })),
        ("dtmf that is a string", json!({ "event": "dtmf", "dtmf": "1", "streamSid": "MZ0" })),
        ("no event", json!({ "media": {} })),
    ] {
        let mut call = VirtualCall::with(AgentKind::Echo);
        call.text(&message.to_string());
        assert_eq!((call.ended, call.count(Count::BadMessage)), (None, 1), "{what}");
        row("E29", what, "dropped, bad_message=1; the call goes on");
    }
    let mut call = VirtualCall::with(AgentKind::Echo);
    let mut message = media(1, &[0xAA; 160]);
    message["sequenceNumber"] = json!(2);
    message["media"]["timestamp"] = json!(0);
    message["media"]["chunk"] = json!(1);
    call.text(&message.to_string());
    assert_eq!(call.sent_count("media"), 1);
    row("E29", "numbers as integers instead of strings", "heard");
}
