//! The broker, from its first line to its last. It decides nothing itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, MutexGuard, PoisonError};

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use ward_edge::allowance::Allowance;
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::control::{INSTRUCTIONS, SERVERS, receive_named};
use ward_edge::egress::{Question, send_grant, send_refusal};
use ward_edge::handed::{Handed, read_document};
use ward_edge::kept::Kept;
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::start::{StartError, exit_code};
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::cell::Target;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::vendor::{Entry, Registry, Store, VendorRole};
use ward_policy::vendor_id::VendorId;
use ward_sys::process::leave;
use ward_sys::readiness::watch;

use crate::acme::{self, Acme, Servers};
use crate::answer::{Answered, Answering, Asker, Wanted};
use crate::dial::Dialler;
use crate::inventory::{self, Given, Issued};
use crate::keys::Keys;
use crate::live::{Held, Lent, Live, hold};
use crate::settings::{AcmeSettings, BrokerSettings};
use crate::source::{Sources, keeper};

/// Runs the role until it is ended.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments))
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    let sink = handed.log.take().ok_or(StartError::Handed)?;
    let clock = Clock::start();
    let log = Log::new(Role::Broker, clock, sink);
    install(Strategy::Abort, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    // Read before the layers are on, because one of them is made of it.
    let (registry, settings, keys) = documents(&mut handed)?;
    let sources = Sources::new(&registry, clock).ok_or(StartError::System)?;
    let mut ports = ports(&registry);
    // They answer over TCP what is too long for a datagram.
    ports.extend(settings.nameservers.iter().map(std::net::SocketAddr::port));
    let is_secret = keys.is_secret() && sources.values.is_secret() != Some(false);
    let entered = cell::enter(Role::Broker, target, &handed, &ports, &log)?;
    let log_sink = settings.log_sink;
    let has_hosts = !settings.hosts.is_empty();
    // For tests and development: a machine that serves patients asks a name server.
    if has_hosts && target == Target::Image {
        return Err(StartError::Settings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let acme = asking(&mut handed, settings.acme.clone())?;
    runtime.block_on(async {
        let dialler = Dialler::new(settings).ok_or(StartError::System)?;
        let answering = Answering {
            registry,
            log_sink,
            dialler,
            keys,
            sources,
            given: Given::default(),
            issued: Issued::default(),
            log: log.clone(),
            clock,
        };
        let answering = Arc::new(answering);
        let servers = acme.as_ref().map(|acme| Arc::clone(&acme.servers));
        let (log_of, live) = (log.clone(), Live::default());
        let shared = Shared { answering, live, servers, log: log_of, clock };
        if let Some((servers, channel)) = shared.servers.as_ref().zip(handed.instructions.take()) {
            servers.take(channel)?;
        }
        let acme = acme.map(|acme| Acme::new(acme, Arc::clone(&shared.answering)));
        let acme = acme.map(|acme| acme.ok_or(StartError::System)).transpose()?;
        let control = handed.control.take().ok_or(StartError::Handed)?;
        rustix::io::ioctl_fionbio(&control, true).map_err(std::io::Error::from)?;
        let control = watch(control, Interest::READABLE)?;
        let workers = shared.serve_all(&mut handed)?;
        entered.seal(&log)?;
        if has_hosts {
            log.record(&Event::Finding { finding: Finding::StaticHosts });
        }
        if !is_secret {
            log.record(&Event::Finding { finding: Finding::SecretsOnlyLocked });
        }
        log.record(&Event::Started { workers });
        keeper::start(&shared.answering);
        let listing = Arc::clone(&shared.answering);
        tokio::spawn(async move { match inventory::keep(&listing).await {} });
        let metrics = log.clone();
        tokio::spawn(async move { match metrics.keep_metrics().await {} });
        if let Some(acme) = acme {
            tokio::spawn(async move { match Box::pin(acme.run()).await {} });
        }
        shared.follow(&control).await;
        // The supervisor is gone.
        leave(0)
    })
}

/// The documents that were handed down, judged.
fn documents(handed: &mut Handed) -> Result<(Registry, BrokerSettings, Keys), StartError> {
    let document = read_document(handed.registry.take(), "registry");
    let registry = registry(document.map_err(|_document| StartError::Handed)?.expose())?;
    let document = read_document(handed.broker_settings.take(), "broker-settings");
    let document = document.map_err(|_document| StartError::Handed)?;
    let settings = BrokerSettings::parse(document.expose());
    let settings = settings.map_err(|_problems| StartError::Settings)?;
    let keys = Keys::read(handed.vendor_keys.take().ok_or(StartError::Handed)?)?;
    Ok((registry, settings, keys))
}

/// What is needed to ask for certificates, if they are to be asked for.
fn asking(
    handed: &mut Handed,
    settings: Option<AcmeSettings>,
) -> Result<Option<acme::Handed>, StartError> {
    // Where the certificate is in files, nobody is asked whatever the settings say.
    let Some((settings, place)) = settings.zip(handed.kept.take()) else { return Ok(None) };
    let orders = std::mem::take(&mut handed.orders);
    for channel in &orders {
        rustix::io::ioctl_fionbio(channel, true).map_err(std::io::Error::from)?;
    }
    let seal = read_document(handed.seal.take(), "seal").map_err(|_seal| StartError::Handed)?;
    let kept = Kept::new(place, &seal, Role::Broker).map_err(|_key| StartError::Settings)?;
    Ok(Some(acme::Handed { settings, orders, servers: Arc::new(Servers::default()), kept }))
}

/// The registry's files, in one document: an object of names and texts.
fn registry(document: &str) -> Result<Registry, StartError> {
    let files: Result<BTreeMap<String, String>, _> = serde_json::from_str(document);
    let files = files.map_err(|_shape| StartError::Handed)?;
    let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Registry::parse(files).map_err(|_problems| StartError::Settings)
}

/// Every port that an entry names; a metadata service's only if it is asked for something.
fn ports(registry: &Registry) -> Vec<u16> {
    let is_named = |entry: &Entry| {
        registry.entries().iter().any(|one| match &one.store {
            Some(Store::AwsSecretsManager { metadata, .. }) => *metadata == entry.id,
            Some(Store::Vault { .. }) | None => false,
        })
    };
    let entries = registry.entries().iter();
    let dialled = entries.filter(|one| one.role != VendorRole::Metadata || is_named(one));
    dialled.flat_map(|entry| &entry.hosts).map(|host| host.port).collect()
}

/// What every channel needs.
#[derive(Clone)]
struct Shared {
    answering: Arc<Answering>,
    live: Live,
    /// Who shows our certificates, if any are asked for.
    servers: Option<Arc<Servers>>,
    log: Log,
    clock: Clock,
}

impl Shared {
    /// Serves everybody whose channel was handed down; how many workers of media's.
    fn serve_all(&self, handed: &mut Handed) -> std::io::Result<u16> {
        let channels = std::mem::take(&mut handed.broker);
        let workers = u16::try_from(channels.len()).unwrap_or(u16::MAX);
        for channel in channels {
            self.serve(channel, Asker::Media)?;
        }
        if let Some(channel) = handed.log_asks.take() {
            self.serve(channel, Asker::Log)?;
        }
        Ok(workers)
    }

    /// Serves one worker of media's, or the log, from now on.
    fn serve(&self, channel: OwnedFd, asker: Asker) -> std::io::Result<()> {
        let channel = watch(channel, Interest::READABLE)?;
        let channel = Channel { channel, asker, shared: self.clone(), lent: Lent::default() };
        tokio::spawn(Arc::new(channel).serve());
        Ok(())
    }

    /// Takes the channels of servers that are started again, for as long as the supervisor lives.
    async fn follow(&self, control: &AsyncFd<OwnedFd>) {
        loop {
            let Ok(mut ready) = control.readable().await else { return };
            match receive_named(control.get_ref().as_fd()) {
                // One that cannot be served is one whose server does without vendors.
                Ok(Some((SERVERS, channel))) => {
                    self.serve(channel, Asker::Media).unwrap_or_default();
                }
                Ok(Some((INSTRUCTIONS, channel))) => {
                    let servers = self.servers.as_ref();
                    servers.map_or(Ok(()), |servers| servers.take(channel)).unwrap_or_default();
                }
                Ok(Some(_unknown)) => {}
                Ok(None) => ready.clear_ready(),
                Err(_gone) => return,
            }
        }
    }
}

/// The channel of one worker of media's, or of the log.
struct Channel {
    channel: AsyncFd<OwnedFd>,
    asker: Asker,
    shared: Shared,
    lent: Lent,
}

impl Channel {
    /// Answers until the media server is gone, and ends what it had.
    async fn serve(self: Arc<Self>) {
        let dials = Arc::new(Semaphore::new(limit::DIALS_AT_ONCE_MAX));
        let clock = self.shared.clock;
        let mut allowance = Allowance::new(
            limit::QUESTIONS_BURST_MAX,
            limit::QUESTIONS_PER_SECOND_MAX,
            clock.now(),
        );
        while let Some(question) = self.question().await {
            // The broker has one thread: whoever asks without end does not keep it from the others.
            tokio::task::coop::consume_budget().await;
            match question {
                Some(Question::Done { number }) => self.end(number),
                _ if !allowance.allows(clock.now()) => {
                    // Said once in a while, however often it is so.
                    tokio::time::sleep(limit::QUESTION_PAUSE).await;
                    let number = match question {
                        Some(Question::Dial { number, .. }) => number,
                        _ => 0,
                    };
                    self.refuse(number, None, DialFault::TooManyQuestions);
                }
                Some(Question::Dial { number, class, vendor, is_refused }) => {
                    // Whoever asks faster than is dialled waits in the channel.
                    let Ok(permit) = Arc::clone(&dials).acquire_owned().await else { break };
                    // From here on it can be ended, the dialling too.
                    let ended = self.enter(number);
                    let wanted = Wanted { vendor, class, is_refused };
                    tokio::spawn(Arc::clone(&self).dial(number, wanted, ended, permit));
                }
                None => self.refuse(0, None, DialFault::BadQuestion),
            }
        }
        let all = std::mem::take(&mut *self.lent());
        for (_, sender) in all {
            sender.send(VendorEnd::MediaGone).unwrap_or_default();
        }
    }

    fn lent(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<VendorEnd>>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is asked for twice ends what it had before.
    fn enter(&self, number: u64) -> oneshot::Receiver<VendorEnd> {
        let (sender, ended) = oneshot::channel();
        if self.asker == Asker::Log {
            // It has one at a time; one that was started again knows nothing of what it had.
            for (_, sender) in std::mem::take(&mut *self.lent()) {
                sender.send(VendorEnd::CallOver).unwrap_or_default();
            }
        }
        self.lent().insert(number, sender);
        ended
    }

    fn end(&self, number: u64) {
        if let Some(sender) = self.lent().remove(&number) {
            // Nobody there: it is over already.
            sender.send(VendorEnd::CallOver).unwrap_or_default();
        }
    }

    /// The next question, `Some(None)` for what is none; `None` when the media server is gone.
    async fn question(&self) -> Option<Option<Question>> {
        let mut buffer = [0; limit::QUESTION_BYTES_MAX];
        // A channel that comes later could not be set not to block: that takes a call that a sealed process has not.
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        loop {
            let mut ready = self.channel.readable().await.ok()?;
            match recv(self.channel.get_ref(), &mut buffer, flags) {
                // An empty message and the end look alike, but for this.
                Ok((_, 0)) if ready.ready().is_read_closed() => return None,
                // A longer one was cut: no question has such a length.
                Ok((_, length)) => return Some(buffer.get(..length).and_then(Question::parse)),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_broken) => return None,
            }
        }
    }

    async fn dial(
        self: Arc<Self>,
        number: u64,
        wanted: Wanted,
        mut ended: oneshot::Receiver<VendorEnd>,
        dialling: OwnedSemaphorePermit,
    ) {
        let (began, vendor) = (self.shared.clock.now(), wanted.vendor);
        let outcome = async {
            let place = self.shared.live.place(self.asker)?;
            Ok((self.shared.answering.answer(self.asker, wanted).await?, place))
        };
        let outcome = tokio::select! {
            outcome = outcome => outcome,
            // Nobody waits for it any more.
            _ended = &mut ended => return,
        };
        let (answered, place) = match outcome {
            Ok(answered) => answered,
            Err(reason) => {
                self.lent().remove(&number);
                return self.refuse(number, Some(vendor), reason);
            }
        };
        let Answered { connection, terms, token, term, is_token } = answered;
        // Before anybody has it: what cannot be cut is not given.
        let Some(connection) = Held::new(connection) else {
            self.lent().remove(&number);
            return self.refuse(number, Some(vendor), DialFault::ConnectFailed);
        };
        let (channel, bytes) = (self.channel.get_ref().as_fd(), token.expose().as_bytes());
        let sent = send_grant(channel, number, &terms, bytes, connection.as_fd());
        // Media's from here on: a connection is held for as long as an hour.
        drop(token);
        let log = self.shared.log.clone();
        if sent.is_err() {
            // A media server that does not read its answers does not get this one; the connection ends here.
            self.lent().remove(&number);
            let (vendor, reason) = (Some(vendor), DialFault::TooManyQuestions);
            return log.record(&Event::VendorRefused { vendor, reason });
        }
        // A key that is given as it is stands in the list as a key.
        if is_token {
            self.shared.answering.given.note(vendor, self.shared.clock.now(), terms.token_ttl);
        }
        // The log says itself when its sink comes and goes: a record for every connection would be one more to send.
        if self.asker == Asker::Media {
            log.record(&Event::VendorDialled {
                vendor,
                session_max_s: u32::try_from(terms.session_max.as_secs()).unwrap_or(u32::MAX),
                token_ttl_s: u32::try_from(terms.token_ttl.as_secs()).unwrap_or(u32::MAX),
            });
        }
        let since = self.shared.clock.now().saturating_sub(began);
        // Holding is not dialling: those who wait for a place get this one, and what dialling took is given back.
        drop(dialling);
        tokio::spawn(async move {
            hold(connection, vendor, term, since, ended, log).await;
            self.lent().remove(&number);
            drop(place);
        });
    }

    fn refuse(&self, number: u64, vendor: Option<VendorId>, reason: DialFault) {
        self.shared.log.record(&Event::VendorRefused { vendor, reason });
        // A media server that does not read learns it by its own deadline.
        send_refusal(self.channel.get_ref().as_fd(), number, reason).unwrap_or_default();
    }
}
