//! One question of media's, from the registry to the connection.

use std::time::Duration;

use ward_edge::egress::Terms;
use ward_policy::data_class::DataClass;
use ward_policy::date::Date;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::phi::Secret;
use ward_policy::vendor::{Approved, CredentialClass, Entry, Host, Purpose, Registry};
use ward_policy::vendor_id::VendorId;

use crate::dial::Dialler;
use crate::keys::Keys;
use crate::live::Term;

/// What is needed to answer.
pub(crate) struct Answering {
    pub(crate) registry: Registry,
    pub(crate) dialler: Dialler,
    pub(crate) keys: Keys,
}

/// What is given to media, before it is sent.
pub(crate) struct Answered {
    pub(crate) connection: tokio::net::TcpStream,
    pub(crate) terms: Terms,
    pub(crate) token: Secret<String>,
    pub(crate) term: Term,
}

const DAY_S: u64 = 86_400;

/// Seconds since 1970-01-01, by the machine's clock; 0 when that stands before.
#[expect(clippy::disallowed_methods, reason = "an agreement begins and ends on a date")]
fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Answering {
    pub(crate) async fn answer(
        &self,
        vendor: VendorId,
        class: DataClass,
    ) -> Result<Answered, DialFault> {
        let now_s = unix_s();
        let today = Date::from_days(i64::try_from(now_s / DAY_S).unwrap_or(i64::MAX));
        let approved = self.registry.approve(vendor.as_str(), class, today)?;
        let entry = approved.entry();
        let host = data_host(entry)?;
        // Before anybody is dialled: what cannot be used need not be opened.
        let token = self.token(entry, host, vendor, now_s)?;
        let term = term(&approved, now_s);
        let connection = self.dialler.dial(&host.name, host.port).await?;
        // Small messages leave at once; a failure costs a delay and nothing else.
        connection.set_nodelay(true).unwrap_or_default();
        let token_ttl = if token.expose().is_empty() { 0 } else { entry.credential.max_ttl_s };
        let terms = Terms {
            vendor,
            host: host.name.clone(),
            token_ttl: Duration::from_secs(u64::from(token_ttl)),
            session_max: term.length,
            roots_pem: entry.roots_pem.clone().unwrap_or_default(),
            manner: None,
        };
        Ok(Answered { connection, terms, token, term })
    }

    fn token(
        &self,
        entry: &Entry,
        host: &Host,
        vendor: VendorId,
        now_s: u64,
    ) -> Result<Secret<String>, DialFault> {
        match entry.credential.class {
            CredentialClass::None => Ok(Secret::new(String::new())),
            CredentialClass::SignedToken => {
                let key = self.keys.of(vendor).ok_or(DialFault::NoCredential)?;
                let ttl_s = entry.credential.max_ttl_s;
                let token = crate::token::signed(key, &host.name, now_s, ttl_s);
                token.ok_or(DialFault::NoCredential)
            }
            // A key that lasts is never given to media, and nobody here mints the vendor's own tokens yet.
            CredentialClass::Token | CredentialClass::StaticKey => Err(DialFault::NoCredential),
        }
    }
}

/// The host that gives the service itself.
fn data_host(entry: &Entry) -> Result<&Host, DialFault> {
    let host = entry.hosts.iter().find(|host| host.purpose == Purpose::Data);
    host.ok_or(DialFault::NoHost)
}

/// How long a connection may live: the entry's longest session, or the rest of its last day (UTC).
fn term(approved: &Approved<'_>, now_s: u64) -> Term {
    let session_s = u64::from(approved.entry().credential.max_session_s);
    // Without a credential there is no such limit of the vendor's; ours is that of a call.
    let session = match session_s {
        0 => ward_policy::limit::CALL_DURATION_MAX,
        seconds => Duration::from_secs(seconds),
    };
    let today = Date::from_days(i64::try_from(now_s / DAY_S).unwrap_or(i64::MAX));
    let left_today = DAY_S.saturating_sub(now_s % DAY_S);
    let left = approved.until().map(|until| {
        let days = u64::try_from(today.days_until(until)).unwrap_or(0);
        Duration::from_secs(days.saturating_mul(DAY_S).saturating_add(left_today))
    });
    match left {
        Some(left) if left < session => Term { length: left, reason: VendorEnd::EntryExpired },
        _ => Term { length: session, reason: VendorEnd::SessionOver },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = include_str!("../../../policy/vendors/deepgram.toml");

    fn check(baa: &str, max_session_s: u32, on: &str, second_of_day: u64) -> Term {
        let signed = format!(
            "status = \"signed\"\nreference = \"r\"\ndocument_sha256 = \"{}\"\n\
             effective = \"2026-01-01\"\nreviewed_on = \"2026-01-01\"\n{baa}",
            "0".repeat(64)
        );
        let text = ENTRY
            .replace("status = \"pending\"", &signed)
            .replace("approved_on = \"2026-11-22\"", "approved_on = \"2026-01-01\"")
            .replace("max_session_s = 3600", &format!("max_session_s = {max_session_s}"));
        let registry = Registry::parse([("one", text.as_str())]).unwrap();
        let day = Date::parse(on).unwrap();
        let days = Date::from_days(0).days_until(day);
        let approved = registry.approve("deepgram", DataClass::Audio, day).unwrap();
        term(&approved, u64::try_from(days).unwrap() * DAY_S + second_of_day)
    }

    #[test]
    fn a_connection_lives_no_longer_than_its_session_and_its_agreement() {
        let review = "next_review = \"2026-12-31\"";
        let session =
            |length| Term { length: Duration::from_secs(length), reason: VendorEnd::SessionOver };
        let expiry =
            |length| Term { length: Duration::from_secs(length), reason: VendorEnd::EntryExpired };
        assert_eq!(check(review, 3_600, "2026-06-01", 0), session(3_600));
        // The last day is a whole one.
        assert_eq!(check(review, 3_600, "2026-12-31", DAY_S - 60), expiry(60));
        assert_eq!(check(review, 3_600, "2026-12-30", DAY_S - 60), session(3_600));
        let expires = "next_review = \"2027-06-30\"\nexpires = \"2026-12-30\"";
        assert_eq!(check(expires, 90_000, "2026-12-29", DAY_S - 60), expiry(DAY_S + 60));
    }
}
