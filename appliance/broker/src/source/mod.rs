//! Where keys come from that are not in the keys' document: places that keep secrets, each an entry of the registry.
//!
//! Everything that one kind of source is to the rest is [`Source::fetch`]: another cloud is another variant. A source is asked by a
//! task of its own ([`keeper`]), whoever needs a key takes it from [`Sources`], and nothing here knows what the key is for.
//! Only what an entry of infrastructure names is dialled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::DATE;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use ward_edge::clock::Clock;
use ward_edge::random::{chance, share};
use ward_policy::fault::{DialFault, SourceFault};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor::{Entry, Host, KeyPlace, Purpose, Registry, VendorRole};
use ward_policy::vendor_id::VendorId;

use crate::answer::{Answering, day_of, unix_s};
use crate::exchange::{self, Answer, Limits, NoAnswer};

use aws::Aws;
use values::{Value, Values};
use vault::Vault;

mod aws;
pub(crate) mod keeper;
mod schedule;
pub(crate) mod values;
mod vault;

/// What is taken of an answer.
const LIMITS: Limits =
    Limits { bytes: limit::SOURCE_ANSWER_BYTES_MAX, fields: limit::SOURCE_ANSWER_FIELDS_MAX };

/// A place that keeps secrets, and what is remembered of it from one time to the next.
#[derive(Clone)]
enum Source {
    Aws(Aws),
    Vault(Vault),
}

/// What a source gave.
struct Fetched {
    /// None where the answer has none in the place that was named. There may be a lease all the same.
    value: Option<Secret<Vec<u8>>>,
    /// For how long it is good, if the source says so.
    ttl: Option<Duration>,
    /// What it can be given back by.
    lease: Option<String>,
    /// What was wrong and put right.
    mended: Option<SourceFault>,
}

impl Source {
    /// The value that `wanted` names.
    async fn fetch(
        &mut self,
        context: Context<'_>,
        wanted: &KeyPlace,
    ) -> Result<Fetched, SourceFault> {
        match self {
            Self::Aws(aws) => aws.fetch(context, wanted).await,
            Self::Vault(vault) => vault.fetch(context, wanted).await,
        }
    }

    /// Gives a lease back. It would end by itself.
    async fn give_back(&mut self, context: Context<'_>, lease: &str) -> Result<(), SourceFault> {
        match self {
            Self::Aws(_) => Ok(()),
            Self::Vault(vault) => vault.give_back(context, lease).await,
        }
    }
}

/// What a source needs of the process.
#[derive(Clone, Copy)]
struct Context<'a> {
    answering: &'a Answering,
    /// The source's entry.
    entry: &'a Entry,
    id: VendorId,
}

impl<'a> Context<'a> {
    /// The source's own host, if it may be dialled today.
    fn host(&self) -> Result<&'a Host, SourceFault> {
        self.approved(&self.entry.id, VendorRole::Secrets)
    }

    fn approved(&self, id: &str, role: VendorRole) -> Result<&'a Host, SourceFault> {
        let approved = self.answering.registry.infrastructure(id, role, day_of(unix_s()));
        let entry = approved.map_err(|_refusal| SourceFault::NotApproved)?.entry();
        entry.host(Purpose::Data).ok_or(SourceFault::NotApproved)
    }

    /// Asks the source.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, SourceFault> {
        let roots = self.entry.roots_pem.as_deref().unwrap_or_default();
        let dialler = &self.answering.dialler;
        let asking = Box::pin(exchange::ask(dialler, self.host()?, roots, request, LIMITS));
        asking.await.map_err(fault)
    }

    /// The metadata service `id`, as a request names it.
    fn metadata_host(&self, id: &str) -> Result<&'a str, SourceFault> {
        Ok(&self.approved(id, VendorRole::Metadata)?.name)
    }

    /// Asks the metadata service `id`. Whoever asks has the deadline.
    async fn ask_metadata(
        &self,
        id: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, SourceFault> {
        let host = self.approved(id, VendorRole::Metadata)?;
        let dialler = &self.answering.dialler;
        let asking = Box::pin(exchange::ask_metadata(dialler, host, request, LIMITS));
        asking.await.map_err(fault)
    }

    /// When a session that is there is asked about again, after that was in vain: sooner as its end comes nearer.
    fn again_at(&self) -> Duration {
        let now = self.now();
        let left = self.session().map_or(Duration::ZERO, |session| session.until());
        now.saturating_add((left.saturating_sub(now) / 4).max(limit::SOURCE_PAUSE_MIN))
    }

    /// What the source is logged in to with, if that is good.
    fn session(&self) -> Option<Arc<Value>> {
        self.answering.sources.values.of(self.id)
    }

    fn now(&self) -> Duration {
        self.answering.clock.now()
    }
}

fn fault(reason: NoAnswer) -> SourceFault {
    match reason {
        NoAnswer::Dial(DialFault::DialLate) => SourceFault::Late,
        NoAnswer::Dial(_) | NoAnswer::Tls | NoAnswer::Broken => SourceFault::Unreachable,
        NoAnswer::Long => SourceFault::Garbage,
    }
}

/// By how many seconds the clock of whoever answered is before ours; negative when it is behind. `None` without a date.
fn ahead_s(answer: &Answer, now_s: u64) -> Option<i64> {
    let date = answer.headers.get(DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let theirs = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(theirs).ok()?.checked_sub(i64::try_from(now_s).ok()?)
}

/// Every value that came from a source, and how one is asked for.
pub(crate) struct Sources {
    pub(crate) values: Values,
    asked: BTreeMap<VendorId, Asking>,
    clock: Clock,
}

/// How the keeper is told that a key is needed, and how it tells that it has tried.
struct Asking {
    /// Wakes the keeper of the source.
    keeper: Arc<Notify>,
    wanted: Mutex<Wanted>,
    tries: watch::Sender<Tries>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    /// Before this nobody's need is a reason to ask.
    again_at: Duration,
    stage: Stage,
}

/// What has become of the last time that somebody asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Answered,
    Asked,
    /// The try that goes on began after it.
    Tried,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    all: u64,
    /// Those that began after somebody had asked.
    asked: u64,
}

impl Sources {
    /// Room for what the registry says comes from sources; `None` when there is no memory for that.
    pub(crate) fn new(registry: &Registry, clock: Clock) -> Option<Self> {
        let mut keepers = BTreeMap::<&str, Arc<Notify>>::new();
        let mut asked = BTreeMap::new();
        for entry in registry.entries() {
            let id = VendorId::parse(&entry.id).ok();
            if let Some((key, id)) = entry.credential.key.as_ref().zip(id) {
                let keeper = Arc::clone(keepers.entry(&key.source).or_default());
                let (wanted, tries) = (Mutex::default(), watch::channel(Tries::default()).0);
                asked.insert(id, Asking { keeper, wanted, tries });
            }
        }
        // What each is logged in to with is a value too.
        let values = Values::new(asked.len().saturating_add(keepers.len()), clock)?;
        Some(Self { values, asked, clock })
    }

    /// The key of `vendor`: the one that is there, or what comes of asking for it now.
    pub(crate) async fn key(&self, vendor: VendorId) -> Option<Arc<Value>> {
        self.other_than(vendor, None).await
    }

    /// Another key than the one called `refused`, if the source has one by now. Whoever asks holds the refused one no more:
    /// it is to be gone when it is replaced.
    pub(crate) async fn another(&self, vendor: VendorId, refused: Pseudonym) -> Option<Arc<Value>> {
        self.other_than(vendor, Some(refused)).await
    }

    async fn other_than(&self, vendor: VendorId, not: Option<Pseudonym>) -> Option<Arc<Value>> {
        let found = || self.values.of(vendor).filter(|value| Some(value.name) != not);
        let asking = self.asked.get(&vendor)?;
        let mut tries = asking.tries.subscribe();
        let before = tries.borrow_and_update().asked;
        if let Some(value) = found() {
            return Some(value);
        }
        if !asking.is_asked(self.clock.now()) {
            return None;
        }
        let tried = tries.wait_for(|tries| tries.asked > before || found().is_some());
        drop(timeout(limit::KEY_PATIENCE, tried).await);
        found()
    }

    /// Returns when every key has been asked for once.
    pub(crate) async fn all_tried(&self) {
        for asking in self.asked.values() {
            let mut tries = asking.tries.subscribe();
            tries.wait_for(|tries| tries.all > 0).await.map(drop).unwrap_or_default();
        }
    }

    /// Whether somebody waits for the key, and no try has begun since.
    fn is_wanted(&self, vendor: VendorId) -> bool {
        let stage = self.asked.get(&vendor).map(|asking| asking.wanted().stage);
        stage == Some(Stage::Asked)
    }

    /// The keeper begins a try.
    fn begins(&self, vendor: VendorId) {
        if let Some(asking) = self.asked.get(&vendor) {
            let mut wanted = asking.wanted();
            if wanted.stage == Stage::Asked {
                wanted.stage = Stage::Tried;
            }
        }
    }

    /// The source does not want to be asked, or cannot answer: until `until` nobody's need is a reason to.
    fn rests(&self, vendor: VendorId, until: Duration) {
        if let Some(asking) = self.asked.get(&vendor) {
            let mut wanted = asking.wanted();
            wanted.again_at = wanted.again_at.max(until);
        }
    }

    /// The keeper has ended it.
    fn tried(&self, vendor: VendorId) {
        if let Some(asking) = self.asked.get(&vendor) {
            let mut wanted = asking.wanted();
            let is_asked = wanted.stage == Stage::Tried;
            if is_asked {
                wanted.stage = Stage::Answered;
            }
            drop(wanted);
            asking.tries.send_modify(|tries| {
                tries.all = tries.all.saturating_add(1);
                tries.asked = tries.asked.saturating_add(u64::from(is_asked));
            });
        }
    }
}

impl Asking {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the source asked, unless it was just now or is to be left alone; whether there is something to wait for.
    fn is_asked(&self, now: Duration) -> bool {
        let mut wanted = self.wanted();
        if wanted.stage == Stage::Answered && now >= wanted.again_at {
            // Not the same for every server that has lost the same source.
            let pause = limit::KEY_ASKED_PAUSE;
            let pause = pause.saturating_add(share(pause / 2, chance()));
            *wanted = Wanted { again_at: now.saturating_add(pause), stage: Stage::Asked };
            self.keeper.notify_one();
        }
        wanted.stage != Stage::Answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everybody_waits_for_one_try_and_asks_no_more_than_now_and_then() {
        let clock = Clock::start();
        let vendor = VendorId::parse("asr").unwrap();
        let keeper = Arc::new(Notify::new());
        let (wanted, tries) = (Mutex::default(), watch::channel(Tries::default()).0);
        let asking = Asking { keeper: Arc::clone(&keeper), wanted, tries };
        let values = Values::new(1, clock).unwrap();
        let sources = Sources { values, asked: BTreeMap::from([(vendor, asking)]), clock };
        let put = |bytes: &[u8]| {
            let kind = ward_policy::credential::CredentialKind::VendorKey;
            sources.values.put(vendor, kind, bytes, Duration::from_secs(600)).unwrap();
        };
        // A try that began before anybody asked is no answer, unless it has the key.
        let keeping = async {
            keeper.notified().await;
            assert!(sources.is_wanted(vendor));
            sources.tried(vendor);
            assert!(sources.is_wanted(vendor));
            sources.begins(vendor);
            put(b"one");
            sources.tried(vendor);
        };
        let (one, two, ()) = tokio::join!(sources.key(vendor), sources.key(vendor), keeping);
        assert_eq!(
            (one.as_ref().unwrap().bytes(), two.unwrap().bytes()),
            (&b"one"[..], &b"one"[..])
        );
        let one = one.unwrap().name;
        // Refused just after: there is no other, and nobody is asked again so soon.
        assert!(sources.another(vendor, one).await.is_none());
        assert!(!sources.is_wanted(vendor) && clock.now() < Duration::from_secs(1));
        tokio::time::advance(limit::KEY_ASKED_PAUSE * 3 / 2).await;
        let keeping = async {
            keeper.notified().await;
            sources.begins(vendor);
            put(b"two");
            sources.tried(vendor);
        };
        let (another, ()) = tokio::join!(sources.another(vendor, one), keeping);
        assert_eq!(another.unwrap().bytes(), b"two");
        // A source that hangs is not waited for without end.
        tokio::time::advance(limit::KEY_ASKED_PAUSE * 3 / 2).await;
        let two = sources.key(vendor).await.unwrap().name;
        let began = clock.now();
        assert!(sources.another(vendor, two).await.is_none());
        let waited = clock.now() - began;
        assert!(waited >= limit::KEY_PATIENCE && waited < 2 * limit::KEY_PATIENCE, "{waited:?}");
        // One that wants to be left alone is, however many need it; and then it is asked again.
        sources.begins(vendor);
        let until = clock.now() + Duration::from_secs(60);
        sources.rests(vendor, until);
        sources.tried(vendor);
        while clock.now() < until {
            let began = clock.now();
            assert!(sources.another(vendor, two).await.is_none() && clock.now() == began);
            assert!(!sources.is_wanted(vendor));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(sources.another(vendor, two).await.is_none() && sources.is_wanted(vendor));
        // Nobody whom the registry gives no key at a source.
        assert!(sources.key(VendorId::parse("tts").unwrap()).await.is_none());
    }

    /// A broker whose log sink has its key at a Vault.
    fn answering(port: u16) -> Arc<Answering> {
        let key = "max_session_s = 3600\nsingle_use = false\n\n[credential.key]\nsource = \"vault\"\n\
                   path = \"secret/data/ward\"\nfield = \"/data/key\"\nmax_ttl_s = 3600\n";
        let sink = include_str!("../../../../policy/infrastructure/log-sink.toml")
            .replace("port = 443", &format!("port = {port}"))
            .replace("approved_on = \"2026-11-22\"", "approved_on = \"2026-01-01\"")
            .replace("max_session_s = 3600\nsingle_use = false\n", key);
        let vault = include_str!("../../../../policy/infrastructure/vault.toml");
        let registry = Registry::parse([("a.toml", sink.as_str()), ("b.toml", vault)]).unwrap();
        let settings = "BROKER_HOSTS=logs.example.com=127.0.0.1\nLOG_SINK=log-sink\n";
        let settings = crate::settings::BrokerSettings::parse(settings).unwrap();
        let (document, writer) = std::io::pipe().unwrap();
        drop(writer);
        let (clock, (_, writer)) = (Clock::start(), std::io::pipe().unwrap());
        Arc::new(Answering {
            sources: Sources::new(&registry, clock).unwrap(),
            registry,
            log_sink: VendorId::parse("log-sink").ok(),
            dialler: crate::dial::Dialler::new(settings).unwrap(),
            keys: crate::keys::Keys::read(document.into()).unwrap(),
            given: crate::inventory::Given::default(),
            issued: crate::inventory::Issued::default(),
            log: ward_edge::log::Log::new(ward_policy::audit::Role::Broker, clock, writer.into()),
            clock,
        })
    }

    #[tokio::test]
    async fn a_collectors_key_that_was_refused_is_asked_for_again_for_the_log_alone() {
        use crate::answer::{Asker, Wanted};
        use ward_policy::data_class::DataClass;
        let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answering = answering(sink.local_addr().unwrap().port());
        let vendor = VendorId::parse("log-sink").unwrap();
        let sources = &answering.sources;
        let put = |bytes: &[u8]| {
            let kind = ward_policy::credential::CredentialKind::VendorKey;
            sources.values.put(vendor, kind, bytes, Duration::from_secs(600)).unwrap();
        };
        put(b"old");
        let ask = async |asker, is_refused| {
            let wanted = Wanted { vendor, class: DataClass::None, is_refused };
            let answered = Box::pin(answering.answer(asker, wanted)).await;
            answered.map(|answered| (answered.token.expose().clone(), answered.is_token))
        };
        // The key itself is given: it is in the list as a key, and as nothing else.
        assert_eq!(ask(Asker::Log, false).await, Ok(("old".to_owned(), false)));
        assert!(!sources.is_wanted(vendor));
        let keeper = Arc::clone(&sources.asked[&vendor].keeper);
        let keeping = async {
            keeper.notified().await;
            sources.begins(vendor);
            put(b"new");
            sources.tried(vendor);
        };
        let (answered, ()) = tokio::join!(ask(Asker::Log, true), keeping);
        assert_eq!(answered, Ok(("new".to_owned(), false)));
        // Without another, or so soon again, there is the one that there is.
        assert_eq!(ask(Asker::Log, true).await, Ok(("new".to_owned(), false)));
        // Media has no say in it.
        assert!(ask(Asker::Media, true).await.is_err() && !sources.is_wanted(vendor));
    }
}
