//! E40–E48: what we say, in virtual time.

use std::time::Duration;

use ward_media::agent::AgentKind;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_policy::limit;
use ward_tests::edge_cases::row;
use ward_tests::virtual_call::VirtualCall;
use ward_tests::websocket::{connected, media, start};

fn greeter() -> VirtualCall {
    VirtualCall::with(AgentKind::Greeter)
}

#[tokio::test(start_paused = true)]
async fn e40_a_peer_that_stops_reading_is_let_go_after_two_seconds() {
    let mut messages = vec![connected().to_string(), start().to_string()];
    // Two hundred frames come back as more than the pipe and both buffers hold.
    messages.extend((1..=200).map(|number| media(number, &[0xAA; 160]).to_string()));
    let (ended, waited) = crate::ending::run_unread(&messages).await;
    assert_eq!(ended, CallEnd::NotReading);
    assert!((1_900..2_500).contains(&waited.as_millis()), "{waited:?}");
    row(
        "E40",
        "200 frames to echo to a peer that reads nothing",
        "not_reading after 2 s, place and buffers given up",
    );
}

#[test]
fn e41_audio_leaves_at_most_a_quarter_of_a_second_ahead() {
    let mut call = greeter();
    call.advance(3_000);
    let mut played_until = Duration::ZERO;
    for (at, audio) in call.audio_sent() {
        let length = Duration::from_micros(audio.len() as u64 * 125);
        assert!(played_until <= at + Duration::from_millis(limit::PLAYOUT_LEAD_MS), "at {at:?}");
        assert!(played_until >= at || at.is_zero(), "the buffer never runs dry: {at:?}");
        played_until = played_until.max(at) + length;
    }
    assert!(played_until >= Duration::from_millis(3_000));
    row("E41", "a greeting of 6 s", "never more than 240 ms ahead of play-out, never behind it");
    // A tick that is late by less than the lead is not heard.
    let mut call = greeter();
    call.advance(500);
    let before: usize = call.audio_sent().iter().map(|(_, audio)| audio.len()).sum();
    assert!(before >= 500 * 8 + 100 * 8, "{before}");
    row("E41", "a tick that is late by 100 ms", "more than that is in hand");
}

#[test]
fn e42_the_callers_first_words_stop_ours_with_exactly_one_clear() {
    let mut call = greeter();
    call.silence(1_000);
    call.speech(500);
    assert_eq!(call.sent_count("clear"), 1);
    assert_eq!((call.count(Count::BargeIn), call.count(Count::Clear)), (1, 1));
    let clear_at = call.sent.iter().find(|(_, m)| m["event"] == "clear").unwrap().0;
    assert_eq!(clear_at, Duration::from_millis(1_000 + limit::SPEECH_ONSET_MS - 20));
    let after = call.audio_sent().iter().filter(|(at, _)| *at > clear_at).count();
    assert_eq!(after, 0, "nothing of the old generation follows");
    row(
        "E42",
        "speech 1 s into the greeting",
        "one clear with the third frame of speech, nothing after it",
    );
    // Everything has been sent, but the caller has not heard it all: a clear is still needed.
    let mut call = greeter();
    call.press("5");
    call.silence(20);
    let sent_all = call.marks().len();
    assert_eq!(sent_all, 1);
    call.speech(200);
    assert_eq!(call.sent_count("clear"), 2);
    row("E42", "speech over a tone that has left us whole", "clear: its mark is not back yet");
}

#[test]
fn e43_with_nothing_playing_there_is_nothing_to_clear() {
    let mut call = greeter();
    call.silence(7_000);
    for mark in call.marks() {
        call.mark(&mark);
    }
    let before = call.sent_count("clear");
    for _ in 0..5 {
        call.speech(200);
        call.silence(400);
    }
    assert_eq!(call.sent_count("clear"), before);
    assert_eq!(call.count(Count::BargeIn), 0);
    row("E43", "speech after the greeting has played out", "no clear, barge_in=0");
}

#[test]
fn e44_marks_may_come_back_in_every_way() {
    let mut call = greeter();
    call.silence(6_500);
    let marks = call.marks();
    assert_eq!(marks, ["g0-1"]);
    call.mark("g0-1");
    assert_eq!(call.count(Count::MarkPlayed), 1);
    row("E44", "the greeting's mark after it has played", "mark_played=1");
    call.mark("g0-1");
    call.mark("nonsense");
    assert_eq!((call.ended, call.count(Count::MarkUnknown)), (None, 2));
    row("E44", "the same again, and one that we never sent", "ignored, mark_unknown=2");
    let mut call = greeter();
    call.press("1");
    call.press("2");
    call.silence(20);
    assert_eq!(call.marks(), ["g1-1", "g2-2"]);
    call.mark("g1-1");
    call.press("3");
    call.mark("g2-2");
    assert_eq!(call.count(Count::MarkFlushed), 2);
    assert_eq!(call.count(Count::MarkPlayed), 0);
    row("E44", "two marks that come back because of our clear", "mark_flushed=2, not played");
    let mut call = greeter();
    call.silence(12_000);
    assert_eq!((call.ended, call.count(Count::MarkLost)), (None, 1));
    row("E44", "a mark that never comes back", "mark_lost=1, 3 s after the computed end");
}

#[test]
fn e45_names_of_marks_are_counters_and_long_ones_are_not_read() {
    let mut call = greeter();
    call.silence(6_500);
    for name in call.marks() {
        assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
    call.mark(&"x".repeat(257));
    assert_eq!((call.ended, call.count(Count::MarkNameLong)), (None, 1));
    row("E45", "a mark of ours; a name of 257 bytes", "g0-1; dropped, mark_name_long=1");
}

#[test]
fn e46_everything_sent_is_whole_frames_padded_at_the_end_only() {
    let mut call = greeter();
    call.silence(6_500);
    let sent = call.audio_sent();
    let all: Vec<u8> = sent.iter().flat_map(|(_, audio)| audio.clone()).collect();
    assert!(sent.iter().all(|(_, audio)| audio.len() % 160 == 0));
    let greeting = include_bytes!("../../appliance/media/src/agent/prompts/greeting.ulaw");
    let (body, padding) = all.split_at(greeting.len());
    assert!(body == greeting && padding.len() < 160 && padding.iter().all(|byte| *byte == 0xFF));
    row(
        "E46",
        "the greeting",
        "multiples of 160 bytes; equal to the prompt but for silence at its end",
    );
    let mut call = VirtualCall::with(AgentKind::Echo);
    for length in [100, 100, 100, 180] {
        call.audio(&vec![0xAA; length]);
    }
    assert!(call.audio_sent().iter().all(|(_, audio)| audio.len() % 160 == 0));
    assert_eq!(call.audio_sent().iter().map(|(_, audio)| audio.len()).sum::<usize>(), 480);
    row("E46", "echo of 100, 100, 100 and 180 bytes", "480 bytes in multiples of 160");
}

#[test]
fn e47_only_keys_that_a_telephone_has_are_pressed() {
    let mut call = greeter();
    for digit in ["", "12", "x", "E", "é", "\u{0}"] {
        call.press(digit);
    }
    assert_eq!((call.ended, call.count(Count::BadDtmf), call.count(Count::Dtmf)), (None, 6, 0));
    row("E47", "no digit, two, letters, a control character", "dropped, bad_dtmf=6");
    for digit in "0123456789#ABCD".chars() {
        call.press(&digit.to_string());
        call.advance(20);
    }
    assert_eq!((call.ended, call.count(Count::Dtmf)), (None, 15));
    row("E47", "0-9 # A-D", "a tone each, dtmf=15");
    call.press("*");
    for _ in 0..300 {
        call.advance(20);
        if let Some(mark) = call.marks().last().cloned() {
            call.mark(&mark);
        }
    }
    assert_eq!(call.ended, Some(CallEnd::AgentFinished));
    row("E47", "*", "the goodbye, then 1000, agent_finished");
}

#[test]
fn e48_after_stop_nothing_is_heard() {
    let server = ward_tests::servers::Running::media("");
    let mut stream = ward_tests::websocket::Stream::started(&server);
    stream.proves_alive(1);
    stream.send(&ward_tests::websocket::stop(3));
    stream.send(&media(3, &[0xAB; 160]));
    stream.send(&media(4, &[0xAB; 160]));
    let begin = std::time::Instant::now();
    let mut echoed = 0;
    let code = loop {
        match stream.next_frame() {
            Some((1, _)) => echoed += 1,
            Some((8, body)) => break u16::from_be_bytes([body[0], body[1]]),
            Some(_) => {}
            None => break 0,
        }
    };
    assert_eq!((code, echoed), (1000, 0));
    assert!(begin.elapsed() < Duration::from_secs(1));
    let ended = server.logs.first("call_ended");
    assert_eq!(
        (&ended["reason"], &ended["counts"]["after_stop"]),
        (&"peer_ended".into(), &2.into())
    );
    row("E48", "two frames after stop", "ignored, after_stop=2; 1000 within 1 s");
}
