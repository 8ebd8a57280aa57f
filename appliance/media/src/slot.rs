//! Places of which there are so many and no more: one is taken until it is dropped.
//!
//! It does not say what happens to those who find none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One place among those that are counted together.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slot {
    /// Takes one of `most` places; `None` when all are taken.
    #[must_use]
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = taken.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(taken));
        (before < most).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_once_it_is_dropped() {
        let taken = Arc::new(AtomicUsize::new(0));
        let one = Slot::take(&taken, 1);
        assert!(one.is_some() && Slot::take(&taken, 1).is_none());
        drop(one);
        assert!(Slot::take(&taken, 1).is_some());
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
