//! Ways in from a vendor: names in its certificate, what it says in the place of TLS, and after it.
//!
//! The stand-in speaks TLS 1.2, in which a certificate is not encrypted.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ward_tests::servers::identity_of_all;

use crate::class::Canaries;
use crate::edge::{each_batch, joined};
use crate::stream::Peer;
use crate::ward::Sinks;

/// The name that the registry has.
pub(crate) const HOST: &str = "asr.vendor.test";

/// What the next caller gets.
struct Turn {
    names: Vec<String>,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// A stand-in that does as it is told, caller by caller.
pub(crate) struct Misbehaving {
    turns: Sender<Turn>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Misbehaving {
    pub(crate) fn serve(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (turns, waiting) = channel();
        let heard = Arc::default();
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || attend_all(&listener, &waiting, &shared));
        Self { turns, heard }
    }
}

fn attend_all(listener: &TcpListener, turns: &Receiver<Turn>, heard: &Mutex<Vec<u8>>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let Ok(turn) = turns.recv() else { return };
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        attend(stream, &turn, heard);
    }
}

/// Notes what a caller says, if it says anything.
fn attend(mut stream: TcpStream, turn: &Turn, heard: &Mutex<Vec<u8>>) {
    if !turn.before.is_empty() {
        // It may have had enough before it has everything.
        drop(stream.write_all(&turn.before));
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said));
        heard.lock().unwrap().extend(said);
        return;
    }
    let names: Vec<&str> = turn.names.iter().map(String::as_str).collect();
    let identity = identity_of_all(&names);
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    if stream.conn.complete_io(&mut stream.sock).is_ok() {
        drop(stream.write_all(&turn.after).and_then(|()| stream.flush()));
        let mut said = Vec::new();
        drop(stream.read_to_end(&mut said));
        heard.lock().unwrap().extend(said);
    }
}

/// Makes a call for each batch, whose vendor has it from the stand-in.
pub(crate) fn deliver(
    peer: &Peer<'_>,
    vendor: &Misbehaving,
    canaries: &mut Canaries,
    sinks: &mut Sinks,
) {
    let mut over = 0;
    let mut each = |what: &str, turn: &dyn Fn(&[crate::class::Sent]) -> Turn| {
        each_batch(canaries, what, |_, batch| {
            vendor.turns.send(turn(batch)).unwrap();
            let talk = peer.call("");
            over += 1;
            let patience = std::time::Instant::now() + Duration::from_secs(10);
            let has_ended = || {
                ["vendor_failed", "vendor_ended"]
                    .iter()
                    .map(|event| {
                        peer.ward.count(&format!("\"role\":\"media\",\"event\":\"{event}\""))
                    })
                    .sum::<usize>()
                    >= over
            };
            while !has_ended() {
                assert!(std::time::Instant::now() < patience, "no end of the vendor's");
                std::thread::sleep(Duration::from_millis(5));
            }
            talk.end(sinks);
        });
    };
    let own = || vec![HOST.to_owned()];
    each("vendor: names in its certificate", &|batch| Turn {
        names: batch.iter().map(|(_, sent)| format!("x{sent}")).collect(),
        before: Vec::new(),
        after: Vec::new(),
    });
    each("vendor: no TLS at all", &|batch| Turn {
        names: own(),
        before: joined(batch, "\r\n").into_bytes(),
        after: Vec::new(),
    });
    each("vendor: an error in plain words", &|batch| Turn {
        names: own(),
        before: Vec::new(),
        after: format!("HTTP/1.1 500 {}\r\n\r\n", joined(batch, "\r\n")).into_bytes(),
    });
    sinks.add("vendor", &vendor.heard.lock().unwrap());
}
