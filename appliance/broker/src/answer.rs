//! One question of media's or of the log's, from the registry to the connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use ward_edge::clock::Clock;
use ward_edge::egress::Terms;
use ward_edge::log::Log;
use ward_edge::wiped::wiped_now;
use ward_policy::audit::Event;
use ward_policy::data_class::DataClass;
use ward_policy::date::Date;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::{
    Approved, CredentialClass, Entry, Host, Mint, Purpose, Registry, VendorRole,
};
use ward_policy::vendor_id::VendorId;

use crate::dial::Dialler;
use crate::inventory::{Given, Issued};
use crate::keys::Keys;
use crate::live::Term;
use crate::mint::{Asked, Minted, mint};
use crate::source::Sources;
use crate::source::values::Value;
use crate::token::signed;

/// Who asks. Each has a channel of its own, so nobody asks in the other's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// It hears callers: it gets no infrastructure.
    Media,
    /// It hears nobody: it gets the log sink and nothing else.
    Log,
}

/// What is needed to answer.
pub(crate) struct Answering {
    pub(crate) registry: Registry,
    /// The one entry that the log may have.
    pub(crate) log_sink: Option<VendorId>,
    pub(crate) dialler: Dialler,
    pub(crate) keys: Keys,
    pub(crate) sources: Sources,
    pub(crate) given: Given,
    pub(crate) issued: Issued,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
}

/// What a token comes from.
enum Credential<'a> {
    /// It is there, or there is to be none.
    Made(Minted),
    /// The vendor mints it.
    ToMint(ToMint<'a>),
}

/// A token that is to be minted.
struct ToMint<'a> {
    entry: &'a Entry,
    mint: &'a Mint,
    host: &'a Host,
    /// The key that is there now. Another may have come before it is used.
    key: Key<'a>,
}

/// A vendor's key.
enum Key<'a> {
    /// Of the document: there as long as the process.
    Lasting(&'a [u8]),
    /// Of a source.
    Stored(Arc<Value>),
}

impl Key<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Lasting(bytes) => bytes,
            Self::Stored(value) => value.bytes(),
        }
    }

    /// Returns when it was replaced, and whoever uses it has had some time to end.
    async fn replaced(&self) {
        match self {
            Self::Lasting(_) => std::future::pending().await,
            Self::Stored(value) => {
                value.over().await;
                tokio::time::sleep(limit::REPLACED_GRACE).await;
            }
        }
    }
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

/// The day (UTC) of a second since 1970-01-01.
pub(crate) fn day_of(at_s: u64) -> Date {
    Date::from_days(i64::try_from(at_s / DAY_S).unwrap_or(i64::MAX))
}

impl Answering {
    pub(crate) async fn answer(
        &self,
        asker: Asker,
        vendor: VendorId,
        class: DataClass,
    ) -> Result<Answered, DialFault> {
        let now_s = unix_s();
        let today = day_of(now_s);
        let wanted = (vendor, class);
        let approved = approved(&self.registry, self.log_sink, asker, wanted, today)?;
        let entry = approved.entry();
        let host = entry.host(Purpose::Data).ok_or(DialFault::NoHost)?;
        // Before anybody is dialled: what cannot be used need not be opened.
        let credential = self.credential(entry, host, vendor, now_s).await?;
        let term = term(&approved, now_s);
        let dialling = self.dialler.dial(host);
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

    async fn mint(&self, vendor: VendorId, to_mint: ToMint<'_>) -> Result<Minted, DialFault> {
        let began = self.clock.now();
        let minting = timeout(limit::MINT_DEADLINE, self.mint_with_the_key(vendor, to_mint));
        let minted = minting.await.unwrap_or(Err(DialFault::MintLate))?;
        let took = self.clock.now().saturating_sub(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.log.record(&Event::VendorMinted { vendor, token_ttl_s: minted.ttl_s, took_ms });
        Ok(minted)
    }

    /// Mints with the key that there is: again when it is replaced meanwhile, and once more if it is refused and there is
    /// another.
    async fn mint_with_the_key(
        &self,
        vendor: VendorId,
        to_mint: ToMint<'_>,
    ) -> Result<Minted, DialFault> {
        let ToMint { entry, mint: way, host, mut key } = to_mint;
        let roots_pem = entry.roots_pem.as_deref().unwrap_or_default();
        let max_ttl_s = entry.credential.max_ttl_s;
        let mut may_be_refused = true;
        loop {
            let asked = Asked { mint: way, host, roots_pem, key: key.bytes(), max_ttl_s };
            let minted = tokio::select! {
                biased;
                minted = Box::pin(mint(&self.dialler, asked)) => Some(minted),
                () = key.replaced() => None,
            };
            let another = match (minted, &key) {
                (Some(Err(DialFault::MintRefused)), Key::Stored(value)) if may_be_refused => {
                    may_be_refused = false;
                    self.sources.another(vendor, value).await.ok_or(DialFault::MintRefused)?
                }
                (Some(minted), _) => return minted,
                (None, _) => self.sources.key(vendor).await.ok_or(DialFault::NoCredential)?,
            };
            key = Key::Stored(another);
        }
    }

    /// The vendor's key: of its source if its entry names one, else of the document.
    async fn key(&self, entry: &Entry, vendor: VendorId) -> Result<Key<'_>, DialFault> {
        let key = match &entry.credential.key {
            Some(_place) => self.sources.key(vendor).await.map(Key::Stored),
            None => self.keys.of(vendor).map(Key::Lasting),
        };
        key.ok_or(DialFault::NoCredential)
    }

    async fn credential<'a>(
        &'a self,
        entry: &'a Entry,
        host: &Host,
        vendor: VendorId,
        now_s: u64,
    ) -> Result<Credential<'a>, DialFault> {
        let none = DialFault::NoCredential;
        let credential = &entry.credential;
        let max_ttl_s = credential.max_ttl_s;
        match credential.class {
            CredentialClass::None => {
                let token = Secret::new(String::new());
                Ok(Credential::Made(Minted { token, ttl_s: 0 }))
            }
            CredentialClass::SignedToken => {
                let key = self.key(entry, vendor).await?;
                // The key passes through the stack.
                let token = wiped_now(|| signed(key.bytes(), &host.name, now_s, max_ttl_s));
                Ok(Credential::Made(Minted { token: token.ok_or(none)?, ttl_s: max_ttl_s }))
            }
            CredentialClass::Token => Ok(Credential::ToMint(ToMint {
                entry,
                mint: credential.mint.as_ref().ok_or(none)?,
                host: entry.host(Purpose::Token).ok_or(none)?,
                key: self.key(entry, vendor).await?,
            })),
            // Collectors know nothing better, and the log gives it to nobody but them.
            CredentialClass::StaticKey if entry.role == VendorRole::LogSink => {
                let key = self.key(entry, vendor).await?;
                let key = String::from_utf8(key.bytes().to_vec()).map_err(|_bytes| none)?;
                Ok(Credential::Made(Minted { token: Secret::new(key), ttl_s: max_ttl_s }))
            }
            // A key that lasts is never given to media.
            CredentialClass::StaticKey => Err(none),
        }
    }
}

/// The entry, if the asker may have it today: of the vendors any, of infrastructure the log its sink alone.
fn approved(
    registry: &Registry,
    log_sink: Option<VendorId>,
    asker: Asker,
    (vendor, class): (VendorId, DataClass),
    today: Date,
) -> Result<Approved<'_>, DialFault> {
    let approved = match asker {
        Asker::Media => registry.approve(vendor.as_str(), class, today),
        Asker::Log if class == DataClass::None && log_sink == Some(vendor) => {
            registry.infrastructure(vendor.as_str(), VendorRole::LogSink, today)
        }
        Asker::Log => return Err(DialFault::WrongAsker),
    };
    approved.map_err(DialFault::from)
}

/// How long a connection may live: the entry's longest session, or the rest of its last day (UTC).
fn term(approved: &Approved<'_>, now_s: u64) -> Term {
    let session_s = u64::from(approved.entry().credential.max_session_s);
    // Without a credential there is no such limit of the vendor's; ours is that of a call.
    let session = match session_s {
        0 => limit::CALL_DURATION_MAX,
        seconds => Duration::from_secs(seconds),
    };
    let today = day_of(now_s);
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
    fn media_gets_no_infrastructure_and_the_log_nothing_but_its_sink() {
        let sink = include_str!("../../../policy/infrastructure/log-sink.toml");
        let other = sink.replace("\"log-sink\"\nvendor", "\"other-sink\"\nvendor");
        let other = other.replace("logs.example.com", "logs.example.net");
        let vault = include_str!("../../../policy/infrastructure/vault.toml");
        let vendor =
            ENTRY.replace("data_classes_allowed = [", "data_classes_allowed = [\"token-only\", ");
        let files = [("a", vendor.as_str()), ("b", sink), ("c", other.as_str()), ("d", vault)];
        let registry = Registry::parse(files).unwrap();
        let id = |text| VendorId::parse(text).unwrap();
        let ask = |asker, vendor, class| {
            let today = Date::parse("2026-11-23").unwrap();
            let wanted = (id(vendor), class);
            let named = Some(id("log-sink"));
            approved(&registry, named, asker, wanted, today).map(|_approved| ()).err()
        };
        for class in DataClass::ALL {
            for infrastructure in ["log-sink", "other-sink", "vault"] {
                let refused = ask(Asker::Media, infrastructure, class);
                assert_eq!(refused, Some(DialFault::Infrastructure), "{infrastructure} {class:?}");
            }
            for wrong in ["other-sink", "vault", "deepgram", "nobody"] {
                let refused = ask(Asker::Log, wrong, class);
                assert_eq!(refused, Some(DialFault::WrongAsker), "{wrong} {class:?}");
            }
            let sink = ask(Asker::Log, "log-sink", class);
            assert_eq!(sink.is_none(), class == DataClass::None, "{class:?}");
        }
        // The control: media may have what is a vendor's and no PHI.
        assert_eq!(ask(Asker::Media, "deepgram", DataClass::TokenOnly), None);
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
