//! Descriptors that a launcher handed down, taken into ownership exactly once.
//!
//! A server gets its listeners, certificate, key and configuration as open descriptors whose numbers
//! stand on its command line, so it opens nothing itself. This module turns a number into an owned
//! descriptor, refuses the same number twice, and closes it to children.

use std::collections::BTreeSet;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::cell::LayerError;

/// Why a number is not a descriptor that this process may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// 0, 1 and 2 belong to the runtime.
    #[error("descriptors below 3 cannot be handed down")]
    Standard,
    /// Nothing is open under the number.
    #[error("descriptor {0} is not open")]
    NotOpen(RawFd),
    /// The number was adopted before.
    #[error("descriptor {0} was handed down twice")]
    Twice(RawFd),
}

static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes ownership of descriptor `number` and marks it close-on-exec.
///
/// # Errors
/// [`DescriptorError`] when the number is a standard stream, not open, or was adopted before; the
/// launcher's command line is wrong and the server should not start.
pub fn adopt(number: RawFd) -> Result<OwnedFd, DescriptorError> {
    if number < 3 {
        return Err(DescriptorError::Standard);
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if adopted.contains(&number) {
        return Err(DescriptorError::Twice(number));
    }
    // SAFETY: `number` is not negative; the borrow ends within this function, and whether it is open
    // is exactly what the next call asks.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).map_err(|_closed| DescriptorError::NotOpen(number))?;
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).map_err(|_closed| DescriptorError::NotOpen(number))?;
    adopted.insert(number);
    // SAFETY: the descriptor is open, and `ADOPTED` makes this the only time it is taken. Servers
    // call this before they open anything, so no other owner in this process can hold the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor above 2 that is not among `kept`.
pub(crate) fn close_all_but(kept: &[RawFd]) -> Result<(), LayerError> {
    let mut kept: Vec<u32> = kept.iter().filter_map(|number| u32::try_from(*number).ok()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept {
        if first < number {
            close_range(first, number.saturating_sub(1))?;
        }
        first = number.saturating_add(1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), LayerError> {
    // SAFETY: close_range(2) takes two numbers and flags. What is closed here was not handed down, so no
    // owner in this process holds it: the caller runs before anything else is opened.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if outcome == 0 {
        return Ok(());
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOSYS) | None => Err(LayerError::Unsupported),
        Some(errno) => Err(LayerError::Refused(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::IntoRawFd as _;

    #[test]
    fn an_open_descriptor_is_adopted_once() {
        let number = File::open("/dev/null").unwrap().into_raw_fd();
        let owned = adopt(number).unwrap();
        assert!(fcntl_getfd(&owned).unwrap().contains(FdFlags::CLOEXEC));
        assert_eq!(adopt(number).unwrap_err(), DescriptorError::Twice(number));
    }

    #[test]
    fn standard_streams_and_closed_numbers_are_refused() {
        assert_eq!(adopt(2).unwrap_err(), DescriptorError::Standard);
        assert_eq!(adopt(-1).unwrap_err(), DescriptorError::Standard);
        assert_eq!(adopt(987).unwrap_err(), DescriptorError::NotOpen(987));
    }
}
