//! `tts-stream`: sentences in order, back-pressure, and every way in which a voice can fail.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{self, timeout};
use ward_call::service::{Report, Request};
use ward_policy::connector::{Dialect, RequestPlace};
use ward_policy::limit;
use ward_policy::phi::Phi;

use super::super::request::tests::manner;
use super::rig::{Peer, Rig, Vendor};

fn vendor() -> Vendor {
    let musts = [(RequestPlace::Query, "mip_opt_out", "true")];
    Vendor::new("synth-text", manner(Dialect::DeepgramSpeak, "/v1/speak", &musts))
}

fn one() -> Rig {
    Rig::new(&[("tts", vendor())])
}

fn say(sentence: u32) -> Request {
    Request::Say { sentence, text: Phi::new(format!("Sentence \"{sentence}\".")) }
}

async fn speak(peer: &mut Peer, bytes: usize) {
    peer.begin("audio/mulaw").await;
    for piece in vec![7; bytes].chunks(1_000) {
        peer.chunk(piece).await;
    }
    peer.end().await;
}

/// Takes the audio of one sentence; how much it was, and what came after it.
async fn hear(rig: &mut Rig) -> (usize, Report) {
    let mut bytes = 0;
    loop {
        match rig.report().await {
            Report::Audio { audio, .. } => {
                assert!(audio.expose().len() <= limit::VOICE_PIECE_BYTES_MAX);
                bytes += audio.expose().len();
            }
            other => return (bytes, other),
        }
    }
}

#[tokio::test]
async fn sentences_are_spoken_in_order_over_one_connection_with_the_musts() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    for sentence in 1..=4 {
        rig.services().send(say(sentence));
    }
    for sentence in 1..=4_u32 {
        let asked = peer.asked().await;
        let expected = "POST /v1/speak?model=a-model&encoding=mulaw&sample_rate=8000&container=none&mip_opt_out=true HTTP/1.1\r\n";
        assert!(asked.head.starts_with(expected), "{}", asked.head);
        assert_eq!(asked.field("authorization"), "Bearer token-1");
        assert_eq!(asked.body, format!("{{\"text\":\"Sentence \\\"{sentence}\\\".\"}}"));
        speak(&mut peer, 2_500).await;
        let (bytes, end) = hear(&mut rig).await;
        assert_eq!((bytes, format!("{end:?}")), (2_500, format!("SentenceEnd({sentence})")));
    }
}

#[tokio::test]
async fn what_the_call_does_not_take_stays_with_the_vendor() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    rig.services().send(say(1));
    peer.asked().await;
    peer.begin("audio/mulaw").await;
    let minute = limit::bytes_in_ms(59_000);
    let mut written = 0;
    while written < minute {
        let piece = [b"3e8\r\n".as_slice(), &[7; 1_000], b"\r\n"].concat();
        let writing = async {
            peer.stream.write_all(&piece).await.unwrap();
            peer.stream.flush().await.unwrap();
        };
        // Whoever waits for a minute is not taken from.
        if timeout(Duration::from_millis(300), writing).await.is_err() {
            break;
        }
        written += 1_000;
    }
    // Two sockets' buffers of 8 KiB, hyper's, rustls's and the channel's together.
    assert!(written < 120_000, "{written}");
    // Other reports do not wait behind it.
    rig.services().send(Request::Ask {
        request: 3,
        prompt: ward_call::service::Prompt { system: "".into(), lines: vec![] },
    });
    assert_eq!(format!("{:?}", rig.report_if(false).await), "Failed(llm, 3, service_unreachable)");
    let services = rig.services();
    let mut bytes = 0;
    let poll = |services: &mut super::super::CallServices| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        services.poll_report(&mut context, true)
    };
    while let std::task::Poll::Ready(Some(Report::Audio { audio, .. })) = poll(services) {
        bytes += audio.expose().len();
    }
    assert!(bytes > 0 && bytes <= 4 * limit::VOICE_PIECE_BYTES_MAX, "{bytes}");
    // And it is all given up.
    services.send(Request::Unsay);
    peer.closed().await;
    let mut peer = rig.accept().await;
    rig.services().send(say(2));
    peer.asked().await;
    speak(&mut peer, 160).await;
    let mut last = (0, Report::TurnEnd);
    while !matches!(last.1, Report::SentenceEnd { sentence: 2 }) {
        last = hear(&mut rig).await;
    }
}

#[tokio::test]
async fn unsay_takes_back_everything_that_was_asked_for() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    rig.services().send(say(1));
    rig.services().send(say(2));
    peer.asked().await;
    rig.services().send(Request::Unsay);
    rig.services().send(say(3));
    peer.closed().await;
    let mut peer = rig.accept().await;
    assert!(peer.asked().await.body.contains('3'));
    speak(&mut peer, 800).await;
    let (bytes, end) = hear(&mut rig).await;
    assert_eq!((bytes, format!("{end:?}").as_str()), (800, "SentenceEnd(3)"));
}

#[tokio::test]
async fn each_fault_is_reported_once_and_what_follows_is_spoken() {
    for (status, code, tries) in [
        (401, "service_unauthorized", 1),
        (402, "service_quota", 1),
        (429, "service_quota", 1),
        (500, "service_broken", 2),
    ] {
        let mut rig = one();
        rig.services().send(say(1));
        rig.services().send(say(2));
        for _ in 0..tries {
            let mut peer = rig.accept().await;
            peer.asked().await;
            peer.status(status).await;
        }
        assert_eq!(rig.told().await, format!("Failed(tts, 1, {code})"));
        let mut peer = rig.accept().await;
        peer.asked().await;
        speak(&mut peer, 160).await;
        assert_eq!(hear(&mut rig).await.0, 160);
    }
}

#[tokio::test]
async fn what_is_no_speech_is_garbage_and_too_much_of_it_too_long() {
    for kind in ["audio/wav", "application/json"] {
        let mut rig = one();
        rig.services().send(say(1));
        let mut peer = rig.accept().await;
        peer.asked().await;
        peer.begin(kind).await;
        assert_eq!(rig.told().await, "Failed(tts, 1, service_garbage)");
    }
    let mut rig = one();
    rig.services().send(say(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin("audio/mulaw").await;
    peer.end().await;
    assert_eq!(rig.told().await, "Failed(tts, 1, service_garbage)");
    rig.services().send(say(2));
    let mut peer = rig.accept().await;
    peer.asked().await;
    tokio::spawn(async move {
        peer.begin("audio/mulaw").await;
        for _ in 0..500 {
            let piece = [b"3e8\r\n".as_slice(), &[7; 1_000], b"\r\n"].concat();
            if peer.stream.write_all(&piece).await.is_err() {
                return;
            }
        }
        peer.stream.flush().await.unwrap_or_default();
        peer.closed().await;
    });
    let (bytes, end) = hear(&mut rig).await;
    let most = limit::bytes_in_ms(limit::VOICE_SENTENCE_MS_MAX);
    assert_eq!(format!("{end:?}"), "Failed(tts, 2, service_too_long)");
    assert!(most - 8_192 <= bytes && bytes <= most, "{bytes}");
}

#[tokio::test]
async fn a_drop_or_a_stall_after_the_first_audio_is_the_end_of_the_sentence() {
    let mut rig = one();
    rig.services().send(say(1));
    drop(rig.accept().await);
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin("audio/mulaw").await;
    peer.chunk(&[7; 160]).await;
    assert_eq!(rig.told().await, "Audio(1, 160 bytes)");
    drop(peer);
    assert_eq!(rig.told().await, "Failed(tts, 1, service_closed)");
    rig.services().send(say(2));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin("audio/mulaw").await;
    peer.chunk(&[7; 160]).await;
    assert_eq!(rig.told().await, "Audio(2, 160 bytes)");
    time::pause();
    assert_eq!(rig.told().await, "Failed(tts, 2, service_late)");
}

#[tokio::test]
async fn the_next_vendor_speaks_when_the_first_is_late() {
    let mut rig = Rig::new(&[("tts", vendor()), ("spare", vendor())]);
    rig.services().send(say(1));
    let mut first = rig.accept().await;
    first.asked().await;
    let mut second = rig.accept().await;
    assert_eq!((first.vendor.as_str(), second.vendor.as_str()), ("tts", "spare"));
    second.asked().await;
    speak(&mut second, 160).await;
    assert_eq!(rig.told().await, "Audio(1, 160 bytes)");
}
