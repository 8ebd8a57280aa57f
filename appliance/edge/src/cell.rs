//! A server's way into its cell: layers on, outcome logged, and the filter as the last step.
//!
//! It never makes a system call itself and never decides what is demanded.

use ward_policy::audit::{Event, Role};
use ward_policy::cell::{Layer, Outcome, Target};
use ward_policy::limit;
use ward_sys::cell::{Applied, Cell, Stop};
use ward_sys::process::end_with;
use ward_sys::seccomp::Filter;

use crate::handed::Handed;
use crate::log::Log;
use crate::start::StartError;

/// A process inside its cell, but for the filter.
#[derive(Debug)]
pub struct Entered {
    target: Target,
    outcomes: [Outcome; Layer::ALL.len()],
    filter: Filter,
}

/// Puts every layer but the filter on. Must be called before anything is opened and any thread started.
/// `ports` are those that a role that dials may connect to.
///
/// # Errors
/// [`StartError::Cell`] after an event that names the layer.
pub fn enter(
    role: Role,
    target: Target,
    handed: &Handed,
    ports: &[u16],
    log: &Log,
) -> Result<Entered, StartError> {
    let most = descriptors_max(role, handed.listeners.len());
    let cell = Cell {
        role,
        target,
        descriptors: handed.numbers.clone(),
        descriptors_max: u64::try_from(most).unwrap_or(u64::MAX),
        ports: ports.to_vec(),
        // A place that it writes in is there already, as long as it will ever be.
        file_bytes_max: if handed.kept.is_some() {
            u64::try_from(limit::KEPT_BYTES).unwrap_or(u64::MAX)
        } else {
            0
        },
    };
    let mut outcomes = [Outcome::AbsentByDesign; Layer::ALL.len()];
    let note = |applied: Applied| {
        let place = Layer::ALL.iter().position(|layer| *layer == applied.layer);
        if let Some(slot) = place.and_then(|place| outcomes.get_mut(place)) {
            *slot = applied.outcome;
        }
    };
    // What the cell costs is measured against a build without it, `tests/bench/zone`; no manifest can ask for one.
    #[cfg(not(without_cell))]
    cell.enter(note).map_err(|stop| refused(stop, log))?;
    #[cfg(without_cell)]
    let _unused = note;
    if handed.launcher.is_some_and(|launcher| !end_with(launcher)) {
        return Err(StartError::System);
    }
    let filter = cell.filter().map_err(|stop| refused(stop, log))?;
    Ok(Entered { target, outcomes, filter })
}

/// Every call may have its vendors' connections beside its own.
const fn descriptors_max(role: Role, workers: usize) -> usize {
    let per_call = limit::VENDORS_PER_CALL_MAX.saturating_add(1);
    let calls = limit::CALLS_PER_WORKER_MAX.saturating_mul(per_call);
    let per_worker = calls.saturating_add(limit::PENDING_CONNECTIONS_MAX);
    let connections = match role {
        Role::Broker => limit::VENDOR_CONNECTIONS_MAX,
        Role::Init | Role::Net | Role::Log | Role::Sign | Role::Media | Role::Twiml => {
            workers.saturating_mul(per_worker)
        }
    };
    connections.saturating_add(limit::DESCRIPTORS_OF_A_PROCESS)
}

impl Entered {
    /// The filter that is still to be put on.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Puts the filter on every thread and says what the cell is made of.
    ///
    /// # Errors
    /// [`StartError::Cell`] after an event that names the layer.
    #[cfg_attr(without_cell, expect(unused_mut, reason = "nothing is put on"))]
    pub fn seal(mut self, log: &Log) -> Result<(), StartError> {
        #[cfg(not(without_cell))]
        if let Some(last) = self.outcomes.last_mut() {
            *last = Cell::seal(&self.filter).map_err(|stop| refused(stop, log))?.outcome;
        }
        log.record(&Event::CellEntered { target: self.target, outcomes: self.outcomes });
        Ok(())
    }
}

fn refused(stop: Stop, log: &Log) -> StartError {
    let Stop(Applied { layer, outcome, errno }) = stop;
    log.record(&Event::CellRefused { layer, outcome, errno });
    StartError::Cell
}
