//! The hardware watchdog: it starts the machine again when PID 1 does not speak to it. Nothing stops it once it is open.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use ward_policy::limit;

/// See the module.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
    due: Duration,
}

impl Watchdog {
    /// Begins, if the machine has one.
    #[must_use]
    pub(crate) fn open(now: Duration) -> Option<Self> {
        let device = OpenOptions::new().write(true).open("/dev/watchdog").ok()?;
        // One with a time of its own keeps it; a minute is what all of them have at least.
        ward_sys::machine::set_watchdog(&device, limit::WATCHDOG_TIMEOUT).unwrap_or_default();
        Some(Self { device, due: now })
    }

    /// When it is to be spoken to.
    #[must_use]
    pub(crate) const fn due(&self) -> Duration {
        self.due
    }

    /// Speaks to it, if it is time.
    pub(crate) fn tick(&mut self, now: Duration) {
        if now >= self.due {
            self.due = now.saturating_add(limit::WATCHDOG_INTERVAL);
            // One that does not listen starts the machine again, which is what it is for.
            self.device.write_all(b"w").unwrap_or_default();
        }
    }
}
