//! Minting against a TLS server that answers whatever a test says, well or badly.

use super::*;
use crate::answer::{Answering, Asker, Wanted};
use crate::inventory::{Given, Issued};
use crate::keys::Keys;
use crate::settings::BrokerSettings;
use crate::source::Sources;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_policy::audit::Role;
use ward_policy::data_class::DataClass;
use ward_policy::vendor::{Entry, Purpose, Registry};
use ward_policy::vendor_id::VendorId;

const HOST: &str = "token.vendor.test";
const KEY: &[u8] = b"a key that lasts";
const GOOD: &str = r#"{"access_token":"short.lived.token","expires_in":30}"#;

/// A host that mints. It serves until its test's runtime ends.
struct Minter {
    port: u16,
    roots_pem: String,
    requests: UnboundedReceiver<String>,
}

/// Serves `HOST`; `answer` is sent for every request, and then the connection is kept or closed.
async fn minter(answer: Vec<u8>, is_kept: bool) -> Minter {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = unbounded_channel();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if let Some(request) = request_on(&mut stream).await {
                sender.send(request).unwrap_or_default();
                // Whoever has had enough goes away.
                stream.write_all(&answer).await.unwrap_or_default();
                stream.flush().await.unwrap_or_default();
            }
            if is_kept {
                kept.push(stream);
            }
        }
    });
    Minter { port, roots_pem: made.cert.pem(), requests }
}

/// One request, head and body.
async fn request_on(
    stream: &mut tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
) -> Option<String> {
    let mut all = Vec::new();
    loop {
        let mut part = [0; 1_024];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        all.extend_from_slice(&part[..count]);
        let text = String::from_utf8(all.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.map_or(0, |length| length.parse().unwrap()) <= body.len() {
            return Some(text);
        }
    }
}

/// The entry that ships, at our hosts and with `changes`.
fn entry(data_port: u16, minter: &Minter, changes: &[(&str, &str)]) -> (Registry, String) {
    let signed = format!(
        "status = \"signed\"\nreference = \"r\"\ndocument_sha256 = \"{}\"\n\
         effective = \"2026-01-01\"\nreviewed_on = \"2026-01-01\"\nnext_review = \"2199-12-31\"",
        "0".repeat(64)
    );
    let roots = format!("region = \"us\"\nroots_pem = \"\"\"\n{}\"\"\"", minter.roots_pem);
    let mut text = include_str!("../../../../policy/vendors/deepgram.toml")
        .replace("status = \"pending\"", &signed)
        .replace("approved_on = \"2026-11-22\"", "approved_on = \"2026-01-01\"")
        .replace("region = \"us\"", &roots)
        .replacen("port = 443\n", &format!("port = {data_port}\n"), 1)
        .replacen("port = 443\n", &format!("port = {}\n", minter.port), 1)
        .replace("api.deepgram.com", HOST);
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let registry = Registry::parse([("deepgram.toml", text.as_str())]);
    (registry.unwrap_or_else(|problems| panic!("{problems:?}")), text)
}

fn dialler() -> Dialler {
    let settings = format!("BROKER_HOSTS={HOST}=127.0.0.1\n");
    Dialler::new(BrokerSettings::parse(&settings).unwrap()).unwrap()
}

fn asked<'a>(entry: &'a Entry, key: &'a [u8]) -> Asked<'a> {
    Asked {
        mint: entry.credential.mint.as_ref().unwrap(),
        host: entry.host(Purpose::Token).unwrap(),
        roots_pem: entry.roots_pem.as_deref().unwrap(),
        key,
        max_ttl_s: entry.credential.max_ttl_s,
    }
}

/// What comes of an answer: the token and its life, or the reason.
async fn check(answer: &[u8], is_kept: bool) -> Result<(String, u32), DialFault> {
    let minter = minter(answer.to_vec(), is_kept).await;
    let (registry, _) = entry(444, &minter, &[]);
    let minted = mint(&dialler(), asked(&registry.entries()[0], KEY)).await?;
    Ok((minted.token.expose().clone(), minted.ttl_s))
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn the_request_is_the_entrys_and_the_token_comes_back() {
    let mut minter = minter(answer("200 OK", GOOD), true).await;
    let changes = [("body = ", "headers = [{ name = \"x-version\", value = \"7\" }]\nbody = ")];
    let (registry, _) = entry(444, &minter, &changes);
    let minted =
        mint(&dialler(), asked(&registry.entries()[0], KEY)).await.unwrap_or_else(|reason| {
            panic!("{}", reason.code());
        });
    assert_eq!((minted.token.expose().as_str(), minted.ttl_s), ("short.lived.token", 30));
    let request = minter.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("POST /v1/auth/grant HTTP/1.1"));
    let mut fields: Vec<&str> = lines.collect();
    fields.sort_unstable();
    let host = format!("host: {HOST}:{}", minter.port);
    let expected = [
        "accept: application/json",
        "authorization: Token a key that lasts",
        "content-length: 18",
        "content-type: application/json",
        &host,
        "x-version: 7",
    ];
    assert_eq!((fields, body), (expected.to_vec(), r#"{"ttl_seconds":30}"#));
}

#[tokio::test]
async fn an_answer_is_a_token_or_a_reason() {
    let ok = |body: &str| answer("200 OK", body);
    let token = Ok(("short.lived.token".to_owned(), 30));
    assert_eq!(check(&ok(GOOD), true).await, token);
    // Closed right behind it, and without a length.
    assert_eq!(check(&ok(GOOD), false).await, token);
    let chunked = format!(
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{GOOD}\r\n0\r\n\r\n",
        GOOD.len()
    );
    assert_eq!(check(chunked.as_bytes(), true).await, token);
    let long_token = GOOD.replace("short", &"s".repeat(limit::TOKEN_BYTES_MAX));
    let padded = GOOD.replace('}', &format!("{}}}", " ".repeat(limit::MINT_ANSWER_BYTES_MAX)));
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        format!("1000\r\n{}\r\n", "x".repeat(4_096)).repeat(5)
    );
    let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "x".repeat(64 * 1_024));
    let fields = "x: y\r\n".repeat(limit::MINT_ANSWER_FIELDS_MAX + 1);
    let many_fields = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\n{{}}");
    let redirect =
        b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
    for (answer, is_kept, reason) in [
        (answer("401 Unauthorized", GOOD), true, DialFault::MintRefused),
        (answer("429 Too Many Requests", ""), true, DialFault::MintRefused),
        (answer("500 Internal Server Error", GOOD), true, DialFault::MintFailed),
        (redirect.to_vec(), true, DialFault::MintFailed),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), true, DialFault::MintFailed),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".to_vec(), false, DialFault::MintFailed),
        (Vec::new(), false, DialFault::MintFailed),
        (long_head.into_bytes(), true, DialFault::MintFailed),
        (many_fields.into_bytes(), true, DialFault::MintFailed),
        (ok(""), true, DialFault::MintGarbage),
        (ok("<html>"), true, DialFault::MintGarbage),
        (ok("{\"expires_in\":30}"), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("30", "\"30\"")), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("30", "1e30")), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("short.lived.token", "")), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("short", "sh\\r\\nort")), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("\"short.lived.token\"", "[1]")), true, DialFault::MintGarbage),
        (ok(&long_token), true, DialFault::MintGarbage),
        (ok(&padded), true, DialFault::MintGarbage),
        (endless.into_bytes(), true, DialFault::MintGarbage),
        (ok(&GOOD.replace("30", "0")), true, DialFault::MintOver),
        (ok(&GOOD.replace("30", "0.9")), true, DialFault::MintOver),
        (ok(&GOOD.replace("30", "-7")), true, DialFault::MintOver),
    ] {
        let text = String::from_utf8_lossy(&answer[..answer.len().min(100)]).into_owned();
        assert_eq!(check(&answer, is_kept).await, Err(reason), "{text}");
    }
}

#[tokio::test]
async fn a_life_is_the_vendors_or_the_entrys_whichever_is_shorter() {
    let minter = minter(Vec::new(), true).await;
    let check = |changes: &[(&str, &str)], body: &str| {
        let (registry, _) = entry(444, &minter, changes);
        let minted = read(body.as_bytes(), asked(&registry.entries()[0], KEY), 1_000);
        minted.map(|minted| minted.ttl_s)
    };
    assert_eq!(check(&[], GOOD), Ok(30));
    assert_eq!(check(&[], &GOOD.replace("30", "29.9")), Ok(29));
    assert_eq!(check(&[], &GOOD.replace("30", "3600")), Ok(60));
    let at = [("expires_in = \"/expires_in\"", "expires_at = \"/expires_in\"")];
    assert_eq!(check(&at, &GOOD.replace("30", "1030")), Ok(30));
    assert_eq!(check(&at, &GOOD.replace("30", "9999")), Ok(60));
    assert_eq!(check(&at, &GOOD.replace("30", "1000")), Err(DialFault::MintOver));
    let unsaid = [("expires_in = \"/expires_in\"\n", "")];
    assert_eq!(check(&unsaid, r#"{"access_token":"t"}"#), Ok(60));
    let nested = [("\"/access_token\"", "\"/a/0/b\"")];
    assert_eq!(check(&nested, r#"{"a":[{"b":"t"}],"expires_in":5}"#), Ok(5));
}

#[tokio::test]
async fn a_model_behind_oauth_is_asked_with_a_form() {
    let mut minter = minter(answer("200 OK", GOOD), true).await;
    let form = "grant_type=client_credentials&scope=https%3A%2F%2Fexample.com%2F.default";
    let changes = [
        ("key_prefix = \"Token \"", "key_prefix = \"Basic \""),
        ("body = '{\"ttl_seconds\":30}'", &format!("form = \"{form}\"")),
    ];
    let (registry, _) = entry(444, &minter, &changes);
    let minted = mint(&dialler(), asked(&registry.entries()[0], b"aWQ6c2VjcmV0")).await.unwrap();
    assert_eq!(minted.ttl_s, 30);
    let request = minter.requests.try_recv().unwrap();
    assert!(request.contains("\r\nauthorization: Basic aWQ6c2VjcmV0\r\n"), "{request}");
    let content_type = "\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    assert!(request.contains(content_type), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\n{form}")), "{request}");
}

#[tokio::test]
async fn whoever_cannot_be_spoken_to_or_is_another_mints_nothing() {
    let check = async |minter: &Minter, key: &[u8]| {
        let (registry, _) = entry(444, minter, &[]);
        let minted = mint(&dialler(), asked(&registry.entries()[0], key)).await;
        minted.map(drop).map_err(DialFault::code)
    };
    let mut right = minter(answer("200 OK", GOOD), true).await;
    let other = minter(answer("200 OK", GOOD), true).await;
    // The certificate leads to nobody whom the entry trusts, and the key is not told.
    let port = std::mem::replace(&mut right.port, other.port);
    assert_eq!(check(&right, KEY).await, Err("mint_failed"));
    assert!(right.requests.try_recv().is_err());
    right.port = port;
    assert_eq!(check(&right, KEY).await, Ok(()));
    // A key that would begin another header line.
    assert_eq!(check(&right, b"a\r\nb").await, Err("no_credential"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    right.port = closed.local_addr().unwrap().port();
    drop(closed);
    assert_eq!(check(&right, KEY).await, Err("connect_failed"));
}

#[tokio::test]
async fn a_token_that_does_not_come_in_time_is_not_waited_for() {
    // The head comes, the body never does.
    let silent = b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{";
    let clock = Clock::start();
    assert_eq!(check(silent, true).await, Err(DialFault::MintLate));
    let most = limit::MINT_DEADLINE + Duration::from_millis(800);
    assert!((limit::MINT_DEADLINE..most).contains(&clock.now()), "{:?}", clock.now());
}

/// Asks as media would; what came of it, and what was logged.
async fn ask(registry: Registry) -> (Result<(String, Duration, bool), DialFault>, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (document, mut keys) = std::io::pipe().unwrap();
    keys.write_all(&[b"deepgram=", KEY, b"\n"].concat()).unwrap();
    drop(keys);
    let clock = Clock::start();
    let log = Log::new(Role::Broker, clock, writer.into());
    let keys = Keys::read(document.into()).unwrap();
    let sources = Sources::new(&registry, clock).unwrap();
    let (given, issued) = (Given::default(), Issued::default());
    let dialler = dialler();
    let log_sink = None;
    let answering =
        Answering { registry, log_sink, dialler, keys, sources, given, issued, log, clock };
    let vendor = VendorId::parse("deepgram").unwrap();
    let wanted = Wanted { vendor, class: DataClass::Audio, is_refused: false };
    let answered = answering.answer(Asker::Media, wanted).await.map(|answered| {
        let has_manner = answered.terms.manner.is_some();
        (answered.token.expose().clone(), answered.terms.token_ttl, has_manner)
    });
    drop(answering);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (answered, text)
}

#[tokio::test]
async fn media_gets_a_token_of_its_own_each_time_and_the_manner_and_the_log_says_so() {
    let mut minter = minter(answer("200 OK", GOOD), true).await;
    let data = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data_port = data.local_addr().unwrap().port();
    for _ in 0..2 {
        let (answered, log) = ask(entry(data_port, &minter, &[]).0).await;
        let expected = ("short.lived.token".to_owned(), Duration::from_secs(30), true);
        assert_eq!(answered, Ok(expected));
        assert!(
            log.contains(r#""event":"vendor_minted","vendor":"deepgram","token_ttl_s":30"#),
            "{log}"
        );
        assert!(!log.contains("short.lived") && !log.contains("a key"), "{log}");
        minter.requests.try_recv().unwrap();
        data.accept().await.unwrap();
    }
    // A key that lasts is nobody's but the broker's: nobody is dialled for it, and nobody is asked.
    let (_, text) = entry(data_port, &minter, &[]);
    let (start, rest) = text.split_once("[credential.mint]").unwrap();
    let text = format!("{start}[source]{}", rest.split_once("[source]").unwrap().1);
    let text = text.replace("class = \"token\"", "class = \"static-key\"");
    let registry = Registry::parse([("deepgram.toml", text.as_str())]).unwrap();
    assert_eq!(ask(registry).await, (Err(DialFault::NoCredential), String::new()));
    assert!(minter.requests.try_recv().is_err());
}

#[tokio::test]
async fn what_was_dialled_while_a_mint_was_refused_is_closed_unused() {
    let minter = minter(answer("403 Forbidden", "{}"), true).await;
    let data = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (registry, _) = entry(data.local_addr().unwrap().port(), &minter, &[]);
    assert_eq!(ask(registry).await, (Err(DialFault::MintRefused), String::new()));
    // Dialled at the same time, and closed unused.
    let (mut opened, _) = data.accept().await.unwrap();
    assert_eq!(opened.read(&mut [0; 8]).await.unwrap(), 0);
}
