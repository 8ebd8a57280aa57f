//! What the media server must not hold: the TLS key, the auth token, the handshake signatures.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ward_policy::audit::Role;
use ward_tests::memory::{Form, Hit, Needles, TEXT_WINDOW, scan, scan_until};
use ward_tests::random::fresh_text;
use ward_tests::servers::{Running, settings};
use ward_tests::websocket::Stream;

use crate::patient::{Leaving, Patient};

/// An auth token that is in no other process, as a setting.
fn fresh_token() -> (String, String) {
    let token = fresh_text(b"0123456789abcdef", 32);
    let setting = format!("TWILIO_AUTH_TOKEN={token}");
    (token, setting)
}

/// What the server must recognise and must not keep, in the form that Twilio sends.
fn expected(setting: &str) -> Vec<String> {
    let values = settings(setting).handshake_values().unwrap();
    values.iter().map(ward_twilio::signature::Signature::to_base64).collect()
}

fn needles(token: &str, signatures: &[String]) -> Needles {
    let names: Vec<String> = (0..signatures.len()).map(|n| format!("signature {n}")).collect();
    let raw: Vec<Vec<u8>> = signatures.iter().map(|text| STANDARD.decode(text).unwrap()).collect();
    let raw_names: Vec<String> =
        (0..raw.len()).map(|n| format!("bytes of signature {n}")).collect();
    let texts = names.iter().zip(signatures).map(|(n, s)| (n.as_str(), s.as_bytes(), TEXT_WINDOW));
    let bytes = raw_names.iter().zip(&raw).map(|(n, s)| (n.as_str(), s.as_slice(), TEXT_WINDOW));
    Needles::of(texts.chain(bytes).chain([("auth token", token.as_bytes(), TEXT_WINDOW)]))
}

#[test]
fn neither_the_auth_token_nor_a_handshake_signature_is_in_the_server() {
    let (token, setting) = fresh_token();
    let signatures = expected(&setting);
    let needles = needles(&token, &signatures);
    let mut server = Running::media(&setting);
    let absent = |id, when: &str| {
        let found = scan(id, &needles);
        assert!(found.hits.is_empty(), "{when}: {found:#?}");
    };
    absent(server.id(), "after the start");
    absent(server.process(Role::Sign), "in sign");
    for signature in &signatures {
        // A long head, and then nothing that would overwrite it.
        let filler = "x".repeat(1_500);
        let changes = [("X-Twilio-Signature", ""), ("X-Filler", &filler)];
        let changes = [&changes[..], &[("X-Twilio-Signature", signature)]].concat();
        let silent = Stream::open_with(&server, &changes);
        let (last, took) = scan_until(server.id(), &needles, Duration::from_secs(1), |found| {
            found.hits.is_empty()
        });
        assert!(last.hits.is_empty(), "after an upgrade: {last:#?}");
        println!("gone {took:?} after the upgrade was answered");
        drop(silent);
        let _patient = Patient::begin_signed(&server, signature);
        absent(server.id(), "while a call is live");
    }
    // One that is refused, and a set that is replaced, leave nothing either.
    let (_, other) = fresh_token();
    let wrong = expected(&other)[0].clone();
    let changes = [("X-Twilio-Signature", wrong.as_str())];
    let request = ward_tests::websocket::upgrade_request("/rtm/voice", &changes);
    let refused = ward_tests::wire::exchange(server.port, request.as_bytes());
    assert_eq!(ward_tests::wire::status(&refused), 403);
    let refused = Needles::texts(&[("refused signature", &wrong)]);
    let (last, _) =
        scan_until(server.id(), &refused, Duration::from_secs(1), |found| found.hits.is_empty());
    assert!(last.hits.is_empty(), "{last:#?}");
    let values = settings(&other).handshake_values().unwrap();
    server.expect_signatures(&values);
    drop(server.logs.nth("handshake_values_set", 2));
    let replaced = self::needles("no token at all", &expected(&other));
    let (last, _) =
        scan_until(server.id(), &replaced, Duration::from_secs(1), |found| found.hits.is_empty());
    assert!(last.hits.is_empty(), "{last:#?}");
    absent(server.id(), "after a replacement");
    // The control: this process has them all.
    let ours = scan(std::process::id(), &needles);
    assert!(ours.has("auth token") && ours.has("signature 0"), "{ours:#?}");
}

#[test]
fn without_the_wiping_allocator_a_handshake_signature_stays() {
    let (token, setting) = fresh_token();
    let signatures = expected(&setting);
    let needles = needles(&token, &signatures);
    let server = Running::media_variant("ward-media-unwiped", &setting);
    // What is freed and not wiped is overwritten by chance, sooner or later: so several times.
    let is_found = (0..10).any(|_| {
        let patient = Patient::begin_signed(&server, &signatures[0]);
        std::thread::sleep(Duration::from_secs(1));
        let found = scan(server.id(), &needles);
        // The token was never there, wiped or not.
        assert!(!found.has("auth token"), "{found:#?}");
        patient.leave(Leaving::Reset);
        found.hits.iter().any(|hit| hit.name.contains("signature"))
    });
    assert!(is_found, "a scan that finds nothing where nothing is wiped");
}

#[test]
fn the_private_key_is_never_in_a_server() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    let body: String = server.key.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(&body).unwrap();
    // SEC 1: version 1, then an octet string of 32 bytes, the private scalar.
    let at = der.windows(5).position(|five| five == [2, 1, 1, 4, 32]).unwrap() + 5;
    let scalar = &der[at..at + 32];
    let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
    // The PEM has the scalar in base64, which a scan looks for by itself; its end is the public key, as nobody
    // but the document writes it.
    let end = &body.as_bytes()[body.len() - 60..];
    let needles = Needles::of([
        ("scalar", scalar, TEXT_WINDOW),
        ("scalar, as a number in memory", &reversed, TEXT_WINDOW),
        ("end of the document", end, TEXT_WINDOW),
    ]);
    let found = scan(server.id(), &needles);
    assert!(found.hits.is_empty(), "in ward-media: {found:#?}");
    // The process that signs may have the number, and has the document no more.
    let found = scan(server.process(Role::Sign), &needles);
    let is_number = |hit: &Hit| hit.name.starts_with("scalar") && hit.form == Form::Plain;
    assert!(found.hits.iter().all(is_number), "the document in sign: {found:#?}");
    // The control: this process keeps the text, and so has the scalar in base64 too.
    let ours = scan(std::process::id(), &needles);
    assert!(ours.of("scalar").iter().any(|hit| hit.form != Form::Plain), "{ours:#?}");
    assert!(ours.has("end of the document"), "{ours:#?}");
    // The scan does see into the server.
    let shown = Needles::texts(&[("label", "TLS 1.3, server CertificateVerify")]);
    assert!(scan(server.id(), &shown).has("label"));
}
