//! What is needed to reach a vendor: the key, which media never has, and the token, which it has for a while.
//!
//! A token is made by the broker, so its text is not known here; but what it is for is, and stands in it in base64.

use std::time::Duration;

use ward::vendors::Vendors;
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_tests::binaries::variant;
use ward_tests::memory::{Form, Needles, Scan, TEXT_WINDOW, scan, scan_until};
use ward_tests::network::{NAME_SERVER_PORT, enter_network, name_server};
use ward_tests::random::fresh_text;
use ward_tests::servers::Running;
use ward_tests::vendor::{Vendor, entry};

use crate::patient::{Leaving, Patient};

const ADDRESS: &str = "93.184.216.34";
/// So that the base64 of a name is the same in both alphabets.
const LETTERS: &[u8] = b"abcdefghijklmn";
const SECOND: Duration = Duration::from_secs(1);

/// Whether the claims of a token are there: the one thing that has the vendor's name in base64.
fn has_token(scan: &Scan) -> bool {
    scan.of("claims").iter().any(|hit| hit.form != Form::Plain)
}

/// A server with one vendor of a fresh name, a fresh key, and what to look for.
struct Bench {
    server: Running,
    claims: Needles,
    key: String,
    _standin: Vendor,
    _names: ward_tests::network::Running,
}

fn bench(media: &str, token_ttl_s: u32) -> Bench {
    enter_network(&[&format!("{ADDRESS}/32")]);
    let host = format!("a{}.vendor.test", fresh_text(LETTERS, 20));
    let names = name_server(&[(&host, ADDRESS)]);
    let standin = Vendor::serve(&host, &format!("{ADDRESS}:443"));
    let key = fresh_text(LETTERS, 40);
    let ttl = format!("max_ttl_s = {token_ttl_s}");
    let vendors = Vendors {
        registry: vec![entry("standin", &host, &[("max_ttl_s = 60", &ttl)])],
        keys: Secret::new(format!("standin={key}\n")),
        settings: format!("BROKER_NAMESERVERS=127.0.0.1:{NAME_SERVER_PORT}\n"),
    };
    let executable = (media != "ward-media").then(|| variant(media));
    let server = Running::media_with(vendors, executable, "MEDIA_VENDORS=standin:audio\n");
    // As the broker writes it, from its first byte to the end of the name.
    let claims = format!("{{\"aud\":\"{host}");
    let claims = Needles::of([("claims", claims.as_bytes(), TEXT_WINDOW)]);
    Bench { server, claims, key, _standin: standin, _names: names }
}

#[test]
fn a_token_is_there_while_its_call_is_and_gone_with_it() {
    let Bench { server, claims, key, .. } = &bench("ward-media-searchable", 60);
    for leaving in [Leaving::Stop, Leaving::Close, Leaving::Reset, Leaving::Cut] {
        let patient = Patient::begin(server);
        let (found, _) = scan_until(server.id(), claims, 5 * SECOND, has_token);
        assert!(has_token(&found), "no token while the call is live: {found:#?}");
        patient.leave(leaving);
        let (left, took) = scan_until(server.id(), claims, SECOND, |found| !has_token(found));
        assert!(!has_token(&left), "{leaving:?}: {left:#?}");
        println!("{leaving:?}: gone after {took:?}");
    }
    // Nobody but the broker has the key.
    let needles = Needles::texts(&[("vendor's key", key)]);
    for role in [Role::Init, Role::Log, Role::Sign, Role::Media] {
        let found = scan(server.process(role), &needles);
        assert!(!found.has("vendor's key"), "{}: {found:#?}", role.name());
    }
    // The control: this process has it.
    assert!(scan(std::process::id(), &needles).has("vendor's key"));
}

#[test]
fn a_token_is_gone_when_its_time_is_over_and_the_call_goes_on() {
    let Bench { server, claims, .. } = &bench("ward-media-searchable", 3);
    let mut patient = Patient::begin(server);
    let (found, _) = scan_until(server.id(), claims, 2 * SECOND, has_token);
    assert!(has_token(&found), "{found:#?}");
    std::thread::sleep(3 * SECOND);
    let (left, _) = scan_until(server.id(), claims, SECOND, |found| !has_token(found));
    assert!(!has_token(&left), "{left:#?}");
    patient.speak(5);
    assert!(!server.logs.text().contains("vendor_ended"), "{}", server.logs.text());
}

#[test]
fn what_ships_keeps_tokens_where_nobody_can_read_them() {
    let Bench { server, claims, .. } = &bench("ward-media", 60);
    let patient = Patient::begin(server);
    drop(server.logs.first("vendor_connected"));
    let found = scan(server.id(), claims);
    // A kernel without such memory is what the other tests are for; whether it has it, somebody else is asked.
    let asked = std::process::Command::new("python3")
        .args(["-c", "import ctypes; print(ctypes.CDLL(None).syscall(447, 0))"])
        .output()
        .unwrap();
    let has_secret_memory = !String::from_utf8(asked.stdout).unwrap().trim().starts_with('-');
    assert_eq!(has_token(&found), !has_secret_memory, "{found:#?}");
    for role in [Role::Media, Role::Broker] {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.process(role))).unwrap();
        assert_eq!(maps.contains("secretmem"), has_secret_memory, "{}: {maps}", role.name());
    }
    let is_found = server.logs.text().contains("secrets_only_locked");
    assert_eq!(is_found, !has_secret_memory);
    drop(patient);
}

#[test]
fn no_audio_is_ever_in_the_broker_or_the_others() {
    let Bench { server, .. } = &bench("ward-media", 60);
    let mut patient = Patient::begin(server);
    drop(server.logs.first("vendor_connected"));
    patient.speak(60);
    let needles = patient.needles();
    // It is in the one that hears it.
    let (heard, _) = scan_until(server.id(), &needles, 5 * SECOND, |found| found.has("audio"));
    assert!(heard.has("audio"), "{heard:#?}");
    for role in [Role::Init, Role::Log, Role::Sign, Role::Broker] {
        let found = scan(server.process(role), &needles);
        assert!(found.hits.is_empty(), "{}: {found:#?}", role.name());
    }
}
