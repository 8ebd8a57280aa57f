//! A vendor's stand-in: TLS, and nothing on top of it. It notes who came and how long they stayed.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::servers::{ca_certificate, identity_of};

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
pub struct Vendor(Arc<(Mutex<Seen>, Condvar)>);

impl Vendor {
    /// Serves `host` on `address`, for as long as the test process lives.
    #[must_use]
    pub fn serve(host: &str, address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
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
        let (vendor, config) = (Self(Arc::default()), Arc::new(config));
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
            let mut buffer = [0; 1_024];
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
        drop(stream);
        self.note(|seen| seen.ended += 1);
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.0.0.lock().unwrap()
    }

    /// Waits until `is_so`; how long that took.
    pub fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Duration {
        let begun = Instant::now();
        let seen = self.0.0.lock().unwrap();
        let patience = Duration::from_secs(20);
        let (seen, late) =
            self.0.1.wait_timeout_while(seen, patience, |seen| !is_so(seen)).unwrap();
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
