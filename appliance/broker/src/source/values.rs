//! What came from sources: each value in a place for secrets, until it is replaced or its time is over.
//!
//! Whoever uses one holds it for as long as it takes to ask somebody something, and is told when it was replaced. Nobody gets
//! one whose time is over, whether it has been wiped yet or not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::random::Pseudonyms;
use ward_policy::audit::Event;
use ward_policy::credential::CredentialKind;
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor_id::VendorId;
use ward_sys::secret::{Protection, SecretPlace, SecretPool};

/// One value. Wiped when nobody holds it any more.
pub(crate) struct Value {
    place: SecretPlace,
    length: usize,
    pub(crate) kind: CredentialKind,
    pub(crate) name: Pseudonym,
    /// Since when we have it.
    pub(crate) since: Duration,
    /// Until when it is good, in milliseconds of the process's clock; later when its source says so again.
    until_ms: AtomicU64,
    is_over: watch::Sender<bool>,
}

impl Value {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.place.bytes().get(..self.length).unwrap_or_default()
    }

    pub(crate) fn until(&self) -> Duration {
        Duration::from_millis(self.until_ms.load(Ordering::Relaxed))
    }

    /// Returns when it was replaced or wiped.
    pub(crate) async fn over(&self) {
        // The sender is this one's own.
        self.is_over.subscribe().wait_for(|is_over| *is_over).await.map(drop).unwrap_or_default();
    }
}

/// Every value that is good.
pub(crate) struct Values {
    pool: Option<SecretPool>,
    names: Pseudonyms,
    clock: Clock,
    held: Mutex<BTreeMap<VendorId, Arc<Value>>>,
    changed: Notify,
}

/// There is no place for a value, or it is longer than any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPlace;

impl Values {
    /// Room for `count` values, and for those that they replace where there is memory for that. It is made before the
    /// process is sealed. `None` when there is no memory for secrets, or are no random bytes.
    pub(crate) fn new(count: usize, clock: Clock) -> Option<Self> {
        let (most, fewest) = (count.saturating_mul(2), count.saturating_add(1));
        let made = || SecretPool::up_to(most, fewest, limit::STORED_VALUE_BYTES_MAX);
        let pool = (count > 0).then(made).transpose().ok()?;
        let (held, changed) = (Mutex::default(), Notify::new());
        let names = Pseudonyms::new().ok()?;
        Some(Self { pool, names, clock, held, changed })
    }

    /// Whether nobody else can read them, root included; `None` when there is no room for any.
    pub(crate) fn is_secret(&self) -> Option<bool> {
        self.pool.as_ref().map(|pool| pool.protection() == Protection::Secret)
    }

    /// The value for `id`, if there is one that is good.
    pub(crate) fn of(&self, id: VendorId) -> Option<Arc<Value>> {
        let value = self.held().get(&id).map(Arc::clone);
        value.filter(|value| value.until() > self.clock.now())
    }

    /// Takes `bytes` for `id`, good until `until`, in the place of what was there. The same again is the same for longer.
    pub(crate) fn put(
        &self,
        id: VendorId,
        kind: CredentialKind,
        bytes: &[u8],
        until: Duration,
    ) -> Result<Pseudonym, NoPlace> {
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        if let Some(value) = self.held().get(&id).filter(|value| value.bytes() == bytes) {
            value.until_ms.store(until_ms, Ordering::Relaxed);
            self.changed.notify_waiters();
            return Ok(value.name);
        }
        let mut place = self.pool.as_ref().and_then(SecretPool::place).ok_or(NoPlace)?;
        place.bytes_mut().get_mut(..bytes.len()).ok_or(NoPlace)?.copy_from_slice(bytes);
        let name = self.name(bytes).ok_or(NoPlace)?;
        let value = Value {
            place,
            length: bytes.len(),
            kind,
            name,
            since: self.clock.now(),
            until_ms: AtomicU64::new(until_ms),
            is_over: watch::channel(false).0,
        };
        let before = self.held().insert(id, Arc::new(value));
        end(before);
        self.changed.notify_waiters();
        Ok(name)
    }

    /// What stands for a credential in the log.
    pub(crate) fn name(&self, bytes: &[u8]) -> Option<Pseudonym> {
        self.names.pseudonym(bytes)
    }

    /// Forgets what is there for `id`.
    pub(crate) fn forget(&self, id: VendorId) {
        let before = self.held().remove(&id);
        end(before);
    }

    /// Everything that is good.
    pub(crate) fn all(&self) -> Vec<(VendorId, Arc<Value>)> {
        let now = self.clock.now();
        let held = self.held();
        let good = held.iter().filter(|(_, value)| value.until() > now);
        good.map(|(id, value)| (*id, Arc::clone(value))).collect()
    }

    /// Wipes what is over, when it is.
    pub(crate) async fn sweep(&self, log: &Log) -> Infallible {
        loop {
            let changed = self.changed.notified();
            let now = self.clock.now();
            let is_over = |value: &Value| value.until() <= now;
            let over: Vec<_> = self.held().extract_if(.., |_id, value| is_over(value)).collect();
            for (vendor, value) in over {
                let (credential, kind) = (value.name, value.kind);
                end(Some(value));
                // One that a source is logged in to with is asked for when it is needed.
                if kind == CredentialKind::VendorKey {
                    log.record(&Event::CredentialExpired { vendor, credential });
                }
            }
            let next = self.held().values().map(|value| value.until()).min();
            let next = next.map(|next| self.clock.instant(next));
            tokio::select! {
                () = changed => {}
                () = past(next) => {}
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<VendorId, Arc<Value>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(value: Option<Arc<Value>>) {
    if let Some(value) = value {
        value.is_over.send_replace(true);
    }
}

/// Returns at `instant`; never, without one.
async fn past(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use ward_policy::audit::Role;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(text: &str) -> VendorId {
        VendorId::parse(text).unwrap()
    }

    fn values() -> (Values, Clock) {
        let clock = Clock::start();
        (Values::new(2, clock).unwrap(), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_there_until_it_is_replaced_and_whoever_uses_it_is_told() {
        let (values, _) = values();
        assert!(values.of(id("one")).is_none());
        let key = CredentialKind::VendorKey;
        let name = values.put(id("one"), key, b"first", 10 * SECOND).unwrap();
        let first = values.of(id("one")).unwrap();
        assert_eq!((first.bytes(), first.name), (&b"first"[..], name));
        // The same again is no replacement, and lives longer.
        assert_eq!(values.put(id("one"), key, b"first", 20 * SECOND), Ok(name));
        assert_eq!(first.until(), 20 * SECOND);
        assert!(tokio::time::timeout(SECOND, first.over()).await.is_err());
        let other = values.put(id("one"), key, b"second", 10 * SECOND).unwrap();
        assert_ne!(name, other);
        tokio::time::timeout(SECOND, first.over()).await.unwrap();
        assert_eq!(values.of(id("one")).unwrap().bytes(), b"second");
        assert_eq!(values.put(id("one"), key, &[b'x'; 4_097], SECOND), Err(NoPlace));
        values.forget(id("one"));
        assert!(values.of(id("one")).is_none() && values.all().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_nobodys_and_is_wiped_when_it_is() {
        let (values, clock) = values();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Broker, clock, writer.into());
        values.put(id("one"), CredentialKind::VendorKey, b"short", 2 * SECOND).unwrap();
        values.put(id("two"), CredentialKind::VendorKey, b"long", 60 * SECOND).unwrap();
        tokio::select! {
            never = values.sweep(&log) => match never {},
            () = tokio::time::sleep(3 * SECOND) => {}
        }
        assert!(values.of(id("one")).is_none() && values.of(id("two")).is_some());
        assert_eq!(values.all().len(), 1);
        drop((log, values));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#""at_ms":2000,"#) && text.contains(r#""vendor":"one""#), "{text}");
        // Over, and not swept yet: nobody gets it.
        let values = Values::new(1, Clock::start()).unwrap();
        values.put(id("one"), CredentialKind::VendorKey, b"short", SECOND).unwrap();
        tokio::time::advance(SECOND).await;
        assert!(values.of(id("one")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_given_back_and_there_are_no_more_than_were_made() {
        let (values, _) = values();
        for round in 0..100_u8 {
            values.put(id("one"), CredentialKind::VendorKey, &[round], SECOND).unwrap();
        }
        let mut held = Vec::new();
        let mut put = |round: u8| {
            let put = values.put(id("one"), CredentialKind::VendorKey, &[round, 1], SECOND);
            held.extend(values.of(id("one")));
            put
        };
        // Two values and what they replace: four places.
        let fine = (0..10).filter(|round| put(*round).is_ok()).count();
        assert_eq!(fine, 4);
        // Who got none keeps what was there.
        assert_eq!(values.of(id("one")).unwrap().bytes(), [3, 1]);
    }
}
