//! A certificate in files is replaced as an operator does it: new files, SIGHUP. A hundred live calls notice nothing, no handshake fails
//! meanwhile, and the old one is not shown afterwards. E57.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ward::development_ca::Identity;
use ward_tests::edge_cases::row;
use ward_tests::servers::{TOKEN, identity};
use ward_tests::websocket::{Stream, upgrade_request};
use ward_tests::wire::{Wire, status};

use crate::rotation::{Operated, Secrets, folder};

const LIVE_CALLS: u64 = 100;

/// The leaf that a server shows now, and what it answers to a call's handshake.
fn shake(port: u16) -> (Vec<u8>, u16) {
    let mut wire = Wire::open(port);
    let leaf = wire.shown().first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    wire.send(upgrade_request("/rtm/voice", &[]).as_bytes());
    (leaf, status(&wire.receive_head()))
}

fn leaf(port: u16) -> Vec<u8> {
    shake(port).0
}

/// Puts one file in the place of another, as renewal tools do.
fn put(folder: &Path, name: &str, text: &str) {
    let next = folder.join("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(&next, folder.join(name)).unwrap();
}

fn put_both(folder: &Path, identity: &Identity) {
    put(folder, "media-key.pem", identity.key.expose());
    put(folder, "media-chain.pem", &identity.chain);
}

fn started(name: &str) -> (std::path::PathBuf, Operated) {
    let folder = folder(name);
    let secrets = Secrets { tokens: vec![TOKEN.to_owned()], signs_with: 0, taken: vec![] };
    let server = Operated::start(&folder, "media", &secrets.common());
    (folder, server)
}

#[test]
fn e57_a_certificate_is_replaced_under_a_hundred_calls_and_no_handshake_fails() {
    let (folder, server) = started("certificate");
    let port = server.port;
    let mut live: Vec<Stream> =
        (0..LIVE_CALLS).map(|number| Stream::started_over(Wire::open(port), number)).collect();
    let old = leaf(port);
    let is_over = AtomicBool::new(false);
    let shaken: Vec<(Vec<u8>, u16)> = std::thread::scope(|scope| {
        let twilio = scope.spawn(|| {
            let mut shaken = Vec::new();
            while !is_over.load(Ordering::Acquire) {
                shaken.push(shake(port));
            }
            shaken
        });
        std::thread::sleep(Duration::from_millis(300));
        put_both(&folder, &identity());
        server.hang_up();
        server.logs.wait_for_count("\"event\":\"certificate_set\"", 2);
        std::thread::sleep(Duration::from_millis(300));
        is_over.store(true, Ordering::Release);
        twilio.join().unwrap()
    });
    let failed = shaken.iter().filter(|(leaf, status)| leaf.is_empty() || *status != 101).count();
    let with_old = shaken.iter().filter(|(leaf, _)| *leaf == old).count();
    println!("{} handshakes meanwhile, {with_old} with the old one, {failed} failed", shaken.len());
    assert_eq!(failed, 0, "{}", server.logs.text());
    // The control: both were really shown, the old one first and then never again.
    assert!(with_old > 0 && with_old < shaken.len());
    assert!(shaken.iter().skip_while(|(leaf, _)| *leaf == old).all(|(leaf, _)| *leaf != old));
    assert!((0..50).all(|_| leaf(port) != old));
    for stream in &mut live {
        stream.proves_alive(1);
    }
    assert_eq!(server.logs.count("signing_failed") + server.logs.count("certificate_refused"), 0);
    row(
        "E57",
        "chain and key in files replaced by SIGHUP, with 100 live calls and handshakes all the time",
        "0 handshakes failed, 0 calls ended; the old certificate is not shown afterwards",
    );
}

#[test]
fn e57_one_file_without_the_other_replaces_nothing_and_who_comes_back_has_the_newest() {
    let (folder, server) = started("half-certificate");
    let old = leaf(server.port);
    let new = identity();
    for (number, (name, text)) in [
        ("media-key.pem", new.key.expose().as_str()),
        ("media-key.pem", "no key"),
        ("media-chain.pem", ""),
    ]
    .into_iter()
    .enumerate()
    {
        put(&folder, name, text);
        server.hang_up();
        server.logs.wait_for_count("nothing was replaced", number + 1);
        assert_eq!(leaf(server.port), old, "{name}");
    }
    put_both(&folder, &new);
    server.hang_up();
    server.logs.wait_for_count("\"event\":\"certificate_set\"", 2);
    let shown = leaf(server.port);
    assert_ne!(shown, old);
    // Both processes that have a part of it are started again.
    for (number, role) in ["sign", "media"].into_iter().enumerate() {
        std::thread::sleep(2 * ward_policy::limit::ROLE_STARTED_AFTER);
        let text = server.logs.text();
        let started = text.lines().rev().find(|line| {
            line.contains("\"event\":\"role_started\"")
                && line.contains(&format!("\"which\":\"{role}\""))
        });
        let started: serde_json::Value = serde_json::from_str(started.unwrap()).unwrap();
        let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        server.logs.wait_for_count("\"event\":\"role_ended\"", number + 1);
        server.logs.wait_for_count(&format!("\"role\":\"{role}\",\"event\":\"started\""), 2);
        assert_eq!(shake(server.port), (shown.clone(), 101), "after {role}");
    }
    row(
        "E57",
        "SIGHUP with one of chain and key replaced, or with none; then both, and sign and media killed",
        "nothing is replaced; then the new one is shown, by who was started again too",
    );
}
