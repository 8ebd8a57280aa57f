//! What outlives a process and what outlives a run: account, key and certificate, sealed in a place of the operator's.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use ward::acme::{Acme, Place};
use ward_policy::audit::Role;
use ward_tests::authority::{Authority, NAME};
use ward_tests::servers::{Running, listen_once};
use ward_tests::wire::Wire;

use crate::{alone, habits, is_trusted, started, until};

fn orders(authority: &Authority) -> usize {
    authority.seen().iter().filter(|seen| seen.line.contains("/order-plz")).count()
}

fn shown(server: &Running, authority: &Authority) -> Vec<u8> {
    Wire::open_as(server.port, NAME, authority.trusting()).shown()[0].to_vec()
}

/// Waits until account and certificate stand among the live credentials, the certificate with its end.
fn has_listed(server: &Running) {
    server.logs.wait_for(r#""class":"acme-account","audience":"authority","count":1"#);
    server.logs.wait_for(r#""class":"certificate","audience":"authority","count":1"#);
    let text = server.logs.text();
    let line = text.lines().find(|line| line.contains(r#""class":"certificate""#)).unwrap();
    assert!(line.contains(r#""expires_in_s":8"#), "nearly a day: {line}");
}

#[test]
fn a_restart_finds_account_key_and_certificate_and_asks_for_nothing() {
    let _alone = alone();
    let listeners = listen_once();
    let port = listeners[0].local_addr().unwrap().port();
    let authority = Authority::start(habits(&listeners));
    let folder = authority.folder().join("place");
    std::fs::create_dir(&folder).unwrap();
    let seal_key = authority.folder().join("seal");
    std::fs::write(&seal_key, [7; 32]).unwrap();
    let place = Place { folder: folder.clone(), seal_key: seal_key.clone() };
    let acme = || Acme { names: vec![NAME.to_owned()], place: Some(place.clone()) };
    let vendors = || authority.vendors("ACME_KEPT=on\n");
    let mut first = Running::certified(Role::Media, listeners, vendors(), acme());
    drop(first.logs.first("certificate_issued"));
    has_listed(&first);
    let leaf = shown(&first, &authority);
    assert!(!first.logs.text().contains("acme_not_kept"));
    first.stop();
    // What lies there is sealed: neither the names nor the words that every account has are in it.
    for name in ["broker.sealed", "sign.sealed"] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(bytes.len(), 64 * 1024);
        assert!(bytes[..1_024].iter().filter(|byte| **byte != 0).count() > 100, "{name} is empty");
        for word in [&b"key_pkcs8"[..], b"CERTIFICATE", NAME.as_bytes()] {
            assert!(!bytes.windows(word.len()).any(|part| part == word), "{name}");
        }
    }
    let again = ward::launch::listen(([127, 0, 0, 1], port).into(), 1).unwrap();
    let mut second = Running::certified(Role::Media, again, vendors(), acme());
    drop(second.logs.first("certificate_set"));
    has_listed(&second);
    assert_eq!(shown(&second, &authority), leaf, "the very same");
    assert_eq!(orders(&authority), 1, "nothing was asked for");
    second.stop();
    // With another key nothing of it can be opened: it says so, and asks anew.
    std::fs::write(&seal_key, [8; 32]).unwrap();
    let again = ward::launch::listen(([127, 0, 0, 1], port).into(), 1).unwrap();
    let third = Running::certified(Role::Media, again, vendors(), acme());
    third.logs.wait_for("acme_kept_unreadable");
    drop(third.logs.first("certificate_issued"));
    assert_ne!(shown(&third, &authority), leaf);
    assert_eq!(orders(&authority), 2);
}

#[test]
fn broker_sign_and_server_may_die_and_the_certificate_stays() {
    let _alone = alone();
    let (server, authority) = started(|_habits| {});
    drop(server.logs.first("certificate_issued"));
    let leaf = shown(&server, &authority);
    std::thread::sleep(2 * ward_policy::limit::ROLE_STARTED_AFTER);
    for role in [Role::Broker, Role::Sign, Role::Media, Role::Broker] {
        let before = server.process(role);
        let pid = Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until(Duration::from_secs(10), role.name(), &server, || server.process(role) != before);
        until(Duration::from_secs(20), role.name(), &server, || is_trusted(&server, &authority));
        assert_eq!(shown(&server, &authority), leaf, "after {}", role.name());
    }
    assert_eq!(orders(&authority), 1, "{}", server.logs.text());
}
