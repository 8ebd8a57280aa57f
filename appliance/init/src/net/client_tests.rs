//! Tests of the client in virtual time: the way to a lease, its renewal, its end, and hostile servers.

use super::*;
use crate::net::dhcp::tests::{carried, reply};

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const TERMS: [u8; 24] =
    [1, 4, 255, 255, 255, 0, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 3, 4, 10, 0, 0, 1];

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bound() -> Client {
    let mut client = Client::new(HARDWARE, at(0));
    assert!(matches!(client.tick(at(0), 1), Todo::Broadcast(_)));
    assert_eq!(client.take(&carried(&reply(2, 1, &TERMS)), at(0)), Ok(Change::Offered));
    assert!(matches!(client.tick(at(0), 2), Todo::Broadcast(_)));
    // The number is the offer's.
    let ack = client.take(&carried(&reply(5, 1, &TERMS)), at(0)).unwrap();
    assert!(matches!(ack, Change::Bound(_)));
    client
}

#[test]
fn a_lease_is_renewed_at_half_of_its_server_and_at_seven_eighths_of_anyone() {
    let mut client = bound();
    assert_eq!(client.due(), at(1_800));
    assert_eq!(client.tick(at(1_799), 5), Todo::Nothing);
    let Todo::Send { to, .. } = client.tick(at(1_800), 5) else { panic!() };
    assert_eq!(to, Ipv4Addr::new(10, 0, 0, 1));
    // Nobody answers: half of what is left, never sooner than a minute.
    assert_eq!(client.due(), at(1_800 + 675));
    let mut now = client.due();
    let mut broadcasts = 0;
    loop {
        match client.tick(now, 6) {
            Todo::Send { .. } => assert!(now < at(3_150)),
            Todo::Broadcast(_) => {
                assert!(now >= at(3_150));
                broadcasts += 1;
            }
            Todo::GiveUp => break,
            Todo::Nothing => panic!("{now:?}"),
        }
        now = client.due();
    }
    assert_eq!((now, client.lease()), (at(3_600), None));
    assert!(broadcasts >= 2);
    assert!(matches!(client.tick(now, 7), Todo::Broadcast(_)), "the search begins anew");
}

#[test]
fn a_renewed_lease_counts_from_its_question() {
    let mut client = bound();
    assert!(matches!(client.tick(at(1_800), 5), Todo::Send { .. }));
    let renewed = client.take(&carried(&reply(5, 5, &TERMS)), at(1_801)).unwrap();
    assert!(matches!(renewed, Change::Bound(_)));
    assert_eq!(client.due(), at(3_600));
    // The same again, with nothing asked, changes nothing: it cannot be replayed.
    assert_eq!(client.take(&carried(&reply(5, 5, &TERMS)), at(1_900)), Ok(Change::Nothing));
}

#[test]
fn an_address_is_taken_back_by_its_own_server_only_and_only_when_asked() {
    let mut client = bound();
    let nak = |number, server| carried(&reply(6, number, &[54, 4, 10, 0, 0, server]));
    assert_eq!(client.take(&nak(1, 1), at(9)), Ok(Change::Nothing), "nothing was asked");
    assert!(matches!(client.tick(at(1_800), 5), Todo::Send { .. }));
    assert_eq!(client.take(&nak(5, 2), at(1_800)), Ok(Change::Nothing), "another server");
    assert_eq!(client.take(&nak(4, 1), at(1_800)), Ok(Change::Nothing), "another question");
    assert_eq!(client.take(&nak(5, 1), at(1_800)), Ok(Change::GiveUp));
}

#[test]
fn what_is_acknowledged_is_what_was_offered() {
    let mut client = Client::new(HARDWARE, at(0));
    client.tick(at(0), 1);
    client.take(&carried(&reply(2, 1, &TERMS)), at(0)).unwrap();
    client.tick(at(0), 2);
    let mut other = reply(5, 1, &TERMS);
    other[19] = 8;
    assert_eq!(client.take(&carried(&other), at(0)), Err(Refusal::OtherAddress));
    assert_eq!(client.lease(), None);
}

#[test]
fn who_refuses_or_lies_each_time_is_asked_more_and_more_rarely() {
    let mut client = Client::new(HARDWARE, at(0));
    let (mut now, mut questions) = (at(0), 0);
    while now < at(60) {
        if let Todo::Broadcast(_) = client.tick(now, 1) {
            questions += 1;
        }
        // A lease of a second, from whoever is first.
        let lie = reply(2, 1, &[1, 4, 255, 255, 255, 0, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 1]);
        assert_eq!(client.take(&carried(&lie), now), Err(Refusal::Lease));
        now = client.due().max(now + Duration::from_millis(100));
    }
    assert!((4..12).contains(&questions), "{questions}");
    // Another server's answer is taken all the same.
    client.tick(client.due(), 1);
    assert_eq!(client.take(&carried(&reply(2, 1, &TERMS)), now), Ok(Change::Offered));
}

#[test]
fn a_wire_that_comes_up_is_asked_at_once_and_a_lease_is_left_alone() {
    let mut client = Client::new(HARDWARE, at(0));
    client.tick(at(0), 1);
    assert!(client.due() > at(0));
    client.hurry(at(0));
    assert!(matches!(client.tick(at(0), 2), Todo::Broadcast(_)));
    let mut client = bound();
    client.hurry(at(9));
    assert_eq!(client.due(), at(1_800));
}

#[test]
fn what_is_another_machines_is_nothing_to_us() {
    let mut client = Client::new(HARDWARE, at(0));
    client.tick(at(0), 1);
    let mut other = reply(2, 1, &TERMS);
    other[33] = 2;
    assert_eq!(client.take(&carried(&other), at(0)), Ok(Change::Nothing));
    assert_eq!(client.take(&carried(&reply(2, 2, &TERMS)), at(0)), Ok(Change::Nothing));
    assert_eq!(client.take(&[0; 4], at(0)), Err(Refusal::Header));
}

#[test]
fn a_flood_of_what_answers_nothing_keeps_nobody_from_an_address() {
    let mut client = Client::new(HARDWARE, at(0));
    let flood = |client: &mut Client, now| {
        for _ in 0..10 * limit::DHCP_REFUSED_MAX {
            assert_eq!(client.take(&[0; 4], now), Err(Refusal::Header));
        }
    };
    flood(&mut client, at(0));
    assert!(matches!(client.tick(at(0), 1), Todo::Broadcast(_)), "asked all the same");
    let due = client.due();
    flood(&mut client, at(0));
    assert_eq!(client.due(), due, "and not later");
    assert_eq!(client.take(&carried(&reply(2, 1, &TERMS)), at(0)), Ok(Change::Offered));
    flood(&mut client, at(0));
    client.tick(at(0), 2);
    let ack = client.take(&carried(&reply(5, 1, &TERMS)), at(0)).unwrap();
    assert!(matches!(ack, Change::Bound(_)));
}

#[test]
fn a_lease_counts_from_the_first_question_for_it() {
    let mut client = Client::new(HARDWARE, at(0));
    client.tick(at(0), 1);
    client.take(&carried(&reply(2, 1, &TERMS)), at(5)).unwrap();
    assert!(matches!(client.tick(at(6), 2), Todo::Broadcast(_)));
    assert!(matches!(client.tick(at(9), 2), Todo::Broadcast(_)), "the same question again");
    let ack = client.take(&carried(&reply(5, 1, &TERMS)), at(10)).unwrap();
    assert!(matches!(ack, Change::Bound(_)));
    assert_eq!(client.due(), at(6 + 1_800));
    assert_eq!(client.tick(at(6 + 3_600), 3), Todo::GiveUp);
}

#[test]
fn while_anyone_may_extend_a_lease_anyone_may_say_that_nobody_does() {
    let mut client = bound();
    let nak = |number, server| carried(&reply(6, number, &[54, 4, 10, 0, 0, server]));
    assert!(matches!(client.tick(at(3_149), 5), Todo::Send { .. }));
    assert_eq!(client.take(&nak(5, 2), at(3_149)), Ok(Change::Nothing), "its own server was asked");
    assert!(matches!(client.tick(client.due(), 6), Todo::Broadcast(_)));
    assert_eq!(client.take(&nak(7, 2), at(3_160)), Ok(Change::Nothing), "another question");
    assert_eq!(client.take(&nak(6, 2), at(3_160)), Ok(Change::GiveUp));
    assert_eq!(client.lease(), None);
}

#[test]
fn what_the_kernel_does_not_take_is_asked_for_again_and_not_at_once() {
    let mut client = bound();
    client.unusable(at(1), true);
    assert_eq!(client.due(), at(1) + limit::RENEW_RETRY_MIN);
    assert!(client.lease().is_some());
    assert!(matches!(client.tick(client.due(), 5), Todo::Send { .. }));
    client.unusable(at(100), false);
    assert_eq!((client.due(), client.lease()), (at(100) + limit::DHCP_RETRY_MAX, None));
    assert!(matches!(client.tick(client.due(), 6), Todo::Broadcast(_)));
}
