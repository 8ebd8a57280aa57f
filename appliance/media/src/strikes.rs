//! How much bad or too much is borne of one stream: strikes that are forgiven, and token buckets.
//!
//! It counts and judges; what is bad is the session's to say.

use std::time::Duration;

use ward_policy::limit;

/// Bad things in a row, one of which is forgiven now and then: a long call may see a few.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    count: u32,
    forgiven_at: Duration,
}

impl Strikes {
    pub(crate) fn is_out(&mut self, now: Duration) -> bool {
        if self.count == 0 {
            self.forgiven_at = now;
        }
        let period = limit::STRIKE_FORGIVEN_AFTER;
        while self.count > 0 && now >= self.forgiven_at.saturating_add(period) {
            self.count = self.count.saturating_sub(1);
            self.forgiven_at = self.forgiven_at.saturating_add(period);
        }
        self.count = self.count.saturating_add(1);
        self.count > limit::STRIKES_MAX
    }
}

/// A token bucket, in thousandths.
#[derive(Debug)]
pub(crate) struct Allowance {
    most: u64,
    per_second: u64,
    left: u64,
    refilled_at: Duration,
}

impl Allowance {
    pub(crate) const fn new(burst: u64, per_second: u64) -> Self {
        let most = burst.saturating_mul(1_000);
        Self { most, per_second, left: most, refilled_at: Duration::ZERO }
    }

    pub(crate) fn allows(&mut self, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.refilled_at).as_millis();
        let elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        if elapsed_ms > 0 {
            self.refilled_at = now;
            let refill = elapsed_ms.saturating_mul(self.per_second);
            self.left = self.left.saturating_add(refill).min(self.most);
        }
        let left = self.left.checked_sub(1_000);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_are_forgiven_with_time() {
        let mut strikes = Strikes::default();
        for second in 0..5 {
            assert!(!strikes.is_out(Duration::from_secs(second)));
        }
        assert!(strikes.is_out(Duration::from_secs(5)));
        let mut strikes = Strikes::default();
        for number in 0..1_000 {
            assert!(!strikes.is_out(Duration::from_secs(number * 10)), "{number}");
        }
    }

    #[test]
    fn a_few_pings_a_second_are_no_flood() {
        let mut pings = Allowance::new(limit::PINGS_BURST_MAX, limit::PINGS_PER_SECOND_MAX);
        for number in 0..10_000 {
            assert!(pings.allows(Duration::from_millis(number * 250)), "{number}");
        }
        let burst = (0..1_000).filter(|_| pings.allows(Duration::from_secs(2_500))).count();
        assert!(burst <= 50, "{burst}");
    }
}
