//! The one place that asks the time. It is monotonic; only who has to do with agreements, which begin and end on
//! dates, asks for more.

use std::time::Duration;

use tokio::time::Instant;

/// Time since the process, or the test, began.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Time since it began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Seconds since 1970-01-01, by the machine's clock; 0 when that stands before.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "an agreement begins and ends on a date")]
    pub fn unix_s(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// The runtime's instant for a time of this clock, for its timers.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Instant {
        self.origin.checked_add(at).unwrap_or(self.origin)
    }
}
