//! What PID 1 asks the kernel about itself, and tells devices: one number a question. It decides nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use crate::cell::LayerError;
use crate::confinement;
use crate::secret::{Protection, SecretPool};

/// The version of Landlock that the kernel has; 0 without it.
#[must_use]
pub fn landlock_abi() -> u32 {
    // `LANDLOCK_CREATE_RULESET_VERSION`, `linux/landlock.h`.
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call takes no attributes and makes no descriptor: it gives a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

/// Puts on, for this process and whatever it starts, that memory which was writable never becomes executable.
///
/// # Errors
/// [`LayerError`] when the kernel does not have it, or does not say afterwards that it is on.
pub fn refuse_executable_gain() -> Result<(), LayerError> {
    confinement::no_executable_gain()?;
    // SAFETY: the arguments are those of prctl(2) for PR_GET_MDWE; no pointer among them.
    let now = unsafe { libc::prctl(libc::PR_GET_MDWE, 0, 0, 0, 0) };
    let wanted = libc::c_long::from(libc::PR_MDWE_REFUSE_EXEC_GAIN);
    if libc::c_long::from(now) & wanted != 0 { Ok(()) } else { Err(LayerError::Unsupported) }
}

/// Whether there is memory that leaves the kernel's own map.
#[must_use]
pub fn has_secret_memory() -> bool {
    SecretPool::new(1, 64).is_ok_and(|pool| pool.protection() == Protection::Secret)
}

/// Whether the kernel keeps what it holds from root, too: lockdown, `confidentiality`.
///
/// Asked by asking for what only that refuses (registers at an interrupt, `kernel/events/core.c`), so that it needs no file to say so.
#[must_use]
pub fn is_confidential() -> bool {
    // `perf_event_attr` as of Linux 3.19, in words of 32 bits: type, size, sample type, flags, registers.
    let mut attributes = [0_u32; 26];
    // `PERF_TYPE_SOFTWARE`, `PERF_SAMPLE_REGS_INTR`; not running; one register.
    for (place, value) in [(0, 1), (1, 104), (6, 1 << 18), (10, 1), (24, 1)] {
        if let Some(word) = attributes.get_mut(place) {
            *word = value;
        }
    }
    // SAFETY: the structure is as long as it says and is only read; the call gives a descriptor or -1.
    let raw = unsafe {
        libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1_i32, -1_i32, 8_u64)
    };
    let errno = io::Error::last_os_error().raw_os_error();
    if let Some(raw) = i32::try_from(raw).ok().filter(|raw| *raw >= 0) {
        // SAFETY: the kernel has just made the descriptor, and nobody else has it.
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
        return false;
    }
    errno == Some(libc::EPERM)
}

/// Corrects the clock by `micros` without a jump; the kernel goes at 500 parts in a million.
///
/// # Errors
/// The operating system's: `CAP_SYS_TIME` is needed.
pub fn slew_clock(micros: i64) -> io::Result<()> {
    // SAFETY: a `timex` is numbers; all zero is one that asks for nothing.
    let mut change: libc::timex = unsafe { std::mem::zeroed() };
    change.modes = libc::ADJ_OFFSET_SINGLESHOT;
    change.offset = micros;
    let clock = libc::CLOCK_REALTIME;
    // By number: what the libraries call for the same differs.
    // SAFETY: the structure is whole and lives through the call, which writes the clock's state into it.
    let state = unsafe { libc::syscall(libc::SYS_clock_adjtime, clock, &raw mut change) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks a watchdog to wait this long, in whole seconds.
///
/// # Errors
/// The operating system's; some devices have one time only.
pub fn set_watchdog(device: &File, timeout: Duration) -> io::Result<()> {
    // `WDIOC_SETTIMEOUT`, `linux/watchdog.h`: `_IOWR('W', 6, int)`.
    const SET_TIMEOUT: libc::Ioctl = 0xc004_5706_u32 as libc::Ioctl;
    let mut seconds = libc::c_int::try_from(timeout.as_secs()).map_err(io::Error::other)?;
    // SAFETY: the request reads and writes one `int`, which lives through the call.
    let set = unsafe { libc::ioctl(device.as_raw_fd(), SET_TIMEOUT, &raw mut seconds) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_which_landlock_it_has() {
        // Every kernel that these tests run on has some; none has a hundred.
        assert!((1..100).contains(&landlock_abi()), "{}", landlock_abi());
    }

    #[test]
    fn a_kernel_that_is_not_locked_down_says_so() {
        let is_root = rustix::process::geteuid().is_root();
        let state = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
        // Who is nobody is refused for other reasons.
        if is_root && !state.contains("[confidentiality]") {
            assert!(!is_confidential());
        }
    }

    #[test]
    fn what_is_no_watchdog_refuses() {
        let null = File::open("/dev/null").unwrap();
        assert!(set_watchdog(&null, Duration::from_secs(1)).is_err());
    }
}
