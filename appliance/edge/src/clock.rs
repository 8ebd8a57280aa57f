//! The one place that asks the time. Monotonic only: it never asks for the date.

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

    /// The runtime's instant for a time of this clock, for its timers.
    #[must_use]
    pub fn instant(&self, at: Duration) -> Instant {
        self.origin.checked_add(at).unwrap_or(self.origin)
    }
}
