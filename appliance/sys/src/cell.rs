//! Puts the layers of a cell on, in the order of `ward_policy::cell`, and says what came of each.
//!
//! The calling process must have one thread: most layers bind the thread that asks and those it starts
//! later. It never decides what is demanded, and it never goes on after a layer that the target demands
//! and does not get.

use std::os::fd::RawFd;

use ward_policy::audit::Role;
use ward_policy::cell::{Demand, Layer, Outcome, Target, demand, gives_way, powers, user};
use ward_policy::syscall::{Library, Profile};

use crate::seccomp::Filter;
use crate::{alloc, capability, confinement, descriptor, namespace};

/// Why a layer is not on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayerError {
    /// The kernel does not have it.
    #[error("the kernel does not have it")]
    Unsupported,
    /// The kernel has it and said no, with this error number.
    #[error("the kernel refused: error {0}")]
    Refused(i32),
}

impl From<rustix::io::Errno> for LayerError {
    fn from(error: rustix::io::Errno) -> Self {
        match error {
            rustix::io::Errno::NOSYS => Self::Unsupported,
            other => Self::Refused(other.raw_os_error()),
        }
    }
}

/// What a process is confined as.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Which role it plays.
    pub role: Role,
    /// On which kind of machine.
    pub target: Target,
    /// The descriptors it was handed; every other above 2 is closed.
    pub descriptors: Vec<RawFd>,
    /// How many descriptors it may ever have.
    pub descriptors_max: u64,
    /// The TCP ports it may connect to, where its role dials.
    pub ports: Vec<u16>,
    /// How far into a file it may write, in bytes: nowhere, unless it was handed a place to keep something in.
    pub file_bytes_max: u64,
}

/// A layer with what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Which.
    pub layer: Layer,
    /// What came of it.
    pub outcome: Outcome,
    /// The kernel's error number where it refused; otherwise 0.
    pub errno: i32,
}

/// The target demands a layer and did not get it: the process must not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the layer {} is {}", .0.layer.name(), .0.outcome.name())]
pub struct Stop(pub Applied);

/// What a process has that starts others and so can give up nothing that they need: nothing it executes gains
/// privileges, and nobody looks inside or finds its memory in a file.
///
/// # Errors
/// [`LayerError`] when the kernel refuses.
pub fn guard() -> Result<(), LayerError> {
    confinement::no_core_file()?;
    confinement::no_new_privileges()?;
    confinement::not_dumpable()
}

impl Cell {
    /// Puts on every layer but the filter. `seen` is told of each, the one that stops included.
    ///
    /// # Errors
    /// [`Stop`] with the layer that is demanded and not there.
    pub fn enter(&self, mut seen: impl FnMut(Applied)) -> Result<(), Stop> {
        let mut put_on = |layer, apply: &dyn Fn() -> Result<(), LayerError>| {
            let applied = self.put_on(layer, apply);
            seen(applied);
            let asked = demand(self.target, layer);
            if applied.outcome.satisfies(asked) { Ok(()) } else { Err(Stop(applied)) }
        };
        put_on(Layer::Descriptors, &|| descriptor::close_all_but(&self.descriptors))?;
        put_on(Layer::Limits, &|| {
            alloc::keep_memory()?;
            // Elsewhere that is the operator's.
            if self.target == Target::Image {
                let place = gives_way(self.role).to_string();
                namespace::write("/proc/self/oom_score_adj", &place)?;
            }
            confinement::limit_resources(self.descriptors_max, self.file_bytes_max)
        })?;
        put_on(Layer::Namespaces, &|| namespace::leave(self.target, self.role))?;
        put_on(Layer::EmptyRoot, &namespace::empty_root)?;
        put_on(Layer::Identity, &|| {
            // A role without a user of its own is in no cell.
            let user = user(self.role).ok_or(LayerError::Unsupported)?;
            capability::become_user(user)
        })?;
        put_on(Layer::Capabilities, &|| capability::drop_all_but(powers(self.role)))?;
        put_on(Layer::NoNewPrivileges, &confinement::no_new_privileges)?;
        put_on(Layer::NotDumpable, &confinement::not_dumpable)?;
        put_on(Layer::NoExecutableGain, &confinement::no_executable_gain)?;
        put_on(Layer::Landlock, &|| confinement::landlock(&self.ports))
    }

    fn put_on(&self, layer: Layer, apply: &dyn Fn() -> Result<(), LayerError>) -> Applied {
        let (outcome, errno) = if demand(self.target, layer) == Demand::Absent {
            (Outcome::AbsentByDesign, 0)
        } else {
            match apply() {
                Ok(()) => (Outcome::Applied, 0),
                Err(LayerError::Unsupported) => (Outcome::Unsupported, 0),
                Err(LayerError::Refused(errno)) => (Outcome::Refused, errno),
            }
        };
        Applied { layer, outcome, errno }
    }

    /// The role's filter, compiled while there is still room to fail.
    ///
    /// # Errors
    /// [`Stop`] when the role's table is unusable.
    pub fn filter(&self) -> Result<Filter, Stop> {
        let rules = Profile::of(self.role, Library::HERE).and_then(|profile| profile.rules());
        let filter = rules.ok().and_then(|rules| Filter::compile(&rules).ok());
        filter.ok_or(Stop(Applied { layer: Layer::Seccomp, outcome: Outcome::Refused, errno: 0 }))
    }

    /// Binds every thread of the process to the filter. From here on, whatever is not in the table ends
    /// the process.
    ///
    /// # Errors
    /// [`Stop`] when the kernel does not take it.
    pub fn seal(filter: &Filter) -> Result<Applied, Stop> {
        let layer = Layer::Seccomp;
        match filter.bind_all_threads() {
            Ok(()) => Ok(Applied { layer, outcome: Outcome::Applied, errno: 0 }),
            Err(LayerError::Unsupported) => {
                Err(Stop(Applied { layer, outcome: Outcome::Unsupported, errno: 0 }))
            }
            Err(LayerError::Refused(errno)) => {
                Err(Stop(Applied { layer, outcome: Outcome::Refused, errno }))
            }
        }
    }
}
