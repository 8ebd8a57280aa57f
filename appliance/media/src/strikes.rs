//! How much that is bad is borne of one stream: strikes, which are forgiven with time.
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
}
