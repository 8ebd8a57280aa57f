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

    /// The soonest that another is asked for, `now_s`: an authority that always says "now", or issues what is old already, would have us ask
    /// without end. One that was kept has perhaps little left; it is not let run out for that.
    pub(super) fn earliest_s(self, now_s: u64, is_new: bool) -> u64 {
        let part_s = self.length_s() / limit::RENEWAL_EARLIEST_PARTS;
        let spared_s = part_s.clamp(limit::RENEWAL_EARLIEST_MIN_S, limit::RENEWAL_EARLIEST_S);
        let left_s = self.end_s.saturating_sub(now_s);
        now_s.saturating_add(if is_new { spared_s } else { spared_s.min(left_s / 2) })
    }

    /// A moment in `window`, by chance (§4.2: all moments alike), some time before the end; `None` when what is said makes no sense for this
    /// certificate.
    fn within_s(self, window: Window, chance: u32) -> Option<u64> {
        let Window { start_s, end_s } = window;
        if start_s > end_s || start_s >= self.end_s {
            return None;
        }
        let at_s =
            start_s.saturating_add(share_s(end_s.min(self.end_s).saturating_sub(start_s), chance));
        // What fails then can be tried again while this one is good.
        let margin_s = self.length_s() / limit::RENEWAL_LATEST_PARTS;
        Some(at_s.min(self.end_s.saturating_sub(margin_s)))
    }
}

/// When one certificate is renewed: drawn once, and again only when the authority says something else.
#[derive(Debug)]
pub(super) struct Renewal {
    life: Life,
    earliest_s: u64,
    /// Without the authority's word.
    ours_s: u64,
    at_s: u64,
    advised: Option<Window>,
}

impl Renewal {
    /// Of one that is used from `now_s` on: just issued, or kept.
    pub(super) fn new(life: Life, now_s: u64, is_new: bool, chance: u32) -> Self {
        let earliest_s = life.earliest_s(now_s, is_new);
        let ours_s = life.two_thirds_s(chance).max(earliest_s);
        Self { life, earliest_s, ours_s, at_s: ours_s, advised: None }
    }

    /// The moment, in seconds since 1970.
    pub(super) const fn at_s(&self) -> u64 {
        self.at_s
    }

    /// Takes the authority's word; true when the moment is the authority's from now on. One that says what it said before changes nothing,
    /// and one that is silent is not heard here: what it said stands.
    pub(super) fn hear(&mut self, window: Window, chance: u32) -> bool {
        if self.advised == Some(window) {
            return false;
        }
        self.advised = Some(window);
        let advice_s = self.life.within_s(window, chance).map(|at_s| at_s.max(self.earliest_s));
        self.at_s = advice_s.unwrap_or(self.ours_s);
        advice_s.is_some()
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
        let pause = limit::ACME_RETRY_MIN.saturating_mul(1 << doublings).min(limit::ACME_RETRY_MAX);
        let jitter = pause / limit::ACME_JITTER_PARTS;
        if let Some(asked) = asked {
            // Never sooner than is asked for, and never sooner than without it: one that asks for a second each time is asked ever more
            // seldom all the same.
            let pause = asked.min(limit::ACME_RETRY_ASKED_MAX).max(pause);
            return pause.saturating_add(share(jitter, chance));
        }
        if is_passing && is_first {
            return limit::ACME_RETRY_SOON;
        }
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
            let at = LIFE.within_s(window, chance).unwrap();
            assert!(at.abs_diff(expected) <= 1, "{at} {expected}");
        }
        // "Now", said of a certificate that is a second old: once an hour at most.
        let now = Window { start_s: 0, end_s: LIFE.begin_s };
        let since_s = LIFE.begin_s + 3_600;
        let mut renewal = Renewal::new(LIFE, since_s, true, 0);
        assert!(renewal.hear(now, 0));
        assert_eq!(renewal.at_s(), since_s + limit::RENEWAL_EARLIEST_S);
        // At the end, or half of it after that: there is time left to try again.
        for (start, end) in [(89, 200), (89, 90)] {
            let at_s = LIFE.within_s(in_days(start, end), u32::MAX).unwrap();
            assert_eq!(at_s, LIFE.begin_s + 81 * DAY_S);
        }
        assert_eq!(LIFE.within_s(in_days(91, 92), 0), None, "after the end");
        assert_eq!(LIFE.within_s(in_days(32, 30), 0), None, "it ends before it begins");
    }

    #[test]
    fn a_moment_is_drawn_once_for_each_thing_that_is_said() {
        let half_s = LIFE.begin_s + 40 * DAY_S;
        let window = Window { start_s: half_s, end_s: half_s + DAY_S };
        let mut renewal = Renewal::new(LIFE, LIFE.begin_s, true, 0);
        let ours_s = renewal.at_s();
        assert_eq!(ours_s, LIFE.begin_s + 60 * DAY_S);
        assert!(renewal.hear(window, 0));
        assert_eq!(renewal.at_s(), half_s);
        assert!(!renewal.hear(window, u32::MAX), "the same again");
        assert_eq!(renewal.at_s(), half_s);
        let other = Window { start_s: half_s, end_s: half_s + 2 * DAY_S };
        assert!(renewal.hear(other, u32::MAX));
        assert!(renewal.at_s().abs_diff(half_s + 2 * DAY_S) <= 1);
        let nonsense = Window { start_s: 9, end_s: 8 };
        assert!(!renewal.hear(nonsense, 0));
        assert_eq!(renewal.at_s(), ours_s, "nothing sensible is said any more");
    }

    #[test]
    fn one_that_is_old_when_it_comes_is_renewed_after_a_while_and_one_that_was_kept_before_its_end()
    {
        for (life, spared_s) in [
            (LIFE, limit::RENEWAL_EARLIEST_S),
            (Life { begin_s: 0, end_s: 120 }, 12),
            (Life { begin_s: 7, end_s: 7 }, limit::RENEWAL_EARLIEST_MIN_S),
        ] {
            let now_s = life.end_s + 5;
            for chance in [0, u32::MAX] {
                assert_eq!(Renewal::new(life, now_s, true, chance).at_s(), now_s + spared_s);
                assert_eq!(Renewal::new(life, now_s, false, chance).at_s(), now_s, "it is over");
            }
        }
        let now_s = LIFE.end_s - 600;
        assert_eq!(Renewal::new(LIFE, now_s, false, 0).at_s(), now_s + 300);
        assert_eq!(Renewal::new(LIFE, now_s, true, 0).at_s(), now_s + 3_600);
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
        assert_eq!(asked(0), limit::ACME_RETRY_MIN);
        assert_eq!(asked(u64::MAX), limit::ACME_RETRY_ASKED_MAX);
        // One that would have us come at once each time is asked ever more seldom.
        let mut back_off = BackOff::default();
        let (mut last, soon) = (Duration::ZERO, Some(Duration::from_secs(1)));
        for round in 0..12 {
            let pause = back_off.after(AcmeFault::Broken, soon, 0);
            assert!(pause >= last, "{round} {pause:?}");
            last = pause;
        }
        assert_eq!(last, limit::ACME_RETRY_MAX);
        // A fleet that was told the same does not come at the same moment, and none of it before that.
        let all = [0, 1 << 31, u32::MAX].map(|chance| {
            let asked = Some(Duration::from_secs(600));
            BackOff::default().after(AcmeFault::RateLimited, asked, chance).as_secs()
        });
        assert_eq!(all, [600, 607, 615]);
        let mut back_off = BackOff::default();
        assert_eq!(back_off.after(AcmeFault::Account, None, 0), limit::ACME_RETRY_SOON);
        assert!(back_off.after(AcmeFault::Account, None, 0) > limit::ACME_RETRY_MIN, "not again");
    }
}
