//! Keeps every key of one source fresh: fetches it, fetches it again before it is over, and says when it could not.
//!
//! It waits for one answer at a time. What is over is wiped by somebody else ([`super::values::Values::sweep`]), so a source that
//! hangs keeps nothing alive.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use ward_edge::random::chance;
use ward_edge::wiped::wiped;
use ward_policy::audit::Event;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::SourceFault;
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor::{Entry, KeyPlace, Store};
use ward_policy::vendor_id::VendorId;

use super::aws::Aws;
use super::schedule::{pause_after, refresh_after};
use super::vault::Vault;
use super::{Context, Fetched, Source};
use crate::answer::Answering;

/// One key of the source.
struct Kept {
    vendor: VendorId,
    wanted: KeyPlace,
    /// When it is fetched next.
    due: Duration,
    /// Failures in a row.
    failures: u32,
    lease: Option<String>,
}

/// Starts a task for each source that a key comes from, and one that wipes what is over.
pub(crate) fn start(answering: &Arc<Answering>) {
    let registry = &answering.registry;
    for entry in registry.entries() {
        let (Some(store), Ok(id)) = (&entry.store, VendorId::parse(&entry.id)) else { continue };
        let keys = registry.entries().iter().filter_map(|one| {
            let wanted = one.credential.key.as_ref().filter(|key| key.source == entry.id)?;
            let (vendor, wanted) = (VendorId::parse(&one.id).ok()?, wanted.clone());
            Some(Kept { vendor, wanted, due: Duration::ZERO, failures: 0, lease: None })
        });
        let keys: Vec<Kept> = keys.collect();
        let first = keys.first().and_then(|kept| answering.sources.asked.get(&kept.vendor));
        // One that nobody has a key at is not asked.
        let Some(wake) = first.map(|asking| Arc::clone(&asking.keeper)) else { continue };
        let source = match store {
            Store::AwsSecretsManager { region, metadata } => {
                Source::Aws(Aws::new(region.clone(), metadata.clone()))
            }
            Store::Vault { auth, mount, role, namespace } => {
                Source::Vault(Vault::new(*auth, mount, role, namespace.clone()))
            }
        };
        let keeper = Keeper { answering: Arc::clone(answering), entry: entry.clone(), id, source };
        tokio::spawn(async move { match keeper.keep(keys, wake).await {} });
    }
    let sweeping = Arc::clone(answering);
    tokio::spawn(async move { match sweeping.sources.values.sweep(&sweeping.log).await {} });
}

struct Keeper {
    answering: Arc<Answering>,
    entry: Entry,
    id: VendorId,
    source: Source,
}

impl Keeper {
    async fn keep(mut self, mut keys: Vec<Kept>, wake: Arc<Notify>) -> Infallible {
        loop {
            for kept in &mut keys {
                if self.answering.sources.is_wanted(kept.vendor) {
                    kept.due = Duration::ZERO;
                }
            }
            let now = self.answering.clock.now();
            let Some(next) = keys.iter_mut().min_by_key(|kept| kept.due) else {
                // There is always one: whoever has no key has no keeper.
                std::future::pending::<()>().await;
                continue;
            };
            if next.due > now {
                let due = self.answering.clock.instant(next.due);
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = wake.notified() => {}
                }
                continue;
            }
            self.answering.sources.begins(next.vendor);
            let given_up = self.fetch(next).await;
            self.answering.sources.tried(next.vendor);
            if let Some(lease) = given_up {
                self.give_back(lease);
            }
        }
    }

    /// Fetches one key, and says what came of it; the lease of what nobody uses any more, or never did.
    async fn fetch(&mut self, kept: &mut Kept) -> Option<String> {
        let answering = Arc::clone(&self.answering);
        let (values, clock, log) = (&answering.sources.values, answering.clock, &answering.log);
        let (source, vendor) = (self.id, kept.vendor);
        let began = clock.now();
        let mut outcome = Err((SourceFault::Late, None));
        let mut mended = None;
        // What is fetched passes through the stack.
        wiped(async {
            let context = Context { answering: &answering, entry: &self.entry, id: source };
            let fetching = Box::pin(self.source.fetch(context, &kept.wanted));
            let fetched = timeout(limit::SOURCE_DEADLINE, fetching).await;
            let fetched = fetched.unwrap_or(Err(SourceFault::Late));
            outcome = fetched.map_err(|fault| (fault, None)).and_then(|fetched| {
                mended = fetched.mended;
                keep(&answering, kept, fetched, began)
            });
        })
        .await;
        let now = clock.now();
        let left =
            values.of(vendor).map_or(Duration::ZERO, |value| value.until().saturating_sub(now));
        let left_s = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        let failed = |reason| log.record(&Event::SourceFailed { source, vendor, left_s, reason });
        if let Some(reason) = mended {
            failed(reason);
        }
        match outcome {
            Ok((credential, ttl, before)) => {
                let took_ms = u64::try_from(now.saturating_sub(began).as_millis());
                let (took_ms, ttl_s) = (took_ms.unwrap_or(u64::MAX), ttl.as_secs());
                let ttl_s = u32::try_from(ttl_s).unwrap_or(u32::MAX);
                log.record(&Event::CredentialFetched {
                    source,
                    vendor,
                    credential,
                    ttl_s,
                    took_ms,
                });
                kept.failures = 0;
                kept.due = began.saturating_add(refresh_after(ttl, chance()));
                before
            }
            Err((reason, unused)) => {
                failed(reason);
                let pause = pause_after(kept.failures, chance());
                kept.failures = kept.failures.saturating_add(1);
                // An old one that is nearly over is not waited out.
                kept.due = now.saturating_add(pause);
                // Everybody who needs the key would have it asked for again, just when it cannot answer.
                let is_to_rest = reason == SourceFault::Throttled
                    || kept.failures >= limit::SOURCE_FAILURES_ASKED;
                if is_to_rest {
                    answering.sources.rests(vendor, kept.due);
                }
                unused
            }
        }
    }

    /// Gives a lease back, once whoever was using it has begun again. Nobody waits for that: a source that hangs then
    /// must not keep the next key from anybody.
    fn give_back(&self, lease: String) {
        let (answering, entry) = (Arc::clone(&self.answering), self.entry.clone());
        let (id, mut source) = (self.id, self.source.clone());
        tokio::spawn(async move {
            tokio::time::sleep(limit::REPLACED_GRACE).await;
            // The token that it is given back with passes through the stack.
            wiped(async {
                let context = Context { answering: &answering, entry: &entry, id };
                let giving = Box::pin(source.give_back(context, &lease));
                // It ends by itself otherwise.
                drop(timeout(limit::SOURCE_DEADLINE, giving).await);
            })
            .await;
        });
    }
}

/// A pseudonym, a life, and the lease that was there before.
type Taken = (Pseudonym, Duration, Option<String>);

/// Puts what was fetched in its place; or says why not, with the lease of what was not taken.
fn keep(
    answering: &Answering,
    kept: &mut Kept,
    mut fetched: Fetched,
    began: Duration,
) -> Result<Taken, (SourceFault, Option<String>)> {
    let lease = fetched.lease.take();
    match put(answering, kept, &fetched, began) {
        Ok((name, ttl)) => Ok((name, ttl, std::mem::replace(&mut kept.lease, lease))),
        Err(fault) => Err((fault, lease)),
    }
}

fn put(
    answering: &Answering,
    kept: &Kept,
    fetched: &Fetched,
    began: Duration,
) -> Result<(Pseudonym, Duration), SourceFault> {
    let most = Duration::from_secs(u64::from(kept.wanted.max_ttl_s));
    let ttl = fetched.ttl.unwrap_or(most).min(most);
    // Counted from before the first request: it is never longer there than here.
    let until = began.saturating_add(ttl);
    if until <= answering.clock.now() {
        return Err(SourceFault::Over);
    }
    let bytes = fetched.value.as_ref().ok_or(SourceFault::Absent)?.expose();
    // It will stand in a header.
    let is_plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if bytes.is_empty() || !is_plain || bytes.len() > limit::STORED_VALUE_BYTES_MAX {
        return Err(SourceFault::Garbage);
    }
    let values = &answering.sources.values;
    let put = values.put(kept.vendor, CredentialKind::VendorKey, bytes, until);
    Ok((put.map_err(|_place| SourceFault::Memory)?, ttl))
}
