//! The way from the spool to the log sink: ask the broker for a connection, speak TLS over it, post what waits, and forget
//! it when the sink has said that it has it.
//!
//! One request at a time, so records arrive in their order; one that was not acknowledged is sent again whole, so the
//! sink may get records twice and tells them by boot and number. It waits for nothing and opens nothing, and every state
//! has an end.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::event::{PollFd, PollFlags};
use ward_edge::egress::{Answer as BrokersAnswer, Grant, Question, receive};
use ward_edge::random::{chance, share};
use ward_edge::start::StartError;
use ward_policy::audit::Event;
use ward_policy::data_class::DataClass;
use ward_policy::fault::SinkFault;
use ward_policy::limit;
use ward_policy::log_sink::SinkPlan;
use ward_policy::vendor_id::VendorId;
use ward_sys::secret::{SecretPlace, SecretPool};

use super::answer::{Answer, Verdict};
use super::batch::Batch;
use super::connection::{Connection, Flow};
use super::spool::Spool;

/// See the module.
#[derive(Debug)]
pub(super) struct Shipper {
    plan: SinkPlan,
    vendor: VendorId,
    broker: Rc<OwnedFd>,
    tokens: SecretPool,
    /// The number of the last question.
    number: u64,
    state: State,
    /// How long the next pause is.
    pause: Duration,
    /// How long the sink wants to be left alone.
    wanted_pause: Option<Duration>,
    /// Before this no request is sent that is not full.
    next_at: Duration,
    /// How much goes into one.
    batch: Batch,
    /// Whether the sink has refused the credential that came with the last connection.
    is_refused: bool,
    /// How long the last connection took, if it has not been said.
    unsaid: Option<Duration>,
    /// Whether anything has failed since a record was taken, or none has been taken yet.
    is_down: bool,
}

#[derive(Debug)]
enum State {
    /// Until then nothing is tried.
    Resting { until: Duration },
    /// The broker was asked.
    Asking { since: Duration, token: SecretPlace },
    /// TLS has begun.
    Greeting { since: Duration, until: Duration, connection: Connection },
    /// Nothing is on its way.
    Ready(Connection),
    /// A request is on its way, or its answer.
    Posting(Connection, Post),
}

/// One request.
#[derive(Debug)]
struct Post {
    bytes: Vec<u8>,
    /// How much of it TLS has taken.
    taken: usize,
    /// How many records are in it, and their bytes.
    records: usize,
    body_bytes: usize,
    answer: Answer,
    until: Duration,
}

impl Shipper {
    /// Takes the broker's channel, which does not block.
    pub(super) fn new(plan: SinkPlan, channel: OwnedFd) -> Result<Self, StartError> {
        let vendor = VendorId::parse(&plan.vendor).map_err(|_id| StartError::Settings)?;
        // One more than is in use: the answer to a question that nobody waits for any more.
        let tokens = SecretPool::new(2, limit::TOKEN_BYTES_MAX);
        let tokens = tokens.map_err(|_memory| StartError::System)?;
        let mut first = [0; 8];
        // Numbers begin anywhere: answers to the questions of a predecessor are told apart.
        SystemRandom::new().fill(&mut first).map_err(|_random| StartError::System)?;
        Ok(Self {
            plan,
            vendor,
            broker: Rc::new(channel),
            tokens,
            number: u64::from_be_bytes(first),
            state: State::Resting { until: Duration::ZERO },
            pause: limit::SINK_PAUSE_MIN,
            wanted_pause: None,
            next_at: Duration::ZERO,
            batch: Batch::new(),
            is_refused: false,
            unsaid: None,
            is_down: true,
        })
    }

    /// What is waited for, beside [`Self::wake_at`].
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        match &self.state {
            State::Resting { .. } => None,
            State::Asking { .. } => Some(PollFd::new(&*self.broker, PollFlags::IN)),
            State::Greeting { connection, .. }
            | State::Ready(connection)
            | State::Posting(connection, _) => Some(connection.awaited()),
        }
    }

    /// When the next turn is due, whatever comes before.
    pub(super) fn wake_at(&self, spool: &Spool) -> Duration {
        match &self.state {
            State::Resting { until } | State::Greeting { until, .. } => *until,
            State::Asking { since, .. } => since.saturating_add(limit::DIAL_ANSWER_DEADLINE),
            State::Ready(connection) if spool.is_empty() => connection.good_until,
            State::Ready(connection) => self.next_at.min(connection.good_until),
            State::Posting(_connection, post) => post.until,
        }
    }

    /// Whether something may still arrive without the broker, which has ended when this is asked: there is no other connection than
    /// the one that is there.
    pub(super) const fn has_hope(&self) -> bool {
        match self.state {
            State::Resting { .. } | State::Asking { .. } => false,
            State::Greeting { .. } | State::Ready(_) | State::Posting(..) => true,
        }
    }

    /// Does what can be done at `now`; `is_ready` says that what was waited for is there. What is worth an event is
    /// returned.
    pub(super) fn turn(
        &mut self,
        now: Duration,
        is_ready: bool,
        spool: &mut Spool,
    ) -> Option<Event> {
        let state = std::mem::replace(&mut self.state, State::Resting { until: now });
        match self.step(state, now, is_ready, spool) {
            Ok(state) => self.state = state,
            Err(reason) => {
                self.rest(now);
                self.is_down = true;
                self.is_refused |= reason == SinkFault::Unauthorized;
                let (vendor, waiting) = (self.vendor, spool.waiting());
                return Some(Event::SinkFailed { vendor, reason, waiting });
            }
        }
        let took = self.unsaid.take_if(|_took| !self.is_down)?;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Some(Event::SinkConnected { vendor: self.vendor, took_ms })
    }

    fn step(
        &mut self,
        state: State,
        now: Duration,
        is_ready: bool,
        spool: &mut Spool,
    ) -> Result<State, SinkFault> {
        match state {
            State::Resting { until } if now < until => Ok(State::Resting { until }),
            State::Resting { .. } => self.ask(now),
            State::Asking { since, token } => self.hear(since, token, now, is_ready),
            State::Greeting { since, until, mut connection } => {
                // The first turn has something to say, and nothing that it waits for.
                let flow = connection.pump()?;
                if !connection.is_greeting() {
                    let took = now.saturating_sub(since);
                    self.unsaid = self.is_down.then_some(took);
                    return self.post(connection, now, spool);
                }
                match flow {
                    Flow::Ended => Err(SinkFault::Closed),
                    Flow::Open if now >= until => Err(SinkFault::Tls),
                    Flow::Open => Ok(State::Greeting { since, until, connection }),
                }
            }
            State::Ready(mut connection) => {
                let flow = if is_ready { connection.pump()? } else { Flow::Open };
                if connection.read(&mut [0; 1]).is_some() {
                    // Nothing was asked.
                    return Err(SinkFault::Garbage);
                }
                if flow == Flow::Ended {
                    // Nothing was on its way: no failure, but not at once again.
                    let until = now.saturating_add(limit::SINK_PAUSE_MIN);
                    return Ok(State::Resting { until });
                }
                self.post(connection, now, spool)
            }
            State::Posting(connection, post) => self.go_on(connection, post, now, spool),
        }
    }

    /// Asks the broker for a connection.
    fn ask(&mut self, now: Duration) -> Result<State, SinkFault> {
        let token = self.tokens.place().ok_or(SinkFault::Unreachable)?;
        // A number is never 0, and a process does not live for 2^64 questions.
        self.number = self.number.wrapping_add(1).max(1);
        let (number, class) = (self.number, DataClass::None);
        // Said until a credential is taken: the source may not have had another the first time.
        let (vendor, is_refused) = (self.vendor, self.is_refused);
        let question = Question::Dial { number, class, vendor, is_refused }.to_bytes();
        let asked = rustix::io::write(&self.broker, &question);
        asked.map_err(|_gone| SinkFault::Unreachable)?;
        Ok(State::Asking { since: now, token })
    }

    /// Takes the broker's answer, if it is there.
    fn hear(
        &self,
        since: Duration,
        mut token: SecretPlace,
        now: Duration,
        is_ready: bool,
    ) -> Result<State, SinkFault> {
        let answer = if is_ready { receive(&*self.broker, &mut token) } else { Ok(None) };
        let answer = answer.map_err(|_broken| SinkFault::Unreachable)?;
        match answer {
            // The end of everything, or an empty message.
            Some(BrokersAnswer { number: 0, .. }) => Err(SinkFault::Unreachable),
            Some(BrokersAnswer { number, outcome }) if number == self.number => {
                let grant: Grant = outcome.map_err(|_refused| SinkFault::Unreachable)?;
                if grant.terms.vendor != self.vendor {
                    return Err(SinkFault::Unreachable);
                }
                let connection = Connection::begin(grant, token, number, &self.broker, now)?;
                let until = now.saturating_add(limit::VENDOR_TLS_DEADLINE);
                self.greet(since, until, connection)
            }
            _ if now >= since.saturating_add(limit::DIAL_ANSWER_DEADLINE) => {
                Err(SinkFault::Unreachable)
            }
            // Nothing yet, or what a predecessor asked for: its connection has just been closed.
            _ => Ok(State::Asking { since, token }),
        }
    }

    #[expect(clippy::unused_self, reason = "it reads as the other steps do")]
    fn greet(
        &self,
        since: Duration,
        until: Duration,
        mut connection: Connection,
    ) -> Result<State, SinkFault> {
        match connection.pump()? {
            Flow::Ended => Err(SinkFault::Closed),
            Flow::Open => Ok(State::Greeting { since, until, connection }),
        }
    }

    /// Begins a request, if there is something to send and it is time.
    fn post(
        &mut self,
        connection: Connection,
        now: Duration,
        spool: &mut Spool,
    ) -> Result<State, SinkFault> {
        if now >= connection.good_until {
            // Its time is over: another one, at once.
            drop(connection);
            return self.ask(now);
        }
        let is_time = now >= self.next_at || spool.bytes() >= self.batch.bytes();
        if spool.is_empty() || !is_time {
            return Ok(State::Ready(connection));
        }
        let mut body = Vec::new();
        let records = spool.copy_oldest(self.batch.bytes(), &mut body);
        let bytes = self.request(connection.token(), &body);
        let until = now.saturating_add(limit::SINK_ANSWER_DEADLINE);
        let (answer, body_bytes) = (Answer::default(), body.len());
        let post = Post { bytes, taken: 0, records, body_bytes, answer, until };
        self.go_on(connection, post, now, spool)
    }

    /// The request that carries `body`.
    fn request(&self, token: &[u8], body: &[u8]) -> Vec<u8> {
        let SinkPlan { authority, sink, .. } = &self.plan;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n",
            sink.path,
            body.len()
        );
        let (name, prefix) = (sink.key_header.as_bytes(), sink.key_prefix.as_bytes());
        let field: &[&[u8]] =
            if token.is_empty() { &[] } else { &[name, b": ", prefix, token, b"\r\n"] };
        let parts: Vec<&[u8]> =
            [head.as_bytes()].iter().chain(field).chain(&[&b"\r\n"[..], body]).copied().collect();
        // In one piece of its full length: a block that grows would leave a copy of the token behind.
        parts.concat()
    }

    /// Sends what can be sent, and reads what is answered.
    fn go_on(
        &mut self,
        mut connection: Connection,
        mut post: Post,
        now: Duration,
        spool: &mut Spool,
    ) -> Result<State, SinkFault> {
        loop {
            let rest = post.bytes.get(post.taken..).unwrap_or_default();
            let took = connection.take(rest);
            post.taken = post.taken.saturating_add(took);
            let flow = connection.pump()?;
            let mut buffer = [0; 1_024];
            while let Some(count) = connection.read(&mut buffer) {
                let verdict = post.answer.feed(buffer.get(..count).unwrap_or_default())?;
                if let Some(verdict) = verdict {
                    return self.judge(connection, &post, verdict, now, spool);
                }
            }
            if flow == Flow::Ended {
                return Err(SinkFault::Closed);
            }
            // There is room for more only when something has left.
            if took == 0 || !connection.is_flushed() {
                break;
            }
        }
        if now >= post.until {
            // Less may be answered in time.
            self.batch.is_too_much(post.body_bytes, post.records);
            return Err(SinkFault::Late);
        }
        Ok(State::Posting(connection, post))
    }

    /// What an answer means for the records that were sent.
    fn judge(
        &mut self,
        connection: Connection,
        post: &Post,
        verdict: Verdict,
        now: Duration,
        spool: &mut Spool,
    ) -> Result<State, SinkFault> {
        let Verdict { outcome, is_kept, pause, is_too_long } = verdict;
        self.wanted_pause = pause;
        if is_too_long && self.batch.is_too_much(post.body_bytes, post.records) {
            // Something else is tried: there is nothing to wait for.
            self.pause = limit::SINK_PAUSE_MIN;
        }
        outcome?;
        // Nobody can have what has not been sent.
        if post.taken < post.bytes.len() || !connection.is_flushed() {
            return Err(SinkFault::Garbage);
        }
        spool.forget(post.records);
        self.batch.is_taken();
        self.is_down = false;
        self.is_refused = false;
        self.pause = limit::SINK_PAUSE_MIN;
        self.next_at = now.saturating_add(limit::SINK_BATCH_PAUSE);
        if is_kept { Ok(State::Ready(connection)) } else { Ok(State::Resting { until: now }) }
    }

    /// Nothing is tried for a while: longer each time, and not as long as all the others who lost the same sink.
    fn rest(&mut self, now: Duration) {
        let part = share(self.pause / 2, chance());
        let pause = self.pause.saturating_sub(part);
        let wanted = self.wanted_pause.take().unwrap_or_default();
        let pause = pause.max(wanted).min(limit::SINK_PAUSE_MAX);
        self.state = State::Resting { until: now.saturating_add(pause) };
        self.pause = self.pause.saturating_mul(2).min(limit::SINK_PAUSE_MAX);
    }
}
