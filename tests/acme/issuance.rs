//! From nothing to a certificate: the order of things, who has which key, and what a stranger can get at meanwhile.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_tests::authority::{Authority, NAME};
use ward_tests::memory::{Needles, scan};
use ward_tests::servers::{Running, listen_once};
use ward_tests::websocket::Stream;
use ward_tests::wire::Wire;

use crate::{alone, habits, is_trusted, nowhere, started};

/// An entry that a responder has no use for.
const DEEPGRAM: &str = include_str!("../../policy/vendors/deepgram.toml");

#[test]
fn a_server_without_a_certificate_gets_one_and_calls_are_taken() {
    let _alone = alone();
    let (server, authority) = started(|_habits| {});
    let issued = server.logs.first("certificate_issued");
    assert_eq!(
        (&issued["life_s"], &issued["role"]),
        (&86_399.into(), &"broker".into()),
        "{issued}"
    );
    let renew_in_s = issued["renew_in_s"].as_u64().unwrap();
    assert!((57_000..=57_600).contains(&renew_in_s), "two thirds of a day: {renew_in_s}");
    assert_eq!(server.logs.first("certificate_set")["source"], "acme");
    // It says plainly that nothing outlives this run.
    server.logs.wait_for("acme_not_kept");
    let mut wire = Wire::open_as(server.port, NAME, authority.trusting());
    assert!(wire.shown().len() >= 2, "the leaf and whoever issued it");
    let mut stream = Stream::started_over(wire, 1);
    stream.proves_alive(1);
    assert_eq!(stream.close(), 1000);
    assert!(!server.logs.text().contains("role_ended"), "{}", server.logs.text());
}

#[test]
fn the_authority_is_told_only_after_the_server_has_said_that_it_answers() {
    let _alone = alone();
    let (server, authority) = started(|_habits| {});
    let log = server.logs.first("certificate_issued");
    let text = server.logs.text();
    let place = |event: &str| text.find(&format!("\"event\":\"{event}\"")).unwrap();
    assert!(place("challenge_set") < place("certificate_issued"), "{log}");
    // The first word to the challenge's address is the one that says "look".
    let seen = authority.seen();
    let ready = seen.iter().find(|seen| seen.line.contains("/chalZ/")).unwrap();
    let order = seen.iter().find(|seen| seen.line.contains("/order-plz")).unwrap();
    assert!(order.at < ready.at);
    // A server that cannot be told is not looked at: the same with a media server that hangs.
    let listeners = listen_once();
    let second = Authority::start(habits(&listeners));
    // Nobody gets beyond this until the server hangs.
    second.script(["/dir"; 1].map(|path| ward_tests::authority::Scripted {
        path,
        status: 503,
        problem: "serverInternal",
        headers: "Retry-After: 5\r\n".to_owned(),
    }));
    let hanging = Running::certified(Role::Media, listeners, second.vendors(""), nowhere());
    drop(hanging.logs.first("started"));
    signal(hanging.process(Role::Media), rustix::process::Signal::STOP);
    let failed = hanging.logs.nth("certificate_failed", 1);
    assert_eq!(failed["reason"], "acme_broken", "{failed}");
    hanging.logs.wait_for("acme_not_taken");
    let told = second.seen().into_iter().filter(|seen| seen.line.contains("/chalZ/")).count();
    assert_eq!(told, 0, "the authority was told too early");
    signal(hanging.process(Role::Media), rustix::process::Signal::CONT);
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A client that offers `words`, believes any certificate, and says what it was shown and which word was chosen.
fn offer(port: u16, name: &str, words: &[&[u8]]) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = words.iter().map(|word| word.to_vec()).collect();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    let shown = stream.conn.peer_certificates()?.first()?.to_vec();
    Some((stream.conn.alpn_protocol().map(<[u8]>::to_vec), shown))
}

#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _more: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    // Neither is checked: the library reads no certificate with a critical extension that it does not know. Pebble checks.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_responder_gets_one_too_and_its_broker_knows_the_authority_alone() {
    let _alone = alone();
    let listeners = listen_once();
    let authority = Authority::start(habits(&listeners));
    let mut vendors = authority.vendors("");
    vendors.registry.push(("deepgram.toml".to_owned(), DEEPGRAM.to_owned()));
    vendors.keys = Secret::new("deepgram=a key of a test\n".to_owned());
    let vendors = vendors.infrastructure_alone(true).unwrap().unwrap();
    assert_eq!(vendors.registry.len(), 1);
    assert_eq!(*vendors.keys.expose(), "");
    let server = Running::certified(Role::Twiml, listeners, vendors, nowhere());
    drop(server.logs.first("certificate_issued"));
    assert!(is_trusted(&server, &authority));
}

#[test]
fn a_challenge_is_shown_to_an_authority_alone_and_only_while_there_is_one() {
    let _alone = alone();
    // Whoever is looked at here answers for another port, so the challenge stays for as long as it is tried.
    let nobody = listen_once();
    let elsewhere = nobody[0].local_addr().unwrap().port();
    let (server, authority) = started(|habits| habits.tls_port = elsewhere);
    drop(server.logs.first("challenge_set"));
    let acme: &[u8] = b"acme-tls/1";
    let (word, challenge) = offer(server.port, NAME, &[acme]).expect("the challenge");
    assert_eq!(word.as_deref(), Some(acme));
    // id-pe-acmeIdentifier (RFC 8737 §3).
    let oid = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];
    assert!(challenge.windows(oid.len()).any(|part| part == oid));
    // There is no certificate yet, so nobody else gets any; and no other name has a challenge.
    assert!(offer(server.port, NAME, &[b"http/1.1"]).is_none());
    assert!(offer(server.port, NAME, &[b"http/1.1", acme]).is_none());
    assert!(offer(server.port, "other.example.com", &[acme]).is_none());
    let failed = server.logs.first("certificate_failed");
    assert_eq!(failed["reason"], "acme_validation", "{failed}");
    assert!(offer(server.port, NAME, &[acme]).is_none(), "the challenge is over");
    assert!(!is_trusted(&server, &authority));
}

#[test]
fn no_key_is_anywhere_but_where_it_was_made() {
    let _alone = alone();
    let (server, authority) = started(|_habits| {});
    drop(server.logs.first("certificate_issued"));
    let shown = Wire::open_as(server.port, NAME, authority.trusting()).shown();
    // The public half in its place within a private key: what comes before it is the secret, 32 bytes and five of frame.
    let spki = rustls::server::ParsedCertificate::try_from(&shown[0]).unwrap();
    let point = spki.subject_public_key_info()[26..].to_vec();
    let framed = [&[0xa1, 0x44, 0x03, 0x42, 0x00][..], &point].concat();
    let needles = Needles::of([("private key", framed.as_slice(), framed.len())]);
    for role in [Role::Init, Role::Log, Role::Broker, Role::Media] {
        let found = scan(server.process(role), &needles);
        assert!(found.hits.is_empty(), "{}: {found:#?}", role.name());
    }
    // The control: `sign` has it, in the form in which it is looked for.
    assert!(scan(server.process(Role::Sign), &needles).has("private key"));
}
