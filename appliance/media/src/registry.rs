//! Which calls and streams are live in this process: at most one connection each.
//!
//! Keys are digests under a key of this boot, so the registry holds no SID. A stream that has been
//! silent for long gives way to a newcomer; any other newcomer is refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ward_policy::limit;

/// The digest of a `CallSid` or `StreamSid`.
pub type Key = [u8; 16];

/// Every live call of the process.
#[derive(Debug, Default)]
pub struct Registry(Mutex<BTreeMap<Key, Arc<Entry>>>);

/// What newcomers may know of a live call.
#[derive(Debug)]
struct Entry {
    heard_ms: AtomicU64,
    is_replaced: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// The place of one live call; leaves the registry when dropped.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    keys: [Key; 2],
    entry: Arc<Entry>,
}

/// The call or stream is live on another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyLive;

impl Registry {
    /// Takes a place for a call and its stream at `now`.
    ///
    /// # Errors
    /// [`AlreadyLive`], unless whoever holds the place has been silent for
    /// [`limit::SILENT_REPLACEABLE_AFTER`]: then it is told to end.
    pub fn enter(self: &Arc<Self>, keys: [Key; 2], now: Duration) -> Result<Place, AlreadyLive> {
        let mut live = self.lock();
        let holders: Vec<Arc<Entry>> =
            keys.iter().filter_map(|key| live.get(key).cloned()).collect();
        if holders.iter().any(|holder| !holder.is_silent(now)) {
            return Err(AlreadyLive);
        }
        for holder in holders {
            holder.replace();
        }
        let entry = Arc::new(Entry {
            heard_ms: AtomicU64::new(millis(now)),
            is_replaced: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        for key in keys {
            live.insert(key, Arc::clone(&entry));
        }
        Ok(Place { registry: Arc::clone(self), keys, entry })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_silent(&self, now: Duration) -> bool {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        now.saturating_sub(heard) > limit::SILENT_REPLACEABLE_AFTER
    }

    fn replace(&self) {
        self.is_replaced.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Place {
    /// Notes that something was heard at `now`.
    pub fn heard(&self, now: Duration) {
        self.entry.heard_ms.store(millis(now), Ordering::Relaxed);
    }

    /// Whether a newcomer has taken over.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.entry.is_replaced.load(Ordering::Acquire)
    }

    /// Whom to wake when a newcomer takes over.
    pub fn wake_by(&self, waker: &Waker) {
        let mut slot = self.entry.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(waker.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.registry.lock();
        for key in self.keys {
            if live.get(&key).is_some_and(|entry| Arc::ptr_eq(entry, &self.entry)) {
                live.remove(&key);
            }
        }
    }
}

fn millis(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Key = [1; 16];
    const STREAM: Key = [2; 16];
    const OTHER: Key = [3; 16];

    #[test]
    fn a_live_call_keeps_its_place_until_it_leaves() {
        let registry = Arc::new(Registry::default());
        let now = Duration::from_secs(10);
        let place = registry.enter([CALL, STREAM], now).unwrap();
        assert_eq!(registry.enter([CALL, OTHER], now).err(), Some(AlreadyLive));
        assert_eq!(registry.enter([OTHER, STREAM], now).err(), Some(AlreadyLive));
        drop(place);
        assert!(registry.enter([CALL, OTHER], now).is_ok());
        assert!(registry.lock().is_empty());
    }

    #[test]
    fn a_silent_call_gives_way_and_does_not_evict_its_successor() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter([CALL, STREAM], Duration::ZERO).unwrap();
        first.heard(Duration::from_secs(1));
        assert!(registry.enter([CALL, OTHER], Duration::from_secs(6)).is_err());
        let second = registry.enter([CALL, OTHER], Duration::from_millis(6_001)).unwrap();
        assert!(first.is_replaced() && !second.is_replaced());
        drop(first);
        assert!(registry.enter([CALL, STREAM], Duration::from_secs(7)).is_err());
    }
}
