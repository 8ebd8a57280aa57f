//! What of a lease a machine can do without: a largest packet that its card does not take, one route of several. It orders nothing itself.

use std::io;

use super::dhcp::Route;
use super::lease::Lease;

/// What the kernel is asked for, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step<'l> {
    /// The largest packet, in bytes.
    Mtu(u16),
    /// The address.
    Address,
    /// A route.
    Route(&'l Route),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Whether the machine can be reached, and reach others, with what was taken.
    pub(crate) is_usable: bool,
    /// Routes that were taken.
    pub(crate) routes: u8,
    /// The largest packet, if it was taken.
    pub(crate) mtu: Option<u16>,
    /// Every refusal.
    pub(crate) errors: Vec<io::Error>,
}

/// Follows `lease`, each step by `order`. Without the address nothing else is asked for; of the routes, the one to everywhere decides where
/// there is one, and otherwise any does.
pub(crate) fn follow(
    lease: &Lease,
    mut order: impl FnMut(&Step<'_>) -> io::Result<()>,
) -> Followed {
    let mut errors = Vec::new();
    let mut take = |step: Step<'_>| match order(&step) {
        Ok(()) => true,
        Err(error) => {
            errors.push(error);
            false
        }
    };
    let mtu = lease.mtu.filter(|mtu| take(Step::Mtu(*mtu)));
    if !take(Step::Address) {
        return Followed { is_usable: false, routes: 0, mtu, errors };
    }
    // In their order: the way to a router comes before what goes over it.
    let taken: Vec<&Route> = lease.routes.iter().filter(|route| take(Step::Route(route))).collect();
    let is_everywhere = |route: &Route| route.prefix == 0;
    let is_usable = if lease.routes.iter().any(is_everywhere) {
        taken.iter().any(|route| is_everywhere(route))
    } else {
        lease.routes.is_empty() || !taken.is_empty()
    };
    Followed { is_usable, routes: u8::try_from(taken.len()).unwrap_or(u8::MAX), mtu, errors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const EVERYWHERE: Route = Route { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via: ROUTER };
    const ONE: Route = Route { to: Ipv4Addr::new(10, 9, 0, 0), prefix: 16, via: ROUTER };

    fn lease(routes: &[Route]) -> Lease {
        let hour = Duration::from_secs(3_600);
        Lease {
            address: Ipv4Addr::new(10, 0, 0, 7),
            prefix: 24,
            server: ROUTER,
            routes: routes.to_vec(),
            name_servers: vec![],
            time_servers: vec![],
            mtu: Some(9_001),
            length: hour,
            renew: hour / 2,
            rebind: hour / 8 * 7,
        }
    }

    /// What becomes of a lease with these routes on a kernel that refuses `no`.
    fn check(routes: &[Route], no: &[Step<'_>]) -> (bool, u8, Option<u16>, usize) {
        let followed = follow(&lease(routes), |step| {
            if no.contains(step) { Err(io::Error::from_raw_os_error(22)) } else { Ok(()) }
        });
        (followed.is_usable, followed.routes, followed.mtu, followed.errors.len())
    }

    #[test]
    fn what_a_machine_can_do_without_is_told_and_passed_over() {
        let both = [ONE, EVERYWHERE];
        assert_eq!(check(&both, &[]), (true, 2, Some(9_001), 0));
        assert_eq!(check(&both, &[Step::Mtu(9_001)]), (true, 2, None, 1));
        assert_eq!(check(&both, &[Step::Route(&ONE)]), (true, 1, Some(9_001), 1));
        let two = [Step::Mtu(9_001), Step::Route(&ONE)];
        assert_eq!(check(&both, &two), (true, 1, None, 2));
        // A network that leads nowhere else is one, too.
        assert_eq!(check(&[], &[]), (true, 0, Some(9_001), 0));
        assert_eq!(check(&[ONE], &[]), (true, 1, Some(9_001), 0));
    }

    #[test]
    fn without_its_address_or_a_way_out_a_lease_is_none() {
        let both = [ONE, EVERYWHERE];
        assert_eq!(check(&both, &[Step::Address]), (false, 0, Some(9_001), 1));
        assert_eq!(check(&both, &[Step::Route(&EVERYWHERE)]), (false, 1, Some(9_001), 1));
        assert_eq!(check(&[ONE], &[Step::Route(&ONE)]), (false, 0, Some(9_001), 1));
    }
}
