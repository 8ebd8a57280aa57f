//! DHCP answers, and the client that follows them: no crash, and nothing followed that must not be, whatever comes in which order.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ward_init::net::client::{Change, Client, Todo};
use ward_init::net::dhcp;
use ward_init::net::lease::Lease;

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn is_sound(lease: &Lease) {
    assert!(!lease.address.is_loopback() && !lease.address.is_multicast());
    assert!(!lease.address.is_unspecified() && !lease.address.is_broadcast());
    assert!((8..=32).contains(&lease.prefix));
    assert!(lease.renew < lease.rebind && lease.rebind < lease.length);
    assert!(lease.length >= Duration::from_secs(60));
    assert!(lease.mtu.is_none_or(|mtu| (576..=9_216).contains(&mtu)));
    assert!(lease.routes.len() <= 16 && lease.name_servers.len() <= 3);
    for route in &lease.routes {
        assert!(!route.to.is_loopback() && !route.to.is_multicast() && route.prefix <= 32);
        assert!(route.via != lease.address && !route.via.is_loopback());
    }
}

/// Puts the header of a right packet before a message, so that what is in the message is reached.
fn carried(message: &[u8]) -> Vec<u8> {
    let mut packet = dhcp::packet(message, [10, 0, 0, 1].into());
    packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
    packet
}

fuzz_target!(|bytes: &[u8]| {
    drop(dhcp::answer(bytes));
    if let Ok(answer) = dhcp::message(bytes) {
        if let Ok(lease) = Lease::of(&answer) {
            is_sound(&lease);
        }
        assert!(!cfg!(feature = "planted-bug") || answer.routes.is_empty(), "the planted bug");
    }
    // The same bytes as a sequence: each piece is preceded by how long to wait for it, and how long it is.
    let mut client = Client::new(HARDWARE, Duration::ZERO);
    let (mut now, mut rest) = (Duration::ZERO, bytes);
    while let [wait, low, high, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) % 600).min(after.len());
        let (piece, after) = after.split_at(length);
        rest = after;
        now += Duration::from_secs(u64::from(*wait) * 8);
        let had = client.lease().is_some();
        match client.tick(now, 7) {
            Todo::GiveUp => assert!(had && client.lease().is_none()),
            Todo::Nothing => {}
            Todo::Broadcast(_) | Todo::Send { .. } => assert!(client.due() > now),
        }
        // The number and the address that the client waits for: the rest is the fuzzer's.
        let mut message = piece.to_vec();
        if message.len() >= 240 {
            message[4..8].copy_from_slice(&7_u32.to_be_bytes());
            message[28..34].copy_from_slice(&HARDWARE);
        }
        if let Ok(Change::Bound(lease)) = client.take(&carried(&message), now) {
            is_sound(&lease);
            assert_eq!(client.lease(), Some(&*lease));
        }
    }
});
