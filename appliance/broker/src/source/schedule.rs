//! When a source is asked again. Time and chance are arguments.

use std::time::Duration;

use ward_edge::random::share;
use ward_policy::limit;

/// How long after it came a credential that lives for `ttl` is fetched again: 60 to 80 per cent of its life, by `chance`.
pub(crate) fn refresh_after(ttl: Duration, chance: u32) -> Duration {
    let (from, to) = (limit::REFRESH_FROM_PERCENT, limit::REFRESH_TO_PERCENT);
    let span = share(ttl.saturating_mul(to.saturating_sub(from)), chance);
    ttl.saturating_mul(from).saturating_add(span) / 100
}

/// The pause after so many failures in a row: it doubles, and half of it is by `chance`.
pub(crate) fn pause_after(failures: u32, chance: u32) -> Duration {
    let doubled = limit::SOURCE_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    let half = doubled.min(limit::SOURCE_PAUSE_MAX) / 2;
    half.saturating_add(share(half, chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_comes_before_the_end_and_not_always_at_once() {
        let ttl = Duration::from_secs(1_000);
        assert_eq!(refresh_after(ttl, 0), Duration::from_secs(600));
        assert_eq!(refresh_after(ttl, u32::MAX), Duration::from_secs(800));
        assert!((650..750).contains(&refresh_after(ttl, u32::MAX / 2).as_secs()));
        assert!(refresh_after(Duration::from_secs(86_400), u32::MAX).as_secs() == 69_120);
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let least: Vec<u128> = (0..12).map(|count| pause_after(count, 0).as_millis()).collect();
        assert_eq!(
            least,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000]
        );
        assert_eq!(pause_after(0, u32::MAX), limit::SOURCE_PAUSE_MIN);
        assert_eq!(pause_after(u32::MAX, u32::MAX), limit::SOURCE_PAUSE_MAX);
    }
}
