//! Which addresses a vendor can have: public ones; and which are somebody's own network, or a metadata service.
//!
//! A name server that lies, or a vendor whose zone was taken over, must not make the broker dial the machine
//! itself, its neighbours or the cloud's metadata service. It never asks the machine what its addresses are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks that are not reachable from everywhere: IANA's IPv4 special-purpose registry (RFC 6890 and its
/// updates, as of 2026), and everything from multicast up.
const NOT_PUBLIC: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by carriers; some clouds' metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's wire server: public in form, local in fact
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; metadata services
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments; Oracle's metadata
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),      // multicast, reserved, broadcast
];

/// The same in what IANA gives out as global unicast, `2000::/3` (RFC 4291, RFC 6890).
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: carries any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether `address` is one that a vendor on the internet can have.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// What a cloud tells its machines about themselves, at addresses that are the same on each: credentials among it.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Where EKS gives a pod its role's credentials, and Google's metadata server.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Blocks of networks of one's own (RFC 1918).
const PRIVATE: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// Whether `address` is a metadata service's, or link-local, where they are.
#[must_use]
pub fn is_metadata(address: IpAddr) -> bool {
    // Written as an IPv6 address it is dialled all the same.
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => (address.segments()[0] & 0xffc0) == 0xfe80,
    };
    is_link_local || METADATA.contains(&address)
}

/// Whether `address` is of a network of one's own: RFC 1918, or RFC 4193 for IPv6. Never this machine's own loopback, and
/// never a metadata service's.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    let is_own = match address {
        IpAddr::V4(address) => PRIVATE.iter().any(|block| is_within_v4(address, block)),
        IpAddr::V6(address) => (address.segments()[0] & 0xfe00) == 0xfc00,
    };
    is_own && !is_metadata(address)
}

fn is_within_v4(address: Ipv4Addr, (block, bits): &(Ipv4Addr, u32)) -> bool {
    let kept = 32_u32.saturating_sub(*bits);
    (address.to_bits() >> kept) == (block.to_bits() >> kept)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC.iter().any(|block| is_within_v4(address, block))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Networks without IPv4 reach it through a translator, whose addresses carry the one behind (RFC 6052).
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    let within = |(block, bits): &(Ipv6Addr, u32)| {
        let kept = 128_u32.saturating_sub(*bits);
        (address.to_bits() >> kept) == (block.to_bits() >> kept)
    };
    // Mapped, link-local, unique local and loopback addresses are all outside global unicast.
    within(&(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)) && !NOT_PUBLIC_V6.iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ones_own_is_neither_public_nor_a_metadata_services() {
        for (text, private, metadata) in [
            ("10.1.2.3", true, false),
            ("172.31.255.255", true, false),
            ("172.32.0.1", false, false),
            ("192.168.0.1", true, false),
            ("fd12::1", true, false),
            ("fd00:ec2::254", false, true),
            ("fd00:ec2::23", false, true),
            ("fd20:ce::254", false, true),
            ("fd20:ce::255", true, false),
            ("::ffff:169.254.169.254", false, true),
            ("::ffff:100.100.100.200", false, true),
            ("::ffff:10.1.2.3", false, false),
            ("169.254.169.254", false, true),
            ("169.254.170.2", false, true),
            ("168.63.129.16", false, true),
            ("100.100.100.200", false, true),
            ("192.0.0.192", false, true),
            ("fe80::1", false, true),
            ("127.0.0.1", false, false),
            ("::1", false, false),
            ("8.8.8.8", false, false),
            ("2606:4700::1111", false, false),
        ] {
            let address = text.parse().unwrap();
            assert_eq!((is_private(address), is_metadata(address)), (private, metadata), "{text}");
            let kinds = [private, metadata, is_public(address)];
            assert!(kinds.iter().filter(|is| **is).count() <= 1, "{text}");
        }
    }

    #[test]
    fn only_what_is_reachable_from_everywhere_is_public() {
        for (text, expected) in [
            ("8.8.8.8", true),
            ("93.184.216.34", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("223.255.255.255", true),
            ("100.63.255.255", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.255", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("169.254.169.254", false),
            ("172.16.0.0", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("2a00::1", true),
            ("::1", false),
            ("::", false),
            ("::ffff:8.8.8.8", false),
            ("::ffff:127.0.0.1", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("2002:7f00:1::", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b:1::8.8.8.8", false),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
        }
    }
}
