//! Whom our clients do not believe: media's towards vendors, the broker's towards whoever mints tokens or issues certificates.
//!
//! Each peer is `openssl s_server`, right but for one thing, and really there: somebody who believes everything speaks with it.

use ward::acme::Acme;
use ward::vendors::Vendors;
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_tests::authority;
use ward_tests::servers::{Running, listen_once};
use ward_tests::vendor::{Vendor, entry, minted};
use ward_tests::websocket::Stream;

use crate::peers::{Issuer, Peer, self_signed};

/// The host of `id`.
fn host(id: &str) -> String {
    format!("{id}.vendor.test")
}

/// A peer that is wrong in one way each, by name, and one that is right.
fn peers(issuer: &Issuer) -> Vec<(&'static str, Peer)> {
    let good = |id: &str| issuer.issue(&host(id), false);
    let anything = "ALL:@SECLEVEL=0";
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"];
    vec![
        ("expired", Peer::start(&issuer.issue(&host("expired"), true), &[])),
        ("selfsigned", Peer::start(&self_signed(&host("selfsigned")), &[])),
        ("wrongname", Peer::start(&issuer.issue("other.test", false), &[])),
        ("oldversion", Peer::start(&good("oldversion"), &["-tls1_1", "-cipher", anything])),
        (
            "weakkey",
            Peer::start(
                &issuer.issue_weak(&host("weakkey"), &rsa, "-sha256"),
                &["-cipher", anything],
            ),
        ),
        (
            "weakcurve",
            Peer::start(
                &issuer.issue_weak(&host("weakcurve"), &curve, "-sha256"),
                &["-cipher", anything],
            ),
        ),
        (
            "weakdigest",
            Peer::start(
                &issuer.issue_weak(
                    &host("weakdigest"),
                    &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                    "-sha1",
                ),
                &["-cipher", anything],
            ),
        ),
        (
            "oldsuite",
            Peer::start(
                &good("oldsuite"),
                &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
            ),
        ),
        // Asked for anything, it answers with a page.
        ("good", Peer::start(&good("good"), &["-www"])),
    ]
}

/// An entry with the roots of this test, and another port for the host that `from` names.
fn changed(
    (name, text): (String, String),
    issuer: &Issuer,
    from: &str,
    port: u16,
) -> (String, String) {
    let mut text = with_roots(&text, issuer);
    let place = text.find(from).unwrap();
    let of_port = place + text[place..].find("port = 443").unwrap();
    text.replace_range(of_port..of_port + "port = 443".len(), &format!("port = {port}"));
    (name, text)
}

fn with_roots(text: &str, issuer: &Issuer) -> String {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----\n";
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{}{after}", issuer.certificate())
}

fn hosts<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.map(|id| format!("{}=127.0.0.1 ", host(id))).collect()
}

#[test]
fn media_believes_no_vendor_with_anything_wrong_about_it() {
    let issuer = Issuer::new();
    let all = peers(&issuer);
    for (id, peer) in &all {
        assert!(peer.is_there(), "{id}");
    }
    // Six vendors are as many as a call can have.
    for some in all.chunks(5) {
        let registry = some.iter().map(|(id, peer)| {
            let name = host(id);
            changed(entry(id, &name, &[]), &issuer, &format!("name = \"{name}\""), peer.port)
        });
        let registry: Vec<_> = registry.collect();
        let keys = some.iter().map(|(id, _)| format!("{id}=a key of a test\n")).collect();
        let settings = format!("BROKER_HOSTS={}\n", hosts(some.iter().map(|(id, _)| *id)));
        let wanted: Vec<String> = some.iter().map(|(id, _)| format!("{id}:audio")).collect();
        let wanted = format!("MEDIA_VENDORS={}\n", wanted.join(" "));
        let vendors = Vendors { registry, keys: Secret::new(keys), settings };
        let server = Running::media_with(vendors, None, &wanted);
        let stream = Stream::started(&server);
        let has_good = some.iter().any(|(id, _)| *id == "good");
        let bad = some.len() - usize::from(has_good);
        for number in 1..=bad {
            let failed = server.logs.nth("vendor_failed", number);
            assert_eq!(failed["reason"], "vendor_tls", "{failed}");
            assert_ne!(failed["vendor"], "good", "{failed}");
        }
        if has_good {
            // The control: with nothing wrong about it, the same way leads to a connection.
            assert_eq!(server.logs.first("vendor_connected")["vendor"], "good");
        }
        assert_eq!(stream.close(), 1000);
    }
}

#[test]
fn the_broker_tells_no_key_to_a_host_with_anything_wrong_about_it() {
    let issuer = Issuer::new();
    let all = peers(&issuer);
    // Where the vendor itself is does not matter: the token is asked for first, or at the same time.
    let vendor = Vendor::serve("asr.vendor.test", "127.0.0.1:0");
    for some in all.chunks(5) {
        let registry = some.iter().map(|(id, peer)| {
            let name = host(id);
            let entry = minted(id, "asr.vendor.test", &name, "/grant");
            let entry = changed(entry, &issuer, &format!("name = \"{name}\""), peer.port);
            changed(entry, &issuer, "name = \"asr.vendor.test\"", vendor.port())
        });
        let registry: Vec<_> = registry.collect();
        let keys = some.iter().map(|(id, _)| format!("{id}=a key of a test\n")).collect();
        let names = hosts(some.iter().map(|(id, _)| *id));
        let settings = format!("BROKER_HOSTS={names} asr.vendor.test=127.0.0.1\n");
        let wanted: Vec<String> = some.iter().map(|(id, _)| format!("{id}:audio")).collect();
        let wanted = format!("MEDIA_VENDORS={}\n", wanted.join(" "));
        let vendors = Vendors { registry, keys: Secret::new(keys), settings };
        let server = Running::media_with(vendors, None, &wanted);
        let stream = Stream::started(&server);
        let mut has_told = false;
        for number in 1..=some.len() {
            let refused = server.logs.nth("vendor_refused", number);
            // The control: with nothing wrong about it a host is told the key. `s_server` answers a GET and no POST, so it
            // is waited for until the time is up.
            let is_good = refused["vendor"] == "good";
            has_told |= is_good;
            let expected = if is_good { "mint_late" } else { "mint_failed" };
            assert_eq!(refused["reason"], expected, "{refused}");
        }
        let has_good = some.iter().any(|(id, _)| *id == "good");
        assert_eq!(has_told, has_good);
        assert_eq!(stream.close(), 1000);
    }
}

#[test]
fn no_authority_with_anything_wrong_about_it_is_asked() {
    let issuer = Issuer::new();
    for (id, peer) in peers(&issuer) {
        let name = host(id);
        let text = authority::entry(peer.port).replace(authority::HOST, &name);
        let text = with_roots(&text, &issuer);
        let settings = format!(
            "BROKER_HOSTS={name}=127.0.0.1\nACME_CA=authority\nACME_NAMES={}\nACME_TERMS=agreed\n",
            authority::NAME
        );
        let registry = vec![("authority.toml".to_owned(), text)];
        let vendors = Vendors { registry, keys: Secret::new(String::new()), settings };
        let acme = Acme { names: vec![authority::NAME.to_owned()], place: None };
        let server = Running::certified(Role::Media, listen_once(), vendors, acme);
        let failed = server.logs.first("certificate_failed");
        // The good one is no authority, but it is spoken with: what it answers is no directory.
        let expected = if id == "good" { "acme_garbage" } else { "acme_unreachable" };
        assert_eq!(failed["reason"], expected, "{id}: {failed}");
    }
}
