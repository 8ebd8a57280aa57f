//! The way between the caller's telephone and the servers: everything on it arrives a fixed time later, in order.
//!
//! It loses nothing and reorders nothing; without a delay it is no way at all.

use std::collections::VecDeque;
use std::time::Duration;

/// One direction.
#[derive(Debug)]
pub(crate) struct Leg<T> {
    delay: Duration,
    /// What is under way, with the time of its arrival; oldest first.
    waiting: VecDeque<(Duration, T)>,
}

impl<T> Leg<T> {
    /// A way that takes `delay`.
    pub(crate) const fn new(delay: Duration) -> Self {
        Self { delay, waiting: VecDeque::new() }
    }

    /// Sends something off at `now`, which never goes back.
    pub(crate) fn push(&mut self, now: Duration, item: T) {
        self.waiting.push_back((now.saturating_add(self.delay), item));
    }

    /// The next thing that has arrived by `now`.
    pub(crate) fn arrived(&mut self, now: Duration) -> Option<T> {
        self.waiting.pop_front_if(|(at, _)| *at <= now).map(|(_, item)| item)
    }

    /// When the next thing arrives, if anything is under way.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.waiting.front().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn everything_arrives_in_order_and_no_sooner_than_the_delay() {
        let mut leg = Leg::new(ms(100));
        assert_eq!((leg.next_at(), leg.arrived(ms(9_999))), (None, None));
        leg.push(ms(20), "a");
        leg.push(ms(20), "b");
        leg.push(ms(40), "c");
        assert_eq!(leg.next_at(), Some(ms(120)));
        assert_eq!(leg.arrived(ms(119)), None);
        assert_eq!(leg.arrived(ms(139)), Some("a"));
        assert_eq!(leg.arrived(ms(139)), Some("b"));
        assert_eq!((leg.arrived(ms(139)), leg.next_at()), (None, Some(ms(140))));
        assert_eq!(leg.arrived(ms(140)), Some("c"));
    }

    #[test]
    fn without_a_delay_it_is_no_way_at_all() {
        let mut leg = Leg::new(Duration::ZERO);
        leg.push(ms(7), 1);
        assert_eq!(leg.arrived(ms(7)), Some(1));
    }
}
