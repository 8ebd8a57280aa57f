//! `llm-sse`: what is asked, what is passed on, and every way in which a model can fail.

use std::time::Duration;

use tokio::time;
use ward_call::service::{Line, Prompt, Request, Speaker};
use ward_policy::connector::{Dialect, RequestPlace};
use ward_policy::phi::Phi;

use super::super::request::tests::manner;
use super::rig::{Peer, Rig, Vendor};

const EVENTS: &str = "text/event-stream; charset=utf-8";

fn prompt() -> Prompt {
    let text = Phi::new("My leg hurts".to_owned());
    Prompt { system: "Be kind.".into(), lines: vec![Line { speaker: Speaker::Caller, text }] }
}

fn ask(request: u32) -> Request {
    Request::Ask { request, prompt: prompt() }
}

fn vendor(dialect: Dialect) -> Vendor {
    let musts = [
        (RequestPlace::Body, "store", "false"),
        (RequestPlace::Header, "x-retention", "none"),
        (RequestPlace::Query, "api-version", "7"),
    ];
    Vendor::new("prompt", manner(dialect, "/v1/answer", &musts))
}

fn one() -> Rig {
    Rig::new(&[("llm", vendor(Dialect::Messages))])
}

fn two() -> Rig {
    Rig::new(&[("llm", vendor(Dialect::Messages)), ("spare", vendor(Dialect::ChatCompletions))])
}

fn delta(text: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

async fn answer(peer: &mut Peer, pieces: &[&str]) {
    peer.begin(EVENTS).await;
    for piece in pieces {
        peer.chunk(delta(piece).as_bytes()).await;
    }
    peer.chunk(STOP.as_bytes()).await;
    peer.end().await;
}

#[tokio::test]
async fn replies_come_in_pieces_over_one_connection_and_every_request_has_the_musts() {
    let mut rig = one();
    let mut peer = rig.accept().await;
    for request in 1..=5 {
        rig.services().send(ask(request));
        let asked = peer.asked().await;
        assert!(asked.head.starts_with("POST /v1/answer?api-version=7 HTTP/1.1\r\n"));
        assert_eq!(asked.field("authorization"), "Bearer token-1");
        assert_eq!(asked.field("host"), "vendor.test");
        assert_eq!(asked.field("x-retention"), "none");
        assert_eq!(asked.field("anthropic-version"), "2023-06-01");
        assert!(asked.body.contains("\"store\":false") && asked.body.contains("My leg hurts"));
        answer(&mut peer, &["Oh ", "dear."]).await;
        assert_eq!(rig.told().await, "+Oh ");
        assert_eq!(rig.told().await, "+dear.");
        assert_eq!(rig.told().await, format!("ReplyEnd({request})"));
    }
    drop(rig.services.take());
    peer.closed().await;
    assert_eq!(rig.logged().last().unwrap(), "vendor_ended llm - call_over");
}

#[tokio::test]
async fn the_other_dialect_ends_with_done() {
    let mut rig = Rig::new(&[("llm", vendor(Dialect::ChatCompletions))]);
    let mut peer = rig.accept().await;
    rig.services().send(ask(1));
    let asked = peer.asked().await;
    assert!(asked.body.contains("\"role\":\"system\"") && asked.body.contains("\"store\":false"));
    peer.begin("text/event-stream").await;
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";
    for byte in text.bytes() {
        peer.chunk(&[byte]).await;
    }
    peer.end().await;
    assert_eq!((rig.told().await, rig.told().await), ("+Hi".into(), "ReplyEnd(1)".into()));
}

#[tokio::test]
async fn each_refusal_has_its_fault_and_nobody_is_left() {
    for (status, code, tries) in [
        (401, "service_unauthorized", 1),
        (402, "service_quota", 1),
        (429, "service_quota", 1),
        (400, "service_rejected", 1),
        (302, "service_garbage", 1),
        (500, "service_broken", 2),
        (529, "service_broken", 2),
    ] {
        let mut rig = one();
        rig.services().send(ask(9));
        for _ in 0..tries {
            let mut peer = rig.accept().await;
            peer.asked().await;
            peer.status(status).await;
        }
        assert_eq!(rig.told().await, format!("Failed(llm, 9, {code})"));
        let failed = format!("service_failed llm llm {code}");
        assert_eq!(rig.logged().iter().filter(|line| **line == failed).count(), tries);
        assert!(!rig.is_dialled());
    }
}

#[tokio::test]
async fn a_reply_that_was_cancelled_keeps_none_waiting_whatever_else_was() {
    let mut rig = one();
    rig.services().send(ask(1));
    let mut first = rig.accept().await;
    first.asked().await;
    first.begin(EVENTS).await;
    // Another one is asked and cancelled before the connector comes to it.
    rig.services().send(Request::Cancel { request: 1 });
    rig.services().send(ask(2));
    rig.services().send(Request::Cancel { request: 2 });
    rig.services().send(ask(3));
    first.closed().await;
    let mut second = rig.accept().await;
    second.asked().await;
    answer(&mut second, &["Yes."]).await;
    assert_eq!((rig.told().await, rig.told().await), ("+Yes.".into(), "ReplyEnd(3)".into()));
}

#[tokio::test]
async fn the_next_vendor_is_asked_while_nothing_was_said() {
    let mut rig = two();
    rig.services().send(ask(1));
    let mut first = rig.accept().await;
    first.asked().await;
    first.status(429).await;
    let mut second = rig.accept().await;
    assert_eq!((first.vendor.as_str(), second.vendor.as_str()), ("llm", "spare"));
    assert!(second.asked().await.body.contains("\"role\":\"system\""));
    second.begin(EVENTS).await;
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";
    second.chunk(text.as_bytes()).await;
    second.end().await;
    assert_eq!((rig.told().await, rig.told().await), ("+Hi".into(), "ReplyEnd(1)".into()));
    // It has earned the next request.
    rig.services().send(ask(2));
    second.asked().await;
}

#[tokio::test]
async fn a_connection_that_drops_is_replaced_once_before_the_first_piece_and_never_after() {
    let mut rig = one();
    rig.services().send(ask(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    drop(peer);
    let mut peer = rig.accept().await;
    assert_eq!(peer.asked().await.field("authorization"), "Bearer token-2");
    peer.begin(EVENTS).await;
    peer.chunk(delta("Oh").as_bytes()).await;
    assert_eq!(rig.told().await, "+Oh");
    drop(peer);
    assert_eq!(rig.told().await, "Failed(llm, 1, service_closed)");
    assert!(!rig.is_dialled());
    // An end of the body that is no end of the answer is the same.
    rig.services().send(ask(2));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin(EVENTS).await;
    peer.chunk(delta("Oh").as_bytes()).await;
    peer.end().await;
    assert_eq!(rig.told().await, "+Oh");
    assert_eq!(rig.told().await, "Failed(llm, 2, service_closed)");
}

#[tokio::test]
async fn garbage_and_what_is_too_long_is_no_answer() {
    let long = format!("data: {}\n\n", "x".repeat(20_000));
    let many = delta(&"x".repeat(3_000)).repeat(2);
    for (kind, text, code) in [
        (EVENTS, "data: nonsense\n\n", "service_garbage"),
        ("text/html", "<html>", "service_garbage"),
        (EVENTS, long.as_str(), "service_too_long"),
        (
            EVENTS,
            "data: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}\n\n",
            "service_quota",
        ),
    ] {
        let mut rig = one();
        rig.services().send(ask(1));
        let mut peer = rig.accept().await;
        peer.asked().await;
        peer.begin(kind).await;
        peer.chunk(text.as_bytes()).await;
        assert_eq!(rig.told().await, format!("Failed(llm, 1, {code})"));
    }
    let mut rig = one();
    rig.services().send(ask(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin(EVENTS).await;
    peer.chunk(many.as_bytes()).await;
    assert!(rig.told().await.starts_with("+x"));
    assert_eq!(rig.told().await, "Failed(llm, 1, service_too_long)");
    // No HTTP at all, and a head without an end.
    for (bytes, code) in [
        ("SSH-2.0\r\n\r\n".to_owned(), "service_garbage"),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(20_000)), "service_too_long"),
    ] {
        let mut rig = one();
        rig.services().send(ask(1));
        let mut peer = rig.accept().await;
        peer.asked().await;
        tokio::spawn(async move {
            peer.write(bytes).await;
            peer.closed().await;
        });
        assert_eq!(rig.told().await, format!("Failed(llm, 1, {code})"));
    }
}

#[tokio::test]
async fn a_vendor_that_stalls_is_late_before_the_first_piece_and_between_pieces() {
    let mut rig = one();
    rig.services().send(ask(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    time::pause();
    assert_eq!(rig.told().await, "Failed(llm, 1, service_late)");
    time::resume();
    peer.closed().await;
    rig.services().send(ask(2));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin(EVENTS).await;
    peer.chunk(delta("Oh").as_bytes()).await;
    assert_eq!(rig.told().await, "+Oh");
    time::pause();
    assert_eq!(rig.told().await, "Failed(llm, 2, service_late)");
}

#[tokio::test]
async fn a_vendor_that_drips_is_late_in_the_end() {
    let mut rig = one();
    rig.services().send(ask(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin(EVENTS).await;
    peer.chunk(delta("Oh").as_bytes()).await;
    assert_eq!(rig.told().await, "+Oh");
    time::pause();
    let began = time::Instant::now();
    let dripping = tokio::spawn(async move {
        loop {
            time::sleep(Duration::from_secs(1)).await;
            peer.chunk(b":\n").await;
        }
    });
    assert_eq!(rig.told().await, "Failed(llm, 1, service_late)");
    let took = began.elapsed();
    assert!(Duration::from_secs(20) < took && took < Duration::from_secs(40), "{took:?}");
    dripping.abort();
}

#[tokio::test]
async fn a_cancelled_request_ends_its_connection_and_the_next_one_is_ready() {
    let mut rig = one();
    rig.services().send(ask(1));
    let mut peer = rig.accept().await;
    peer.asked().await;
    peer.begin(EVENTS).await;
    peer.chunk(delta("Oh").as_bytes()).await;
    assert_eq!(rig.told().await, "+Oh");
    rig.services().send(ask(2));
    rig.services().send(ask(3));
    rig.services().send(Request::Cancel { request: 2 });
    rig.services().send(Request::Cancel { request: 1 });
    peer.closed().await;
    let mut peer = rig.accept().await;
    assert_eq!(peer.asked().await.field("authorization"), "Bearer token-2");
    answer(&mut peer, &["Yes."]).await;
    assert_eq!((rig.told().await, rig.told().await), ("+Yes.".into(), "ReplyEnd(3)".into()));
    let ended = "vendor_ended llm - let_go";
    assert!(rig.logged().iter().any(|line| line == ended));
}

#[tokio::test]
async fn nobody_is_asked_who_must_be_asked_what_cannot_be_said() {
    let unsuited = manner(Dialect::Messages, "/v1", &[(RequestPlace::Subprotocol, "a", "b")]);
    let mut rig = Rig::new(&[("llm", Vendor::new("prompt", unsuited))]);
    rig.services().send(ask(1));
    rig.accept_silence().await;
    assert_eq!(rig.told().await, "Failed(llm, 1, service_unsuited)");
    let foreign = manner(Dialect::DeepgramSpeak, "/v1", &[]);
    let mut rig = Rig::new(&[("llm", Vendor::new("prompt", foreign))]);
    rig.services().send(ask(1));
    rig.accept_silence().await;
    assert_eq!(rig.told().await, "Failed(llm, 1, service_unsuited)");
}

#[tokio::test]
async fn without_a_vendor_every_request_fails_and_too_many_at_once_do_too() {
    let mut rig = Rig::new(&[]);
    rig.services().send(ask(1));
    assert_eq!(rig.told().await, "Failed(llm, 1, service_unreachable)");
    let refused = Vendor { manner: None, ..vendor(Dialect::Messages) };
    let mut rig = Rig::new(&[("llm", refused)]);
    for request in 1..100 {
        rig.services().send(ask(request));
    }
    let told = rig.told().await;
    assert!(told.starts_with("Failed(llm, 17, service_late)"), "{told}");
    rig.services().send(Request::Cancel { request: 18 });
    for _ in 19..33 {
        rig.told().await;
    }
    assert_eq!(rig.told().await, "Failed(llm, 1, service_unreachable)");
}

#[tokio::test]
async fn a_connection_whose_token_is_over_is_replaced() {
    let short = Vendor { token_ttl: Duration::from_millis(300), ..vendor(Dialect::Messages) };
    let mut rig = Rig::new(&[("llm", short)]);
    let first = rig.accept().await;
    first.closed().await;
    rig.services().send(ask(1));
    let mut second = rig.accept().await;
    assert_eq!(second.asked().await.field("authorization"), "Bearer token-2");
}
