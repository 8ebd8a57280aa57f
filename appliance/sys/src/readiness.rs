//! Descriptors that a runtime waits for. It reads and writes none of them.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the current runtime wait for `descriptor`, which must not block.
///
/// # Errors
/// The operating system's.
pub fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, nobody else can close or replace it, and it keeps its number for as
    // long as it lives in here.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}
