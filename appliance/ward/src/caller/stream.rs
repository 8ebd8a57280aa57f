//! The stream: Twilio's end of one call.
//!
//! A frame leaves every 20 ms by an absolute clock, silence where there is no speech. Keys are pressed
//! once the speech is over and the other side has fallen quiet. Marks are echoed when the audio before
//! them has played, `clear` is honoured, and everything the caller would hear is recorded.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};
use ward_edge::clock::Clock;
use ward_policy::limit::{BYTES_PER_MS, FRAME_MS};
use ward_twilio::mulaw;
use ward_twilio::signature::AuthToken;
use ward_twilio::url::{Origin, Scheme};

use crate::caller::frames::Frames;
use crate::caller::leg::Leg;
use crate::caller::lines::{Heard, Line, Lines};
use crate::caller::packets::Packets;
use crate::caller::speaker::Speaker;
use crate::caller::talker::{Said, Talker};
use crate::caller::webhook::Identifiers;
use crate::client::Client;
use crate::console::Failure;

/// What the caller does.
#[derive(Debug, Default)]
pub struct Script {
    /// Silence before the speech.
    pub speak_after: Duration,
    /// The speech: µ-law, 8,000 Hz.
    pub speech: Vec<u8>,
    /// Keys to press after it.
    pub keys: VecDeque<char>,
    /// Hang up after this long, if the other side has not.
    pub hang_up_after: Option<Duration>,
    /// Who listens and answers, instead of the speech.
    pub talker: Option<Talker>,
    /// What is said at its cue, instead of the speech; then the caller hangs up.
    pub lines: VecDeque<Line>,
    /// How long everything takes between telephone and server, each way.
    pub leg: Duration,
    /// Name and value of each `<Parameter>` of the TwiML.
    pub parameters: Vec<(String, String)>,
}

/// Without `hang_up_after`, a call ends at the latest after this long.
const DURATION_MAX: Duration = Duration::from_secs(120);
/// The other side must be quiet this long before a key is pressed.
const QUIET_BEFORE_KEY: Duration = Duration::from_millis(600);
/// After the speech, the other side gets this long to answer before a key is pressed.
pub(super) const ANSWER_WAIT: Duration = Duration::from_millis(1_500);
/// Quiet after which what was heard is an utterance.
const UTTERANCE_GAP: Duration = Duration::from_millis(500);
/// Quiet after the answer to the last line before the caller hangs up, and how long they wait for one.
const LAST_QUIET: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(8);
/// A frame is speech from this magnitude on, of 32,767.
pub(super) const SPEECH_PEAK: u16 = 1_000;

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// `media` messages sent.
    pub frames_sent: u64,
    /// `media` messages received.
    pub frames_received: u64,
    /// Bytes of audio received.
    pub audio_bytes_received: usize,
    /// Marks that came back to the server.
    pub marks_echoed: u64,
    /// `clear` messages received.
    pub clears: u64,
    /// From `start` to the first audio.
    pub first_audio: Option<Duration>,
    /// From the first spoken frame that fell on the other side's speech to silence.
    pub barge_in_to_silence: Option<Duration>,
    /// The close code the server sent, if it closed.
    pub close_code: Option<u16>,
    /// Everything heard, µ-law at 8,000 Hz.
    pub recording: Vec<u8>,
    /// Everything said, by the same clock: what is at one place in both was at one time at the caller's ear and mouth.
    pub mouth: Vec<u8>,
    /// When `clear` silenced something at the caller's ear.
    pub silenced: Vec<Duration>,
    /// What was said on both sides, as far as the caller knows.
    pub said: Vec<Said>,
    /// For each answer to something the caller said, from the end of their speech to its first audio.
    pub answered_after: Vec<Duration>,
}

/// One line of the timeline: when, and what.
pub type Timeline<'a> = dyn FnMut(Duration, &str) + 'a;

/// Dials `url` with the handshake signature that Twilio would send.
///
/// # Errors
/// [`Failure::Checked`] when the server cannot be reached or does not upgrade.
pub async fn dial(
    client: &Client,
    url: &str,
    token: &AuthToken,
) -> Result<WebSocketStream<impl AsyncRead + AsyncWrite + Unpin + use<>>, Failure> {
    let at =
        url.find("://").and_then(|at| url.get(at + 3..)?.find('/').map(|slash| at + 3 + slash));
    let origin = at.and_then(|at| url.get(..at)).unwrap_or(url);
    let origin = Origin::parse(origin, &[Scheme::Wss])
        .map_err(|error| Failure::Checked(format!("the stream's URL {url}: {error}")))?;
    let mut request = url
        .into_client_request()
        .map_err(|error| Failure::Checked(format!("the stream's URL {url}: {error}")))?;
    let signature = token.sign_url(url).to_base64();
    let value = signature.parse().map_err(|_value| Failure::Checked("no signature".to_owned()))?;
    request.headers_mut().insert("x-twilio-signature", value);
    let stream = client.connect(origin.host(), origin.port()).await?;
    let dialling = Box::pin(tokio_tungstenite::client_async(request, stream));
    let (socket, _answer) = dialling
        .await
        .map_err(|error| Failure::Checked(format!("the stream was refused: {error}")))?;
    Ok(socket)
}

/// Runs the stream to its end.
///
/// # Errors
/// [`Failure::Checked`] when the connection breaks.
pub async fn run<S>(
    socket: WebSocketStream<S>,
    call: &Identifiers,
    script: Script,
    packets: Packets,
    timeline: &mut Timeline<'_>,
) -> Result<Outcome, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let parameters = script.parameters.iter();
    let parameters = parameters.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let mut caller = Caller {
        socket,
        call,
        parameters: parameters.collect(),
        clock: Clock::start(),
        there: Leg::new(script.leg),
        back: Leg::new(script.leg),
        packets,
        speaker: Speaker::default(),
        outcome: Outcome::default(),
        sequence: 0,
        speech_at: None,
        quiet_since: Duration::ZERO,
        heard: 0,
        played: 0,
        spoke_at: Duration::ZERO,
        was_speaking: false,
        asked_at: None,
        timeline,
    };
    caller.begin().await?;
    caller.talk(script).await?;
    Ok(caller.finish())
}

struct Caller<'a, S> {
    socket: WebSocketStream<S>,
    call: &'a Identifiers,
    /// What comes with `start`.
    parameters: Map<String, Value>,
    clock: Clock,
    /// Messages on their way to the server, and from it.
    there: Leg<String>,
    back: Leg<String>,
    packets: Packets,
    speaker: Speaker,
    outcome: Outcome,
    sequence: u64,
    /// When the caller's first spoken frame fell on the other side's speech.
    speech_at: Option<Duration>,
    quiet_since: Duration,
    /// How much of the recording the talker has been given.
    heard: usize,
    /// Audio that had come when the caller's last line began, in bytes.
    played: usize,
    /// The caller's last spoken frame.
    spoke_at: Duration,
    was_speaking: bool,
    asked_at: Option<Duration>,
    timeline: &'a mut Timeline<'a>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Caller<'_, S> {
    async fn begin(&mut self) -> Result<(), Failure> {
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        self.send(&connected).await?;
        let call = self.call;
        let start = json!({
            "event": "start",
            "start": {
                "accountSid": call.account_sid,
                "streamSid": call.stream_sid,
                "callSid": call.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
                "customParameters": self.parameters,
            },
        });
        self.note("caller → media  connected, start");
        self.clock = Clock::start();
        self.send_numbered(start).await
    }

    /// Sends a frame every 20 ms and reads in between, until one side ends the call.
    async fn talk(&mut self, mut script: Script) -> Result<(), Failure> {
        let mut frames = Frames::new(&script);
        let mut talker = script.talker.take();
        let has_lines = !script.lines.is_empty();
        let mut lines = Lines::new(std::mem::take(&mut script.lines));
        let deadline = script.hang_up_after.unwrap_or(DURATION_MAX);
        let mut frame_number = 0_u64;
        loop {
            let due = Duration::from_millis(frame_number.saturating_mul(FRAME_MS));
            if !self.read_until(self.clock.instant(due)).await? {
                if let Some(talker) = &mut talker {
                    self.listen(talker, true)?;
                    self.outcome.said = talker.said().to_vec();
                }
                return Ok(());
            }
            let now = self.clock.now();
            if now >= deadline {
                self.outcome.said =
                    talker.as_mut().map(|one| one.said().to_vec()).unwrap_or_default();
                return self.hang_up().await;
            }
            if let Some(talker) = &mut talker {
                self.listen(talker, false)?;
                if let Some(speech) = talker.next_words() {
                    frames.say(speech);
                }
                self.spoke(frames.is_speaking());
            }
            self.advance(now).await?;
            if has_lines && !frames.is_speaking() {
                if lines.is_over() && self.is_answered(now) {
                    return self.hang_up().await;
                }
                if let Some(speech) = lines.next(self.heard_since(now)) {
                    frames.say(speech);
                    self.played = self.outcome.audio_bytes_received;
                }
            }
            self.send_frame(&mut frames, frame_number).await?;
            if talker.is_none() && !has_lines && frames.is_over(now) && self.is_quiet(now) {
                self.press(&mut script).await?;
            }
            frame_number = frame_number.saturating_add(1);
        }
    }

    async fn send_frame(&mut self, frames: &mut Frames, number: u64) -> Result<(), Failure> {
        let now = self.clock.now();
        let (payload, is_speech) = frames.next(now);
        if is_speech {
            let has_begun = now.saturating_sub(self.spoke_at) > UTTERANCE_GAP;
            if has_begun || self.spoke_at == Duration::ZERO {
                self.note("caller → media  speech begins");
            }
            self.spoke_at = now;
            if self.speech_at.is_none() && self.speaker.is_playing() {
                self.speech_at = Some(now);
            }
        }
        // A frame leaves when all of it has been spoken: what leaves at 0 was spoken before the stream began.
        if number > 0 {
            self.outcome.mouth.extend_from_slice(&payload);
        }
        let timestamp = number.saturating_mul(FRAME_MS).to_string();
        let chunk = number.saturating_add(1).to_string();
        let payload = STANDARD.encode(payload);
        let media = json!({ "track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": payload });
        self.outcome.frames_sent = self.outcome.frames_sent.saturating_add(1);
        self.send_numbered(json!({ "event": "media", "media": media })).await
    }

    /// Hands the talker what was heard since the last time, once it is an utterance.
    fn listen(&mut self, talker: &mut Talker, is_end: bool) -> Result<(), Failure> {
        let now = self.clock.now();
        let is_over = now.saturating_sub(self.quiet_since) >= UTTERANCE_GAP;
        if !is_end && (self.speaker.is_playing() || !is_over) {
            return Ok(());
        }
        let heard = self.speaker.recording().get(self.heard..).unwrap_or_default();
        if heard.iter().any(|byte| mulaw::decode(*byte).unsigned_abs() >= SPEECH_PEAK) {
            talker.hear(heard)?;
            self.note("caller  listens");
        }
        self.heard = self.speaker.recording().len();
        Ok(())
    }

    /// Notes when the caller stops speaking, to know how long an answer takes.
    fn spoke(&mut self, is_speaking: bool) {
        if is_speaking {
            self.was_speaking = true;
        } else if std::mem::take(&mut self.was_speaking) {
            self.asked_at = Some(self.clock.now());
        }
    }

    /// What came of the other side since the caller's last line.
    fn heard_since(&self, now: Duration) -> Heard {
        let come = self.outcome.audio_bytes_received.saturating_sub(self.played);
        let bytes = come.saturating_sub(self.speaker.waiting_bytes());
        let ms = u64::try_from(bytes / BYTES_PER_MS).unwrap_or(u64::MAX);
        let quiet = now.saturating_sub(self.quiet_since);
        let quiet = (!self.speaker.is_playing()).then_some(quiet);
        Heard { audio: Duration::from_millis(ms), quiet }
    }

    /// Whether the last line was answered, or never will be.
    fn is_answered(&self, now: Duration) -> bool {
        let heard = self.heard_since(now);
        let is_quiet = heard.quiet.is_some_and(|quiet| quiet >= LAST_QUIET);
        let has_come = heard.audio >= Duration::from_secs(1);
        is_quiet && (has_come || now.saturating_sub(self.spoke_at) >= LAST_WAIT)
    }

    fn is_quiet(&self, now: Duration) -> bool {
        !self.speaker.is_playing() && now.saturating_sub(self.quiet_since) >= QUIET_BEFORE_KEY
    }

    async fn press(&mut self, script: &mut Script) -> Result<(), Failure> {
        let Some(key) = script.keys.pop_front() else {
            return Ok(());
        };
        self.note(&format!("caller → media  presses {key}"));
        self.quiet_since = self.clock.now().saturating_add(ANSWER_WAIT);
        let dtmf = json!({ "track": "inbound_track", "digit": key.to_string() });
        self.send_numbered(json!({ "event": "dtmf", "dtmf": dtmf })).await
    }

    async fn hang_up(&mut self) -> Result<(), Failure> {
        self.note("caller → media  stop");
        let call = self.call;
        let stop = json!({ "accountSid": call.account_sid, "callSid": call.call_sid });
        self.send_numbered(json!({ "event": "stop", "stop": stop })).await?;
        // The server closes; one that does not is closed on.
        let goodbye = self.clock.instant(self.clock.now().saturating_add(Duration::from_secs(1)));
        if self.read_until(goodbye).await? {
            let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            let closing = timeout(Duration::from_secs(1), self.socket.close(Some(frame))).await;
            drop(closing);
        }
        Ok(())
    }

    /// Plays up to `now` and echoes the marks that were reached.
    async fn advance(&mut self, now: Duration) -> Result<(), Failure> {
        let was_playing = self.speaker.is_playing();
        let reached = self.speaker.advance(now);
        if was_playing && !self.speaker.is_playing() {
            self.quiet_since = now;
        }
        self.echo(reached).await
    }

    async fn echo(&mut self, marks: Vec<String>) -> Result<(), Failure> {
        for name in marks {
            self.outcome.marks_echoed = self.outcome.marks_echoed.saturating_add(1);
            self.send_numbered(json!({ "event": "mark", "mark": { "name": name } })).await?;
        }
        Ok(())
    }

    /// Handles messages until `until`; `false` when the server has closed.
    async fn read_until(&mut self, until: Instant) -> Result<bool, Failure> {
        loop {
            self.arrive().await?;
            let under_way = [self.there.next_at(), self.back.next_at()];
            let arrival = under_way.into_iter().flatten().min().map(|at| self.clock.instant(at));
            let message = tokio::select! {
                biased;
                () = sleep_until(until) => return Ok(true),
                () = sleep_until(arrival.unwrap_or(until)), if arrival.is_some() => continue,
                message = self.socket.next() => message,
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    self.back.push(self.clock.now(), text.as_str().to_owned());
                }
                Some(Ok(Message::Close(frame))) => {
                    self.outcome.close_code = frame.map(|frame| u16::from(frame.code));
                    self.note("media → caller  closes");
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Ok(false);
                }
                Some(Err(error)) => {
                    return Err(Failure::Checked(format!("the stream broke: {error}")));
                }
            }
        }
    }

    /// What has arrived at either end by now.
    async fn arrive(&mut self) -> Result<(), Failure> {
        while let Some(text) = self.back.arrived(self.clock.now()) {
            self.on_text(&text).await?;
        }
        self.arrive_there().await
    }

    async fn arrive_there(&mut self) -> Result<(), Failure> {
        while let Some(text) = self.there.arrived(self.clock.now()) {
            match self.socket.send(Message::text(text)).await {
                // The server may close between two frames; the next read reports it.
                Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
                Err(Error::Protocol(_)) => {}
                Err(error) => {
                    return Err(Failure::Checked(format!("the stream broke: {error}")));
                }
            }
        }
        Ok(())
    }

    async fn on_text(&mut self, text: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        self.packets.record(now, "received", text);
        self.advance(now).await?;
        let message: Value = serde_json::from_str(text)
            .map_err(|error| Failure::Checked(format!("the server sent no JSON: {error}")))?;
        match message["event"].as_str() {
            Some("media") => self.on_media(now, &message),
            Some("mark") => {
                let name = message["mark"]["name"].as_str().unwrap_or_default();
                self.speaker.mark(name.to_owned());
                self.advance(now).await
            }
            Some("clear") => self.on_clear(now).await,
            _ => Err(Failure::Checked("the server sent an event that Twilio refuses".to_owned())),
        }
    }

    fn on_media(&mut self, now: Duration, message: &Value) -> Result<(), Failure> {
        let payload = message["media"]["payload"].as_str().unwrap_or_default();
        let audio = STANDARD
            .decode(payload)
            .map_err(|error| Failure::Checked(format!("the server sent no base64: {error}")))?;
        if self.outcome.first_audio.is_none() {
            self.outcome.first_audio = Some(now);
        }
        if !self.speaker.is_playing() {
            self.note("media → caller  speech begins");
            if let Some(asked_at) = self.asked_at.take() {
                self.outcome.answered_after.push(now.saturating_sub(asked_at));
            }
        }
        self.outcome.frames_received = self.outcome.frames_received.saturating_add(1);
        self.outcome.audio_bytes_received =
            self.outcome.audio_bytes_received.saturating_add(audio.len());
        self.speaker.play(audio);
        Ok(())
    }

    async fn on_clear(&mut self, now: Duration) -> Result<(), Failure> {
        self.note("media → caller  clear");
        self.outcome.clears = self.outcome.clears.saturating_add(1);
        if self.speaker.is_playing() {
            self.outcome.silenced.push(now);
        }
        let flushed = self.speaker.clear(now);
        if let (Some(spoke), None) = (self.speech_at, self.outcome.barge_in_to_silence) {
            self.outcome.barge_in_to_silence = Some(now.saturating_sub(spoke));
        }
        self.quiet_since = now;
        self.echo(flushed).await
    }

    async fn send_numbered(&mut self, mut message: Value) -> Result<(), Failure> {
        self.sequence = self.sequence.saturating_add(1);
        message["sequenceNumber"] = json!(self.sequence.to_string());
        message["streamSid"] = json!(self.call.stream_sid);
        self.send(&message).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), Failure> {
        let text = message.to_string();
        self.packets.record(self.clock.now(), "sent", &text);
        self.there.push(self.clock.now(), text);
        self.arrive_there().await
    }

    fn note(&mut self, what: &str) {
        (self.timeline)(self.clock.now(), what);
    }

    fn finish(mut self) -> Outcome {
        self.speaker.advance(self.clock.now());
        self.outcome.recording = self.speaker.recording().to_vec();
        self.outcome
    }
}
