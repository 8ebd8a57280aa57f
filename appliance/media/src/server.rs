//! Start-up and routes: what was handed down becomes a running media server. It opens nothing itself.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;
use ward_edge::answer::Answer;
use ward_edge::certificate::certificates;
use ward_edge::clock::Clock;
use ward_edge::connection::{Handler, Transport, serve};
use ward_edge::drain::{self, Drain, Phase};
use ward_edge::handed::{Handed, read_document};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::prefixed::Prefixed;
use ward_edge::random::Pseudonyms;
use ward_edge::start::{StartError, exit_code};
use ward_edge::tcp::Tcp;
use ward_edge::wiped::{wiped, wiped_now};
use ward_edge::{cell, tls, worker};
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::count::Counts;
use ward_policy::fault::{CallEnd, Refusal};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_sys::secret::{Protection, SecretPool};
use ward_twilio::handshake::HandshakeSet;

use crate::agent::{Agents, Embedded};
use crate::broker::Broker;
use crate::registry::Registry;
use crate::session::{Session, SessionContext};
use crate::settings::MediaSettings;
use crate::vendor::Vendors;
use crate::{socket, upgrade};

/// Where a load balancer asks whether to send traffic.
pub const HEALTH_PATH: &str = "/health";

/// Runs the media server with the agents that ship, until it is told to stop.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments, |settings| {
        Ok(Box::new(Embedded::new(settings.agent, settings.is_guessing)?))
    }))
}

/// Runs the media server with agents of the caller's choice.
///
/// # Errors
/// [`StartError`], before anything is served.
pub fn start(
    arguments: impl Iterator<Item = String>,
    agents: impl FnOnce(&MediaSettings) -> Result<Box<dyn Agents>, StartError>,
) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    let sink = handed.log.take().ok_or(StartError::Handed)?;
    let clock = Clock::start();
    let log = Log::new(Role::Media, clock, sink);
    install(Strategy::Unwind, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    let ways = Arc::new(VendorChannels::new(std::mem::take(&mut handed.broker))?);
    let entered = cell::enter(Role::Media, target, &handed, &[], &log)?;
    let document = read_document(handed.settings.take(), "settings");
    let document = document.map_err(|_document| StartError::Handed)?;
    let settings = MediaSettings::parse(document.expose()).map_err(|_all| StartError::Settings)?;
    drop(document);
    let certificates = certificates(&mut handed, target, clock, &log)?;
    let acceptor = tls::acceptor(certificates).map_err(|_policy| StartError::Tls)?;
    let expected = Arc::new(RwLock::new(Arc::new(empty_set()?)));
    let source = handed.handshake.take().ok_or(StartError::Handed)?;
    wiped_now(|| follow_handshake_values(source, &expected, &log))?;
    let (drainer, drain) = drain::channel();
    let context = Arc::new(SessionContext {
        agents: agents(&settings)?,
        settings,
        registry: Arc::new(Registry::default()),
        pseudonyms: Pseudonyms::new().map_err(|_random| StartError::System)?,
        log: log.clone(),
    });
    ways.judge(&context.settings, &log)?;
    let accept_log = log.clone();
    let seal = || entered.seal(&log);
    worker::run(handed.listeners, limit::WAKE_PAUSE, &drainer, &log, seal, move |listener| {
        let server = Server {
            context: Arc::clone(&context),
            expected: Arc::clone(&expected),
            clock,
            drain: drain.clone(),
            calls: Arc::new(AtomicUsize::new(0)),
            vendors: ways.next(&context, clock),
        };
        let transport = Transport::Tls(acceptor.clone());
        serve(listener, transport, Arc::new(server), drain.clone(), accept_log.clone())
    })
}

/// The broker's channels, until each worker has one.
struct VendorChannels {
    channels: Mutex<Vec<OwnedFd>>,
    tokens: Option<SecretPool>,
}

impl VendorChannels {
    /// Made before the cell: in it no memory of this kind can be made any more.
    fn new(channels: Vec<OwnedFd>) -> Result<Self, StartError> {
        for channel in &channels {
            rustix::io::ioctl_fionbio(channel, true).map_err(io::Error::from)?;
        }
        let tokens = if channels.is_empty() {
            None
        } else {
            let (most, fewest) = (limit::TOKENS_MAX, limit::TOKENS_MIN);
            let tokens = SecretPool::up_to(most, fewest, limit::TOKEN_BYTES_MAX);
            Some(tokens.map_err(|_memory| StartError::System)?)
        };
        Ok(Self { channels: Mutex::new(channels), tokens })
    }

    /// Says what is wrong with it, once that can be said.
    fn judge(&self, settings: &MediaSettings, log: &Log) -> Result<(), StartError> {
        // Someone whom nobody can dial cannot be had.
        if self.tokens.is_none() && !settings.vendors.is_empty() {
            return Err(StartError::Settings);
        }
        let is_locked = |tokens: &SecretPool| tokens.protection() == Protection::Locked;
        if self.tokens.as_ref().is_some_and(is_locked) {
            log.record(&Event::Finding { finding: Finding::SecretsOnlyLocked });
        }
        Ok(())
    }

    /// The next worker's way; called within its runtime.
    fn next(&self, context: &Arc<SessionContext>, clock: Clock) -> Option<Arc<Vendors>> {
        let channel = self.channels.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let broker = Broker::new(channel, self.tokens.clone()?).ok()?;
        let (wanted, log) = (context.settings.vendors.clone(), context.log.clone());
        Some(Arc::new(Vendors::new(broker, wanted, clock, log)))
    }
}

fn empty_set() -> Result<HandshakeSet, StartError> {
    HandshakeSet::new(&[]).map_err(|_random| StartError::System)
}

type Expected = Arc<RwLock<Arc<HandshakeSet>>>;

/// Reads the first set before anything is served, then follows replacements on a thread of its own.
fn follow_handshake_values(
    source: OwnedFd,
    expected: &Expected,
    log: &Log,
) -> Result<(), StartError> {
    let mut source =
        SetSource { stream: UnixStream::from(source), unread: Secret::new(Vec::new()) };
    let first = source.next_set().ok().flatten().ok_or(StartError::Settings)?;
    if !replace_set(expected, &first, log) {
        return Err(StartError::Settings);
    }
    drop(first);
    let (expected, log) = (Arc::clone(expected), log.clone());
    let following =
        worker::start_beside(
            "handshake",
            move || {
                while wiped_now(|| source.follow(&expected, &log)) {}
            },
        );
    following.map_err(StartError::from)
}

/// Where sets of expected signatures come from. They are passwords, so nothing that was read stays in a
/// buffer once it has been taken.
struct SetSource {
    stream: UnixStream,
    unread: Secret<Vec<u8>>,
}

impl SetSource {
    /// One document: lines up to an empty one, or up to the end.
    fn next_set(&mut self) -> io::Result<Option<Secret<String>>> {
        loop {
            let unread = self.unread.expose();
            let end = unread.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end.map(|at| at.saturating_add(2)) {
                return Ok(Some(self.take(end)));
            }
            if unread.len() > limit::DOCUMENT_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut piece = Secret::new([0; 1_024]);
            let read = self.stream.read(piece.expose_mut())?;
            if read == 0 {
                let rest = self.unread.expose().len();
                return Ok((rest > 0).then(|| self.take(rest)));
            }
            let piece = piece.expose().get(..read).unwrap_or_default();
            // A new vector, so that growing leaves no copy behind.
            let mut joined = Vec::with_capacity(self.unread.expose().len().saturating_add(read));
            joined.extend_from_slice(self.unread.expose());
            joined.extend_from_slice(piece);
            self.unread = Secret::new(joined);
        }
    }

    /// Waits for a replacement; `false` when none will come any more.
    fn follow(&mut self, expected: &Expected, log: &Log) -> bool {
        let Ok(Some(document)) = self.next_set() else { return false };
        replace_set(expected, &document, log);
        true
    }

    /// Takes the first `end` bytes out; what is no text becomes a document that no set is made of.
    fn take(&mut self, end: usize) -> Secret<String> {
        let (document, rest) = self.unread.expose().split_at(end.min(self.unread.expose().len()));
        let text = std::str::from_utf8(document).unwrap_or("not text").to_owned();
        self.unread = Secret::new(rest.to_vec());
        Secret::new(text)
    }
}

fn replace_set(expected: &Expected, document: &Secret<String>, log: &Log) -> bool {
    let Ok(set) = HandshakeSet::parse(document.expose()) else {
        log.record(&Event::HandshakeValuesRefused);
        return false;
    };
    let values = u16::try_from(set.len()).unwrap_or(u16::MAX);
    *expected.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    log.record(&Event::HandshakeValuesSet { values });
    true
}

/// The routes of one worker.
struct Server {
    context: Arc<SessionContext>,
    expected: Expected,
    clock: Clock,
    drain: Drain,
    calls: Arc<AtomicUsize>,
    vendors: Option<Arc<Vendors>>,
}

/// The stream underneath every upgraded connection.
type Connection = TokioIo<Prefixed<TlsStream<Tcp>>>;

impl Server {
    fn upgrade(&self, request: &mut Request<Incoming>) -> Result<Answer, Refusal> {
        let expected = {
            let current = self.expected.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current)
        };
        // A body that never comes would hold the connection, and the place, until its deadline.
        if has_body(request.headers()) {
            return Err(Refusal::BodyFraming);
        }
        let (accept, handshake) = upgrade::verify(request.headers(), &expected)?.into_parts();
        if self.drain.phase() != Phase::Serving {
            return Err(Refusal::Draining);
        }
        // Only after the signature: strangers cannot use up the places of calls.
        let slot = Slot::take(&self.calls, self.context.settings.calls_per_worker_max)
            .ok_or(Refusal::Capacity)?;
        self.context.log.record(&Event::UpgradeAccepted { candidate: handshake.candidate() });
        let upgraded = hyper::upgrade::on(request);
        let begun = Begun {
            context: Arc::clone(&self.context),
            clock: self.clock,
            drain: self.drain.clone(),
            vendors: self.vendors.clone(),
            slot,
        };
        tokio::spawn(wiped(begun.run(upgraded)));
        Ok(Answer::switching_to_websocket(accept))
    }

    fn wrong_method(&self, allow: &'static str) -> Answer {
        let answer = Answer::method_not_allowed(allow);
        let status = answer.status();
        self.context.log.record(&Event::Refused { status, reason: Refusal::Method });
        answer
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        let answer = Answer::refusal(refusal).unwrap_or_else(|| Answer::health(false));
        let status = answer.status();
        self.context.log.record(&match refusal {
            Refusal::SignatureAbsent => Event::UpgradeUnsigned { status },
            reason => Event::Refused { status, reason },
        });
        answer
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(hyper::header::CONTENT_LENGTH);
    headers.contains_key(hyper::header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// A stream whose upgrade was accepted.
struct Begun {
    context: Arc<SessionContext>,
    clock: Clock,
    drain: Drain,
    vendors: Option<Arc<Vendors>>,
    slot: Slot,
}

impl Begun {
    /// Waits for hyper to let go of the connection, then gives it to a task of its own size.
    async fn run(self, upgraded: OnUpgrade) {
        let Self { context, clock, drain, vendors, slot } = self;
        let live = drain.live();
        let begun = clock.now();
        let parts = upgraded.await.ok().and_then(|io| Upgraded::downcast::<Connection>(io).ok());
        let Some(Parts { io, read_buf, .. }) = parts else {
            // The peer left between its request and our 101; an accepted upgrade still has its end.
            let duration = clock.now().saturating_sub(begun);
            context.log.record(&Event::CallEnded {
                call: None,
                reason: CallEnd::PeerVanished,
                close: 0,
                duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                counts: Counts::default(),
            });
            return;
        };
        let (mut early, mut stream) = io.into_inner().into_parts();
        early.extend_from_slice(&read_buf);
        drop(read_buf);
        let (socket, _) = stream.get_mut();
        // The request's head, and the signature in it, would stay in there for as long as the call lasts.
        socket.wipe_with_next_read();
        let session = Session::new(context, clock.now());
        tokio::spawn(wiped(async move {
            socket::run(stream, early, session, clock, drain, vendors).await;
            drop((slot, live));
        }));
    }
}

/// One live call's place among those of its worker.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(calls: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let taken = calls.fetch_add(1, Ordering::Relaxed);
        let slot = Self(Arc::clone(calls));
        (taken < most).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler for Server {
    async fn handle(&self, mut request: Request<Incoming>) -> Answer {
        // Compared as the request line has it, query included: nothing is normalised.
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let is_get = request.method() == Method::GET;
        if target == self.context.settings.path.as_str() {
            if !is_get {
                return self.wrong_method("GET");
            }
            return self.upgrade(&mut request).unwrap_or_else(|refusal| self.refuse(refusal));
        }
        if target == HEALTH_PATH {
            return if is_get || request.method() == Method::HEAD {
                Answer::health(self.drain.phase() == Phase::Serving)
            } else {
                self.wrong_method("GET, HEAD")
            };
        }
        self.refuse(Refusal::Route)
    }
}
