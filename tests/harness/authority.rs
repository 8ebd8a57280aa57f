//! A certificate authority: Debian's Pebble with its name server, and a proxy before it that can answer in its place.
//!
//! The proxy adds what this Pebble does not have, renewal information (RFC 9773), and says what it does not say by itself: rate limits,
//! and that an account was revoked. Everything else is Pebble's, byte for byte. All of it is on loopback and ends with the value.

use std::collections::VecDeque;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, CertifiedIssuer, CustomExtension, KeyPair, PublicKeyData};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use ward::vendors::Vendors;
use ward_policy::phi::Secret;

use crate::servers::{ca_certificate, client_config, identity_of_all};

/// Where the authority is, by name.
pub const HOST: &str = "acme.test";
/// The name in every certificate of the tests.
pub const NAME: &str = "media.example.com";

/// How an authority behaves.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// How long its certificates live, in seconds.
    pub life_s: u64,
    /// How many of a hundred good nonces it refuses.
    pub bad_nonces: u8,
    /// How many of a hundred names it believes without looking, once it has seen them.
    pub believed: u8,
    /// Where it looks for an answer to its challenge.
    pub tls_port: u16,
}

/// A running authority.
#[derive(Debug)]
pub struct Authority {
    pebble: Child,
    names: Child,
    folder: PathBuf,
    config: PathBuf,
    habits: Habits,
    dns_port: u16,
    pebble_port: u16,
    management_port: u16,
    /// The proxy's.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<VecDeque<Scripted>>,
    /// What is said about renewal: seconds from now until the window begins and ends, and until it is asked again.
    window: Mutex<Option<(i64, i64, u64)>>,
    seen: Mutex<Vec<Seen>>,
    /// The name that its directory sends everybody to instead of its own.
    elsewhere: Mutex<Option<&'static str>>,
    /// What its directory has for the address of nonces instead of its own.
    nonces_at: Mutex<Option<String>>,
    targets: Mutex<(u16, u16)>,
    /// How it issues from now on, where not as it should, and the point of the key that was asked for last.
    strange: Mutex<(Option<Strange>, Vec<u8>)>,
    /// How long a request whose path begins so waits before it is answered.
    held: Mutex<Option<(&'static str, Duration)>>,
}

/// What an authority issues that is not as it should be. It is for the right key and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strange {
    /// With a critical extension that nobody knows: no TLS library takes it (RFC 5280 §4.2).
    Critical,
    /// Made years ago, with a year to go: two thirds of its life are over when it comes.
    Old,
}

/// An answer in the authority's place, to the next request whose path begins so.
#[derive(Debug, Clone)]
pub struct Scripted {
    /// What the path begins with.
    pub path: &'static str,
    /// The status.
    pub status: u16,
    /// The word at the end of the problem's type, `urn:ietf:params:acme:error:`.
    pub problem: &'static str,
    /// Header lines, each with its end.
    pub headers: String,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Its method and path.
    pub line: String,
    /// Its payload, where it has one.
    pub payload: Value,
}

fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // The name server needs it for datagrams too.
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn wait_for(port: u16, what: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < until, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Authority {
    /// Starts one, and the proxy before it.
    #[must_use]
    pub fn start(habits: Habits) -> Self {
        static STARTED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("ward-acme-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let identity = identity_of_all(&[HOST, "localhost"]);
        std::fs::write(folder.join("chain.pem"), &identity.chain).unwrap();
        std::fs::write(folder.join("key.pem"), identity.key.expose()).unwrap();
        let (dns_port, dns_management) = (free_port(), free_port());
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        command.arg("-dns01").arg(format!("127.0.0.1:{dns_port}"));
        command.arg("-management").arg(format!("127.0.0.1:{dns_management}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let names = command.spawn().expect("Debian's package `pebble` is there");
        wait_for(dns_management, "name server");
        let (pebble_port, management_port) = (free_port(), free_port());
        let config = folder.join("pebble.json");
        let shared = Arc::new(Shared::default());
        *shared.targets.lock().unwrap() = (pebble_port, 0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        shared.targets.lock().unwrap().1 = port;
        let pebble = pebble(&folder, &config, habits, [pebble_port, management_port, dns_port]);
        serve(listener, &folder, Arc::clone(&shared));
        let this = Self {
            pebble,
            names,
            folder,
            config,
            habits,
            dns_port,
            pebble_port,
            management_port,
            port,
            shared,
        };
        wait_for(management_port, "pebble");
        wait_for(pebble_port, "pebble");
        this
    }

    /// Ends Pebble and starts another: it knows no account and no order any more.
    pub fn forget(&mut self) {
        drop(self.pebble.kill());
        drop(self.pebble.wait());
        let ports = [self.pebble_port, self.management_port, self.dns_port];
        self.pebble = pebble(&self.folder, &self.config, self.habits, ports);
        wait_for(self.management_port, "pebble");
        wait_for(self.pebble_port, "pebble");
    }

    /// Answers in its place, in this order.
    pub fn script(&self, answers: impl IntoIterator<Item = Scripted>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// How many answers of [`Self::script`] nobody has asked for yet.
    #[must_use]
    pub fn unasked(&self) -> usize {
        self.shared.script.lock().unwrap().len()
    }

    /// Says from now on when to renew: between so many seconds from now, to be asked again after so many.
    pub fn advise(&self, window: Option<(i64, i64, u64)>) {
        *self.shared.window.lock().unwrap() = window;
    }

    /// Sends everybody to another host from now on.
    pub fn send_to(&self, host: &'static str) {
        *self.shared.elsewhere.lock().unwrap() = Some(host);
    }

    /// Says from now on that nonces are at `address`, whatever that is.
    pub fn nonces_at(&self, address: &str) {
        *self.shared.nonces_at.lock().unwrap() = Some(address.to_owned());
    }

    /// Issues what is strange from now on.
    pub fn issue(&self, strange: Strange) {
        self.shared.strange.lock().unwrap().0 = Some(strange);
    }

    /// Answers requests whose path begins so after `pause` only.
    pub fn hold(&self, path: &'static str, pause: Duration) {
        *self.shared.held.lock().unwrap() = Some((path, pause));
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// A folder of the test's own, which ends with this.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whom a client must trust to believe its certificates.
    #[must_use]
    pub fn trusting(&self) -> Arc<ClientConfig> {
        let answer = ask(
            self.management_port,
            format!("GET /roots/0 HTTP/1.0\r\nHost: localhost:{}\r\n\r\n", self.management_port)
                .as_bytes(),
        );
        let pem = String::from_utf8(answer).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        assert!(!roots.is_empty(), "{pem}");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// The registry with it, and what the broker is told.
    #[must_use]
    pub fn vendors(&self, more: &str) -> Vendors {
        let settings = format!(
            "BROKER_HOSTS={HOST}=127.0.0.1\nACME_CA=authority\nACME_NAMES={NAME}\nACME_TERMS=agreed\n{more}"
        );
        let registry = vec![("authority.toml".to_owned(), entry(self.port))];
        Vendors { registry, keys: Secret::new(String::new()), settings }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in [&mut self.pebble, &mut self.names] {
            drop(child.kill());
            drop(child.wait());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The registry's entry of the authority behind `port`.
#[must_use]
pub fn entry(port: u16) -> String {
    let roots = ca_certificate();
    format!(
        r#"
id = "authority"
vendor_legal_name = "A test"
service = "certificates"
role = "ca"
data_classes_allowed = ["none"]
training_opt_out = true
region = "here"
approved_by = "a test"
approved_on = "2026-01-01"
roots_pem = """
{roots}"""

[[hosts]]
name = "{HOST}"
port = {port}
protocol = "https"
purpose = "data"

[acme]
directory = "/dir"

[baa]
status = "not-required"
not_required_reason = "it is told names that are public"

[retention]
mode = "vendor-default"
evidence = "none"

[credential]
class = "none"
max_ttl_s = 0
max_session_s = 0
single_use = false

[source]
title = "a test"
date = "2026-01-01"
"#
    )
}

fn pebble(folder: &Path, config: &Path, habits: Habits, ports: [u16; 3]) -> Child {
    let [port, management_port, dns_port] = ports;
    let text = json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": format!("127.0.0.1:{management_port}"),
        "certificate": folder.join("chain.pem"),
        "privateKey": folder.join("key.pem"),
        "httpPort": free_port(),
        "tlsPort": habits.tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": false,
        "certificateValidityPeriod": habits.life_s,
    }});
    std::fs::write(config, text.to_string()).unwrap();
    let log = std::fs::File::create(folder.join("pebble.log")).unwrap();
    let mut command = Command::new("pebble");
    command.arg("-config").arg(config).arg("-dnsserver").arg(format!("127.0.0.1:{dns_port}"));
    command.env("PEBBLE_VA_NOSLEEP", "1");
    command.env("PEBBLE_WFE_NONCEREJECT", habits.bad_nonces.to_string());
    command.env("PEBBLE_AUTHZREUSE", habits.believed.to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("Debian's package `pebble` is there")
}

/// One request to Pebble, and the whole answer.
fn ask(port: u16, request: &[u8]) -> Vec<u8> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(client_config(), name).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // An end without TLS's goodbye is an end too.
    drop(stream.read_to_end(&mut answer));
    answer
}

fn serve(listener: TcpListener, folder: &Path, shared: Arc<Shared>) {
    let read = |name| std::fs::read(folder.join(name)).unwrap();
    let chain = CertificateDer::pem_slice_iter(&read("chain.pem")).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
            std::thread::spawn(move || {
                let tls = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(tls, socket);
                if let Some((head, body)) = receive(&mut stream) {
                    let answer = answer(&shared, &head, &body);
                    drop(stream.write_all(&answer));
                    stream.conn.send_close_notify();
                    drop(stream.flush());
                }
            });
        }
    });
}

/// One request: its head, and its body as long as the head says.
fn receive(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let end = loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        all.extend_from_slice(&part[..count]);
    };
    let head = String::from_utf8(all[..end].to_vec()).ok()?;
    let length = field(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = all.split_off(end);
    while body.len() < length {
        let mut part = [0; 4_096];
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&part[..count]);
    }
    Some((head, body))
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// What the signed part of a request says.
fn payload(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = signed["payload"].as_str().unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn answer(shared: &Shared, head: &str, body: &[u8]) -> Vec<u8> {
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let payload = payload(body);
    let seen = Seen { at: Instant::now(), line, payload: payload.clone() };
    shared.seen.lock().unwrap().push(seen);
    let held = shared.held.lock().unwrap().filter(|(held, _)| path.starts_with(held));
    if let Some((_, pause)) = held {
        std::thread::sleep(pause);
    }
    if let Some(csr) = payload["csr"].as_str() {
        shared.strange.lock().unwrap().1 = point(&URL_SAFE_NO_PAD.decode(csr).unwrap());
    }
    let scripted = {
        let mut script = shared.script.lock().unwrap();
        let place = script.iter().position(|one| path.starts_with(one.path));
        place.and_then(|place| script.remove(place))
    };
    let (pebble_port, port) = *shared.targets.lock().unwrap();
    if let Some(Scripted { status, problem, headers, .. }) = scripted {
        let problem = json!({
            "type": format!("urn:ietf:params:acme:error:{problem}"),
            "detail": "as the test has it",
            "status": status,
        });
        // A nonce for the next try, as an authority must give (RFC 8555 §6.5).
        let fresh = format!("HEAD /nonce-plz HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n");
        let fresh = String::from_utf8_lossy(&ask(pebble_port, fresh.as_bytes())).into_owned();
        let nonce = field(&fresh, "replay-nonce").unwrap_or_default();
        let headers = format!("{headers}Replay-Nonce: {nonce}\r\n");
        return made(status, &headers, "application/problem+json", &problem);
    }
    let window = *shared.window.lock().unwrap();
    if let (true, Some((begin, end, again))) = (path.starts_with("/ari/"), window) {
        let at = |from_now: i64| rfc3339(now_s().saturating_add_signed(from_now));
        let window = json!({ "suggestedWindow": { "start": at(begin), "end": at(end) } });
        return made(200, &format!("Retry-After: {again}\r\n"), "application/json", &window);
    }
    let plain = head.replacen(" HTTP/1.1\r\n", " HTTP/1.0\r\n", 1);
    let reply = ask(pebble_port, &[plain.as_bytes(), body].concat());
    let Some(end) = reply.windows(4).position(|four| four == b"\r\n\r\n") else { return reply };
    let strange = shared.strange.lock().unwrap().clone();
    if let ((Some(how), point), true) = (strange, path.starts_with("/certZ/")) {
        return with_body(&reply[..end], &how.certificate(point));
    }
    let mut said: Value = serde_json::from_slice(&reply[end + 4..]).unwrap_or_default();
    let elsewhere = shared.elsewhere.lock().unwrap().filter(|_host| path == "/dir");
    let nonces_at = shared.nonces_at.lock().unwrap().clone().filter(|_at| path == "/dir");
    // What this Pebble does not have, or would not say.
    if let Some(address) = nonces_at {
        said["newNonce"] = json!(address);
    } else if let Some(host) = elsewhere {
        said = serde_json::from_str(&said.to_string().replace(HOST, host)).unwrap();
    } else if path == "/dir" && window.is_some() {
        said["renewalInfo"] = json!(format!("https://{HOST}:{port}/ari"));
    } else if path == "/order-plz" && payload["replaces"].is_string() && said["status"].is_string()
    {
        said["replaces"] = payload["replaces"].clone();
    } else {
        return reply;
    }
    with_body(&reply[..end], &said.to_string())
}

/// An answer of Pebble's with another body.
fn with_body(head: &[u8], text: &str) -> Vec<u8> {
    let head = String::from_utf8_lossy(head);
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn made(status: u16, headers: &str, kind: &str, body: &Value) -> Vec<u8> {
    let text = body.to_string();
    format!(
        "HTTP/1.1 {status} As-The-Test-Has-It\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

/// The point of the key on P-256 that a request is for: what comes after its kind, in the form in which every library writes it.
fn point(request: &[u8]) -> Vec<u8> {
    const KIND: [u8; 23] = [
        0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let place = request.windows(KIND.len()).position(|part| part == KIND).unwrap() + KIND.len();
    request[place..place + 65].to_vec()
}

struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Strange {
    fn certificate(self, point: Vec<u8>) -> String {
        let mut parameters = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        match self {
            Self::Critical => {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 99, 1], vec![5, 0]);
                unknown.set_criticality(true);
                parameters.custom_extensions.push(unknown);
            }
            Self::Old => {
                let this_year = 1970 + i32::try_from(now_s() / 31_557_600).unwrap();
                parameters.not_before = rcgen::date_time_ymd(this_year - 8, 1, 1);
                parameters.not_after = rcgen::date_time_ymd(this_year + 2, 1, 1);
            }
        }
        let issuer = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(CertificateParams::default(), issuer).unwrap();
        parameters.signed_by(&Point(point), &issuer).unwrap().pem()
    }
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Seconds since 1970 as RFC 3339 has them.
fn rfc3339(seconds: u64) -> String {
    let date = ward_policy::date::Date::from_days(i64::try_from(seconds / 86_400).unwrap());
    let of_day = seconds % 86_400;
    format!("{date}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}
