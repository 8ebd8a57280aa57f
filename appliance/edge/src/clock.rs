//! The one place that asks the time. Monotonic, but for [`date_ms`]: a ticket is issued on one machine and judged on
//! another, and nothing else in a server goes by the date.

use std::time::Duration;

use tokio::time::Instant;
use ward_policy::ticket::DateMs;

/// The date, as milliseconds since 1970, UTC; 0 before that. It may go back when a clock is set.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that asks for the date")]
pub fn date_ms() -> DateMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

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

    /// The runtime's instant for a time of this clock, for its timers.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Instant {
        self.origin.checked_add(at).unwrap_or(self.origin)
    }
}
