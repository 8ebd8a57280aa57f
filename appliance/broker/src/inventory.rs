//! The list of every live credential of the broker: keys, what it is logged in with, tokens that it has given
//! away, and what an authority has given it.
//!
//! It lists names and times, never a value. Tokens are not kept, so they are counted by when they end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use ward_edge::wiped::wiped_now;
use ward_policy::audit::Event;
use ward_policy::credential::CredentialKind;
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor_id::VendorId;

use crate::answer::{Answering, unix_s};

/// Tokens that were given away: for each vendor and second in which some end, how many, and when the first was given.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<BTreeMap<VendorId, Ends>>);

/// By the second of their end: how many, and the second in which the first of them was given.
type Ends = BTreeMap<u64, (u64, u64)>;

impl Given {
    /// Notes a token that was given at `now` and is good for `ttl`.
    pub(crate) fn note(&self, vendor: VendorId, now: Duration, ttl: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.entry(vendor).or_default();
        *ends = ends.split_off(&now.as_secs());
        let end = now.saturating_add(ttl).as_secs();
        if ends.len() < limit::TOKEN_ENDS_MAX {
            let (count, _first) = ends.entry(end).or_insert((0, now.as_secs()));
            *count = count.saturating_add(1);
        }
    }

    /// What is still good of each vendor's.
    fn live(&self, now: Duration) -> Vec<Event> {
        let now_s = now.as_secs();
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let live = all.iter().filter_map(|(vendor, ends)| {
            let good = || ends.range(now_s.saturating_add(1)..);
            let (last, _) = good().next_back()?;
            Some(Event::CredentialLive {
                credential: None,
                class: CredentialKind::VendorToken,
                audience: Some(*vendor),
                count: good().map(|(_, (count, _))| count).sum(),
                issued_ago_s: now_s.saturating_sub(good().map(|(_, (_, first))| *first).min()?),
                expires_in_s: Some(last.saturating_sub(now_s)),
            })
        });
        live.collect()
    }
}

/// What an authority has given: the account, and the certificate in use.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    all: Mutex<BTreeMap<CredentialKind, One>>,
    changed: Notify,
}

/// One of them. Times are seconds since 1970, since a certificate has its own from its authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct One {
    pub(crate) name: Option<Pseudonym>,
    pub(crate) from: VendorId,
    pub(crate) since_s: u64,
    pub(crate) until_s: Option<u64>,
}

impl Issued {
    /// Notes what there is of a kind from now on; `None` when there is none any more.
    pub(crate) fn note(&self, class: CredentialKind, one: Option<One>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match one {
            Some(one) => all.insert(class, one),
            None => all.remove(&class),
        };
        if before != one {
            self.changed.notify_one();
        }
    }

    /// What is good at `now_s`.
    fn live(&self, now_s: u64) -> Vec<Event> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let good = all.iter().filter(|(_, one)| one.until_s.is_none_or(|until_s| until_s > now_s));
        let live = good.map(|(class, one)| Event::CredentialLive {
            credential: one.name,
            class: *class,
            audience: Some(one.from),
            count: 1,
            issued_ago_s: now_s.saturating_sub(one.since_s),
            expires_in_s: one.until_s.map(|until_s| until_s.saturating_sub(now_s)),
        });
        live.collect()
    }
}

/// Lists them once every key has been asked for, every hour after, and when an authority has given something.
pub(crate) async fn keep(answering: &Answering) -> Infallible {
    // A source that hangs is no reason to say nothing.
    drop(timeout(limit::SOURCE_DEADLINE, answering.sources.all_tried()).await);
    loop {
        // Names are made of values, on the stack.
        wiped_now(|| list(answering));
        // Either is a reason to list them again.
        drop(timeout(limit::INVENTORY_INTERVAL, answering.issued.changed.notified()).await);
    }
}

fn list(answering: &Answering) {
    let now = answering.clock.now();
    let mut lines = answering.given.live(now);
    lines.extend(answering.issued.live(unix_s()));
    let one = |credential, class, audience, since: Duration, until: Option<Duration>| {
        let until = until.map(|until| until.saturating_sub(now).as_secs());
        Event::CredentialLive {
            credential,
            class,
            audience: Some(audience),
            count: 1,
            issued_ago_s: now.saturating_sub(since).as_secs(),
            expires_in_s: until,
        }
    };
    // Those of the document are as old as the process, and have no end that it knows of.
    lines.extend(answering.keys.all_ids().map(|(id, key)| {
        let name = answering.sources.values.name(key);
        one(name, CredentialKind::VendorKey, id, Duration::ZERO, None)
    }));
    lines.extend(answering.sources.values.all().into_iter().map(|(id, value)| {
        one(Some(value.name), value.kind, id, value.since, Some(value.until()))
    }));
    for line in &lines {
        answering.log.record(line);
    }
    let lines = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    answering.log.record(&Event::CredentialsListed { lines });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_until_they_end() {
        let given = Given::default();
        let id = |text| VendorId::parse(text).unwrap();
        let second = Duration::from_secs;
        for (at, ttl) in [(10, 30), (10, 30), (12, 60), (20, 5)] {
            given.note(id("asr"), second(at), second(ttl));
        }
        given.note(id("tts"), second(20), second(1));
        let live = |at| {
            let live = given.live(second(at));
            let live = live.into_iter().filter_map(|event| match event {
                Event::CredentialLive { audience, count, issued_ago_s, expires_in_s, .. } => {
                    Some((audience?, count, issued_ago_s, expires_in_s?))
                }
                _ => None,
            });
            live.collect::<Vec<_>>()
        };
        assert_eq!(live(20), [(id("asr"), 4, 10, 52), (id("tts"), 1, 0, 1)]);
        assert_eq!(live(30), [(id("asr"), 3, 20, 42)]);
        assert_eq!(live(50), [(id("asr"), 1, 38, 22)]);
        assert_eq!(live(72), []);
        // What is over takes no room once the next is noted.
        given.note(id("asr"), second(100), second(1));
        assert_eq!(given.0.lock().unwrap()[&id("asr")].len(), 1);
    }

    #[test]
    fn what_an_authority_gave_is_listed_until_it_ends_or_is_replaced() {
        let issued = Issued::default();
        let from = VendorId::parse("ca").unwrap();
        let one = |until_s| Some(One { name: None, from, since_s: 100, until_s });
        issued.note(CredentialKind::AcmeAccount, one(None));
        issued.note(CredentialKind::Certificate, one(Some(300)));
        let live = |at| issued.live(at).len();
        assert_eq!((live(200), live(299), live(300)), (2, 2, 1));
        issued.note(CredentialKind::Certificate, one(Some(500)));
        assert_eq!(live(300), 2);
        issued.note(CredentialKind::AcmeAccount, None);
        assert_eq!(live(300), 1);
        let Some(Event::CredentialLive { issued_ago_s, expires_in_s, .. }) = issued.live(300).pop()
        else {
            panic!("nothing is listed");
        };
        assert_eq!((issued_ago_s, expires_in_s), (200, Some(200)));
    }
}
