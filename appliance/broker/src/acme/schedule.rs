//! When to renew and when to try again: arithmetic on seconds since 1970, with chance as an argument. It asks no clock.

use std::time::Duration;

use ward_edge::random::share;
use ward_policy::fault::AcmeFault;
use ward_policy::limit;

/// From a certificate's first second to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) begin_s: u64,
    pub(super) end_s: u64,
}

/// When an authority would have a certificate renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start_s: u64,
    pub(super) end_s: u64,
}

impl Life {
    pub(super) const fn length_s(self) -> u64 {
        self.end_s.saturating_sub(self.begin_s)
    }

    /// Two thirds of it, or earlier by chance: of many hosts that began together not all come at once.
    pub(super) fn two_thirds_s(self, chance: u32) -> u64 {
        let length_s = self.length_s();
        let two_thirds_s = length_s.saturating_mul(2) / 3;
        let early_s = share_s(length_s / limit::RENEWAL_JITTER_PARTS, chance);
        self.begin_s.saturating_add(two_thirds_s).saturating_sub(early_s)
    }

    /// A moment in `window`, by chance (§4.2: all moments alike); `None` when what is said makes no sense for this certificate.
    ///
    /// Never soon after `since_s`: an authority that always says "now" would have us ask without end.
    pub(super) fn within_s(self, window: Window, since_s: u64, chance: u32) -> Option<u64> {
        let Window { start_s, end_s } = window;
        if start_s > end_s || start_s >= self.end_s {
            return None;
        }
        let at_s =
            start_s.saturating_add(share_s(end_s.min(self.end_s).saturating_sub(start_s), chance));
        let parts = limit::RENEWAL_EARLIEST_PARTS;
        let spared_s = (self.length_s() / parts).min(limit::RENEWAL_EARLIEST_S);
        Some(at_s.max(since_s.saturating_add(spared_s)))
    }
}

/// The part of `whole` that `chance` stands for, in whole seconds.
fn share_s(whole_s: u64, chance: u32) -> u64 {
    share(Duration::from_secs(whole_s), chance).as_secs()
}

/// How long to wait after failures in a row.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The pause after one more failure. `asked` is what the authority asked for.
    pub(super) fn after(
        &mut self,
        reason: AcmeFault,
        asked: Option<Duration>,
        chance: u32,
    ) -> Duration {
        // A failure that the next try is likely to mend is tried at once, but not again and again.
        let is_passing = matches!(reason, AcmeFault::BadNonce | AcmeFault::Account);
        let doublings = self.failures.min(16);
        let is_first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        if let Some(asked) = asked {
            // Less is not wanted there, and would come too early.
            return asked.clamp(limit::ACME_RETRY_SOON, limit::ACME_RETRY_ASKED_MAX);
        }
        if is_passing && is_first {
            return limit::ACME_RETRY_SOON;
        }
        let pause = limit::ACME_RETRY_MIN.saturating_mul(1 << doublings).min(limit::ACME_RETRY_MAX);
        let jitter = pause / limit::ACME_JITTER_PARTS;
        pause.saturating_sub(jitter).saturating_add(share(jitter.saturating_mul(2), chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: u64 = 86_400;
    const LIFE: Life = Life { begin_s: 1_000_000, end_s: 1_000_000 + 90 * DAY_S };

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_a_little_earlier() {
        let at = |chance| (LIFE.two_thirds_s(chance) - LIFE.begin_s, chance);
        assert_eq!(at(0).0, 60 * DAY_S);
        let earliest = at(u32::MAX).0;
        assert!((60 * DAY_S - 90 * DAY_S / 20..=60 * DAY_S).contains(&earliest), "{earliest}");
        assert!(earliest < 56 * DAY_S, "it really differs");
        // One that lives for six days is renewed after four.
        let short = Life { begin_s: 0, end_s: 6 * DAY_S };
        assert_eq!(short.two_thirds_s(0), 4 * DAY_S);
        assert_eq!(Life { begin_s: 5, end_s: 5 }.two_thirds_s(7), 5);
    }

    #[test]
    fn what_an_authority_says_is_followed_where_it_makes_sense() {
        let in_days = |start, end| Window {
            start_s: LIFE.begin_s + start * DAY_S,
            end_s: LIFE.begin_s + end * DAY_S,
        };
        let window = in_days(30, 32);
        for (chance, expected) in
            [(0, window.start_s), (1 << 31, window.start_s + DAY_S), (u32::MAX, window.end_s)]
        {
            let at = LIFE.within_s(window, LIFE.begin_s, chance).unwrap();
            assert!(at.abs_diff(expected) <= 1, "{at} {expected}");
        }
        // "Now", said of a certificate that is a second old: once an hour at most.
        let now = Window { start_s: 0, end_s: LIFE.begin_s };
        let since_s = LIFE.begin_s + 3_600;
        assert_eq!(LIFE.within_s(now, since_s, 0), Some(since_s + limit::RENEWAL_EARLIEST_S));
        // Half of it after the end: the certificate's own counts.
        let late = in_days(89, 200);
        assert!(LIFE.within_s(late, 0, u32::MAX).unwrap() <= LIFE.end_s);
        assert_eq!(LIFE.within_s(in_days(91, 92), 0, 0), None, "after the end");
        assert_eq!(LIFE.within_s(in_days(32, 30), 0, 0), None, "it ends before it begins");
    }

    #[test]
    fn pauses_double_and_what_is_asked_for_is_kept_to() {
        let mut back_off = BackOff::default();
        let mut last = Duration::ZERO;
        for round in 0..40 {
            let pause = back_off.after(AcmeFault::Validation, None, 1 << 31);
            assert!(pause >= last && pause <= limit::ACME_RETRY_MAX * 5 / 4, "{round} {pause:?}");
            last = pause;
        }
        assert_eq!(last.as_secs(), limit::ACME_RETRY_MAX.as_secs());
        for chance in [0, u32::MAX] {
            let pause = BackOff::default().after(AcmeFault::Unreachable, None, chance);
            let (least, most) = (limit::ACME_RETRY_MIN * 3 / 4, limit::ACME_RETRY_MIN * 5 / 4);
            assert!((least..=most).contains(&pause), "{pause:?}");
        }
        let asked = |seconds| {
            let asked = Some(Duration::from_secs(seconds));
            BackOff::default().after(AcmeFault::RateLimited, asked, 0)
        };
        assert_eq!(asked(600), Duration::from_secs(600));
        assert_eq!(asked(0), limit::ACME_RETRY_SOON);
        assert_eq!(asked(u64::MAX), limit::ACME_RETRY_ASKED_MAX);
        let mut back_off = BackOff::default();
        assert_eq!(back_off.after(AcmeFault::Account, None, 0), limit::ACME_RETRY_SOON);
        assert!(back_off.after(AcmeFault::Account, None, 0) > limit::ACME_RETRY_MIN, "not again");
    }
}
