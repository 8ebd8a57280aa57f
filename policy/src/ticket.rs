//! When a stream ticket may be used, and that it is used once.
//!
//! A ticket says when it was issued and how long it lives; whoever asks says what time it is. What was used is
//! remembered until it could not be used any more, and not longer, up to a fixed number. This module knows neither
//! keys nor calls, asks no clock, and keeps nothing of a ticket but its nonce.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::TicketFault;
use crate::limit;

/// Milliseconds since 1970, UTC.
pub type DateMs = u64;

/// What makes a ticket one of its kind.
pub type Nonce = [u8; 16];

/// The times of a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// When it was issued, by the responder's clock.
    pub issued_ms: DateMs,
    /// How long it lives from then, in seconds.
    pub life_s: u8,
}

impl Validity {
    /// The first millisecond at which it is over.
    #[must_use]
    pub fn ends_ms(self) -> DateMs {
        self.issued_ms.saturating_add(u64::from(self.life_s).saturating_mul(1_000))
    }
}

/// The tickets that one process has taken.
///
/// Its time never goes back: after a clock has been set back, tickets are over until it has caught up, because what
/// was forgotten at the later time could be used again at the earlier one.
#[derive(Debug)]
pub struct Redemptions {
    /// Tickets issued up to here may have been taken by a process before this one.
    taken_until_ms: DateMs,
    /// The latest time that was seen.
    latest_ms: DateMs,
    /// Nonces by the second in which their tickets are over: a replay has the same times, for they are signed.
    used: BTreeMap<u64, BTreeSet<Nonce>>,
    remembered: usize,
}

impl Redemptions {
    /// Nothing taken yet, by a process that started at `started_ms`.
    #[must_use]
    pub fn new(started_ms: DateMs) -> Self {
        // A process before this one took nothing that was issued more than the skew after its own end.
        let taken_until_ms = started_ms.saturating_add(millis(limit::TICKET_SKEW_MAX));
        Self { taken_until_ms, latest_ms: started_ms, used: BTreeMap::new(), remembered: 0 }
    }

    /// Whether a ticket of these times may be used at `now_ms`. Nothing is remembered.
    ///
    /// # Errors
    /// [`TicketFault`]: its times are wrong.
    pub fn judge(&mut self, now_ms: DateMs, validity: Validity) -> Result<(), TicketFault> {
        self.latest_ms = self.latest_ms.max(now_ms);
        let is_life = (1..=limit::TICKET_LIFE_MAX.as_secs()).contains(&u64::from(validity.life_s));
        if !is_life {
            return Err(TicketFault::Malformed);
        }
        if validity.ends_ms() <= self.latest_ms {
            return Err(TicketFault::Expired);
        }
        if validity.issued_ms > self.latest_ms.saturating_add(millis(limit::TICKET_SKEW_MAX)) {
            return Err(TicketFault::Early);
        }
        if validity.issued_ms <= self.taken_until_ms {
            return Err(TicketFault::Stale);
        }
        Ok(())
    }

    /// Takes a ticket, which nobody can use after that.
    ///
    /// # Errors
    /// [`TicketFault`]: its times are wrong, it was used, or no more can be remembered.
    pub fn redeem(
        &mut self,
        now_ms: DateMs,
        validity: Validity,
        nonce: Nonce,
    ) -> Result<(), TicketFault> {
        self.judge(now_ms, validity)?;
        self.forget();
        let second = validity.ends_ms() / 1_000;
        if self.used.get(&second).is_some_and(|used| used.contains(&nonce)) {
            return Err(TicketFault::Used);
        }
        if self.remembered >= limit::TICKETS_REMEMBERED_MAX {
            return Err(TicketFault::MemoryFull);
        }
        self.used.entry(second).or_default().insert(nonce);
        self.remembered = self.remembered.saturating_add(1);
        Ok(())
    }

    /// How many are remembered.
    #[must_use]
    pub const fn remembered(&self) -> usize {
        self.remembered
    }

    /// Lets go of what is over.
    fn forget(&mut self) {
        let now_s = self.latest_ms / 1_000;
        while let Some(oldest) = self.used.first_entry().filter(|oldest| *oldest.key() < now_s) {
            self.remembered = self.remembered.saturating_sub(oldest.remove().len());
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: DateMs = 1_700_000_000_000;
    /// The first moment whose tickets are taken.
    const OPEN: DateMs = STARTED + 2_001;

    fn nonce(number: u64) -> Nonce {
        let mut nonce = [0; 16];
        nonce[8..].copy_from_slice(&number.to_be_bytes());
        nonce
    }

    fn times(issued_ms: DateMs, life_s: u8) -> Validity {
        Validity { issued_ms, life_s }
    }

    #[test]
    fn a_ticket_is_taken_once_and_its_times_are_kept_to_the_millisecond() {
        let mut taken = Redemptions::new(STARTED);
        let fine = times(OPEN, 30);
        assert_eq!(taken.redeem(OPEN, fine, nonce(1)), Ok(()));
        assert_eq!(taken.redeem(OPEN, fine, nonce(1)), Err(TicketFault::Used));
        assert_eq!(taken.redeem(OPEN + 29_999, fine, nonce(1)), Err(TicketFault::Used));
        assert_eq!(taken.redeem(OPEN + 29_999, fine, nonce(2)), Ok(()));
        assert_eq!(taken.redeem(OPEN + 30_000, fine, nonce(3)), Err(TicketFault::Expired));
        for (life, expected) in [
            (0, Err(TicketFault::Malformed)),
            (1, Ok(())),
            (60, Ok(())),
            (61, Err(TicketFault::Malformed)),
            (255, Err(TicketFault::Malformed)),
        ] {
            assert_eq!(taken.judge(OPEN + 30_000, times(OPEN + 30_000, life)), expected, "{life}");
        }
    }

    #[test]
    fn a_responder_may_be_two_seconds_ahead_and_no_more() {
        let mut taken = Redemptions::new(STARTED);
        assert_eq!(taken.judge(OPEN, times(OPEN + 2_000, 30)), Ok(()));
        assert_eq!(taken.judge(OPEN, times(OPEN + 2_001, 30)), Err(TicketFault::Early));
        assert_eq!(taken.judge(OPEN, times(u64::MAX, 30)), Err(TicketFault::Early));
    }

    #[test]
    fn whatever_one_process_takes_the_next_refuses() {
        // The first takes tickets as early as it may; the second starts at that very moment, or later.
        for ahead in [0, 1_000, 2_000] {
            let ticket = times(OPEN + ahead, 60);
            let mut first = Redemptions::new(STARTED);
            assert_eq!(first.redeem(OPEN, ticket, nonce(1)), Ok(()));
            for later in [0, 1, 1_999, 2_000, 30_000, 59_000] {
                let mut second = Redemptions::new(OPEN + later);
                for now in [0, 1, 1_000, 2_001, 10_000, 60_000, 70_000] {
                    let again = second.redeem(OPEN + later + now, ticket, nonce(1));
                    assert!(
                        matches!(again, Err(TicketFault::Stale | TicketFault::Expired)),
                        "{ahead} {later} {now}: {again:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_usable_again() {
        let mut taken = Redemptions::new(STARTED);
        let ticket = times(OPEN, 30);
        assert_eq!(taken.redeem(OPEN, ticket, nonce(1)), Ok(()));
        // An hour later it is forgotten; then the clock goes back to where the ticket would be fine.
        assert_eq!(taken.redeem(OPEN + 3_600_000, times(OPEN + 3_600_000, 30), nonce(2)), Ok(()));
        assert_eq!(taken.remembered(), 1);
        assert_eq!(taken.redeem(OPEN + 1, ticket, nonce(1)), Err(TicketFault::Expired));
    }

    #[test]
    fn a_full_memory_refuses_newcomers_by_name_and_is_empty_when_they_are_over() {
        let mut taken = Redemptions::new(STARTED);
        let most = u64::try_from(limit::TICKETS_REMEMBERED_MAX).unwrap();
        for number in 0..most {
            let life = u8::try_from(number % 60 + 1).unwrap();
            assert_eq!(taken.redeem(OPEN, times(OPEN, life), nonce(number)), Ok(()));
        }
        assert_eq!(taken.redeem(OPEN, times(OPEN, 60), nonce(most)), Err(TicketFault::MemoryFull));
        // One that was used is still called used, whatever else is full.
        assert_eq!(taken.redeem(OPEN, times(OPEN, 60), nonce(59)), Err(TicketFault::Used));
        // The first places are free once their second is over; all of them after the longest life.
        let later = OPEN + 3_000;
        assert_eq!(taken.redeem(later, times(later, 60), nonce(most)), Ok(()));
        assert!(taken.remembered() < limit::TICKETS_REMEMBERED_MAX);
        let end = OPEN + 70_000;
        assert_eq!(taken.redeem(end, times(end, 60), nonce(most + 1)), Ok(()));
        assert_eq!(taken.remembered(), 1);
    }
}
