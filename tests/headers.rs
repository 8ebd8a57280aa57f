//! Every route and every refusal of both servers carries the whole header set, and no nonce twice.
//!
//! The negative control takes headers away from a response and must be caught each time.

use std::collections::BTreeSet;

use ward_tests::headers::check;
use ward_tests::servers::Running;
use ward_tests::websocket::upgrade_request;
use ward_tests::wire::{Wire, exchange, status};

/// Requests that between them reach every answer, whatever the server.
fn requests() -> Vec<String> {
    let mut list = Vec::new();
    for path in ["/", "/health", "/rtm/voice", "/api/voice/incoming", "/nowhere", "/%00", "/a?b"] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"]
        {
            list.push(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        }
    }
    let get = "GET /health HTTP/1.1\r\nHost: a\r\n";
    for rest in [
        "Host: b\r\n\r\n",
        "X: a\nY: b\r\n\r\n",
        "X: a\r\n b\r\n\r\n",
        "no colon\r\n\r\n",
        "X : a\r\n\r\n",
        "X: a\0\r\n\r\n",
        "Content-Length: x\r\n\r\n",
        "Expect: 100-continue\r\n\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n",
    ] {
        list.push(format!("{get}{rest}"));
    }
    for head in [
        "GET /health HTTP/1.0\r\n\r\n",
        "GET /health HTTP/3.0\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "\n",
        "\u{16}\u{3}\u{1}\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
    ] {
        list.push(head.to_owned());
    }
    list.push(format!("{get}{}\r\n", "X: y\r\n".repeat(200)));
    list.push(format!("{get}X: {}\r\n\r\n", "y".repeat(20_000)));
    for changes in [
        &[("X-Twilio-Signature", "")][..],
        &[("X-Twilio-Signature", "wrong")],
        &[("Upgrade", "")],
        &[("Sec-WebSocket-Version", "7")],
        &[("Sec-WebSocket-Key", "")],
    ] {
        list.push(upgrade_request("/rtm/voice", changes));
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=\r\n";
    for (fields, body) in [
        (form, "a=1"),
        (form, "a=%zz"),
        ("Content-Type: text/plain\r\n", "a"),
        (
            "X-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=\r\nContent-Type: application/json\r\n",
            "{}",
        ),
    ] {
        let length = body.len();
        list.push(format!("POST /api/voice/incoming HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}"));
    }
    list.push(format!("POST /api/voice/incoming HTTP/1.1\r\nHost: a\r\n{form}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    list
}

#[test]
fn every_answer_of_both_servers_carries_every_header_and_a_nonce_of_its_own() {
    let mut nonces = BTreeSet::new();
    let mut statuses = BTreeSet::new();
    let mut count = 0;
    for server in [Running::media(""), Running::twiml("")] {
        for request in requests() {
            let response = exchange(server.port, request.as_bytes());
            assert_ne!(status(&response), 0, "no answer to {request:.80}");
            assert!(nonces.insert(check(&response)), "a nonce was used twice");
            statuses.insert(status(&response));
            count += 1;
        }
    }
    let media = Running::media("");
    let mut wire = Wire::open(media.port);
    wire.send(upgrade_request("/rtm/voice", &[]).as_bytes());
    let head = wire.receive_head();
    assert!(nonces.insert(check(&head)));
    statuses.insert(status(&head));
    assert!(count > 150, "{count}");
    let expected = [101, 200, 400, 403, 404, 405, 415, 417, 426, 431, 505];
    assert!(expected.iter().all(|code| statuses.contains(code)), "{statuses:?}");
}

#[test]
fn no_byte_anywhere_in_a_head_gets_an_answer_without_headers() {
    let servers = [Running::media(""), Running::twiml("")];
    let mut count = 0;
    for byte in 0..=u8::MAX {
        for (before, after) in [
            ("G", "ET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET /health", " HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET /health?a", " HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("GET /health HTTP/1.1\r\nHost: a\r\nX", ": y\r\n\r\n"),
            ("GET /health HTTP/1.1\r\nHost: a\r\nX: y", "\r\n\r\n"),
            ("GET /health HTTP/1.1\r\nHost: a", "\r\n\r\n"),
        ] {
            let request = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            for server in &servers {
                let response = exchange(server.port, &request);
                assert_ne!(
                    status(&response),
                    0,
                    "no answer with byte {byte:#04x} after {before:?}"
                );
                drop(check(&response));
                count += 1;
            }
        }
    }
    assert_eq!(count, 256 * 6 * 2);
}

#[test]
fn the_check_itself_catches_each_header_that_is_missing_doubled_or_changed() {
    let server = Running::twiml("");
    let response = exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(check(&response));
    let lines: Vec<&str> = response.split("\r\n").collect();
    let mut caught = 0;
    for name in [
        "content-security-policy",
        "strict-transport-security",
        "permissions-policy",
        "cross-origin-opener-policy",
        "cross-origin-embedder-policy",
        "cross-origin-resource-policy",
        "x-xss-protection",
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "cache-control",
    ] {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        let without = response.replace(&format!("{line}\r\n"), "");
        let twice = response.replace(*line, &format!("{line}\r\n{line}"));
        let changed = response.replace(*line, &format!("{name}: x"));
        for broken in [without, twice, changed] {
            assert!(std::panic::catch_unwind(|| check(&broken)).is_err(), "{name}");
            caught += 1;
        }
    }
    let banner = response.replacen("\r\n", "\r\nServer: ward\r\n", 1);
    assert!(std::panic::catch_unwind(|| check(&banner)).is_err());
    assert_eq!(caught, 33);
}
