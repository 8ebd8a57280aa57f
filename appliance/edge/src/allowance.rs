//! How many of something may happen now, refilled as time goes by. Time is an argument.

use std::time::Duration;

/// So many at once, and so many a second after that.
#[derive(Debug)]
pub struct Allowance {
    per_second: u64,
    most: u64,
    /// In millionths of one, so that the refill can be counted in microseconds.
    left: u64,
    refilled_at: Duration,
}

/// One of whatever it is.
const ONE: u64 = 1_000_000;

impl Allowance {
    /// A full allowance of `burst`, refilled by `per_second`.
    #[must_use]
    pub const fn new(burst: u64, per_second: u64, now: Duration) -> Self {
        let most = burst.saturating_mul(ONE);
        Self { per_second, most, left: most, refilled_at: now }
    }

    /// Takes one, if there is one.
    pub fn allows(&mut self, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.refilled_at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.refilled_at = now;
        let refill = elapsed_us.saturating_mul(self.per_second);
        self.left = self.left.saturating_add(refill).min(self.most);
        let left = self.left.checked_sub(ONE);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_so_many_a_second() {
        let mut allowance = Allowance::new(5, 2, Duration::ZERO);
        assert!((0..5).all(|_| allowance.allows(Duration::ZERO)));
        assert!(!allowance.allows(Duration::ZERO) && !allowance.allows(Duration::from_millis(499)));
        assert!(allowance.allows(Duration::from_millis(500)));
        assert!(!allowance.allows(Duration::from_millis(501)));
        // However long nothing happens, no more than the burst is saved up; a clock that goes back gives none.
        let later = Duration::from_secs(1_000);
        assert!((0..5).all(|_| allowance.allows(later)) && !allowance.allows(later));
        assert!(!allowance.allows(Duration::ZERO));
    }
}
