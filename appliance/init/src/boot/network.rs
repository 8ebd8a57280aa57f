//! Starts the network role, and waits for an address and for a date.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::FdFlags;
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};
use ward_policy::cell::Target;
use ward_policy::limit;

use super::fault::Fault;
use super::happening::Happening;
use super::{Boot, Done};
use crate::code;
use crate::console::now;
use crate::dmi::Cloud;
use crate::launch;
use crate::net::link::Link;
use crate::net::news::News;
use crate::net::sntp;

/// The running network role.
pub(super) struct Role {
    pub(super) pid: Pid,
    pub(super) news: OwnedFd,
}

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    let until = now().saturating_add(limit::NETWORK_DEADLINE);
    boot.link = loop {
        match Link::first() {
            // Cards come later than PID 1, as disks do.
            None if now() < until => std::thread::sleep(limit::DISKS_PAUSE),
            None => return Err(Fault::new(code::LINK_ABSENT)),
            found => break found,
        }
    };
    boot.hypervisors_clock = hypervisors_clock();
    start(boot)?;
    loop {
        match boot.next(until) {
            Some(Happening::News(News::Address { .. })) => return Ok(()),
            Some(Happening::NetworkEnded(status, signal)) => again(boot, status, signal)?,
            Some(Happening::Stop) => return Err(Fault::new(code::POWER_BUTTON)),
            Some(_) => {}
            None => {
                let waited = limit::NETWORK_DEADLINE.as_secs();
                return Err(Fault::new(code::NETWORK_LATE).with("seconds", waited));
            }
        }
    }
}

/// The phase after it: a date that somebody has confirmed, or one that is possible.
pub(super) fn clock(boot: &mut Boot) -> Done {
    let until = now().saturating_add(limit::CLOCK_DEADLINE);
    while !boot.is_asked {
        match boot.next(until) {
            Some(Happening::NetworkEnded(status, signal)) => again(boot, status, signal)?,
            Some(Happening::Stop) => return Err(Fault::new(code::POWER_BUTTON)),
            Some(_) => {}
            None => break,
        }
    }
    if boot.is_confirmed {
        return Ok(());
    }
    let date = clock_gettime(ClockId::Realtime);
    sntp::is_plausible(date.tv_sec.saturating_mul(1_000_000_000)).map_err(|refusal| {
        Fault::new(code::CLOCK_IMPOSSIBLE).with("why", refusal).with("seconds", date.tv_sec)
    })?;
    // The firmware's clock, which is the hypervisor's. The role goes on asking.
    boot.say(code::CLOCK_UNCONFIRMED, &[("seconds", &date.tv_sec)]);
    Ok(())
}

/// Starts it again after its end.
pub(super) fn again(boot: &mut Boot, status: i32, signal: i32) -> Done {
    let ends = boot.network_budget.ends;
    boot.say(code::NETWORK_ENDED, &[("status", &status), ("signal", &signal), ("ends", &ends)]);
    if boot.network_budget.is_spent(now()) {
        return Err(Fault::new(code::BUDGET).with("role", "net").with("ends", ends));
    }
    std::thread::sleep(limit::KEPT_DELAY.saturating_mul(ends.saturating_add(1)));
    start(boot)
}

fn start(boot: &mut Boot) -> Done {
    let Some(link) = boot.link else { return Err(Fault::new(code::LINK_ABSENT)) };
    let chosen = boot.config.as_ref().map(|config| config.time_servers.clone());
    let mut times = chosen.unwrap_or_default();
    if times.is_empty() {
        times.extend(boot.cloud.and_then(clouds_time));
    }
    let clock = boot.hypervisors_clock.as_ref();
    let started = spawn(link, &times, clock, boot.is_confirmed);
    boot.network = Some(started.map_err(|error| Fault::system("net", &error))?);
    Ok(())
}

/// A clock that its hypervisor keeps right, by the names that these drivers give themselves.
fn hypervisors_clock() -> Option<OwnedFd> {
    let name = std::fs::read_to_string("/sys/class/ptp/ptp0/clock_name").ok()?;
    let is_known = ["KVM virtual PTP", "hyperv"].contains(&name.trim());
    is_known.then(|| File::open("/dev/ptp0").ok()).flatten().map(OwnedFd::from)
}

/// Time servers that a cloud has at a fixed address.
const fn clouds_time(cloud: Cloud) -> Option<Ipv4Addr> {
    match cloud {
        // Amazon Time Sync Service; the metadata server (`metadata.google.internal`).
        Cloud::Aws => Some(Ipv4Addr::new(169, 254, 169, 123)),
        Cloud::Gcp => Some(Ipv4Addr::new(169, 254, 169, 254)),
        Cloud::Azure | Cloud::Other => None,
    }
}

/// A role that comes back finds a clock that others go by already, and is told so: else whoever can end it could set any date.
fn spawn(
    link: Link,
    times: &[Ipv4Addr],
    clock: Option<&OwnedFd>,
    is_set: bool,
) -> io::Result<Role> {
    let (news, theirs) = launch::control()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ward-init").arg("net").env_clear().process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.arg(format!("link={}", link.to_text()));
    command.arg(format!("launcher={}", std::process::id()));
    command.arg(format!("target={}", Target::Image.name()));
    for server in times {
        command.arg(format!("time={server}"));
    }
    if is_set {
        command.arg("clock=set");
    }
    let handed = [("news", Some(&theirs)), ("ptp", clock)];
    for (name, descriptor) in handed.iter().filter_map(|(name, one)| Some((name, (*one)?))) {
        command.arg(format!("{name}={}", descriptor.as_raw_fd()));
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
    }
    let child = command.spawn();
    if let Some(clock) = clock {
        rustix::io::fcntl_setfd(clock, FdFlags::CLOEXEC)?;
    }
    let pid = i32::try_from(child?.id()).ok().and_then(Pid::from_raw);
    Ok(Role { pid: pid.ok_or(io::ErrorKind::InvalidData)?, news })
}
