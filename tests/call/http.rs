//! E09–E12, E16: what is no upgrade at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ward_tests::edge_cases::{note_seen, note_sent, row};
use ward_tests::headers;
use ward_tests::servers::Running;
use ward_tests::websocket::upgrade_request;
use ward_tests::wire::{Wire, exchange, status};

fn check(server: &Running, request: &str, expected: u16) -> String {
    let response = exchange(server.port, request.as_bytes());
    assert_eq!(status(&response), expected, "{request:.120}\n{response}");
    drop(headers::check(&response));
    response
}

#[test]
fn e09_only_the_exact_path_is_the_media_route() {
    let server = Running::media("");
    for target in [
        "/",
        "/rtm",
        "/rtm/voice/",
        "/rtm/voice?x=1",
        "/rtm/voice?",
        "//rtm/voice",
        "/rtm//voice",
        "/rtm/voic%65",
        "/rtm/./voice",
        "/rtm/voice;x",
        "/RTM/voice",
        "https://media.example.com/rtm/voice",
    ] {
        check(&server, &upgrade_request(target, &[]), 404);
        row("E09", &format!("a signed upgrade of {target}"), "404");
    }
    let moved = Running::media("MEDIA_PATH=/v2/stream");
    check(&moved, &upgrade_request("/rtm/voice", &[]), 404);
    row("E09", "/rtm/voice where MEDIA_PATH is /v2/stream", "404");
}

#[test]
fn e10_what_is_no_websocket_handshake_is_told_so() {
    let server = Running::media("");
    let plain = "GET /rtm/voice HTTP/1.1\r\nHost: a\r\n\r\n";
    let response = check(&server, plain, 426);
    assert_eq!(headers::values(&response, "sec-websocket-version"), ["13"]);
    assert_eq!(headers::values(&response, "upgrade"), ["websocket"]);
    row("E10", "GET without Upgrade", "426, Upgrade: websocket, version 13");
    let response = check(&server, &plain.replace("GET", "POST"), 405);
    assert_eq!(headers::values(&response, "allow"), ["GET"]);
    row("E10", "POST", "405, Allow: GET");
    check(&server, &plain.replace("HTTP/1.1", "HTTP/1.0"), 505);
    row("E10", "HTTP/1.0", "505");
    check(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    row("E10", "HTTP/2 with prior knowledge", "505");
    let old = upgrade_request("/rtm/voice", &[("Sec-WebSocket-Version", "8")]);
    let response = check(&server, &old, 426);
    assert_eq!(headers::values(&response, "sec-websocket-version"), ["13"]);
    row("E10", "Sec-WebSocket-Version: 8", "426, version 13");
    for key in ["", "short", "dGhlIHNhbXBsZSBub25jZSE="] {
        check(&server, &upgrade_request("/rtm/voice", &[("Sec-WebSocket-Key", key)]), 400);
        row("E10", &format!("Sec-WebSocket-Key: {key:?}"), "400");
    }
}

#[test]
fn e11_heads_that_could_be_read_in_two_ways_are_refused() {
    let server = Running::media("");
    let get = "GET /health HTTP/1.1\r\nHost: a\r\n";
    let many = "X: y\r\n".repeat(101);
    let long = format!("X: {}\r\n", "y".repeat(17_000));
    for (what, request, expected) in [
        (
            "Content-Length and Transfer-Encoding",
            format!("{get}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "Content-Length twice",
            format!("{get}Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
            400,
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            format!("{get}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            400,
        ),
        ("bare line feeds", get.replace("\r\n", "\n") + "\n", 400),
        ("one bare line feed", format!("{get}X: a\nY: b\r\n\r\n"), 400),
        ("obs-fold", format!("{get}X: a\r\n b\r\n\r\n"), 400),
        ("a space before the colon", format!("{get}Content-Length : 0\r\n\r\n"), 400),
        ("Host twice", format!("{get}Host: b\r\n\r\n"), 400),
        ("no Host", "GET /health HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("a zero byte", format!("{get}X: a\0b\r\n\r\n"), 400),
        ("Expect: 100-continue", format!("{get}Expect: 100-continue\r\n\r\n"), 417),
        ("101 fields", format!("{get}{many}\r\n"), 431),
        ("a head of 17 kB", format!("{get}{long}\r\n"), 431),
    ] {
        check(&server, &request, expected);
        row("E11", what, &format!("{expected} with every header, closed"));
    }
}

#[test]
fn e11_a_second_request_on_the_connection_is_never_read() {
    let server = Running::media("");
    let two = "GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /rtm/voice HTTP/1.1\nHost: a\n\n";
    let response = exchange(server.port, two.as_bytes());
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    assert_eq!(headers::values(&response, "connection"), ["close"]);
    row(
        "E11",
        "a second, malformed head behind the first request",
        "one response, Connection: close",
    );
}

#[test]
fn e12_slow_peers_are_closed_and_others_are_served_meanwhile() {
    let server = Running::media("");
    let begin = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut slow = Wire::open(server.port);
    slow.set_patience(Duration::from_secs(12));
    slow.send(b"GET /health HTTP/1.1\r\nHost:");
    assert_eq!(status(&exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    assert!(begin.elapsed() < Duration::from_secs(4), "nobody waits for the slow ones");
    silent.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
    assert!(slow.receive_all().is_empty(), "closed without an answer");
    let seconds = begin.elapsed().as_secs();
    assert!((4..=8).contains(&seconds), "after {seconds} s");
    server.logs.wait_for("tls_slow");
    server.logs.wait_for("head_slow");
    row(
        "E12",
        "a TCP connection that never shakes hands",
        "closed after 5 s, tls_slow; others served meanwhile",
    );
    row("E12", "a head that never ends", "closed after 5 s, head_slow; others served meanwhile");
}

/// What `openssl s_client` says of a handshake, and whether it got through.
fn s_client(port: u16, arguments: &[&str]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(["s_client", "-ign_eof"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended with an alert before it reads.
    drop(stdin.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"));
    // The server ends the connection with its answer, so nothing needs to be waited for.
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let is_through = text.contains("HTTP/1.1 200");
    note_sent(format!("openssl s_client {}", arguments.join(" ")).as_bytes());
    let alert = text.split("alert number ").nth(1).and_then(|rest| rest.split_whitespace().next());
    note_seen(&match (is_through, alert) {
        (true, _) => "status 200".to_owned(),
        (false, Some(number)) => format!("alert {number}"),
        (false, None) => "no handshake".to_owned(),
    });
    (is_through, text)
}

/// Whether the server refused, rather than openssl itself: by its alert, or by ending the connection
/// before the alert, which may still be under way, could be read.
fn is_refused(text: &str, alerts: &[&str]) -> bool {
    let is_alert = alerts.iter().any(|number| text.contains(&format!("alert number {number}")));
    is_alert || (text.contains("CONNECTED") && text.contains("unexpected eof"))
}

#[test]
fn e16_only_modern_tls_gets_through() {
    let server = Running::media("");
    let port = server.port;
    for (what, arguments) in [
        ("TLS 1.0", &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"][..]),
        ("TLS 1.1", &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]),
        (
            "TLS 1.2 with CBC suites only",
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"],
        ),
    ] {
        let (is_through, text) = s_client(port, arguments);
        assert!(!is_through && is_refused(&text, &["40", "70"]), "{what}: {text}");
        row("E16", what, "no handshake, the server's alert");
    }
    for (what, arguments) in [
        ("TLS 1.3", &["-tls1_3"][..]),
        ("TLS 1.2 with an AEAD suite", &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
        ("no SNI", &["-noservername"]),
        ("a wrong SNI", &["-servername", "other.example"]),
    ] {
        let (is_through, text) = s_client(port, arguments);
        assert!(is_through, "{what}: {text}");
        row("E16", what, "served with the only certificate");
    }
    let (_, text) = s_client(port, &["-tls1_3", "-alpn", "h2"]);
    assert!(is_refused(&text, &["120"]), "{text}");
    row("E16", "ALPN with h2 only", "no handshake: HTTP/2 is not spoken here");
    let (is_through, text) = s_client(port, &["-tls1_3", "-alpn", "h2,http/1.1"]);
    assert!(is_through && text.contains("ALPN protocol: http/1.1"), "{text}");
    row("E16", "ALPN with h2 and http/1.1", "http/1.1");
}

#[test]
fn e16_nothing_of_a_handshake_can_be_used_again() {
    let server = Running::media("");
    let (_, text) = s_client(server.port, &["-tls1_3"]);
    assert!(!text.contains("Post-Handshake New Session Ticket"), "{text}");
    row("E16", "TLS 1.3: session tickets, and so early data", "none is offered");
    let (_, text) = s_client(server.port, &["-tls1_2"]);
    assert!(!text.contains("TLS session ticket:"), "{text}");
    row("E16", "TLS 1.2: session tickets", "none is offered");
    let mut child = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &format!("127.0.0.1:{}", server.port)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop(stdin.write_all(b"R\n"));
    std::thread::sleep(Duration::from_secs(1));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("RENEGOTIATING") && text.contains("unexpected eof"), "{text}");
    row(
        "E16",
        "TLS 1.2: the client asks to renegotiate",
        "never done: the connection ends at the head's deadline",
    );
}
