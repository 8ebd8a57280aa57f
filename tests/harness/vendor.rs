//! A vendor's stand-in: TLS, and nothing on top of it but tokens for whoever has the key. It notes who came and how
//! long they stayed.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::random::fresh_text;
use crate::servers::{ca_certificate, identity_of};

/// What is sent for a token.
const MINT_BODY: &str = r#"{"ttl_seconds":30}"#;

/// What the stand-in has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections taken.
    pub taken: usize,
    /// TLS handshakes finished.
    pub greeted: usize,
    /// Connections that are over.
    pub ended: usize,
}

/// A running stand-in.
#[derive(Debug, Clone)]
pub struct Vendor(Arc<State>);

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Seen>,
    changed: Condvar,
    is_minting: bool,
    /// Whoever has one of them gets tokens.
    keys: Mutex<Vec<String>>,
    minted: Mutex<Vec<String>>,
    refused: Mutex<usize>,
    port: Mutex<u16>,
}

/// A connection that a stand-in has taken.
type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Vendor {
    /// Serves `host` on `address`, for as long as the test process lives.
    #[must_use]
    pub fn serve(host: &str, address: &str) -> Self {
        Self::begin(host, address, None)
    }

    /// The same, and mints tokens for whoever has `key`, at the paths that [`minted`] names.
    #[must_use]
    pub fn mint(host: &str, address: &str, key: &str) -> Self {
        Self::begin(host, address, Some(key.to_owned()))
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        *self.0.port.lock().unwrap()
    }

    fn begin(host: &str, address: &str, minting: Option<String>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let identity = identity_of(host);
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
        let is_minting = minting.is_some();
        let keys = Mutex::new(minting.into_iter().collect());
        let (vendor, config) =
            (Self(Arc::new(State { is_minting, keys, ..State::default() })), Arc::new(config));
        *vendor.0.port.lock().unwrap() = port;
        let noted = vendor.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (noted, config) = (noted.clone(), Arc::clone(&config));
                std::thread::spawn(move || noted.attend(stream, config));
            }
        });
        vendor
    }

    fn attend(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        self.note(|seen| seen.taken += 1);
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let is_greeted = stream.conn.complete_io(&mut stream.sock).is_ok();
        if is_greeted {
            self.note(|seen| seen.greeted += 1);
            if self.0.is_minting {
                self.answer(&mut stream).unwrap_or_default();
            }
            let mut buffer = [0; 1_024];
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        } else {
            // Whoever cannot shake hands is told so, and still holds a connection until they or the broker end it.
            let mut buffer = [0; 1_024];
            while stream.sock.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
        drop(stream);
        self.note(|seen| seen.ended += 1);
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.seen.lock().unwrap());
        self.0.changed.notify_all();
    }

    /// Answers one request for a token, if one comes.
    fn answer(&self, stream: &mut Stream) -> Option<()> {
        let mut request = String::new();
        let body = loop {
            let mut part = [0; 1_024];
            let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
            request.push_str(std::str::from_utf8(&part[..count]).ok()?);
            // Everything that is asked for here has this body.
            let (_, body) = request.split_once("\r\n\r\n").unwrap_or_default();
            if body.len() >= MINT_BODY.len() {
                break body;
            }
        };
        let has = |key: &String| request.contains(&format!("\r\nauthorization: Token {key}\r\n"));
        let is_known = self.0.keys.lock().unwrap().iter().any(has) && body == MINT_BODY;
        if !is_known {
            *self.0.refused.lock().unwrap() += 1;
        }
        let line = request.lines().next()?;
        let path = line.strip_prefix("POST ")?.strip_suffix(" HTTP/1.1")?;
        let (status, body) = match path {
            _ if !is_known => ("401 Unauthorized", "{}".to_owned()),
            "/grant" => ("200 OK", self.token(30)),
            "/over" => ("200 OK", self.token(0)),
            "/garbage" => ("200 OK", "<html>no token</html>".to_owned()),
            "/huge" => ("200 OK", self.token(30) + &" ".repeat(1 << 20)),
            // Late, for ever.
            _ => return None,
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).ok()
    }

    /// The answer with a fresh token in it.
    fn token(&self, life_s: u32) -> String {
        let token = fresh_text(b"abcdefghijklmnopqrstuvwxyz", 40);
        self.0.minted.lock().unwrap().push(token.clone());
        format!("{{\"access_token\":\"{token}\",\"expires_in\":{life_s}}}")
    }

    /// The tokens that were minted, in their order.
    #[must_use]
    pub fn minted(&self) -> Vec<String> {
        self.0.minted.lock().unwrap().clone()
    }

    /// Mints for whoever has one of `keys` from now on, and for nobody else.
    pub fn accept(&self, keys: &[&str]) {
        *self.0.keys.lock().unwrap() = keys.iter().map(|key| (*key).to_owned()).collect();
    }

    /// How many requests for a token were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        *self.0.refused.lock().unwrap()
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.0.seen.lock().unwrap()
    }

    /// Waits until `is_so`; how long that took.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Duration {
        let begun = Instant::now();
        let seen = self.0.seen.lock().unwrap();
        let patience = Duration::from_secs(20);
        let (seen, late) =
            self.0.changed.wait_timeout_while(seen, patience, |seen| !is_so(seen)).unwrap();
        assert!(!late.timed_out(), "{what}: {seen:?}");
        begun.elapsed()
    }
}

/// The registry's entry of a vendor: a good one, with `changes` of the form (from, to).
#[must_use]
pub fn entry(id: &str, host: &str, changes: &[(&str, &str)]) -> (String, String) {
    let mut text = String::new();
    write!(
        text,
        r#"id = "{id}"
vendor_legal_name = "A stand-in"
service = "nothing"
role = "asr"
data_classes_allowed = ["audio"]
training_opt_out = true
region = "here"
approved_by = "a test"
approved_on = "2026-01-01"
roots_pem = """
{}"""

[[hosts]]
name = "{host}"
port = 443
protocol = "wss"
purpose = "data"

[baa]
status = "signed"
reference = "a test"
document_sha256 = "{}"
effective = "2026-01-01"
reviewed_on = "2026-01-01"
next_review = "2199-12-31"

[retention]
mode = "zero"
evidence = "none"

[credential]
class = "signed-token"
max_ttl_s = 60
max_session_s = 600
single_use = false

[source]
title = "a test"
date = "2026-01-01"
"#,
        ca_certificate(),
        "0".repeat(64)
    )
    .unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    (format!("{id}.toml"), text)
}

/// The registry's entry of a vendor whose tokens are minted at `token_host` under `path`: `/grant` for a good one,
/// `/over`, `/garbage`, `/huge` and `/late` for the others.
#[must_use]
pub fn minted(id: &str, host: &str, token_host: &str, path: &str) -> (String, String) {
    let way = format!(
        r#"[[hosts]]
name = "{token_host}"
port = 443
protocol = "https"
purpose = "token"

[connector]
dialect = "deepgram-listen"
path = "/v1/listen"
model = "nova-3"

[baa]"#
    );
    let mint = format!(
        r#"[credential.mint]
method = "POST"
path = "{path}"
key_header = "authorization"
key_prefix = "Token "
body = '{MINT_BODY}'
token = "/access_token"
expires_in = "/expires_in"

[source]"#
    );
    let class = ("class = \"signed-token\"", "class = \"token\"");
    entry(id, host, &[class, ("[baa]", &way), ("[source]", &mint)])
}
