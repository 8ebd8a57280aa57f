//! PID 1 on the image: the boot as a list of phases, and then the machine for as long as it runs.
//!
//! Each phase does one thing, or ends the boot with one line on the console. There is no shell, no rescue and nothing that adds one: a
//! machine that cannot be what it must be goes off, or starts again where what failed lies outside it. PID 1 reads what the kernel, the
//! firmware and the operator say, and of other processes one fixed record ([`crate::net::news`]) and one byte.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, setrlimit};
use rustix::system::{RebootCommand, reboot};
use ward_policy::audit::Role;
use ward_policy::cell::gives_way;
use ward_policy::limit;
use ward_sys::cell::guard;
use ward_sys::signals::Signals;

use crate::code::{self, Code};
use crate::config::Config;
use crate::console::{Console, Field};
use crate::dmi::{self, Cloud};
use crate::net::link::Link;
use crate::power::PowerButton;
use crate::watchdog::Watchdog;

use configure::Secrets;
use fault::Fault;
use happening::{Budget, Happening};

mod check;
mod configure;
mod entropy;
mod fault;
mod happening;
mod mounts;
mod network;
mod running;
mod servers;

/// What came of a phase.
type Done = Result<(), Fault>;

/// What becomes of a machine whose boot has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// It goes off. What is wrong is in the image, its configuration or its machine, and would be wrong the next time.
    PowerOff,
    /// It starts again after [`limit::REBOOT_DELAY`]. What is wrong lies outside, and may be mended by then.
    Restart,
}

/// One step of the boot.
struct Phase {
    name: &'static str,
    /// Why it is there, and why at this place: for who reads this list.
    #[expect(dead_code, reason = "a reader's, not the program's")]
    why: &'static str,
    action: fn(&mut Boot) -> Done,
    otherwise: Otherwise,
}

/// The boot.
const PHASES: [Phase; 8] = [
    Phase {
        name: "mounts",
        why: "everything after it asks the kernel through files",
        action: mounts::run,
        otherwise: Otherwise::PowerOff,
    },
    Phase {
        name: "check",
        why: "nothing is read, and nobody spoken to, on a kernel that is not the one that was built",
        action: check::run,
        otherwise: Otherwise::PowerOff,
    },
    Phase {
        name: "senses",
        why: "from here on a button is heard, a child's end is seen, and a hang starts the machine again",
        action: senses,
        otherwise: Otherwise::PowerOff,
    },
    Phase {
        name: "entropy",
        why: "the next phases make numbers that nobody may guess",
        action: entropy::run,
        otherwise: Otherwise::Restart,
    },
    Phase {
        name: "configuration",
        why: "it names the role and the time servers; no network is needed to see that it is wrong",
        action: configure::run,
        otherwise: Otherwise::PowerOff,
    },
    Phase {
        name: "network",
        why: "name servers are among what the network says",
        action: network::run,
        otherwise: Otherwise::Restart,
    },
    Phase {
        name: "clock",
        why: "certificates and tickets have dates",
        action: network::clock,
        otherwise: Otherwise::Restart,
    },
    Phase {
        name: "servers",
        why: "the last: whoever connects finds everything there",
        action: servers::run,
        otherwise: Otherwise::PowerOff,
    },
];

/// Everything that PID 1 has.
struct Boot {
    console: Console,
    signals: Option<Signals>,
    power: Option<PowerButton>,
    watchdog: Option<Watchdog>,
    cloud: Option<Cloud>,
    config: Option<Config>,
    secrets: Secrets,
    link: Option<Link>,
    hypervisors_clock: Option<OwnedFd>,
    network: Option<network::Role>,
    network_budget: Budget,
    /// What the network role has said so far.
    name_servers: Vec<Ipv4Addr>,
    is_confirmed: bool,
    is_asked: bool,
    cells: Option<servers::Cells>,
    supervisor: Option<Pid>,
    supervisor_budget: Budget,
    /// Seen, and not looked at yet.
    waiting: VecDeque<Happening>,
}

impl Boot {
    fn new(console: Console) -> Self {
        Self {
            console,
            signals: None,
            power: None,
            watchdog: None,
            cloud: None,
            config: None,
            secrets: Secrets::new(),
            link: None,
            hypervisors_clock: None,
            network: None,
            network_budget: Budget::default(),
            name_servers: Vec::new(),
            is_confirmed: false,
            is_asked: false,
            cells: None,
            supervisor: None,
            supervisor_budget: Budget::default(),
            waiting: VecDeque::new(),
        }
    }

    fn say(&self, code: Code, fields: &[Field<'_>]) {
        self.console.say(code, fields);
    }

    /// Says what a phase, or the machine later, has come to grief on.
    fn confess(&self, phase: &str, fault: &Fault, otherwise: Otherwise) {
        let then = match otherwise {
            Otherwise::PowerOff => "power_off",
            Otherwise::Restart => "restart",
        };
        let mut fields: Vec<Field<'_>> = vec![("phase", &phase), ("then", &then)];
        fields.extend(fault.fields.iter().map(|(name, value)| {
            let value: &dyn std::fmt::Display = value;
            (*name, value)
        }));
        self.say(fault.code, &fields);
    }

    /// The end of everything; the kernel does not come back from it.
    fn end(self, otherwise: Otherwise) -> ExitCode {
        // Nothing of a call is done any more while the machine goes.
        end_everyone();
        let command = match otherwise {
            Otherwise::PowerOff => {
                self.say(code::POWER_OFF, &[]);
                RebootCommand::PowerOff
            }
            Otherwise::Restart => {
                let delay = limit::REBOOT_DELAY.as_secs();
                self.say(code::RESTART, &[("delay_s", &delay)]);
                pause(self.watchdog, limit::REBOOT_DELAY);
                RebootCommand::Restart
            }
        };
        std::thread::sleep(limit::CONSOLE_DRAIN);
        reboot(command).unwrap_or_default();
        // A kernel that refuses even that stops when PID 1 ends, and starts again.
        ExitCode::FAILURE
    }
}

/// Ends every process but this one.
fn end_everyone() {
    // Anywhere but on the image that would be everything of the user's.
    if std::process::id() == 1 {
        // -1, as kill(2) has it: a group of this number there is not.
        kill_process_group(Pid::INIT, Signal::KILL).unwrap_or_default();
    }
}

/// Waits, and speaks to the watchdog meanwhile.
fn pause(mut watchdog: Option<Watchdog>, length: Duration) {
    let until = crate::console::now().saturating_add(length);
    while crate::console::now() < until {
        if let Some(watchdog) = &mut watchdog {
            watchdog.tick(crate::console::now());
        }
        std::thread::sleep(limit::DISKS_PAUSE);
    }
}

/// Boots the machine and keeps it; returns only when the kernel refuses to end it.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|place| {
        let line = place.location().map_or(0, std::panic::Location::line);
        Console::open().say(code::BUG, &[("line", &line)]);
    }));
    let mut boot = Boot::new(Console::open());
    for phase in &PHASES {
        if let Err(fault) = (phase.action)(&mut boot) {
            let otherwise = after(&fault, phase.otherwise);
            boot.confess(phase.name, &fault, otherwise);
            return boot.end(otherwise);
        }
    }
    let (fault, otherwise) = running::run(&mut boot);
    if let Some(fault) = fault {
        boot.confess("running", &fault, otherwise);
    }
    boot.end(otherwise)
}

/// What becomes of a machine after a phase that failed. Whoever presses the button wants it off, whatever it was doing.
fn after(fault: &Fault, otherwise: Otherwise) -> Otherwise {
    if fault.code == code::POWER_BUTTON { Otherwise::PowerOff } else { otherwise }
}

/// The phase that opens what PID 1 waits on, and gives up what it does not need.
fn senses(boot: &mut Boot) -> Done {
    guard().map_err(|_layer| Fault::new(code::SYSTEM_REFUSED).with("what", "guard"))?;
    // What the kernel begins with is for a machine of another size; each cell takes what it needs of this.
    let most = Some(DESCRIPTORS_MAX);
    let files = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    files.map_err(|error| Fault::system("descriptors", &error.into()))?;
    // Inherited by everyone, who each raise it in their cell.
    let place = gives_way(Role::Init).to_string();
    let placed = std::fs::write("/proc/self/oom_score_adj", place);
    placed.map_err(|error| Fault::system("oom_score_adj", &error))?;
    let signals = Signals::open().map_err(|error| Fault::system("signals", &error))?;
    boot.signals = Some(signals);
    // A machine without a button is told to stop in no other way, and is ended by its host. Azure's has none: its host speaks to a driver,
    // which would start a helper program, and there is none.
    let is_azure = Cloud::of(Path::new(dmi::FIRMWARE)) == Some(Cloud::Azure);
    boot.power = PowerButton::open().ok().filter(|_| !is_azure);
    boot.watchdog = Watchdog::open(crate::console::now());
    let has = |is_there: bool| if is_there { "yes" } else { "no" };
    boot.say(
        code::WATCHDOG,
        &[("there", &has(boot.watchdog.is_some())), ("power_button", &has(boot.power.is_some()))],
    );
    Ok(())
}

/// What one process may have at most: the kernel's own limit for that (`fs.nr_open`).
const DESCRIPTORS_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_started_before_the_kernel_is_known_and_the_servers_come_last() {
        let names: Vec<&str> = PHASES.iter().map(|phase| phase.name).collect();
        let at = |name: &str| names.iter().position(|one| *one == name).unwrap();
        assert!(at("mounts") < at("check") && at("check") < at("entropy"));
        assert!(at("configuration") < at("network") && at("network") < at("clock"));
        assert_eq!(at("servers"), PHASES.len() - 1);
        // What would be wrong the next time, too, does not begin a circle.
        for name in ["mounts", "check", "configuration", "servers"] {
            assert_eq!(PHASES[at(name)].otherwise, Otherwise::PowerOff, "{name}");
        }
    }

    #[test]
    fn the_button_ends_a_machine_in_every_phase() {
        for phase in &PHASES {
            let pressed = after(&Fault::new(code::POWER_BUTTON), phase.otherwise);
            assert_eq!(pressed, Otherwise::PowerOff, "{}", phase.name);
            let late = after(&Fault::new(code::NETWORK_LATE), phase.otherwise);
            assert_eq!(late, phase.otherwise, "{}", phase.name);
        }
    }

    #[test]
    fn nothing_waits_for_as_long_as_the_watchdog_does() {
        // Phases wait in `Boot::next`, which speaks to it; what sleeps beside that is far shorter, in sum.
        let slept = limit::KEPT_DELAY.saturating_mul(limit::KEPT_STARTS_MAX.saturating_add(1));
        let most = slept.max(limit::DISKS_PAUSE).saturating_add(limit::CONSOLE_DRAIN);
        assert!(most.saturating_add(limit::WATCHDOG_INTERVAL) < limit::WATCHDOG_TIMEOUT);
    }
}
