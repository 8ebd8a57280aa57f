//! The network role as it ships, on a wire of the test's own: real servers for addresses and time, and one that lies.
//!
//! Needs root: it makes networks. The clock is asked for and answered by this machine's own, so nothing moves it.

mod rig;

use std::time::Duration;

use rig::Rig;
use ward_init::net::news::{News, Source};
use ward_init::net::refusal::Refusal;

#[test]
fn an_address_its_routes_and_the_time_come_from_real_servers_and_the_lease_is_renewed() {
    let rig = Rig::new("real");
    let _time = rig.chrony();
    // Renewed after three seconds; the router by option 121, which option 3 does not overrule.
    let _addresses = rig.dnsmasq(&[
        "--dhcp-option-force=58,3",
        "--dhcp-option-force=59,60",
        "--dhcp-option-force=26,1400",
        "--dhcp-option-force=119,ward.example",
        "--dhcp-option=3,10.77.0.9",
        "--dhcp-option=121,10.9.0.0/16,10.77.0.2,0.0.0.0/0,10.77.0.1",
        "--dhcp-option=42,10.77.0.1",
        "--dhcp-option=6,10.77.0.3,10.77.0.4",
    ]);
    let mut role = rig.start(&[]);
    assert_eq!(role.next(Duration::from_secs(5)), News::Asking);
    let first = role.await_one(|news| matches!(news, News::Address { .. }));
    let News::Address { address, prefix, routes, mtu, lease_s, name_servers } = first else {
        unreachable!()
    };
    assert_eq!((prefix, routes, mtu, lease_s), (24, 2, 1_400, 120));
    assert!(address.octets().starts_with(&[10, 77, 0]) && address.octets()[3] >= 50, "{address}");
    assert_eq!(name_servers.map(|one| one.octets()[3]), [3, 4, 0]);
    let said = rig.inside(&["ip", "-4", "address", "show", "dev", "c0"]);
    assert!(said.contains(&format!("{address}/24")) && said.contains("mtu 1400"), "{said}");
    assert!(said.contains("valid_lft 1"), "the kernel ends it: {said}");
    let said = rig.inside(&["ip", "-4", "route"]);
    assert!(
        said.contains("default via 10.77.0.1") && said.contains("10.9.0.0/16 via 10.77.0.2"),
        "{said}"
    );
    assert!(!said.contains("10.77.0.9"), "{said}");
    let clock =
        role.await_one(|news| matches!(news, News::Clock { .. } | News::ClockRefused { .. }));
    let News::Clock { source, moved_ms, unsure_us } = clock else { panic!("{clock:?}") };
    assert_eq!(source, Source::Server(rig::SERVER));
    assert!(moved_ms.abs() < 50 && unsure_us < 100_000, "{moved_ms} ms, {unsure_us} us");
    let again = role.await_one(|news| matches!(news, News::Address { .. }));
    assert!(matches!(again, News::Address { address: same, .. } if same == address), "{again:?}");
    // Nothing of it listens: a port that is open would answer, or not refuse.
    assert_eq!(rig.inside(&["ss", "-Hlntu"]), "");
    role.is_confined();
}

#[test]
fn a_server_that_lies_is_refused_by_name_and_the_next_one_is_followed() {
    let rig = Rig::new("lies");
    let liar = rig.liar(vec![
        (&[51, 4, 0, 0, 0, 1], Refusal::Lease),
        (&[51, 4, 0, 1, 0, 0, 26, 2, 0, 68], Refusal::Mtu),
        (&[51, 4, 0, 1, 0, 0, 3, 4, 127, 0, 0, 1], Refusal::Router),
        (&[51, 4, 0, 1, 0, 0, 121, 6, 8, 127, 10, 77, 0, 1], Refusal::Route),
        (&[51, 4, 0, 1, 0, 0, 121, 1, 99], Refusal::Option(121)),
    ]);
    let mut role = rig.start(&[]);
    let mut last = None;
    for (which, lie) in liar.lies.iter().enumerate() {
        liar.tell(which);
        let refused = role.await_one(|news| match news {
            News::AnswerRefused(refusal) => Some(*refusal) != last,
            other => matches!(other, News::Address { .. }),
        });
        assert_eq!(refused, News::AnswerRefused(lie.1));
        last = Some(lie.1);
        assert!(!rig.inside(&["ip", "-4", "address", "show", "dev", "c0"]).contains("inet"));
    }
    drop(liar);
    let _addresses = rig.dnsmasq(&[]);
    role.await_one(|news| matches!(news, News::Address { .. }));
}

#[test]
fn a_time_server_that_is_silent_is_said_to_be_and_the_address_stays() {
    let rig = Rig::new("silent");
    let _addresses = rig.dnsmasq(&[]);
    let mut role = rig.start(&["time=10.77.0.1"]);
    role.await_one(|news| matches!(news, News::Address { .. }));
    let refused =
        role.await_one(|news| matches!(news, News::ClockRefused { .. } | News::Clock { .. }));
    let source = Source::Server(rig::SERVER);
    assert_eq!(refused, News::ClockRefused { source, refusal: Refusal::Silent });
}

#[test]
fn a_wire_that_is_pulled_and_put_back_is_told_and_nothing_is_lost() {
    let rig = Rig::new("wire");
    let _addresses = rig.dnsmasq(&[]);
    let mut role = rig.start(&[]);
    role.await_one(|news| matches!(news, News::Address { .. }));
    rig.outside(&["ip", "link", "set", "s0", "down"]);
    role.await_one(|news| *news == News::Link { is_running: false });
    rig.outside(&["ip", "link", "set", "s0", "up"]);
    role.await_one(|news| *news == News::Link { is_running: true });
    assert!(rig.inside(&["ip", "-4", "address", "show", "dev", "c0"]).contains("inet 10.77.0."));
}
