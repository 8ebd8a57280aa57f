//! Signals as something that can be waited for beside everything else, for a process that runs no handler.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// What PID 1 is told by signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A child has ended.
    Child,
    /// Somebody wants an end.
    Stop,
}

/// See the module.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Takes the end of children, and wishes for an end, out of the ordinary way. Whoever is started later puts the ordinary way back
    /// with [`crate::process::end_with`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn open() -> io::Result<Self> {
        // SAFETY: a signal set is numbers; it is made empty in the next step.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is ours.
        unsafe { libc::sigemptyset(&raw mut set) };
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the set is ours, and the signal is one.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: the set lives through the call; the old one is not asked for.
        let blocked =
            unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if blocked != 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: signalfd(2) reads the set and gives a descriptor or -1.
        let raw = unsafe { libc::signalfd(-1, &raw const set, flags) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made the descriptor, and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// The next one, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<Told> {
        let mut bytes = [0_u8; 128];
        // SAFETY: the buffer is as long as one `signalfd_siginfo`, and lives through the call.
        let read =
            unsafe { libc::read(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        if read <= 0 {
            return None;
        }
        let number = bytes.first_chunk::<4>().map(|four| i32::from_ne_bytes(*four));
        Some(if number == Some(libc::SIGCHLD) { Told::Child } else { Told::Stop })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
