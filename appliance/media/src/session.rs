//! One media stream: Twilio's messages in their order, joined to the call.
//!
//! Bytes and time come in as arguments and messages go out as text, so the session runs without a
//! socket. One bad message never ends a call: it is counted and dropped, and only many of them in a
//! short time end it. What was said, pressed or sent is never kept here.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use ward_call::service::{Report, Request};
use ward_call::{Call, Input, Output};
use ward_edge::allowance::Allowance;
use ward_edge::log::Log;
use ward_edge::random::Pseudonyms;
use ward_policy::audit::Event;
use ward_policy::count::{Count, Counts};
use ward_policy::fault::CallEnd;
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::proof::TicketPlace;
use ward_policy::redact::Pseudonym;
use ward_twilio::envelope::{
    self, Connected, Dtmf, EnvelopeError, Mark, Media, Message, PayloadError, Start, Stop,
};
use ward_twilio::sid::{AccountSid, CallSid, StreamSid};
use zeroize::Zeroize as _;

use crate::admission::{Admission, Opened};
use crate::agent::Agents;
use crate::registry::{Place, Registry};
use crate::settings::MediaSettings;
use crate::strikes::Strikes;

thread_local! {
    /// Decoded audio of the message in hand: one buffer per worker, wiped after each use.
    static AUDIO: RefCell<Phi<Vec<u8>>> = const { RefCell::new(Phi::new(Vec::new())) };
}

/// What every session of the process shares.
pub struct SessionContext {
    /// The settings.
    pub settings: MediaSettings,
    /// Who takes calls.
    pub agents: Box<dyn Agents>,
    /// Which calls are live.
    pub registry: Arc<Registry>,
    /// Who may open a stream.
    pub admission: Arc<Admission>,
    /// What stands for a call in the log.
    pub pseudonyms: Pseudonyms,
    /// The log.
    pub log: Log,
}

impl std::fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionContext").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Where the stream is in its order of messages.
enum Stage {
    AwaitingConnected,
    AwaitingStart,
    Live(Box<Live>),
    Over,
}

struct Live {
    stream_sid: StreamSid,
    call: Call,
    place: Place,
}

/// One media stream.
pub struct Session {
    context: Arc<SessionContext>,
    stage: Stage,
    opened: Opened,
    began_at: Duration,
    heard_at: Duration,
    has_pinged: bool,
    pseudonym: Option<Pseudonym>,
    counts: Counts,
    bad: Strikes,
    binary: Strikes,
    foreign: Strikes,
    pings: Allowance,
    messages: Allowance,
}

impl Session {
    /// A stream whose upgrade was answered at `now`.
    #[must_use]
    pub fn new(context: Arc<SessionContext>, opened: Opened, now: Duration) -> Self {
        Self {
            context,
            stage: Stage::AwaitingConnected,
            opened,
            began_at: now,
            heard_at: now,
            has_pinged: false,
            pseudonym: None,
            counts: Counts::default(),
            bad: Strikes::default(),
            binary: Strikes::default(),
            foreign: Strikes::default(),
            pings: Allowance::new(limit::PINGS_BURST_MAX, limit::PINGS_PER_SECOND_MAX, now),
            messages: Allowance::new(
                limit::MESSAGES_BURST_MAX,
                limit::MESSAGES_PER_SECOND_MAX,
                now,
            ),
        }
    }

    /// The call's name in the log, once there is one.
    #[must_use]
    pub const fn pseudonym(&self) -> Option<Pseudonym> {
        self.pseudonym
    }

    /// Where the session's events go.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.context.log
    }

    /// How long ago the upgrade was.
    #[must_use]
    pub const fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.began_at)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The same with the counters of a call that is still live.
    #[must_use]
    pub fn live_counts(&self) -> Counts {
        let mut counts = self.counts;
        if let Stage::Live(live) = &self.stage {
            counts.merge(live.call.counts());
        }
        counts
    }

    /// Takes one text message.
    ///
    /// # Errors
    /// Why the call must end.
    pub fn on_text(&mut self, now: Duration, text: &str, waker: &Waker) -> Result<(), CallEnd> {
        self.heard(now)?;
        if matches!(self.stage, Stage::Over) {
            self.counts.one(Count::AfterStop);
            return Ok(());
        }
        match envelope::parse(text) {
            Ok(Message::Media(media)) => self.on_media(now, &media),
            Ok(Message::Connected(connected)) => self.on_connected(&connected),
            Ok(Message::Start(start)) => self.on_start(now, &start, waker),
            Ok(Message::Dtmf(dtmf)) => self.on_dtmf(now, &dtmf),
            Ok(Message::Mark(mark)) => self.on_mark(now, &mark),
            Ok(Message::Stop(stop)) => self.on_stop(now, &stop),
            Ok(Message::Unknown) => {
                self.counts.one(Count::UnknownEvent);
                Ok(())
            }
            Err(EnvelopeError::Json) => self.strike(now, Count::BadJson),
            // Only `start` may come now, and a stream without one is no call.
            Err(EnvelopeError::Fields) if matches!(self.stage, Stage::AwaitingStart) => {
                self.counts.one(Count::BadMessage);
                Err(CallEnd::BadStart)
            }
            Err(EnvelopeError::Fields) => self.strike(now, Count::BadMessage),
        }
    }

    /// Takes one binary message, which Twilio never sends.
    ///
    /// # Errors
    /// [`CallEnd::TooManyBinary`].
    pub fn on_binary(&mut self, now: Duration) -> Result<(), CallEnd> {
        self.heard(now)?;
        self.counts.one(Count::Binary);
        if self.binary.is_out(now) { Err(CallEnd::TooManyBinary) } else { Ok(()) }
    }

    /// Takes one ping, which the WebSocket has answered.
    ///
    /// # Errors
    /// [`CallEnd::PingFlood`].
    pub fn on_ping(&mut self, now: Duration) -> Result<(), CallEnd> {
        self.heard(now)?;
        self.counts.one(Count::Ping);
        if self.pings.allows(now) { Ok(()) } else { Err(CallEnd::PingFlood) }
    }

    /// Takes one pong.
    ///
    /// # Errors
    /// [`CallEnd::MessageFlood`].
    pub fn on_pong(&mut self, now: Duration) -> Result<(), CallEnd> {
        self.heard(now)?;
        self.counts.one(Count::Pong);
        Ok(())
    }

    /// Counts something that the session cannot see.
    pub const fn count(&mut self, count: Count) {
        self.counts.one(count);
    }

    /// What the passing of time asks for: `true` when a ping should be sent.
    ///
    /// # Errors
    /// Why the call must end.
    pub fn on_time(&mut self, now: Duration) -> Result<bool, CallEnd> {
        if let Stage::Live(live) = &self.stage
            && live.place.is_replaced()
        {
            return Err(CallEnd::Replaced);
        }
        let is_waiting = matches!(self.stage, Stage::AwaitingConnected | Stage::AwaitingStart);
        if is_waiting && now >= self.began_at.saturating_add(limit::START_DEADLINE) {
            return Err(CallEnd::StartLate);
        }
        let silent = now.saturating_sub(self.heard_at);
        if silent >= limit::SILENT_DROP_AFTER {
            return Err(CallEnd::Silent);
        }
        let should_ping = silent >= limit::SILENT_PING_AFTER && !self.has_pinged;
        self.has_pinged |= should_ping;
        Ok(should_ping)
    }

    /// When [`Session::on_time`] and [`Session::poll`] should be asked again at the latest.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let after =
            if self.has_pinged { limit::SILENT_DROP_AFTER } else { limit::SILENT_PING_AFTER };
        let silent = self.heard_at.saturating_add(after);
        match &self.stage {
            Stage::AwaitingConnected | Stage::AwaitingStart => {
                silent.min(self.began_at.saturating_add(limit::START_DEADLINE))
            }
            Stage::Live(live) => silent.min(live.call.wake_at()),
            Stage::Over => silent,
        }
    }

    /// The next message to send at `now`.
    ///
    /// # Errors
    /// Why the call must end.
    pub fn poll(&mut self, now: Duration) -> Result<Option<String>, CallEnd> {
        let Stage::Live(live) = &mut self.stage else {
            return Ok(None);
        };
        if let Some(ledger) = live.call.take_ledger()
            && let Some(call) = self.pseudonym
        {
            self.context.log.record(&Event::TurnAnswered { call, ledger });
        }
        let stream_sid = live.stream_sid.as_str();
        let Some(output) = live.call.poll(now) else {
            return Ok(None);
        };
        let mut text = String::new();
        match output {
            Output::Play(audio) => {
                text.reserve_exact(audio.len().div_ceil(3).saturating_mul(4).saturating_add(96));
                envelope::write_media(stream_sid, audio, &mut text);
            }
            Output::Mark(name) => envelope::write_mark(stream_sid, name.as_str(), &mut text),
            Output::Clear => envelope::write_clear(stream_sid, &mut text),
            Output::HangUp(reason) => return Err(reason),
        }
        Ok(Some(text))
    }

    /// Whether there is a call that needs services.
    #[must_use]
    pub fn has_services(&self) -> bool {
        self.call().is_some_and(Call::is_conversation)
    }

    /// Takes what a service says.
    pub fn report(&mut self, now: Duration, report: Report) {
        if let Stage::Live(live) = &mut self.stage {
            live.call.handle(now, Input::Reported(report));
        }
    }

    /// The next thing to ask a service.
    pub fn next_request(&mut self) -> Option<Request> {
        let Stage::Live(live) = &mut self.stage else { return None };
        live.call.next_request()
    }

    /// Moves audio that waits for a recogniser into `taken`, oldest first, and says how much.
    pub fn take_audio(&mut self, taken: &mut [u8]) -> usize {
        let Stage::Live(live) = &mut self.stage else { return 0 };
        live.call.take_audio(taken)
    }

    /// Whether there is room for more speech of a voice.
    #[must_use]
    pub fn takes_speech(&self) -> bool {
        self.call().is_some_and(Call::takes_speech)
    }

    /// Adds what was counted beside the call.
    pub fn count_all(&mut self, counts: &Counts) {
        self.counts.merge(counts);
    }

    fn call(&self) -> Option<&Call> {
        match &self.stage {
            Stage::Live(live) => Some(&live.call),
            Stage::AwaitingConnected | Stage::AwaitingStart | Stage::Over => None,
        }
    }

    /// Ends the call: its counters are added to the session's and its place becomes free.
    pub fn finish(&mut self) {
        if let Stage::Live(live) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.counts.merge(live.call.counts());
        }
    }

    /// Notes that something came, and judges whether too much comes.
    fn heard(&mut self, now: Duration) -> Result<(), CallEnd> {
        self.heard_at = now;
        self.has_pinged = false;
        if let Stage::Live(live) = &self.stage {
            live.place.heard(now);
        }
        if self.messages.allows(now) { Ok(()) } else { Err(CallEnd::MessageFlood) }
    }

    fn strike(&mut self, now: Duration, count: Count) -> Result<(), CallEnd> {
        self.counts.one(count);
        if self.bad.is_out(now) { Err(CallEnd::TooManyBad) } else { Ok(()) }
    }

    /// The live call, if the message belongs to its stream.
    fn live(&mut self, now: Duration, stream_sid: &str) -> Result<Option<&mut Live>, CallEnd> {
        let Stage::Live(live) = &mut self.stage else {
            return Err(CallEnd::OutOfOrder);
        };
        if live.stream_sid.as_str() == stream_sid {
            return Ok(Some(live));
        }
        self.counts.one(Count::ForeignStream);
        if self.foreign.is_out(now) { Err(CallEnd::TooManyForeign) } else { Ok(None) }
    }

    fn on_connected(&mut self, connected: &Connected<'_>) -> Result<(), CallEnd> {
        if !matches!(self.stage, Stage::AwaitingConnected) {
            return Err(CallEnd::OutOfOrder);
        }
        // The major version is the one that breaks.
        if connected.protocol != "Call" || !connected.version.starts_with("1.") {
            return Err(CallEnd::UnknownProtocol);
        }
        self.stage = Stage::AwaitingStart;
        Ok(())
    }

    fn on_start(&mut self, now: Duration, start: &Start<'_>, waker: &Waker) -> Result<(), CallEnd> {
        if !matches!(self.stage, Stage::AwaitingStart) {
            return Err(CallEnd::OutOfOrder);
        }
        let sids = (
            AccountSid::parse(&start.account_sid),
            CallSid::parse(&start.call_sid),
            StreamSid::parse(&start.stream_sid),
        );
        let (Ok(account), Ok(call_sid), Ok(stream_sid)) = sids else {
            return Err(CallEnd::BadStart);
        };
        if start.stream_sid != start.inner_stream_sid {
            return Err(CallEnd::BadStart);
        }
        if account != self.context.settings.account {
            return Err(CallEnd::ForeignAccount);
        }
        let has_inbound = start.tracks.iter().any(|track| track == "inbound");
        if !start.media_format.is_mulaw_8000_mono() || !has_inbound {
            return Err(CallEnd::BadFormat);
        }
        if !start.parameters.is_acceptable() {
            return Err(CallEnd::BadParameters);
        }
        // Last: what is refused for what it says itself uses no ticket up. The place comes after it all the same, and a second stream of a
        // live call has used its ticket: asked before it, the registry would give a silent call's place to who has none.
        let (age, admission) = (self.age(now), &self.context.admission);
        let ticket = self.opened.admit(admission, start.ticket.as_deref(), &call_sid, age)?;
        self.go_live(now, &call_sid, stream_sid, ticket, waker)
    }

    fn go_live(
        &mut self,
        now: Duration,
        call_sid: &CallSid,
        stream_sid: StreamSid,
        ticket: TicketPlace,
        waker: &Waker,
    ) -> Result<(), CallEnd> {
        let context = &self.context;
        let digest = |sid: &[u8]| context.pseudonyms.digest(sid);
        let keys = [digest(&call_sid.canonical()), digest(&stream_sid.canonical())];
        let place = context.registry.enter(keys, now).map_err(|_live| CallEnd::AlreadyLive)?;
        place.wake_by(waker);
        let [call_key, _] = keys;
        self.pseudonym = Pseudonym::from_keyed_digest(&call_key);
        if let Some(call) = self.pseudonym {
            context.log.record(&Event::CallStarted { call, ticket });
        }
        let mut call = Call::new(context.agents.agent(), now, context.settings.call_duration_max);
        call.handle(now, Input::Start);
        self.stage = Stage::Live(Box::new(Live { stream_sid, call, place }));
        Ok(())
    }

    fn on_media(&mut self, now: Duration, media: &Media<'_>) -> Result<(), CallEnd> {
        let Some(live) = self.live(now, &media.stream_sid)? else {
            return Ok(());
        };
        if media.track != "inbound" {
            live.call.counts_mut().one(Count::ForeignTrack);
            return Ok(());
        }
        AUDIO.with_borrow_mut(|audio| {
            let wiped = Wiped(audio.expose_mut());
            let audio = &mut *wiped.0;
            match media.decode_into(audio) {
                Ok(()) => live.call.handle(
                    now,
                    Input::Audio {
                        sequence: media.sequence_number,
                        timestamp_ms: media.timestamp_ms,
                        payload: audio,
                    },
                ),
                Err(PayloadError::Base64) => live.call.counts_mut().one(Count::BadBase64),
                Err(PayloadError::Long) => live.call.counts_mut().one(Count::LongPayload),
            }
        });
        Ok(())
    }

    fn on_dtmf(&mut self, now: Duration, dtmf: &Dtmf<'_>) -> Result<(), CallEnd> {
        let Some(live) = self.live(now, &dtmf.stream_sid)? else {
            return Ok(());
        };
        live.call.handle(now, Input::Digit { sequence: dtmf.sequence_number, digit: &dtmf.digit });
        Ok(())
    }

    fn on_mark(&mut self, now: Duration, mark: &Mark<'_>) -> Result<(), CallEnd> {
        let Some(live) = self.live(now, &mark.stream_sid)? else {
            return Ok(());
        };
        live.call.handle(now, Input::Mark { sequence: mark.sequence_number, name: &mark.name });
        Ok(())
    }

    fn on_stop(&mut self, now: Duration, stop: &Stop<'_>) -> Result<(), CallEnd> {
        match self.live(now, &stop.stream_sid)? {
            Some(_) => Err(CallEnd::PeerEnded),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("pseudonym", &self.pseudonym).finish_non_exhaustive()
    }
}

/// A buffer that outlives the call whose audio it holds: wiped whole, spare room included, however the
/// use of it ends, a panic among them.
struct Wiped<'a>(&'a mut Vec<u8>);

impl Drop for Wiped<'_> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
