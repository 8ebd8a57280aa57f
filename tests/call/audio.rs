//! E30–E39: the caller's audio, in virtual time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::time::Duration;
use ward_call::{Agent, Call, Heard, Input, Voice};
use ward_media::agent::AgentKind;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_policy::limit;
use ward_tests::edge_cases::{note_seen, note_sent, row};
use ward_tests::virtual_call::VirtualCall;
use ward_tests::websocket::STREAM;

fn echo() -> VirtualCall {
    VirtualCall::with(AgentKind::Echo)
}

#[test]
fn e30_only_canonical_base64_is_audio_and_the_hole_is_filled() {
    for (what, payload) in [
        ("junk", "!!!!"),
        ("the URL alphabet", "_w=="),
        ("no padding", "/w"),
        ("white space", "/w==\n"),
        ("trailing bits", "/x=="),
        ("an odd length", "/w==A"),
    ] {
        let mut call = echo();
        call.audio(&[0xAA; 160]);
        call.payload(payload);
        call.jump_to(40);
        call.audio(&[0xAB; 160]);
        assert_eq!((call.ended, call.count(Count::BadBase64)), (None, 1), "{what}");
        assert_eq!(call.count(Count::GapFilledMs), 20, "{what}");
        assert_eq!(call.sent_count("media"), 2, "{what}");
        row(
            "E30",
            &format!("{what}: {payload:?}"),
            "dropped, bad_base64=1, 20 ms of silence in its place",
        );
    }
    let mut call = echo();
    call.payload("");
    assert_eq!((call.ended, call.count(Count::EmptyPayload)), (None, 1));
    row("E30", "an empty payload", "ignored, empty_payload=1");
}

#[test]
fn e31_payloads_of_any_length_up_to_a_second_are_heard() {
    for length in [1, 80, 159, 160, 161, 320, 1_000, 8_000] {
        let mut call = echo();
        call.audio(&vec![0xAA; length]);
        assert_eq!((call.ended, call.count(Count::FramesIn)), (None, 1), "{length}");
        assert_eq!(call.count(Count::AudioInMs) as usize, length / 8, "{length}");
        row("E31", &format!("{length} bytes"), "heard, accounted by length");
    }
    let mut call = echo();
    call.audio(&[0xAA; 8_001]);
    assert_eq!((call.ended, call.count(Count::LongPayload)), (None, 1));
    row("E31", "8,001 bytes", "dropped, long_payload=1");
}

#[test]
fn e32_another_track_is_not_heard() {
    let mut call = echo();
    let payload = STANDARD.encode([0xAA; 160]);
    call.message(json!({ "event": "media", "media": { "track": "outbound", "timestamp": "0", "payload": payload } }));
    assert_eq!(
        (call.ended, call.count(Count::ForeignTrack), call.sent_count("media")),
        (None, 1, 0)
    );
    row("E32", "track: outbound", "dropped, foreign_track=1");
}

#[test]
fn e33_messages_of_another_stream_are_dropped_and_many_end_the_call() {
    let mut call = echo();
    let foreign = ward_tests::websocket::media(1, &[0xAA; 160])
        .to_string()
        .replace(STREAM, "MZ11111111111111111111111111111111");
    call.text(&foreign);
    assert_eq!(
        (call.ended, call.count(Count::ForeignStream), call.sent_count("media")),
        (None, 1, 0)
    );
    row("E33", "media with another streamSid", "dropped, foreign_stream=1");
    for _ in 0..5 {
        call.text(&foreign);
    }
    assert_eq!(call.ended, Some(CallEnd::TooManyForeign));
    row("E33", "six in a row", "1008, too_many_foreign");
}

#[test]
fn e34_sequence_numbers_are_compared_and_never_trusted() {
    let media = |sequence: &str| {
        let mut message = ward_tests::websocket::media(1, &[0xAA; 160]);
        message["sequenceNumber"] = json!(sequence);
        message.to_string()
    };
    let mut call = echo();
    call.text(&media("2"));
    call.text(&media("9"));
    assert_eq!((call.count(Count::SequenceGap), call.sent_count("media")), (1, 2));
    row("E34", "2, then 9", "heard, sequence_gap=1");
    call.text(&media("9"));
    call.text(&media("3"));
    assert_eq!((call.count(Count::SequenceRepeat), call.sent_count("media")), (2, 2));
    row("E34", "9 again, then 3", "dropped, sequence_repeat=2");
    call.text(&media("18446744073709551615"));
    call.text(&media("10"));
    assert_eq!((call.count(Count::SequenceRepeat), call.sent_count("media")), (2, 4));
    row("E34", "the largest u64, then 10", "both heard: a wild number is counted and not believed");
    for nonsense in ["18446744073709551616", "-1", "x", ""] {
        let mut call = echo();
        call.text(&media(nonsense));
        assert_eq!((call.ended, call.count(Count::BadMessage)), (None, 1), "{nonsense}");
        row("E34", &format!("sequenceNumber {nonsense:?}"), "dropped, bad_message=1");
    }
}

#[test]
fn e35_a_hole_is_filled_with_silence_up_to_half_a_second() {
    for (jump_ms, filled) in [(20, 20), (100, 100), (500, 500), (5_000, 500)] {
        let mut call = echo();
        call.audio(&[0xAA; 160]);
        call.jump_to(20 + jump_ms);
        call.audio(&[0xAA; 160]);
        assert_eq!(
            (call.count(Count::Gap), call.count(Count::GapFilledMs)),
            (1, filled),
            "{jump_ms}"
        );
        row("E35", &format!("{jump_ms} ms missing"), &format!("gap=1, gap_filled_ms={filled}"));
    }
    // Two bursts of speech with a hole of silence between them are two turns.
    let mut call = VirtualCall::with(AgentKind::Greeter);
    call.speech(200);
    call.jump_to(call.timestamp_ms() + 700);
    call.advance(700);
    call.speech(200);
    assert_eq!(call.count(Count::Utterance), 2);
    row(
        "E35",
        "speech, 700 ms without any message, speech",
        "utterance=2: the hole is heard as silence",
    );
}

#[test]
fn e36_a_broken_clock_is_set_again_and_fills_nothing() {
    for (what, stamp) in [
        ("back to 0", 0),
        ("11 s ahead", 21_000),
        ("10^15", 1_000_000_000_000_000),
        ("the largest u64", u64::MAX),
    ] {
        let mut call = echo();
        call.jump_to(10_000);
        call.audio(&[0xAA; 160]);
        call.jump_to(stamp);
        call.payload(&STANDARD.encode([0xAA; 160]));
        assert_eq!(
            (call.count(Count::ClockReset), call.count(Count::GapFilledMs)),
            (1, 0),
            "{what}"
        );
        assert_eq!((call.ended, call.sent_count("media")), (None, 2), "{what}");
        row("E36", &format!("from 10,020 ms: {what}"), "heard, clock_reset=1, nothing filled");
    }
}

#[test]
fn e37_a_burst_of_five_seconds_is_absorbed() {
    let mut call = echo();
    call.advance(5_000);
    for _ in 0..250 {
        call.audio(&[0xAA; 160]);
    }
    assert_eq!((call.ended, call.sent_count("media")), (None, 250));
    assert_eq!(call.count(Count::OverRateMs), 0);
    row("E37", "250 frames at once after 5 s without any", "all heard, over_rate_ms=0");
}

#[test]
fn e38_messages_of_any_kind_are_limited() {
    let mut call = echo();
    let mut sent = 0;
    while call.ended.is_none() && sent < 10_000 {
        call.text(r#"{"event":"novelty"}"#);
        sent += 1;
    }
    assert_eq!(call.ended, Some(CallEnd::MessageFlood));
    assert!((1_990..=2_001).contains(&sent), "{sent}");
    row("E38", "unknown events as fast as they go", "1008, message_flood after 2,000");
}

#[test]
fn e38_audio_faster_than_speech_is_dropped_and_a_flood_ends_the_call() {
    let mut call = echo();
    let mut seconds = 0;
    while call.ended.is_none() && seconds < 60 {
        for _ in 0..500 {
            call.audio(&[0xAA; 160]);
        }
        call.advance(1_000);
        seconds += 1;
    }
    assert_eq!(call.ended, Some(CallEnd::AudioFlood));
    assert!((2..=4).contains(&seconds), "{seconds}");
    assert!(call.count(Count::OverRateMs) > 20_000);
    let heard = u64::from(call.count(Count::AudioInMs));
    assert!(heard <= limit::AUDIO_BURST_MS_MAX + seconds * 1_100, "{heard}");
    row(
        "E38",
        "ten times real time",
        "the excess is dropped, over_rate_ms; 1008, audio_flood within 4 s",
    );
    let mut call = echo();
    for _ in 0..600 {
        call.audio(&[0xAA; 160]);
        call.advance(19);
    }
    assert_eq!((call.ended, call.count(Count::OverRateMs)), (None, 0));
    row("E38", "five per cent faster than real time", "all heard");
}

/// Listens through a recogniser and says nothing.
struct Listener;

impl Agent for Listener {
    fn hear(&mut self, _heard: Heard<'_>, _voice: &mut Voice<'_>) {}

    fn is_conversation(&self) -> bool {
        true
    }
}

#[test]
fn e39_a_recogniser_that_does_not_listen_loses_the_oldest_audio() {
    let mut call = Call::new(Box::new(Listener), Duration::ZERO, Duration::from_secs(60));
    for number in 0..100_u8 {
        let now = Duration::from_millis(u64::from(number) * 20);
        let payload = &[number; 160];
        let timestamp_ms = Some(u64::from(number) * 20);
        call.handle(now, Input::Audio { sequence: None, timestamp_ms, payload });
    }
    assert_eq!(call.counts().of(Count::FramesIn), 100);
    assert_eq!(call.counts().of(Count::BacklogDroppedMs), 1_600);
    note_sent(&[99; 160]);
    note_seen("frames_in=100, backlog_dropped_ms=1600");
    let mut taken = [0; 8_000];
    assert_eq!(call.take_audio(&mut taken), 3_200);
    assert_eq!((taken[0], taken[3_199]), (80, 99));
    row(
        "E39",
        "2 s of audio that nobody takes",
        "all read; the newest 400 ms wait, backlog_dropped_ms=1600",
    );
}
