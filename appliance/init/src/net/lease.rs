//! What an answer may make of this machine: a [`Lease`], or the name of what would be wrong with following it.
//!
//! Whoever answers first on a link can be anyone. This decides what they cannot do: take the machine's own addresses, send its traffic
//! round in circles, starve it with tiny packets, or keep it busy with tiny leases. It opens nothing.

use std::net::Ipv4Addr;
use std::time::Duration;

use ward_policy::limit;

use super::dhcp::{Answer, Route};
use super::refusal::Refusal;

/// Everything that an acknowledged answer gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Ours.
    pub address: Ipv4Addr,
    /// How many of its bits the link shares.
    pub prefix: u8,
    /// Whom it is from.
    pub server: Ipv4Addr,
    /// Where packets go, in the order in which the routes are to be made.
    pub routes: Vec<Route>,
    /// Who is asked for names.
    pub name_servers: Vec<Ipv4Addr>,
    /// Who is asked for the time.
    pub time_servers: Vec<Ipv4Addr>,
    /// The largest packet, in bytes.
    pub mtu: Option<u16>,
    /// How long it is ours.
    pub length: Duration,
    /// After how long its server is asked for more time.
    pub renew: Duration,
    /// After how long anyone is.
    pub rebind: Duration,
}

/// A time without an end (RFC 2132 §9.2). As a number of seconds it is 136 years, which no machine sees.
const FOREVER_S: u32 = u32::MAX;

/// Whether an address can be one host's.
fn is_host(address: Ipv4Addr) -> bool {
    let first = address.octets().first().copied().unwrap_or(0);
    first != 0 && first != 127 && first < 224
}

fn mask_bits(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// The length of a mask without holes; a whole class A is the widest that is believed.
fn prefix_of(mask: u32) -> Option<u8> {
    let prefix = u8::try_from(mask.leading_ones()).ok()?;
    (mask_bits(prefix) == mask && prefix >= 8).then_some(prefix)
}

impl Lease {
    /// Judges an acknowledgement.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn of(answer: &Answer) -> Result<Self, Refusal> {
        let server = answer.server.filter(|server| is_host(*server)).ok_or(Refusal::Server)?;
        let address = answer.address;
        // Link-local is what a host gives itself; no server gives it.
        if !is_host(address) || address.is_link_local() {
            return Err(Refusal::Address);
        }
        let mask = answer.mask.ok_or(Refusal::Mask)?;
        let prefix = prefix_of(mask).ok_or(Refusal::Mask)?;
        let bits = u32::from(address);
        // The first and the last address of a network are nobody's, but where it has no others (RFC 3021).
        if prefix < 31 && (bits & !mask == 0 || bits | mask == u32::MAX) {
            return Err(Refusal::Address);
        }
        if answer.mtu.is_some_and(|mtu| !(limit::MTU_MIN..=limit::MTU_MAX).contains(&mtu)) {
            return Err(Refusal::Mtu);
        }
        // One that is nobody's, as some routers give beside a good one, costs itself and not the address.
        let others = |some: &[Ipv4Addr]| -> Vec<Ipv4Addr> {
            some.iter().copied().filter(|one| is_host(*one) && *one != address).collect()
        };
        let (name_servers, time_servers) =
            (others(&answer.name_servers), others(&answer.time_servers));
        let length = answer.lease_s.filter(|length| *length >= limit::LEASE_S_MIN);
        let length = length.ok_or(Refusal::Lease)?;
        // Half and seven eighths (RFC 2131 §4.4.5). A time that never comes, as Azure answers beside a lease without an end, is none.
        let told = |seconds: Option<u32>| seconds.filter(|seconds| *seconds != FOREVER_S);
        let usual = (length / 2, length.saturating_sub(length / 8));
        let renew = told(answer.renew_s).unwrap_or(usual.0);
        let rebind = told(answer.rebind_s).unwrap_or(usual.1);
        // Those that do not follow each other are none.
        let is_ordered = 0 < renew && renew < rebind && rebind < length;
        let (renew, rebind) = if is_ordered { (renew, rebind) } else { usual };
        Ok(Self {
            address,
            prefix,
            server,
            routes: routes(answer, address, mask)?,
            name_servers,
            time_servers,
            mtu: answer.mtu,
            length: Duration::from_secs(length.into()),
            renew: Duration::from_secs(renew.into()),
            rebind: Duration::from_secs(rebind.into()),
        })
    }
}

/// Option 121 where it is there, and then option 3 does not count (RFC 3442); routers that are not on the link get a route of their own
/// first, as on networks that give a machine nothing but itself.
fn routes(answer: &Answer, address: Ipv4Addr, mask: u32) -> Result<Vec<Route>, Refusal> {
    let mut wanted = answer.routes.clone();
    if wanted.is_empty() {
        let default = |via: &Ipv4Addr| Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via: *via };
        wanted.extend(answer.routers.first().map(default));
    }
    let mut routes: Vec<Route> = Vec::new();
    for mut route in wanted {
        // What is past its prefix does not count (RFC 3442).
        let to = u32::from(route.to) & mask_bits(route.prefix);
        route.to = Ipv4Addr::from(to);
        let is_everything = route.prefix == 0;
        // The machine's own, and everybody's, never go over a router; nor does half the world at a time, but for all of it.
        let is_fine = if is_everything { to == 0 } else { is_host(route.to) };
        if !is_fine {
            return Err(Refusal::Route);
        }
        if !route.via.is_unspecified() {
            if !is_host(route.via) || route.via == address {
                return Err(Refusal::Router);
            }
            let via = u32::from(route.via);
            let is_on_link = via & mask == u32::from(address) & mask;
            let covers = |one: &Route| {
                let bits = mask_bits(one.prefix);
                one.via.is_unspecified() && via & bits == u32::from(one.to) & bits
            };
            if !is_on_link && !routes.iter().any(covers) {
                let link = Ipv4Addr::UNSPECIFIED;
                routes.push(Route { to: route.via, prefix: 32, via: link });
            }
        } else if is_everything {
            return Err(Refusal::Route);
        }
        routes.push(route);
    }
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dhcp::Kind;

    fn answer() -> Answer {
        Answer {
            number: 1,
            hardware: [2; 6],
            kind: Kind::Ack,
            address: Ipv4Addr::new(10, 0, 0, 7),
            server: Some(Ipv4Addr::new(10, 0, 0, 1)),
            mask: Some(0xffff_ff00),
            routers: vec![Ipv4Addr::new(10, 0, 0, 1)],
            name_servers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            time_servers: vec![],
            mtu: None,
            lease_s: Some(3_600),
            renew_s: None,
            rebind_s: None,
            routes: vec![],
            search: 0,
        }
    }

    fn check(change: impl FnOnce(&mut Answer)) -> Result<Lease, Refusal> {
        let mut answer = answer();
        change(&mut answer);
        Lease::of(&answer)
    }

    #[test]
    fn an_ordinary_answer_is_followed() {
        let lease = check(|_| {}).unwrap();
        assert_eq!(
            (lease.prefix, lease.renew.as_secs(), lease.rebind.as_secs()),
            (24, 1_800, 3_150)
        );
        let via = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(lease.routes, [Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via }]);
    }

    #[test]
    fn a_network_of_one_reaches_its_router_first() {
        // As GCP answers: a mask of 32 bits, and the router by option 121.
        let router = Ipv4Addr::new(10, 128, 0, 1);
        let link = Ipv4Addr::UNSPECIFIED;
        let to_router = Route { to: router, prefix: 32, via: link };
        let default = Route { to: link, prefix: 0, via: router };
        for routes in [vec![to_router, default], vec![default]] {
            let lease = check(|answer| {
                (answer.mask, answer.routes) = (Some(u32::MAX), routes);
                answer.routers = vec![Ipv4Addr::new(127, 0, 0, 1)];
            });
            // The router of option 3 does not count beside it, right or wrong.
            assert_eq!(lease.unwrap().routes, [to_router, default]);
        }
    }

    #[test]
    fn a_lease_may_be_without_an_end() {
        // As Azure answers: all three times are the largest number there is.
        let forever = Some(u32::MAX);
        let lease = check(|answer| {
            (answer.lease_s, answer.renew_s, answer.rebind_s) = (forever, forever, forever);
        });
        let lease = lease.unwrap();
        assert!(lease.renew > Duration::from_secs(60 * 365 * 86_400), "{lease:?}");
        assert!(lease.renew < lease.rebind && lease.rebind < lease.length, "{lease:?}");
        // A server that wants to be asked all the same is.
        let lease = check(|answer| (answer.lease_s, answer.renew_s) = (forever, Some(1_800)));
        assert_eq!(lease.unwrap().renew.as_secs(), 1_800);
    }

    #[test]
    fn what_is_odd_and_harmless_costs_no_address() {
        let ip = Ipv4Addr::new;
        for odd in [ip(0, 0, 0, 0), ip(127, 0, 0, 53), ip(255, 255, 255, 255), ip(10, 0, 0, 7)] {
            let lease = check(|answer| answer.name_servers.insert(0, odd)).unwrap();
            assert_eq!(lease.name_servers, [ip(10, 0, 0, 2)]);
        }
        for (renew, rebind) in [(0, 100), (100, 100), (200, 100), (100, 3_600), (100, u32::MAX - 1)]
        {
            let change = |answer: &mut Answer| {
                (answer.renew_s, answer.rebind_s) = (Some(renew), Some(rebind));
            };
            let lease = check(change).unwrap();
            assert_eq!((lease.renew.as_secs(), lease.rebind.as_secs()), (1_800, 3_150));
        }
        let via = ip(10, 0, 0, 1);
        let lease = check(|answer| {
            answer.routes = vec![Route { to: ip(10, 1, 1, 0), prefix: 16, via }];
        });
        assert_eq!(lease.unwrap().routes, [Route { to: ip(10, 1, 0, 0), prefix: 16, via }]);
    }

    #[test]
    fn hostile_answers_are_refused_by_name() {
        let ip = Ipv4Addr::new;
        let route = |to, prefix, via| vec![Route { to, prefix, via }];
        let near = ip(10, 0, 0, 1);
        let mut rows: Vec<(Result<Lease, Refusal>, Refusal)> = Vec::new();
        for wrong in [ip(0, 0, 0, 0), ip(127, 0, 0, 1), ip(224, 0, 0, 1), ip(255, 255, 255, 255)] {
            rows.push((check(|answer| answer.address = wrong), Refusal::Address));
            rows.push((check(|answer| answer.server = Some(wrong)), Refusal::Server));
            // One that is nobody would be a route to everywhere over nobody.
            let name = if wrong.is_unspecified() { Refusal::Route } else { Refusal::Router };
            rows.push((check(|answer| answer.routers = vec![wrong]), name));
        }
        for wrong in [ip(10, 0, 0, 0), ip(10, 0, 0, 255), ip(169, 254, 1, 1), ip(240, 0, 0, 1)] {
            rows.push((check(|answer| answer.address = wrong), Refusal::Address));
        }
        rows.push((check(|answer| answer.server = None), Refusal::Server));
        for mask in [None, Some(0), Some(0xff00_ff00), Some(0xfe00_0000), Some(0x0000_00ff)] {
            rows.push((check(|answer| answer.mask = mask), Refusal::Mask));
        }
        rows.push((check(|answer| answer.routers = vec![answer.address]), Refusal::Router));
        for mtu in [0, 68, 575, 9_217, u16::MAX] {
            rows.push((check(|answer| answer.mtu = Some(mtu)), Refusal::Mtu));
        }
        for lease in [None, Some(0), Some(59)] {
            rows.push((check(|answer| answer.lease_s = lease), Refusal::Lease));
        }
        for (routes, name) in [
            (route(ip(127, 0, 0, 0), 8, near), Refusal::Route),
            (route(ip(224, 0, 0, 0), 4, near), Refusal::Route),
            (route(ip(0, 0, 0, 0), 1, near), Refusal::Route),
            (route(ip(0, 0, 0, 0), 0, ip(0, 0, 0, 0)), Refusal::Route),
            (route(ip(10, 1, 0, 0), 16, ip(127, 0, 0, 1)), Refusal::Router),
            (route(ip(10, 1, 0, 0), 16, ip(10, 0, 0, 7)), Refusal::Router),
        ] {
            rows.push((check(|answer| answer.routes = routes), name));
        }
        assert!(rows.len() > 30);
        for (index, (got, name)) in rows.into_iter().enumerate() {
            assert_eq!(got.err(), Some(name), "row {index}");
        }
    }
}
