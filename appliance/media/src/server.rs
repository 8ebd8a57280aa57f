//! Start-up and routes: what was handed down becomes a running media server. It opens nothing itself.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio_rustls::server::TlsStream;
use ward_edge::answer::Answer;
use ward_edge::certificate::certificates;
use ward_edge::clock::{Clock, date_ms};
use ward_edge::connection::{Handler, Transport, serve};
use ward_edge::drain::{self, Drain, Phase};
use ward_edge::following::follow;
use ward_edge::handed::{Handed, read_document, say_ready};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::prefixed::Prefixed;
use ward_edge::random::Pseudonyms;
use ward_edge::start::{StartError, exit_code};
use ward_edge::tcp::Tcp;
use ward_edge::wiped::wiped;
use ward_edge::{cell, tls, worker};
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::count::Counts;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::{CallEnd, Refusal};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::proof::Proof;
use ward_sys::secret::{Protection, SecretPool};
use ward_twilio::handshake::HandshakeSet;

use crate::admission::{Admission, Opened, Shown};
use crate::agent::{Agents, Embedded};
use crate::broker::Broker;
use crate::registry::Registry;
use crate::session::{Session, SessionContext};
use crate::settings::MediaSettings;
use crate::slot::Slot;
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
    let nothing = HandshakeSet::new(&[]).map_err(|_random| StartError::System)?;
    let admission = Arc::new(Admission::new(settings.handshake, nothing, date_ms()));
    let source = handed.handshake.take().ok_or(StartError::Handed)?;
    let (expecting, expecting_log) = (Arc::clone(&admission), log.clone());
    follow(source, move |document| expect(document, &expecting, &expecting_log))?;
    let (drainer, drain) = drain::channel();
    let context = Arc::new(SessionContext {
        agents: agents(&settings)?,
        settings,
        registry: Arc::new(Registry::default()),
        admission,
        pseudonyms: Pseudonyms::new().map_err(|_random| StartError::System)?,
        log: log.clone(),
    });
    ways.judge(&context.settings, &log)?;
    let accept_log = log.clone();
    let ready = handed.ready.take();
    let seal = || {
        entered.seal(&log)?;
        say_ready(ready);
        Ok(())
    };
    worker::run(handed.listeners, limit::WAKE_PAUSE, &drainer, &log, seal, move |listener| {
        let server = Server {
            context: Arc::clone(&context),
            clock,
            drain: drain.clone(),
            calls: Arc::default(),
            unproven: Arc::default(),
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

/// Takes a document of what handshakes are compared with, if it can be used.
fn expect(document: &Secret<String>, admission: &Admission, log: &Log) -> bool {
    let set = HandshakeSet::parse(document.expose()).ok();
    // Without any key nobody could show what is demanded.
    let set =
        set.filter(|set| !admission.demands_tickets() || !set.ticket_keys().as_slice().is_empty());
    let Some(set) = set else {
        log.record(&Event::HandshakeValuesRefused);
        return false;
    };
    let values = u16::try_from(set.len()).unwrap_or(u16::MAX);
    let ticket_keys = u8::try_from(set.ticket_keys().as_slice().len()).unwrap_or(u8::MAX);
    admission.expect(set);
    log.holds(CredentialKind::HandshakeValues, usize::from(values));
    log.record(&Event::HandshakeValuesSet { values, ticket_keys });
    true
}

/// The routes of one worker.
struct Server {
    context: Arc<SessionContext>,
    clock: Clock,
    drain: Drain,
    calls: Arc<AtomicUsize>,
    /// Streams that have shown nothing yet.
    unproven: Arc<AtomicUsize>,
    vendors: Option<Arc<Vendors>>,
}

/// The stream underneath every upgraded connection.
type Connection = TokioIo<Prefixed<TlsStream<Tcp>>>;

impl Server {
    /// Answers an upgrade with `ticket` as the last segment of its path.
    fn upgrade(
        &self,
        request: &mut Request<Incoming>,
        ticket: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let (admission, now_ms) = (&self.context.admission, date_ms());
        // A body that never comes would hold the connection, and the place, until its deadline.
        if has_body(request.headers()) {
            return Err(Refusal::BodyFraming);
        }
        let upgrade = upgrade::verify(request.headers(), ticket, admission, now_ms)?;
        let (accept, shown) = upgrade.into_parts();
        if self.drain.phase() != Phase::Serving {
            return Err(Refusal::Draining);
        }
        // Only after the signature or ticket: strangers cannot use up the places of calls.
        let most = self.context.settings.calls_per_worker_max;
        let waiting = match shown.proof() {
            // Those that may yet turn out to be strangers have a few of them, and take nothing before they have one.
            Proof::Nothing => {
                let place = Slot::take(&self.unproven, unproven_max(most));
                Some(place.ok_or(Refusal::Unproven)?)
            }
            Proof::Signature(_) | Proof::Ticket => None,
        };
        let slot = Slot::take(&self.calls, most).ok_or(Refusal::Capacity)?;
        admission.take(&shown, now_ms)?;
        self.context.log.record(&Event::UpgradeAccepted { proof: shown.proof() });
        let upgraded = hyper::upgrade::on(request);
        let begun = Begun {
            context: Arc::clone(&self.context),
            shown,
            waiting,
            clock: self.clock,
            drain: self.drain.clone(),
            vendors: self.vendors.clone(),
            slot,
        };
        tokio::spawn(wiped(begun.run(upgraded)));
        Ok(Answer::switching_to_websocket(accept))
    }

    /// The ticket in `target`: the one segment behind the path of the media route, where one may stand.
    fn ticket_in<'t>(&self, target: &'t str) -> Option<&'t str> {
        let path = self.context.settings.path.as_str();
        let ticket = target.strip_prefix(path)?.strip_prefix('/')?;
        let is_segment = !ticket.is_empty() && !ticket.contains(['/', '?']);
        (is_segment && self.context.admission.takes_path()).then_some(ticket)
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

/// How many of `most` places strangers may have: never so many that calls have none.
const fn unproven_max(most: usize) -> usize {
    let part = most / limit::UNPROVEN_STREAMS_PARTS;
    if part == 0 {
        1
    } else if part > limit::UNPROVEN_STREAMS_MAX {
        limit::UNPROVEN_STREAMS_MAX
    } else {
        part
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
    shown: Shown,
    waiting: Option<Slot>,
    clock: Clock,
    drain: Drain,
    vendors: Option<Arc<Vendors>>,
    slot: Slot,
}

impl Begun {
    /// Waits for hyper to let go of the connection, then gives it to a task of its own size.
    async fn run(self, upgraded: OnUpgrade) {
        let Self { context, shown, waiting, clock, drain, vendors, slot } = self;
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
        let opened = Opened { shown, date_ms: date_ms(), waiting };
        let session = Session::new(context, opened, clock.now());
        let running = socket::run(stream, early, session, clock, drain, vendors);
        tokio::spawn(wiped(async move {
            running.await;
            drop((slot, live));
        }));
    }
}

impl Handler for Server {
    async fn handle(&self, mut request: Request<Incoming>) -> Answer {
        // Compared as the request line has it, query included: nothing is normalised.
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let is_get = request.method() == Method::GET;
        let ticket = self.ticket_in(target).map(|ticket| Secret::new(ticket.to_owned()));
        if ticket.is_some() || target == self.context.settings.path.as_str() {
            if !is_get {
                return self.wrong_method("GET");
            }
            let ticket = ticket.as_ref().map(|ticket| ticket.expose().as_str());
            let answer = self.upgrade(&mut request, ticket);
            return answer.unwrap_or_else(|refusal| self.refuse(refusal));
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
