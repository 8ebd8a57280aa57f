//! E17–E20, E52: the WebSocket underneath.

use ward_tests::edge_cases::row;
use ward_tests::servers::Running;
use ward_tests::websocket::{Frame, Stream, media, text_frame};

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    Frame { first, masked: true, body }.to_bytes()
}

#[test]
fn e17_protocol_violations_end_the_connection_with_their_code() {
    let server = Running::media("");
    let mut number = 0;
    let mut check = |what: &str, bytes: &[u8], code: u16| {
        let mut stream = Stream::open(&server);
        stream.send_raw(bytes);
        assert_eq!(stream.close_code(), code, "{what}");
        number += 1;
        let reason = server.logs.nth("call_ended", number)["reason"].clone();
        row("E17", what, &format!("{code}, {}", reason.as_str().unwrap()));
    };
    check("an unmasked frame", &Frame { first: 0x81, masked: false, body: b"{}" }.to_bytes(), 1002);
    check("RSV1 set", &frame(0xC1, b"{}"), 1002);
    check("opcode 3", &frame(0x83, b"{}"), 1002);
    check("opcode 11", &frame(0x8B, b""), 1002);
    check("a fragmented ping", &frame(0x09, b"x"), 1002);
    check("a ping of 126 bytes", &frame(0x89, &[b'x'; 126]), 1002);
    check("a continuation of nothing", &frame(0x80, b"x"), 1002);
    check(
        "a new message inside a fragmented one",
        &[frame(0x01, b"x"), frame(0x81, b"y")].concat(),
        1002,
    );
    check("a Close of one byte", &frame(0x88, &[3]), 1002);
    check("a text message that is no UTF-8", &frame(0x81, &[0xFF, 0xFE]), 1007);
    check(
        "UTF-8 cut off inside a fragmented message",
        &[frame(0x01, &[0xE2, 0x82]), frame(0x80, b"x")].concat(),
        1007,
    );
}

#[test]
fn e18_a_fragmented_message_is_put_together_and_pings_between_are_answered() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    let text = media(1, &[0xAB; 160]).to_string();
    let (one, rest) = text.as_bytes().split_at(100);
    let (two, three) = rest.split_at(100);
    let bytes = [frame(0x01, one), frame(0x89, b"ping"), frame(0x00, two), frame(0x80, three)];
    stream.send_raw(&bytes.concat());
    assert_eq!(stream.next_frame(), Some((0x0A, b"ping".to_vec())));
    assert_eq!(stream.next_message()["event"], "media");
    row(
        "E18",
        "media in three fragments, a ping after the first",
        "pong with the ping's body, then the echo",
    );
}

#[test]
fn e19_a_frame_past_its_maximum_is_refused_by_its_header_alone() {
    let server = Running::media("");
    let mut number = 0;
    let mut check = |what: &str, bytes: &[u8]| {
        let mut stream = Stream::open(&server);
        stream.send_raw(bytes);
        assert_eq!(stream.close_code(), 1009, "{what}");
        number += 1;
        assert_eq!(server.logs.nth("call_ended", number)["reason"], "message_long");
        row("E19", what, "1009, message_long");
    };
    let head = |length: u64| {
        let mut bytes = vec![0x81, 0xFF];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    };
    check("only the header of a frame of 65,537 bytes", &head(65_537));
    check("only the header of a frame of 2^63 bytes", &head(1 << 63));
    let fragment = frame(0x01, &[b'x'; 60_000]);
    check("fragments of 60,000 and 6,000 bytes", &[fragment, frame(0x00, &[b'x'; 6_000])].concat());
}

#[test]
fn e20_binary_messages_are_dropped_and_only_many_of_them_end_the_call() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    for _ in 0..5 {
        stream.send_raw(&frame(0x82, b"\x01\x02"));
    }
    stream.proves_alive(1);
    row("E20", "five binary messages", "dropped, the call goes on");
    stream.send_raw(&frame(0x82, b""));
    assert_eq!(stream.close_code(), 1003);
    let ended = server.logs.first("call_ended");
    assert_eq!(
        (&ended["reason"], &ended["counts"]["binary"]),
        (&"too_many_binary".into(), &6.into())
    );
    row("E20", "a sixth within ten seconds", "1003, too_many_binary, binary=6");
}

#[test]
fn e52_pings_are_answered_pongs_ignored_and_a_flood_ends_the_call() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.send_raw(&frame(0x8A, b"unasked"));
    stream.send_raw(&frame(0x89, b"\x00\xFFbody"));
    assert_eq!(stream.next_frame(), Some((0x0A, b"\x00\xFFbody".to_vec())));
    stream.proves_alive(1);
    row("E52", "a ping; a pong nobody asked for", "pong with the same body; ignored");
    stream.send_raw(&frame(0x89, b"").repeat(200));
    assert_eq!(stream.close_code(), 1008);
    let ended = server.logs.first("call_ended");
    assert_eq!(ended["reason"], "ping_flood");
    assert_eq!(ended["counts"]["pong"], 1);
    row("E52", "200 pings at once", "1008, ping_flood");
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_read() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    for byte in text_frame(&media(1, &[0xAB; 160]).to_string()) {
        stream.send_raw(&[byte]);
    }
    assert_eq!(stream.next_message()["event"], "media");
}
