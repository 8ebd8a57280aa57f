//! The machine once it serves: keeps the supervisor and the network role, hears the power button, and lets calls finish before the end.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use ward_policy::limit;

use super::fault::Fault;
use super::happening::Happening;
use super::{Boot, Otherwise, end_everyone, network, servers};
use crate::code;
use crate::console::now;

/// Until the end; why, and what becomes of the machine.
pub(super) fn run(boot: &mut Boot) -> (Option<Fault>, Otherwise) {
    // When a drain has had all its time.
    let mut end = None;
    loop {
        let Some(happening) = boot.next(end.unwrap_or(Duration::MAX)) else {
            return (None, Otherwise::PowerOff);
        };
        let kept = match happening {
            Happening::News(_) => Ok(()),
            Happening::Ready => {
                boot.say(code::READY, &[("port", &443)]);
                Ok(())
            }
            Happening::NetworkEnded(status, signal) => network::again(boot, status, signal),
            Happening::SupervisorEnded(status, signal) if end.is_some() => {
                boot.say(code::DRAINED, &[("status", &status), ("signal", &signal)]);
                return (None, Otherwise::PowerOff);
            }
            Happening::SupervisorEnded(status, signal) => again(boot, status, signal),
            Happening::Stop => {
                boot.say(code::POWER_BUTTON, &[]);
                // The first lets calls finish, the second ends them: the supervisor counts.
                let patience = limit::DRAIN_DEADLINE.saturating_add(limit::END_DEADLINE);
                let patience = patience.saturating_add(limit::END_DEADLINE);
                end = end.or_else(|| now().checked_add(patience));
                boot.say(code::DRAINING, &[("longest_s", &limit::DRAIN_DEADLINE.as_secs())]);
                if let Some(supervisor) = boot.supervisor {
                    kill_process(supervisor, Signal::TERM).unwrap_or_default();
                }
                Ok(())
            }
        };
        if let Err(fault) = kept {
            return (Some(fault), after(end.is_some()));
        }
    }
}

/// What becomes of a machine that has come to grief: one that was told to end does.
const fn after(is_ending: bool) -> Otherwise {
    if is_ending { Otherwise::PowerOff } else { Otherwise::Restart }
}

/// The supervisor has ended although nobody told it to. What it kept is ended, too, so that the next finds nobody in its place: it has no
/// way to know them.
fn again(boot: &mut Boot, status: i32, signal: i32) -> super::Done {
    if matches!(status, 64..=69) {
        return Err(servers::ended(status, signal));
    }
    boot.say(code::ENDED, &[("status", &status), ("signal", &signal)]);
    if boot.supervisor_budget.is_spent(now()) {
        return Err(Fault::new(code::BUDGET).with("role", "init"));
    }
    // The network role comes back with the address that it had.
    end_everyone();
    std::thread::sleep(limit::KEPT_DELAY.saturating_mul(boot.supervisor_budget.ends));
    servers::start(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_told_to_end_does_not_start_again() {
        assert_eq!(after(true), Otherwise::PowerOff);
        assert_eq!(after(false), Otherwise::Restart);
    }
}
