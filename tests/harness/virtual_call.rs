//! A session in virtual time: messages in, messages out, no socket, no waiting.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ward_call::Agent;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::random::Pseudonyms;
use ward_media::admission::{Admission, Opened};
use ward_media::agent::{AgentKind, Agents, Embedded};
use ward_media::registry::Registry;
use ward_media::session::{Session, SessionContext};
use ward_media::settings::{HandshakeMode, MediaSettings};
use ward_policy::audit::Role;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_twilio::handshake::HandshakeSet;

use crate::edge_cases::{note_seen, note_sent};
use crate::servers::{ACCOUNT, HANDSHAKE};
use crate::websocket::{STREAM, connected, start};

/// Agents of a test's own making.
pub struct TestAgents(pub fn() -> Box<dyn Agent>);

impl std::fmt::Debug for TestAgents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestAgents")
    }
}

impl Agents for TestAgents {
    fn agent(&self) -> Box<dyn Agent> {
        (self.0)()
    }
}

/// Who may open a stream here: whoever shows the handshake signature of the tests.
#[must_use]
pub fn admission() -> Arc<Admission> {
    let expected = HandshakeSet::parse(HANDSHAKE).unwrap();
    Arc::new(Admission::new(HandshakeMode::Signature, expected, 0))
}

/// A stream that was opened with that signature.
#[must_use]
pub fn opened(context: &SessionContext) -> Opened {
    let shown = context.admission.judge([HANDSHAKE.as_bytes()], None, 0).unwrap();
    Opened { shown, date_ms: 0, waiting: None }
}

/// What sessions share, with `agents` and `more` settings; nothing is logged anywhere.
#[must_use]
pub fn context(agents: Box<dyn Agents>, more: &str) -> Arc<SessionContext> {
    let document = format!("TWILIO_ACCOUNT_SID={ACCOUNT}\n{more}");
    let sink = std::fs::File::options().write(true).open("/dev/null").unwrap();
    Arc::new(SessionContext {
        settings: MediaSettings::parse(&document).unwrap(),
        agents,
        registry: Arc::new(Registry::default()),
        admission: admission(),
        pseudonyms: Pseudonyms::new().unwrap(),
        log: Log::new(Role::Media, Clock::start(), sink.into()),
    })
}

/// One call in virtual time.
#[derive(Debug)]
pub struct VirtualCall {
    session: Session,
    now: Duration,
    sequence: u64,
    timestamp_ms: u64,
    /// Why it ended, if it has.
    pub ended: Option<CallEnd>,
    /// Every message sent, with its time.
    pub sent: Vec<(Duration, Value)>,
}

impl VirtualCall {
    /// A call with one of the agents that ship, after `start`.
    #[must_use]
    pub fn with(kind: AgentKind) -> Self {
        Self::in_context(context(Box::new(Embedded::new(kind, true).unwrap()), ""))
    }

    /// A call in a context of the test's own, after `start`.
    #[must_use]
    pub fn in_context(context: Arc<SessionContext>) -> Self {
        let mut call = Self {
            session: {
                let opened = opened(&context);
                Session::new(context, opened, Duration::ZERO)
            },
            now: Duration::ZERO,
            sequence: 1,
            timestamp_ms: 0,
            ended: None,
            sent: Vec::new(),
        };
        call.text(&connected().to_string());
        call.text(&start().to_string());
        assert_eq!(call.ended, None);
        call
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// A counter.
    pub fn count(&mut self, count: Count) -> u32 {
        let counted = self.session.live_counts().of(count);
        note_seen(&format!("{}={counted}", count.name()));
        counted
    }

    /// Takes any text.
    pub fn text(&mut self, text: &str) {
        if self.ended.is_none() {
            note_sent(text.as_bytes());
            self.ended = self.session.on_text(self.now, text, Waker::noop()).err();
        }
        self.drain();
        if let Some(end) = self.ended {
            let code = ward_media::socket::close_code(end);
            note_seen(&format!("close {}: {}", code.unwrap_or(0), end.code()));
        }
    }

    fn drain(&mut self) {
        while self.ended.is_none() {
            match self.session.poll(self.now) {
                Ok(Some(text)) => {
                    self.sent.push((self.now, serde_json::from_str(&text).unwrap()));
                }
                Ok(None) => return,
                Err(end) => self.ended = Some(end),
            }
        }
    }

    /// Lets time pass, doing what is due on the way.
    pub fn advance(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while self.ended.is_none() {
            let due = self.session.wake_at().max(self.now);
            if due > until {
                break;
            }
            self.now = due.max(self.now + Duration::from_micros(100)).min(until);
            if let Err(end) = self.session.on_time(self.now) {
                self.ended = Some(end);
            }
            self.drain();
            if self.now == until {
                break;
            }
        }
        self.now = until;
        self.drain();
    }

    /// Takes a numbered message of the stream.
    pub fn message(&mut self, mut message: Value) {
        self.sequence += 1;
        message["sequenceNumber"] = json!(self.sequence.to_string());
        message["streamSid"] = json!(STREAM);
        self.text(&message.to_string());
    }

    /// Takes audio at the next timestamp; no time passes.
    pub fn audio(&mut self, audio: &[u8]) {
        let payload = STANDARD.encode(audio);
        self.payload(&payload);
        self.timestamp_ms += audio.len() as u64 / 8;
    }

    /// Takes any payload at the next timestamp.
    pub fn payload(&mut self, payload: &str) {
        let timestamp = self.timestamp_ms.to_string();
        self.message(json!({
            "event": "media",
            "media": { "track": "inbound", "chunk": "1", "timestamp": timestamp, "payload": payload },
        }));
    }

    /// Moves the next timestamp.
    pub const fn jump_to(&mut self, timestamp_ms: u64) {
        self.timestamp_ms = timestamp_ms;
    }

    /// The next timestamp.
    #[must_use]
    pub const fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// Audio in real time: frames of 20 ms, each followed by 20 ms.
    pub fn hear(&mut self, audio: &[u8]) {
        for frame in audio.chunks(160) {
            self.audio(frame);
            self.advance(20);
        }
    }

    /// Loud audio for a time.
    pub fn speech(&mut self, ms: u64) {
        self.hear(&vec![0xA0; usize::try_from(ms).unwrap() * 8]);
    }

    /// Silence for a time.
    pub fn silence(&mut self, ms: u64) {
        self.hear(&vec![0xFF; usize::try_from(ms).unwrap() * 8]);
    }

    /// Takes back a mark.
    pub fn mark(&mut self, name: &str) {
        self.message(json!({ "event": "mark", "mark": { "name": name } }));
    }

    /// Takes a key press.
    pub fn press(&mut self, digit: &str) {
        self.message(
            json!({ "event": "dtmf", "dtmf": { "track": "inbound_track", "digit": digit } }),
        );
    }

    /// Names of events sent so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<&str> {
        self.sent.iter().filter_map(|(_, message)| message["event"].as_str()).collect()
    }

    /// How many messages of one kind were sent.
    #[must_use]
    pub fn sent_count(&self, event: &str) -> usize {
        let count = self.events().into_iter().filter(|name| *name == event).count();
        note_seen(&format!("{count} {event} sent"));
        count
    }

    /// Names of marks sent so far.
    #[must_use]
    pub fn marks(&self) -> Vec<String> {
        let marks = self.sent.iter().filter(|(_, message)| message["event"] == "mark");
        marks
            .filter_map(|(_, message)| message["mark"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Bytes of audio in each `media` message sent so far, with its time.
    #[must_use]
    pub fn audio_sent(&self) -> Vec<(Duration, Vec<u8>)> {
        let media = self.sent.iter().filter(|(_, message)| message["event"] == "media");
        note_seen(&format!("{} media sent", media.clone().count()));
        media
            .map(|(at, message)| {
                let payload = message["media"]["payload"].as_str().unwrap();
                (*at, STANDARD.decode(payload).unwrap())
            })
            .collect()
    }

    /// The session, for what this harness has no word for.
    pub const fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}
