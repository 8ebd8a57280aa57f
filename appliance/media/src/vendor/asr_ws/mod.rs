//! `asr-ws`: a WebSocket that takes audio and says what it hears.
//!
//! Audio that cannot be sent is no more than [`limit::BACKLOG_MS_MAX`]; the oldest is dropped. Another recogniser's words
//! are a module beside `deepgram`. It never waits for a recogniser, and never keeps what was said.

mod deepgram;
mod socket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper::Method;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tungstenite::Message;
use ward_call::service::Report;
use ward_policy::audit::Event;
use ward_policy::connector::{Dialect, RequestPlace};
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;

use super::inbox::Inbox;
use super::link::Link;
use super::request::head;
use super::route::Route;
use super::{Vendors, Wanted};
use deepgram::Hearing;
use socket::{Socket, Turn};

/// What a recogniser is given.
pub(super) enum ToRecogniser {
    /// The caller's audio.
    Audio(Phi<Vec<u8>>),
    /// The request for what it has.
    Finalise,
}

const CARRIES: [RequestPlace; 3] =
    [RequestPlace::Query, RequestPlace::Header, RequestPlace::Subprotocol];

/// The connector of one call.
pub(super) struct Recogniser {
    /// The vendors.
    pub(super) vendors: Arc<Vendors>,
    /// Whose words.
    pub(super) call: Pseudonym,
    /// Who is tried.
    pub(super) route: Route,
    /// What it is given; closed when the call is over, or when nobody recognises anything any more.
    pub(super) inbox: Arc<Inbox<ToRecogniser>>,
    /// What it reports.
    pub(super) reports: mpsc::Sender<Report>,
    /// Whom it tells that a turn begins.
    pub(super) turns: [Arc<Notify>; 2],
    /// Messages that made no sense.
    pub(super) bad_messages: Arc<AtomicU32>,
}

impl Recogniser {
    /// Works until the call is over or nobody is left who could.
    pub(super) async fn run(mut self) {
        self.route.begin();
        loop {
            let began = Instant::now();
            let wanted = self.route.current();
            let outcome = match wanted {
                Some(wanted) => self.serve(wanted).await,
                None => Err(ServiceFault::Unreachable),
            };
            let Err(fault) = outcome else { return };
            if let Some(Wanted { vendor, .. }) = wanted {
                let (call, service, reason) = (self.call, Service::Recogniser, fault);
                self.vendors.log.record(&Event::ServiceFailed { call, vendor, service, reason });
            }
            // A long call may lose its connection more than once.
            if began.elapsed() >= limit::RECONNECT_SETTLED_AFTER {
                self.route.begin();
            }
            // A call that is over takes nothing.
            if !self.route.go_on(fault) {
                self.inbox.close();
                let failed = Report::Failed { service: Service::Recogniser, number: 0, fault };
                return self.reports.send(failed).await.unwrap_or_default();
            }
        }
    }

    /// One connection, to its end; `Ok` at the end of the call.
    async fn serve(&self, wanted: Wanted) -> Result<(), ServiceFault> {
        let opened = tokio::select! {
            biased;
            () = self.inbox.closed() => return Ok(()),
            // Opening takes more memory than all that follows, and none of it for long.
            opened = Box::pin(self.open(wanted)) => opened,
        };
        let mut socket = opened?;
        let mut hearing = Hearing::default();
        let outcome = self.listen(&mut socket, &mut hearing).await;
        if outcome.is_err() && hearing.has_partial() {
            // A call that is over takes nothing.
            self.reports.send(Report::BegunAnew).await.unwrap_or_default();
        }
        match outcome {
            Ok(()) => Box::pin(socket.close(Message::text(deepgram::CLOSE))).await,
            Err(fault) => socket.life().end(match fault {
                ServiceFault::Closed => VendorEnd::VendorClosed,
                ServiceFault::Over => VendorEnd::SessionOver,
                _ => VendorEnd::LetGo,
            }),
        }
        outcome
    }

    async fn open(&self, wanted: Wanted) -> Result<Box<Socket>, ServiceFault> {
        let mut link = Link::open(&self.vendors, self.call, wanted, Service::Recogniser).await?;
        link.end(VendorEnd::LetGo);
        let manner = link.manner();
        if manner.connector.dialect != Dialect::DeepgramListen {
            return Err(ServiceFault::Unsuited);
        }
        let own = deepgram::query();
        let model = [("model", manner.connector.model.as_str())];
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let query: Vec<(&str, &str)> = model.into_iter().chain(own).collect();
        let request = head(manner, Method::GET, &query, &CARRIES)?;
        let opening = Socket::open(link, request);
        let opened = timeout(limit::VENDOR_UPGRADE_DEADLINE, opening).await;
        Ok(Box::new(opened.map_err(|_late| ServiceFault::Late)??))
    }

    /// Sends what is heard and reports what it means, until the call is over.
    async fn listen(&self, socket: &mut Socket, hearing: &mut Hearing) -> Result<(), ServiceFault> {
        let mut waiting: VecDeque<Report> = VecDeque::new();
        let mut times = Times::begin(socket.life().session_until());
        let mut bad = 0_u32;
        let timer = sleep_until(times.due());
        tokio::pin!(timer);
        loop {
            let is_dirty = socket.is_dirty();
            times.blocked(is_dirty);
            tokio::select! {
                biased;
                item = self.inbox.next(), if !is_dirty => match item {
                    None => return Ok(()),
                    Some(ToRecogniser::Audio(mut audio)) => {
                        times.sent(false);
                        let audio = std::mem::take(audio.expose_mut());
                        socket.write(Message::binary(audio)).await?;
                    }
                    Some(ToRecogniser::Finalise) => {
                        times.sent(true);
                        socket.write(Message::text(deepgram::FINALISE)).await?;
                    }
                },
                permit = self.reports.reserve(), if !waiting.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(report) = waiting.pop_front() {
                        permit.send(report);
                    }
                }
                turn = socket.turn(waiting.is_empty()) => match turn? {
                    Turn::Written => {}
                    Turn::Message(Message::Text(text)) => {
                        times.heard();
                        if hearing.read(text.as_str(), &mut waiting).is_err() {
                            bad = self.bad(bad)?;
                        }
                        self.tell_turn(&waiting);
                    }
                    Turn::Message(Message::Binary(_)) => bad = self.bad(bad)?,
                    Turn::Message(Message::Close(_)) => return Err(ServiceFault::Closed),
                    Turn::Message(_) => {}
                },
                () = &mut timer => {
                    // While the call takes nothing, nothing is read, and nobody can be heard.
                    if !waiting.is_empty() {
                        times.heard();
                    }
                    if times.act()? {
                        times.sent(false);
                        socket.write(Message::text(deepgram::KEEP_ALIVE)).await?;
                    }
                    timer.as_mut().reset(times.due());
                }
            }
        }
    }

    fn bad(&self, bad: u32) -> Result<u32, ServiceFault> {
        self.bad_messages.fetch_add(1, Ordering::Relaxed);
        let bad = bad.saturating_add(1);
        if bad > limit::RECOGNISER_BAD_MESSAGES_MAX { Err(ServiceFault::Garbage) } else { Ok(bad) }
    }

    /// The other services get their connections ready while somebody speaks.
    fn tell_turn(&self, reports: &VecDeque<Report>) {
        let begins = |report: &Report| matches!(report, Report::SpeechBegan | Report::Final(_));
        if reports.iter().any(begins) {
            self.turns.iter().for_each(|turn| turn.notify_one());
        }
    }
}

/// When something was last sent and heard.
struct Times {
    sent: Instant,
    /// Since when the recogniser owes us a word.
    owed: Option<Instant>,
    /// Since when it has not taken all that was written.
    blocked: Option<Instant>,
    session_until: Instant,
}

impl Times {
    fn begin(session_until: Instant) -> Self {
        Self { sent: Instant::now(), owed: None, blocked: None, session_until }
    }

    fn sent(&mut self, is_answered: bool) {
        self.sent = Instant::now();
        if is_answered && self.owed.is_none() {
            self.owed = Some(self.sent);
        }
    }

    const fn heard(&mut self) {
        self.owed = None;
    }

    /// Notes whether something waits to be written.
    fn blocked(&mut self, is_blocked: bool) {
        self.blocked = is_blocked.then(|| self.blocked.unwrap_or_else(Instant::now));
    }

    /// Since when it has done nothing that it should.
    fn stalled(&self) -> Option<Instant> {
        self.owed.into_iter().chain(self.blocked).min()
    }

    /// When it is worth looking again; early is cheaper than moving a timer with every message.
    fn due(&self) -> Instant {
        let later = |at: Instant, by: Duration| at.checked_add(by).unwrap_or(at);
        let keep_alive = later(self.sent, limit::RECOGNISER_KEEP_ALIVE);
        let stall = self.stalled().map(|at| later(at, limit::RECOGNISER_STALL));
        // To whom nothing can be written nothing is said, and a time in the past would be looked at for ever.
        let next = match (stall, self.blocked) {
            (Some(stall), Some(_)) => stall,
            (Some(stall), None) => stall.min(keep_alive),
            (None, _) => keep_alive,
        };
        next.min(self.session_until)
    }

    /// Whether we should say that we are still there.
    fn act(&self) -> Result<bool, ServiceFault> {
        let now = Instant::now();
        if now >= self.session_until {
            return Err(ServiceFault::Over);
        }
        let stalled = self.stalled().map(|at| now.saturating_duration_since(at));
        if stalled.is_some_and(|stalled| stalled >= limit::RECOGNISER_STALL) {
            return Err(ServiceFault::Late);
        }
        let is_due = now.saturating_duration_since(self.sent) >= limit::RECOGNISER_KEEP_ALIVE;
        Ok(is_due && self.blocked.is_none())
    }
}
