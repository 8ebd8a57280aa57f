//! How much goes to the log sink in one request: less after one that was too much for it, more again while it takes what it gets.
//!
//! It counts bytes and asks nobody. Whether a sink is slow or wants short bodies, it learns from what came of a request.

use ward_policy::limit;

/// See the module.
#[derive(Debug)]
pub(super) struct Batch {
    /// What the next request may carry, in bytes of records. One record goes in any case.
    bytes: usize,
    /// What was too much is more than this.
    fits: usize,
    /// Requests that were taken since something was too much.
    taken: u32,
}

impl Batch {
    pub(super) const fn new() -> Self {
        let bytes = limit::SINK_BATCH_BYTES_MAX;
        Self { bytes, fits: bytes, taken: 0 }
    }

    /// What the next request may carry.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A request with `bytes` of so many records was refused for its length, or not answered in time; whether there is a shorter
    /// one.
    pub(super) fn is_too_much(&mut self, bytes: usize, records: usize) -> bool {
        let is_divisible = records > 1;
        if is_divisible {
            self.fits = (bytes / 2).max(1);
            self.bytes = self.fits;
        }
        self.taken = 0;
        is_divisible
    }

    /// A request was taken.
    pub(super) fn is_taken(&mut self) {
        self.taken = self.taken.saturating_add(1);
        if self.taken >= limit::SINK_BATCH_TRIES {
            // What was too much then may not be now.
            self.taken = 0;
            self.fits = self.fits.saturating_mul(2).min(limit::SINK_BATCH_BYTES_MAX);
        }
        self.bytes = self.bytes.saturating_mul(2).min(self.fits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_halved_down_to_one_record_and_grows_again() {
        let mut batch = Batch::new();
        let most = limit::SINK_BATCH_BYTES_MAX;
        batch.is_taken();
        assert_eq!(batch.bytes(), most, "never more than the most");
        let mut halvings = 0;
        while batch.bytes() > 300 {
            assert!(batch.is_too_much(batch.bytes(), 2));
            halvings += 1;
        }
        assert_eq!((batch.bytes(), halvings), (256, 10));
        // One record is as short as it gets.
        assert!(!batch.is_too_much(900, 1));
        assert_eq!(batch.bytes(), 256);
        // A short one that hangs says nothing about long ones, and yet they are tried from there.
        for _ in 1..limit::SINK_BATCH_TRIES {
            batch.is_taken();
            assert_eq!(batch.bytes(), 256);
        }
        batch.is_taken();
        assert_eq!(batch.bytes(), 512);
        for _ in 0..9 * limit::SINK_BATCH_TRIES {
            batch.is_taken();
        }
        assert_eq!(batch.bytes(), most);
    }

    #[test]
    fn a_sink_with_a_limit_is_asked_for_more_than_that_now_and_then_only() {
        let (limit_of_sink, mut batch) = (10_000, Batch::new());
        let (mut refused, mut sent) = (0, 0);
        for _ in 0..1_000 {
            let bytes = batch.bytes();
            if bytes > limit_of_sink {
                refused += 1;
                batch.is_too_much(bytes, 9);
            } else {
                sent += bytes;
                batch.is_taken();
            }
        }
        assert!(refused < 25, "{refused}");
        assert!(sent > 900 * limit_of_sink / 2, "{sent}");
    }
}
