//! How a server that cannot start says so: by its exit status, which the launcher explains.
//!
//! It never carries text: what is wrong with a setting is found by `ward check-config`, outside.

use std::convert::Infallible;
use std::process::ExitCode;

/// Why a server did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StartError {
    /// The command line or a descriptor is wrong.
    Handed = 64,
    /// The settings or the expected handshake signatures are wrong.
    Settings = 65,
    /// The certificate or key is wrong.
    Tls = 66,
    /// The operating system refused something.
    System = 67,
    /// A layer of the cell is demanded and not there; an event names it.
    Cell = 68,
}

impl From<std::io::Error> for StartError {
    fn from(_system: std::io::Error) -> Self {
        Self::System
    }
}

/// The exit status of a server that did not start; one that did ends by itself.
#[must_use]
pub fn exit_code(outcome: Result<Infallible, StartError>) -> ExitCode {
    let Err(error) = outcome;
    ExitCode::from(error as u8)
}
