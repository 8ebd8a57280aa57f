//! How a server that cannot start says so: by its exit status, which the launcher explains.
//!
//! It never carries text: what is wrong with a setting is found by `ward check-config`, outside.

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
}

/// The exit status of a server's whole run.
#[must_use]
pub fn exit_code(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error as u8),
    }
}
