//! How a process is tied to its launcher, and how a sealed one ends.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Ends the process at once, running nothing: what a runtime does at exit makes system calls that a
/// sealed process may not make.
pub fn leave(status: u8) -> ! {
    // SAFETY: `_exit` takes a number, touches no memory of ours and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Asks for the stop signal at the end of the launcher, and says whether the launcher is still there.
///
/// A change of user takes the wish back, so this comes after it. What was inherited may ignore the signal, or hold it and others
/// back, as PID 1 does: its default is put back, and nothing is held.
#[must_use]
pub fn end_with(launcher: u32) -> bool {
    // SAFETY: puts back the default of a signal; no handler of ours is involved.
    let default = unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
    // SAFETY: a signal set is numbers, and all zero is the empty one on Linux.
    let none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives through the call; the old one is not asked for.
    let released =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    let is_asked = set_parent_process_death_signal(Some(Signal::TERM)).is_ok();
    // A launcher that ended before the wish was made never sends anything.
    let launcher = i32::try_from(launcher).ok().and_then(Pid::from_raw);
    default != libc::SIG_ERR
        && released == 0
        && is_asked
        && launcher.is_some()
        && getppid() == launcher
}
