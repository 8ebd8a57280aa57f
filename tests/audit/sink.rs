//! A log sink's stand-in: takes records by POST over TLS, and behaves as badly as it is told to. What it keeps, it keeps as it
//! came.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ward::vendors::Vendors;
use ward_policy::phi::Secret;
use ward_tests::servers::{ca_certificate, identity_of};

/// The sink's name, which no name server knows.
const HOST: &str = "logs.sink.test";
/// What the sink wants to hear.
pub(crate) const KEY: &str = "Xq7vT-plumkettle-4431-zwieback";

/// How the stand-in behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should: keeps the records, then says so.
    Keeps,
    /// Nobody takes the connection.
    Dead,
    /// Takes the connection and says nothing, not even in TLS.
    Mute,
    /// Takes the request and never answers.
    Silent,
    /// Keeps the records, and says so this much later.
    Slow(Duration),
    /// Reads a little of the request, then a little more.
    Trickle,
    /// Says that it has what it has not kept.
    Forgets,
    /// Answers another status, and keeps nothing.
    Status(u16),
    /// Answers what is no answer.
    Garbage,
    /// Keeps the first half of the records and closes in the middle of the next.
    CutsShort,
    /// Keeps the records and closes without a word.
    KeepsAndCuts,
    /// Closes the connection after each answer.
    OneByOne,
    /// Takes no body that is longer than so many bytes.
    Short(usize),
    /// Takes a second for so many bytes of records, and keeps them if somebody still waits for its answer.
    Drags(usize),
    /// Greets with tickets without end, and says nothing else.
    Tickets,
    /// Its certificate is another's.
    WrongName,
    /// Its certificate is right but for who signed it.
    SelfSigned,
}

/// A running stand-in.
#[derive(Debug, Clone)]
pub(crate) struct Sink(Arc<State>);

#[derive(Debug)]
struct State {
    port: u16,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    manner: Manner,
    kept: Vec<u8>,
    /// What it was sent and threw away while it said that it has it.
    forgotten: Vec<u8>,
    requests: usize,
    problems: Vec<String>,
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Sink {
    /// A stand-in on a port of its own, which keeps what it gets.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Inner {
            manner: Manner::Keeps,
            kept: Vec::new(),
            forgotten: Vec::new(),
            requests: 0,
            problems: Vec::new(),
        };
        let state = State { port, inner: Mutex::new(inner), changed: Condvar::new() };
        let sink = Self(Arc::new(state));
        let serving = sink.clone();
        std::thread::spawn(move || serving.listen(listener));
        sink
    }

    /// What the broker needs to dial it, with a spool of `spool_bytes`.
    pub(crate) fn vendors(&self, spool_bytes: usize) -> Vendors {
        let (name, text) = self.entry(spool_bytes);
        Vendors {
            registry: vec![(name, text)],
            keys: Secret::new(format!("collector={KEY}\n")),
            settings: format!("BROKER_HOSTS={HOST}=127.0.0.1\nLOG_SINK=collector\n"),
        }
    }

    fn entry(&self, spool_bytes: usize) -> (String, String) {
        let mut text = String::new();
        write!(
            text,
            r#"id = "collector"
vendor_legal_name = "A stand-in"
service = "keeps records"
role = "log-sink"
data_classes_allowed = ["none"]
training_opt_out = false
region = "here"
approved_by = "a test"
approved_on = "2026-01-01"
roots_pem = """
{}"""

[[hosts]]
name = "{HOST}"
port = {}
protocol = "https"
purpose = "data"

[sink]
path = "/ingest?from=ward"
spool_bytes = {spool_bytes}

[baa]
status = "not-required"
not_required_reason = "a test"

[retention]
mode = "vendor-default"
evidence = "none"

[credential]
class = "static-key"
max_ttl_s = 3600
max_session_s = 3600
single_use = false

[source]
title = "a test"
date = "2026-01-01"
"#,
            ca_certificate(),
            self.0.port
        )
        .unwrap();
        ("collector.toml".to_owned(), text)
    }

    /// Changes its manner, for requests that have begun too.
    pub(crate) fn behave(&self, manner: Manner) {
        self.0.inner.lock().unwrap().manner = manner;
        self.0.changed.notify_all();
    }

    fn manner(&self) -> Manner {
        self.0.inner.lock().unwrap().manner
    }

    /// Everything it has kept.
    pub(crate) fn kept(&self) -> String {
        String::from_utf8(self.0.inner.lock().unwrap().kept.clone()).unwrap()
    }

    /// What it said to have and has not.
    pub(crate) fn forgotten(&self) -> String {
        String::from_utf8(self.0.inner.lock().unwrap().forgotten.clone()).unwrap()
    }

    /// Requests whose head came.
    pub(crate) fn requests(&self) -> usize {
        self.0.inner.lock().unwrap().requests
    }

    /// What was wrong with requests.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.0.inner.lock().unwrap().problems.clone()
    }

    /// Waits until `is_so` of what it has kept, at most `patience`; whether it is.
    pub(crate) fn wait_kept(&self, patience: Duration, is_so: impl Fn(&str) -> bool) -> bool {
        let inner = self.0.inner.lock().unwrap();
        let waiting = |inner: &mut Inner| !is_so(std::str::from_utf8(&inner.kept).unwrap());
        let (_inner, late) = self.0.changed.wait_timeout_while(inner, patience, waiting).unwrap();
        !late.timed_out()
    }

    fn listen(&self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            if self.manner() == Manner::Dead {
                // Whoever connects now is refused.
                listener = None;
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.0.port));
            let ears = listener.get_or_insert_with(|| TcpListener::bind(address).unwrap());
            ears.set_nonblocking(true).unwrap();
            match ears.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    let serving = self.clone();
                    std::thread::spawn(move || serving.attend(stream));
                }
                Err(_nobody) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn attend(&self, stream: TcpStream) -> Option<()> {
        // Short, so that a change of manner is noticed.
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        stream.set_nodelay(true).unwrap();
        let began = self.manner();
        if began == Manner::Mute {
            return self.rest(began);
        }
        let config = config(&match began {
            Manner::WrongName => Certificate::OtherName,
            Manner::SelfSigned => Certificate::OtherCa,
            _ => Certificate::Right,
        });
        let mut config = config;
        if began == Manner::Tickets {
            // Some 4 MiB, all of it as TLS has it.
            Arc::make_mut(&mut config).send_tls13_tickets = 40_000;
        }
        let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
        loop {
            let (head, body) = self.request(&mut stream, began)?;
            self.0.inner.lock().unwrap().requests += 1;
            self.check(&head);
            self.answer(&mut stream, &body)?;
        }
    }

    /// Waits until the manner is another.
    fn rest(&self, manner: Manner) -> Option<()> {
        let mut inner = self.0.inner.lock().unwrap();
        while inner.manner == manner {
            inner = self.0.changed.wait(inner).unwrap();
        }
        None
    }

    /// Reads some bytes, however long they take; `None` when the connection is over or nobody is to be there.
    fn some(&self, stream: &mut Stream, buffer: &mut [u8], began: Manner) -> Option<usize> {
        // What a connection begins with is not changed while it lasts: another one is needed.
        const OF_THE_BEGINNING: [Manner; 4] =
            [Manner::Mute, Manner::WrongName, Manner::SelfSigned, Manner::Tickets];
        loop {
            let now = self.manner();
            if now == Manner::Dead || (now != began && OF_THE_BEGINNING.contains(&now)) {
                return None;
            }
            match stream.read(buffer) {
                Ok(0) => return None,
                Ok(count) => return Some(count),
                Err(error)
                    if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut]
                        .contains(&error.kind()) => {}
                Err(_over) => return None,
            }
        }
    }

    /// One request: its head, and its body as far as the manner lets it be read.
    fn request(&self, stream: &mut Stream, began: Manner) -> Option<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1_024];
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            let count = self.some(stream, &mut buffer, began)?;
            bytes.extend_from_slice(&buffer[..count]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let mut body = bytes.split_off(end + 4);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length?.parse().ok()?;
        let wanted = match self.manner() {
            Manner::CutsShort => length / 2,
            _ => length,
        };
        while body.len() < wanted {
            let most = if self.manner() == Manner::Trickle { 512 } else { buffer.len() };
            let count = self.some(stream, &mut buffer[..most], began)?;
            body.extend_from_slice(&buffer[..count]);
            if self.manner() == Manner::Trickle {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Some((head, body))
    }

    fn check(&self, head: &str) {
        let problem = |what: &str| {
            self.0.inner.lock().unwrap().problems.push(format!("{what}: {head}"));
        };
        let mut lines = head.lines();
        if lines.next() != Some("POST /ingest?from=ward HTTP/1.1") {
            problem("request line");
        }
        for field in [
            format!("host: {HOST}:{}", self.0.port),
            "content-type: application/x-ndjson".to_owned(),
            format!("authorization: Bearer {KEY}"),
        ] {
            if head.lines().filter(|line| *line == field).count() != 1 {
                problem(&field);
            }
        }
    }

    fn keep(&self, body: &[u8]) {
        let mut inner = self.0.inner.lock().unwrap();
        inner.kept.extend_from_slice(body);
        drop(inner);
        self.0.changed.notify_all();
    }

    fn answer(&self, stream: &mut Stream, body: &[u8]) -> Option<()> {
        const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
        let manner = self.manner();
        match manner {
            Manner::Keeps | Manner::Trickle | Manner::WrongName | Manner::SelfSigned => {
                self.keep(body);
                stream.write_all(TAKEN).ok()
            }
            Manner::Short(bytes) if body.len() > bytes => {
                stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n").ok()
            }
            Manner::Short(_) => {
                self.keep(body);
                stream.write_all(TAKEN).ok()
            }
            Manner::Drags(bytes) => {
                let millis = u64::try_from(body.len() * 1_000 / bytes).unwrap();
                std::thread::sleep(Duration::from_millis(millis));
                // Whoever waits for an answer says nothing: what is there to be read is that nobody does.
                stream.sock.peek(&mut [0]).is_err().then_some(())?;
                self.keep(body);
                stream.write_all(TAKEN).ok()
            }
            Manner::Slow(delay) => {
                std::thread::sleep(delay);
                self.keep(body);
                stream.write_all(TAKEN).ok()
            }
            Manner::Forgets => {
                self.0.inner.lock().unwrap().forgotten.extend_from_slice(body);
                stream.write_all(TAKEN).ok()
            }
            Manner::OneByOne => {
                self.keep(body);
                stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok()?;
                stream.conn.send_close_notify();
                stream.flush().ok()?;
                None
            }
            Manner::Status(status) => {
                let text = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).ok()
            }
            Manner::Garbage => {
                stream.write_all(b"220 mail.example.com ESMTP ready\r\n").ok()?;
                self.rest(manner)
            }
            Manner::CutsShort => {
                // Whole lines: half a record is none.
                let end = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                self.keep(&body[..end]);
                None
            }
            Manner::KeepsAndCuts => {
                self.keep(body);
                None
            }
            Manner::Silent | Manner::Mute | Manner::Tickets => self.rest(manner),
            Manner::Dead => None,
        }
    }
}

enum Certificate {
    Right,
    OtherName,
    OtherCa,
}

fn config(which: &Certificate) -> Arc<ServerConfig> {
    let identity = match which {
        Certificate::Right => identity_of(HOST),
        Certificate::OtherName => identity_of("other.sink.test"),
        Certificate::OtherCa => {
            ward::development_ca::DevelopmentCa::new().unwrap().issue(&[HOST]).unwrap()
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// Waits until `is_so`, at most `patience`; whether it is.
pub(crate) fn wait_until(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + patience;
    while !is_so() {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
