//! What credentials a server has, by kind: what it says of itself in the list of all of them. No value and no part of one
//! comes here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use ward_policy::audit::Event;
use ward_policy::credential::CredentialKind;
use ward_policy::limit;

use super::Log;

/// How many of each kind there are, and since when.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<CredentialKind, (u64, Duration)>);

impl Held {
    fn events(&self, now: Duration) -> Vec<Event> {
        let lines = self.0.iter().map(|(class, (count, since))| Event::CredentialLive {
            credential: None,
            class: *class,
            audience: None,
            count: *count,
            issued_ago_s: now.saturating_sub(*since).as_secs(),
            // A server never asks for the date, so it knows of no end.
            expires_in_s: None,
        });
        let mut lines: Vec<Event> = lines.collect();
        let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        lines.push(Event::CredentialsListed { lines: count });
        lines
    }
}

impl Log {
    /// Notes that from now on this process has so many credentials of a kind, in the place of those before; 0 is none.
    pub fn holds(&self, class: CredentialKind, count: usize) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match u64::try_from(count).unwrap_or(u64::MAX) {
            0 => state.held.0.remove(&class),
            count => state.held.0.insert(class, (count, now)),
        };
    }

    /// Lists what [`Self::holds`] was told, now and every hour, for as long as it is polled.
    pub async fn keep_credentials(&self) -> Infallible {
        loop {
            for event in self.credentials() {
                self.record(&event);
            }
            tokio::time::sleep(limit::INVENTORY_INTERVAL).await;
        }
    }

    fn credentials(&self) -> Vec<Event> {
        let state = self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.held.events(self.0.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lines_of;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_listed_at_once_and_every_hour_and_what_was_replaced_is_not() {
        let text = lines_of(async |log| {
            log.holds(CredentialKind::TlsKey, 1);
            log.holds(CredentialKind::HandshakeValues, 4);
            log.holds(CredentialKind::AuthToken, 1);
            log.holds(CredentialKind::AuthToken, 0);
            let patience = limit::INVENTORY_INTERVAL + Duration::from_secs(1);
            tokio::time::timeout(patience, log.keep_credentials()).await.unwrap_err();
        })
        .await;
        let all: Vec<&str> = text.lines().collect();
        assert_eq!(all.len(), 6, "{text}");
        assert!(all[0].ends_with(r#""class":"tls-key","count":1,"issued_ago_s":0}"#), "{text}");
        assert!(all[1].contains(r#""class":"handshake-values","count":4"#), "{text}");
        assert!(all[2].ends_with(r#""event":"credentials_listed","lines":2}"#), "{text}");
        assert!(all[3].ends_with(r#""class":"tls-key","count":1,"issued_ago_s":3600}"#), "{text}");
    }
}
