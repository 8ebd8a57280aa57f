//! Both servers from outside: versions, suites and groups are the policy's and no others; nothing can be replayed or begun anew; the
//! whole chain is shown.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io::{Read as _, Write as _};
use ward::development_ca::Identity;
use ward_policy::audit::Role;
use ward_policy::certificate::CertificateSource;
use ward_policy::phi::Secret;
use ward_policy::tls::{GROUPS, SUITES, Version};
use ward_tests::servers::Running;

use crate::hello::{Answer, Offer, greet};
use crate::peers::{Folder, Issuer, Peer, Shown, client};

const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// Both servers, with a certificate that another authority than the root has signed.
fn servers(issuer: &Issuer) -> [Running; 2] {
    [Role::Media, Role::Twiml].map(|role| {
        let Shown { chain, key } = issuer.issue_through_another("localhost");
        let source = CertificateSource::Files;
        Running::showing(role, Identity { chain, key: Secret::new(key), source })
    })
}

/// Every group with a name, the signs of IANA's list, and a few that have none.
fn all_groups() -> Vec<u16> {
    (1..=0x0041)
        .chain(0x0100..=0x0104)
        .chain([0x0200, 0x0201, 0x0202, 0x11eb, 0x11ec, 0x11ed])
        .collect()
}

/// Every suite that the server takes of all 65,536, in its own order of preference, for one version.
fn suites_of(port: u16, version: u16) -> Vec<u16> {
    let mut found = Vec::new();
    for block in 0..=0xff_u16 {
        // What says something else than a suite: renegotiation (RFC 5746) and fallback (RFC 7507).
        let all = (0..=0xff).map(|low| block << 8 | low);
        let mut suites: Vec<u16> = all.filter(|suite| ![0x00ff, 0x5600].contains(suite)).collect();
        loop {
            let versions = if version == TLS13 { vec![TLS13] } else { Vec::new() };
            let groups = GROUPS.iter().map(|group| group.number).collect();
            let offer = Offer { legacy: TLS12, versions, suites: suites.clone(), groups };
            match greet(port, &offer) {
                Answer::Hello { version: answered, suite, .. } => {
                    assert_eq!(answered, version, "{suite:#06x}");
                    assert!(suites.contains(&suite), "{suite:#06x} was not offered");
                    found.push(suite);
                    suites.retain(|one| *one != suite);
                }
                Answer::Alert(_) => break,
                Answer::End => panic!("no word of why not, at {block:#04x}__"),
            }
        }
    }
    found
}

fn listed(version: Version) -> BTreeSet<u16> {
    SUITES.iter().filter(|suite| suite.version == version).map(|suite| suite.number).collect()
}

fn set(all: Vec<u16>) -> BTreeSet<u16> {
    all.into_iter().collect()
}

#[test]
fn of_all_suites_those_of_the_policy_are_taken_and_no_others() {
    let issuer = Issuer::new();
    // The key is on a curve: of the suites of 1.2 those for RSA keys find none.
    let of_rsa = [0xc030, 0xc02f, 0xcca8];
    let tls12: BTreeSet<u16> = &listed(Version::Tls12) - &of_rsa.into();
    for server in servers(&issuer) {
        assert_eq!(set(suites_of(server.port, TLS13)), listed(Version::Tls13));
        assert_eq!(set(suites_of(server.port, TLS12)), tls12);
    }
    // The same server with a key of the other kind takes the others.
    let Shown { chain, key } = issuer.issue_weak(
        "localhost",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "-sha256",
    );
    let source = CertificateSource::Files;
    let server = Running::showing(Role::Media, Identity { chain, key: Secret::new(key), source });
    assert_eq!(set(suites_of(server.port, TLS12)), of_rsa.into());
    // The control: a peer that takes what it should not is seen to.
    let peer = Peer::start(&issuer.issue("localhost", false), &["-cipher", "ALL:@SECLEVEL=0"]);
    let found = set(suites_of(peer.port, TLS12));
    assert!(found.contains(&0xc009) && !found.is_subset(&listed(Version::Tls12)), "{found:x?}");
}

#[test]
fn nothing_before_1_2_is_spoken_and_no_group_but_those_of_the_policy() {
    let issuer = Issuer::new();
    let offer = |legacy: u16, versions: &[u16], groups: Vec<u16>| {
        let suites = SUITES.iter().map(|suite| suite.number);
        // What every old version has, too.
        let suites =
            suites.chain([0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035, 0x000a]).collect();
        Offer { legacy, versions: versions.to_vec(), suites, groups }
    };
    let groups_of = |port: u16| -> Vec<u16> {
        let one = |group: &u16| {
            let answer = greet(port, &offer(TLS12, &[TLS13], vec![*group]));
            matches!(answer, Answer::Hello { group: Some(chosen), .. } if chosen == *group)
        };
        all_groups().into_iter().filter(one).collect()
    };
    for server in servers(&issuer) {
        for old in [0x0300, 0x0301, 0x0302] {
            for versions in [&[][..], &[old]] {
                let answer = greet(server.port, &offer(old, versions, all_groups()));
                // protocol_version
                assert_eq!(answer, Answer::Alert(70), "{old:#06x} {versions:x?}");
            }
        }
        // Offered both, it takes the better.
        let answer = greet(server.port, &offer(TLS12, &[TLS12, TLS13], all_groups()));
        assert!(matches!(answer, Answer::Hello { version: TLS13, .. }), "{answer:?}");
        let mut groups = groups_of(server.port);
        groups.sort_unstable();
        let mut expected = GROUPS.map(|group| group.number).to_vec();
        expected.sort_unstable();
        assert_eq!(groups, expected);
    }
    let old = ["-cipher", "ALL:@SECLEVEL=0", "-tls1_1"];
    let peer = Peer::start(&issuer.issue("localhost", false), &old);
    let answer = greet(peer.port, &offer(0x0302, &[], all_groups()));
    assert!(matches!(answer, Answer::Hello { version: 0x0302, .. }), "{answer:?}");
    let peer = Peer::start(&issuer.issue("localhost", false), &["-groups", "P-521:X25519"]);
    assert!(groups_of(peer.port).contains(&0x0019));
}

/// Whether a second handshake within a connection of 1.2 is gone through with.
fn is_renegotiated(port: u16) -> bool {
    let said = client(port, &["-tls1_2", "-legacy_renegotiation"], "R\nR\n");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    // A handshake that ended well ends in another list of what the peer has shown.
    said.matches("depth=0").count() > 1 || said.matches("verify return:1").count() > 3
}

#[test]
fn a_connection_is_never_begun_anew() {
    let issuer = Issuer::new();
    for server in servers(&issuer) {
        assert!(!is_renegotiated(server.port));
    }
    let peer =
        Peer::start(&issuer.issue("localhost", false), &["-tls1_2", "-client_renegotiation"]);
    assert!(is_renegotiated(peer.port), "the control");
}

fn trusting(pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Connects twice and says something each time: tickets that came, whether the second handshake was a shorter one, whether anything could
/// be sent before it ended, and how many certificates were shown.
fn twice(port: u16, config: &Arc<ClientConfig>) -> (u32, bool, bool, usize) {
    let (mut tickets, mut is_short, mut is_early, mut shown) = (0, false, false, 0);
    for round in 0..2 {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        is_early |= tls.early_data().is_some();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut stream = StreamOwned::new(tls, socket);
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        tls = stream.conn;
        tickets += tls.tls13_tickets_received();
        is_short |= round > 0 && tls.handshake_kind() == Some(HandshakeKind::Resumed);
        shown = tls.peer_certificates().unwrap_or_default().len();
    }
    (tickets, is_short, is_early, shown)
}

#[test]
fn nothing_can_be_replayed_and_the_whole_chain_is_shown() {
    let issuer = Issuer::new();
    let configs = || {
        [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]].map(|versions| {
            let both = trusting(&issuer.certificate());
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(issuer.certificate().as_bytes()) {
                roots.add(certificate.unwrap()).unwrap();
            }
            let provider = Arc::clone(both.crypto_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.enable_early_data = true;
            config.resumption = Resumption::in_memory_sessions(16);
            Arc::new(config)
        })
    };
    for server in servers(&issuer) {
        for config in configs() {
            // Whoever trusts the root alone is shown what is between it and the leaf.
            assert_eq!(twice(server.port, &config), (0, false, false, 2));
        }
    }
    // The controls: a peer that gives tickets and takes them, and one that takes words before the handshake's end.
    let shown = issuer.issue_through_another("localhost");
    let peer = Peer::start(&shown, &[]);
    for (config, is_13) in configs().into_iter().zip([true, false]) {
        let (tickets, is_short, ..) = twice(peer.port, &config);
        assert!(is_short && (tickets > 0) == is_13, "{tickets} {is_short}");
    }
    let peer = Peer::start(&shown, &["-early_data", "-max_early_data", "1000"]);
    let [config, _] = configs();
    assert!(twice(peer.port, &config).2);
}

#[test]
fn a_server_does_not_start_with_a_weak_key() {
    let issuer = Issuer::new();
    let folder = Folder::new();
    for (key, status) in [
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..], Some(66)),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"], Some(66)),
    ] {
        let Shown { chain, key } = issuer.issue_weak("localhost", key, "-sha256");
        folder.write("key", &key);
        let source = CertificateSource::Files;
        let identity = Identity { chain, key: Secret::new(key), source };
        assert_eq!(Running::status_showing(Role::Media, identity), status);
    }
}
