//! One question of media's, from the registry to the connection.

use std::time::Duration;

use ward_edge::clock::Clock;
use ward_edge::egress::Terms;
use ward_edge::log::Log;
use ward_policy::audit::Event;
use ward_policy::data_class::DataClass;
use ward_policy::date::Date;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::phi::Secret;
use ward_policy::vendor::{Approved, CredentialClass, Entry, Host, Purpose, Registry};
use ward_policy::vendor_id::VendorId;

use crate::dial::Dialler;
use crate::keys::Keys;
use crate::live::Term;
use crate::mint::{Asked, Minted, mint};

/// What is needed to answer.
pub(crate) struct Answering {
    pub(crate) registry: Registry,
    pub(crate) dialler: Dialler,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
}

/// What a token comes from.
enum Credential<'a> {
    /// It is there, or there is to be none.
    Made(Minted),
    /// The vendor mints it.
    ToMint(Asked<'a>),
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
pub(crate) fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Today, by the machine's clock (UTC).
pub(crate) fn today() -> Date {
    Date::from_days(i64::try_from(unix_s() / DAY_S).unwrap_or(i64::MAX))
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
        let host = entry.host(Purpose::Data).ok_or(DialFault::NoHost)?;
        // Before anybody is dialled: what cannot be used need not be opened.
        let credential = self.credential(entry, host, vendor, now_s)?;
        let term = term(&approved, now_s);
        let dialling = self.dialler.dial(&host.name, host.port);
        let (minted, connection) = match credential {
            Credential::Made(made) => (made, dialling.await?),
            // A caller waits for the slower one, not for both.
            Credential::ToMint(asked) => tokio::try_join!(self.mint(vendor, asked), dialling)?,
        };
        // Small messages leave at once; a failure costs a delay and nothing else.
        connection.set_nodelay(true).unwrap_or_default();
        let terms = Terms {
            vendor,
            host: host.name.clone(),
            token_ttl: Duration::from_secs(u64::from(minted.ttl_s)),
            session_max: term.length,
            roots_pem: entry.roots_pem.clone().unwrap_or_default(),
            manner: entry.manner(),
        };
        Ok(Answered { connection, terms, token: minted.token, term })
    }

    async fn mint(&self, vendor: VendorId, asked: Asked<'_>) -> Result<Minted, DialFault> {
        let began = self.clock.now();
        let minted = mint(&self.dialler, asked).await?;
        let took = self.clock.now().saturating_sub(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.log.record(&Event::VendorMinted { vendor, token_ttl_s: minted.ttl_s, took_ms });
        Ok(minted)
    }

    fn credential<'a>(
        &'a self,
        entry: &'a Entry,
        host: &Host,
        vendor: VendorId,
        now_s: u64,
    ) -> Result<Credential<'a>, DialFault> {
        let none = DialFault::NoCredential;
        let credential = &entry.credential;
        let max_ttl_s = credential.max_ttl_s;
        let key = || self.keys.of(vendor).ok_or(none);
        match credential.class {
            CredentialClass::None => {
                let token = Secret::new(String::new());
                Ok(Credential::Made(Minted { token, ttl_s: 0 }))
            }
            CredentialClass::SignedToken => {
                let token = crate::token::signed(key()?, &host.name, now_s, max_ttl_s);
                Ok(Credential::Made(Minted { token: token.ok_or(none)?, ttl_s: max_ttl_s }))
            }
            CredentialClass::Token => Ok(Credential::ToMint(Asked {
                mint: credential.mint.as_ref().ok_or(none)?,
                host: entry.host(Purpose::Token).ok_or(none)?,
                roots_pem: entry.roots_pem.as_deref().unwrap_or_default(),
                key: key()?,
                max_ttl_s,
            })),
            // A key that lasts is never given to media.
            CredentialClass::StaticKey => Err(none),
        }
    }
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
