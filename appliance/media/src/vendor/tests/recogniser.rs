//! `asr-ws`: what a recogniser is given, what it says, and every way in which it can fail.

use std::time::Duration;

use tokio::time;
use ward_call::service::Request;
use ward_policy::connector::{Dialect, RequestPlace};
use ward_policy::count::Count;
use ward_policy::limit;

use super::super::request::tests::manner;
use super::rig::{Peer, Rig, Vendor};

const MUST: (RequestPlace, &str, &str) = (RequestPlace::Query, "mip_opt_out", "true");

fn vendor(musts: &[(RequestPlace, &str, &str)]) -> Vendor {
    Vendor::new("audio", manner(Dialect::DeepgramListen, "/v1/listen", musts))
}

fn one() -> Rig {
    Rig::new(&[("asr", vendor(&[MUST]))])
}

fn results(text: &str, is_final: bool) -> String {
    format!(
        "{{\"type\":\"Results\",\"is_final\":{is_final},\"speech_final\":{is_final},\"channel\":{{\"alternatives\":[{{\"transcript\":\"{text}\"}}]}}}}"
    )
}

/// Gives the call's recogniser frames of 20 ms, each full of its number.
fn push(rig: &mut Rig, frames: std::ops::Range<u8>) {
    for number in frames {
        rig.services().push_audio(&[number; limit::FRAME_BYTES]);
    }
}

async fn heard(peer: &mut Peer) -> Vec<u8> {
    let (kind, audio) = peer.frame().await;
    assert_eq!(kind, 2);
    audio
}

#[tokio::test]
async fn audio_goes_in_and_what_was_said_comes_out() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    let asked = peer.upgrade().await;
    let expected = "GET /v1/listen?model=a-model&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true&endpointing=300&utterance_end_ms=1000&vad_events=true&mip_opt_out=true HTTP/1.1\r\n";
    assert!(asked.head.starts_with(expected), "{}", asked.head);
    assert_eq!(asked.field("authorization"), "Bearer token-1");
    assert_eq!(asked.field("upgrade"), "websocket");
    push(&mut rig, 0..4);
    let audio = heard(&mut peer).await;
    assert_eq!((audio.len(), audio[0], audio[639]), (640, 0, 3));
    peer.say("{\"type\":\"SpeechStarted\"}").await;
    peer.say(&results("my", false)).await;
    peer.say(&results("my leg", true)).await;
    for expected in ["SpeechBegan", "~my", "=my leg", "EagerEnd"] {
        assert_eq!(rig.told().await, expected);
    }
    push(&mut rig, 4..5);
    rig.services().send(Request::Finalise);
    assert_eq!(heard(&mut peer).await, [4; 160]);
    assert_eq!(peer.text().await, "{\"type\":\"Finalize\"}");
    // A ping is answered.
    peer.write([0x89, 1, b'x']).await;
    assert_eq!(peer.frame().await, (10, b"x".to_vec()));
    drop(rig.services.take());
    assert_eq!(peer.text().await, "{\"type\":\"CloseStream\"}");
    assert_eq!(peer.frame().await.0, 8);
    peer.closed().await;
    time::sleep(Duration::from_millis(1)).await;
    let logged = rig.logged();
    assert_eq!(logged, ["vendor_connected asr - -", "vendor_ended asr - call_over"]);
}

#[tokio::test]
async fn only_the_freshest_audio_waits() {
    let mut rig = one();
    assert_eq!(rig.services().audio_room(), 3_200);
    push(&mut rig, 0..2);
    assert_eq!(rig.services().audio_room(), 2_880);
    push(&mut rig, 2..100);
    assert_eq!(rig.services().audio_room(), 0);
    assert_eq!(rig.services().take_counts().of(Count::BacklogDroppedMs), 1_600);
    assert_eq!(rig.services().take_counts().of(Count::BacklogDroppedMs), 0);
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    let mut first = vec![];
    for _ in 0..5 {
        first.push(heard(&mut peer).await[0]);
    }
    assert_eq!(first, [80, 84, 88, 92, 96]);
}

#[tokio::test]
async fn a_drop_is_followed_by_one_reconnection_and_then_by_the_next_vendor() {
    let mut rig = Rig::new(&[("asr", vendor(&[MUST])), ("spare", vendor(&[MUST]))]);
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    push(&mut rig, 0..4);
    heard(&mut peer).await;
    drop(peer);
    let mut peer = rig.accept().await;
    push(&mut rig, 4..8);
    let asked = peer.upgrade().await;
    assert_eq!((peer.vendor.as_str(), asked.field("authorization")), ("asr", "Bearer token-2"));
    assert!(asked.head.contains("mip_opt_out=true"));
    assert_eq!(heard(&mut peer).await[0], 4, "what waited comes first");
    // Of words that were guessed nothing more comes, which is told before the next ones.
    peer.say(&results("well", false)).await;
    assert_eq!(rig.told().await, "~well");
    drop(peer);
    let mut peer = rig.accept().await;
    assert!(peer.upgrade().await.head.contains("mip_opt_out=true"));
    assert_eq!(peer.vendor, "spare");
    peer.say(&results("hello", true)).await;
    assert_eq!(rig.told().await, "BegunAnew");
    assert_eq!((rig.told().await, rig.told().await), ("=hello".into(), "EagerEnd".into()));
    drop(peer);
    assert_eq!(rig.told().await, "Failed(asr, 0, service_closed)");
    assert!(!rig.is_dialled());
    push(&mut rig, 0..50);
    assert_eq!(rig.services().audio_room(), 0);
    assert_eq!(rig.services().take_counts().of(Count::BacklogDroppedMs), 0);
    let failed = rig.logged().iter().filter(|line| line.starts_with("service_failed")).count();
    assert_eq!(failed, 3);
}

#[tokio::test]
async fn each_refusal_has_its_fault() {
    for (status, code, tries) in [
        (401, "service_unauthorized", 1),
        (403, "service_unauthorized", 1),
        (402, "service_quota", 1),
        (429, "service_quota", 1),
        (400, "service_rejected", 1),
        (200, "service_garbage", 1),
        (500, "service_broken", 2),
    ] {
        let mut rig = one();
        for _ in 0..tries {
            let mut peer = rig.accept().await;
            peer.asked().await;
            peer.status(status).await;
        }
        assert_eq!(rig.told().await, format!("Failed(asr, 0, {code})"), "{status}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_none_is_garbage() {
    for head in [
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut rig = one();
        let mut peer = rig.accept().await;
        peer.asked().await;
        peer.write(head).await;
        assert_eq!(rig.told().await, "Failed(asr, 0, service_garbage)", "{head}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_counted_and_too_much_of_it_is_garbage() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    for _ in 0..limit::RECOGNISER_BAD_MESSAGES_MAX {
        peer.say("nonsense").await;
    }
    peer.say(&results("still here", true)).await;
    assert_eq!(rig.told().await, "=still here");
    let bad = rig.services().take_counts().of(Count::VendorBadMessage);
    assert_eq!(bad, limit::RECOGNISER_BAD_MESSAGES_MAX);
    peer.say("nonsense").await;
    assert_eq!(rig.told().await, "EagerEnd");
    assert_eq!(rig.told().await, "Failed(asr, 0, service_garbage)");
    // Longer than anything is.
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    let long = "x".repeat(limit::RECOGNISER_MESSAGE_BYTES_MAX + 1);
    tokio::spawn(async move {
        peer.write([&[0x81, 127][..], &u64::try_from(long.len()).unwrap().to_be_bytes()].concat())
            .await;
        peer.closed().await;
    });
    assert_eq!(rig.told().await, "Failed(asr, 0, service_too_long)");
}

#[tokio::test]
async fn a_recogniser_that_does_not_answer_is_late_and_one_that_is_asked_nothing_is_kept_alive() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    time::pause();
    for _ in 0..5 {
        assert_eq!(peer.text().await, "{\"type\":\"KeepAlive\"}");
    }
    time::resume();
    // Audio alone asks for nothing: the caller may be silent.
    push(&mut rig, 0..4);
    heard(&mut peer).await;
    rig.services().send(Request::Finalise);
    assert_eq!(peer.text().await, "{\"type\":\"Finalize\"}");
    time::pause();
    assert_eq!(rig.told().await, "Failed(asr, 0, service_late)");
    peer.closed().await;
}

#[tokio::test]
async fn a_recogniser_that_takes_nothing_is_late_and_not_written_to_for_ever() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    // Far more than the connection holds; what waits longer than it may is dropped.
    for _ in 0..200 {
        push(&mut rig, 0..20);
        time::sleep(Duration::from_millis(1)).await;
    }
    assert!(rig.services().take_counts().of(Count::BacklogDroppedMs) > 0);
    let began = time::Instant::now();
    assert_eq!(rig.told().await, "Failed(asr, 0, service_late)");
    assert!(began.elapsed() < 2 * limit::RECOGNISER_STALL, "{:?}", began.elapsed());
    drop(peer);
}

#[tokio::test]
async fn a_vendor_that_does_not_answer_the_upgrade_is_late() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.asked().await;
    time::pause();
    assert_eq!(rig.told().await, "Failed(asr, 0, service_late)");
}

#[tokio::test]
async fn a_session_that_is_over_is_followed_by_another() {
    let short = Vendor { session_max: Duration::from_millis(400), ..vendor(&[MUST]) };
    let mut rig = Rig::new(&[("asr", short)]);
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    peer.closed().await;
    rig.accept().await.upgrade().await;
    assert!(rig.logged().contains(&"vendor_ended asr - session_over".to_owned()));
}

#[tokio::test]
async fn what_an_entry_demands_and_a_websocket_cannot_carry_is_never_left_out() {
    let mut rig = Rig::new(&[("asr", vendor(&[MUST, (RequestPlace::Body, "store", "false")]))]);
    rig.accept_silence().await;
    assert_eq!(rig.told().await, "Failed(asr, 0, service_unsuited)");
    // The rest has its place.
    let musts = [
        MUST,
        (RequestPlace::Header, "x-retention", "none"),
        (RequestPlace::Subprotocol, "one", "two"),
    ];
    let mut rig = Rig::new(&[("asr", vendor(&musts))]);
    let asked = rig.accept().await.upgrade().await;
    assert_eq!(asked.field("x-retention"), "none");
    assert_eq!(asked.field("sec-websocket-protocol"), "one, two");
}

#[tokio::test]
async fn a_turn_that_begins_gets_the_others_ready() {
    let model = manner(Dialect::Messages, "/v1/messages", &[]);
    let mut model = Vendor::new("prompt", model);
    model.token_ttl = Duration::from_millis(300);
    let mut rig = Rig::new(&[("asr", vendor(&[MUST])), ("llm", model)]);
    let mut peers = vec![rig.accept().await, rig.accept().await];
    peers.sort_by(|one, two| one.vendor.cmp(&two.vendor));
    let llm = peers.pop().unwrap();
    let mut asr = peers.pop().unwrap();
    asr.upgrade().await;
    llm.closed().await;
    assert!(!rig.is_dialled(), "nobody asks for anything");
    asr.say("{\"type\":\"SpeechStarted\"}").await;
    assert_eq!(rig.accept().await.vendor, "llm");
}

#[tokio::test]
async fn however_its_bytes_are_split_it_says_the_same() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    peer.upgrade().await;
    let text = results("hello", true);
    let frame = [&[0x81, 126][..], &u16::try_from(text.len()).unwrap().to_be_bytes()].concat();
    let frame = [&frame, text.as_bytes()].concat();
    for step in [1, 2, 3, 7, 64, frame.len()] {
        for piece in frame.chunks(step) {
            peer.write(piece).await;
        }
        assert_eq!((rig.told().await, rig.told().await), ("=hello".into(), "EagerEnd".into()));
    }
}
