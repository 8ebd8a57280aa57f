//! Orders to the kernel about links, addresses and routes, as bytes (rtnetlink(7)), and its answers.
//!
//! A dozen fields of four messages; whatever else the kernel says is not read. It opens nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
/// `NLMSG_ERROR`: also what an acknowledgement is, with no error in it.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ASK: u16 = 0x5;
/// `NLM_F_CREATE | NLM_F_REPLACE`.
const CREATE_OR_REPLACE: u16 = 0x500;
const HEADER: usize = 16;
const IPV4: u8 = 2;
const LINK_UP: u32 = 1;
const LINK_RUNNING: u32 = 0x40;

/// One order; its number comes back in the kernel's answer.
fn order(kind: u16, flags: u16, number: u32, fixed: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((ASK | flags).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(fixed);
    for (name, value) in attributes {
        let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(name.to_ne_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
    if let Some(place) = bytes.first_chunk_mut::<4>() {
        *place = length;
    }
    bytes
}

/// Brings a link up, and sets its largest packet if one is given.
#[must_use]
pub fn link_up(number: u32, link: u32, mtu: Option<u16>) -> Vec<u8> {
    let mut fixed = vec![0; 4];
    fixed.extend(link.to_ne_bytes());
    fixed.extend(LINK_UP.to_ne_bytes());
    fixed.extend(LINK_UP.to_ne_bytes());
    let mtu = mtu.map(|mtu| u32::from(mtu).to_ne_bytes());
    // `IFLA_MTU`.
    let attributes: Vec<(u16, &[u8])> = mtu.iter().map(|mtu| (4, &mtu[..])).collect();
    order(NEW_LINK, 0, number, &fixed, &attributes)
}

/// Gives a link an address, or an address that it has more time. The kernel takes it away when the time is over, whoever is left to
/// ask it.
#[must_use]
pub fn address(number: u32, link: u32, address: Ipv4Addr, prefix: u8, time: Duration) -> Vec<u8> {
    let mut fixed = vec![IPV4, prefix, 0, 0];
    fixed.extend(link.to_ne_bytes());
    let four = address.octets();
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX).to_ne_bytes();
    // `ifa_cacheinfo`: preferred, valid, and two that the kernel fills.
    let times = [&seconds[..], &seconds, &[0; 8]].concat();
    // `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_CACHEINFO`.
    let attributes: [(u16, &[u8]); 3] = [(1, &four), (2, &four), (6, &times)];
    order(NEW_ADDRESS, CREATE_OR_REPLACE, number, &fixed, &attributes)
}

/// Takes an address away, and with it every route that needs it.
#[must_use]
pub fn no_address(number: u32, link: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut fixed = vec![IPV4, prefix, 0, 0];
    fixed.extend(link.to_ne_bytes());
    order(DELETE_ADDRESS, 0, number, &fixed, &[(2, &address.octets())])
}

/// Makes a route: over a router, or on the link itself for an unspecified one.
#[must_use]
pub fn route(number: u32, link: u32, route: &super::dhcp::Route, from: Ipv4Addr) -> Vec<u8> {
    let is_link = route.via.is_unspecified();
    // The main table, by DHCP (`RTPROT_DHCP`), for the link or for everywhere, unicast.
    let scope = if is_link { 253 } else { 0 };
    let fixed = [IPV4, route.prefix, 0, 0, 254, 16, scope, 1, 0, 0, 0, 0];
    let (to, via, from, link) =
        (route.to.octets(), route.via.octets(), from.octets(), link.to_ne_bytes());
    // `RTA_OIF`, `RTA_PREFSRC`, `RTA_DST`, `RTA_GATEWAY`.
    let mut attributes: Vec<(u16, &[u8])> = vec![(4, &link), (7, &from)];
    if route.prefix > 0 {
        attributes.push((1, &to));
    }
    if !is_link {
        attributes.push((5, &via));
    }
    order(NEW_ROUTE, CREATE_OR_REPLACE, number, &fixed, &attributes)
}

/// What the kernel says of order `number`: 0 or an error; nothing when these bytes are about something else.
#[must_use]
pub fn verdict(bytes: &[u8], number: u32) -> Option<i32> {
    messages(bytes).find_map(|(kind, of, body)| {
        let code = i32::from_ne_bytes(*body.first_chunk::<4>()?);
        (kind == ERROR && of == number).then_some(code.wrapping_neg())
    })
}

/// Whether the link is up and there is something at its other end, if these bytes say so.
#[must_use]
pub fn is_running(bytes: &[u8], link: u32) -> Option<bool> {
    let all = messages(bytes).filter_map(|(kind, _, body)| {
        let of = u32::from_ne_bytes(*body.get(4..)?.first_chunk::<4>()?);
        let flags = u32::from_ne_bytes(*body.get(8..)?.first_chunk::<4>()?);
        (kind == NEW_LINK && of == link).then_some(flags & LINK_RUNNING != 0)
    });
    all.last()
}

/// The messages in a datagram: kind, number and body of each.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk::<4>()?)).ok()?;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk::<2>()?);
        let number = u32::from_ne_bytes(*rest.get(8..)?.first_chunk::<4>()?);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, number, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dhcp::Route;

    #[test]
    fn orders_are_as_the_kernel_reads_them() {
        let bytes = link_up(7, 2, Some(1_460));
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[..4], 40_u32.to_ne_bytes());
        assert_eq!(bytes[36..40], 1_460_u32.to_ne_bytes());
        assert_eq!(link_up(7, 2, None).len(), 32);
        let one = Ipv4Addr::new(10, 0, 0, 7);
        let bytes = address(8, 2, one, 24, Duration::from_secs(60));
        assert_eq!((bytes.len(), bytes[17]), (16 + 8 + 8 + 8 + 20, 24));
        let default =
            Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via: Ipv4Addr::new(10, 0, 0, 1) };
        assert_eq!(route(9, 2, &default, one).len(), 16 + 12 + 8 + 8 + 8);
        let link = Route { to: one, prefix: 32, via: Ipv4Addr::UNSPECIFIED };
        assert_eq!(route(9, 2, &link, one)[22], 253);
    }

    #[test]
    fn answers_are_found_by_their_number() {
        let answer = |number, error: i32| {
            let mut bytes = order(ERROR, 0, number, &error.to_ne_bytes(), &[]);
            bytes.extend([0; 16]);
            let length = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes
        };
        assert_eq!(verdict(&answer(3, 0), 3), Some(0));
        assert_eq!(verdict(&answer(3, -17), 3), Some(17));
        assert_eq!(verdict(&answer(4, 0), 3), None);
        let both = [answer(4, 0), answer(3, -1)].concat();
        assert_eq!(verdict(&both, 3), Some(1));
        for length in 0..20 {
            assert_eq!(verdict(&both[..length], 4), None, "{length}");
        }
        // A length of nothing ends the reading.
        assert_eq!(verdict(&[0; 64], 0), None);
    }

    #[test]
    fn the_state_of_our_link_is_read_and_no_other() {
        let mut bytes = link_up(0, 2, None);
        assert_eq!(is_running(&bytes, 2), Some(false));
        bytes[24] |= 0x40;
        assert_eq!(is_running(&bytes, 2), Some(true));
        assert_eq!(is_running(&bytes, 3), None);
    }
}
