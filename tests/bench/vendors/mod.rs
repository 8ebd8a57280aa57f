//! Scripted vendors for load: recogniser, model and voice in the shapes of `tests/vendors`, with nothing behind them.
//!
//! The recogniser hears energy and "understands" the same sentence each time; the model and the voice have one reply.
//! One thread on a core of its own serves all of them and spins: a sleeping vendor would be woken by Ward's `send`, and
//! that interrupt would fall on Ward. Tokens are granted to anybody and only looked for.

mod turns;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use ward::development_ca::DevelopmentCa;
use ward_policy::service::Service;
use ward_tests::scripted::{Connection, Doors, Request, Script};
use ward_twilio::mulaw;

pub(crate) use turns::{Counts, Name, Turn, Turns};
pub(crate) use ward_tests::scripted::MEDIA_SETTINGS;

// Quick ones, so that a reply is there before Ward would fill the silence with a phrase of its own (600 ms).
/// From the partial text to the final one, which so comes with the endpointing that Ward asks for.
const FINAL_LATENCY: Duration = Duration::from_millis(180);
/// The same for whoever asks for it.
const FINALISE_LATENCY: Duration = Duration::from_millis(80);
/// From the request to the first token, and from token to token.
const FIRST_TOKEN: Duration = Duration::from_millis(80);
const TOKEN_STEP: Duration = Duration::from_millis(10);
/// From the request to the first audio, and from chunk to chunk: four times real time.
const FIRST_AUDIO: Duration = Duration::from_millis(60);
const CHUNK_STEP: Duration = Duration::from_millis(50);
const CHUNK_BYTES: usize = 1_600;
/// Silence after the last word, in frames, before all of its words are there: 160 ms.
const QUIET_FRAMES: u32 = 8;
const FRAME_BYTES: usize = 160;
/// The mean magnitude of a frame that is not silent, of 32,767: the line's noise has 10.
const LOUD: u32 = 60;
/// Each sentence of a reply, in frames: 1.5 s.
pub(crate) const SENTENCE_FRAMES: u16 = 75;
/// Sentences of a reply.
pub(crate) const SENTENCES: u16 = 2;
/// What every frame of a reply begins with; numbers follow, and then a tone.
pub(crate) const TAG: [u8; 2] = [0x2A, 0x15];

/// What the broker is to know.
pub(crate) struct Vendors {
    pub(crate) registry: ward::vendors::Vendors,
    pub(crate) turns: Arc<Turns>,
}

impl Vendors {
    /// Serves all three on free ports for as long as the process lives, on the core that `pin` chooses.
    pub(crate) fn start(
        ca: &DevelopmentCa,
        pin: impl FnOnce() + Send + 'static,
    ) -> Result<Self, String> {
        let issue = |host: &str| ca.issue(&[host]).map_err(|error| error.to_string());
        let (doors, registry) = Doors::open(issue, &ca.certificate())?;
        let turns = Arc::new(Turns::default());
        let script = Arc::new(Load(Arc::clone(&turns)));
        std::thread::spawn(move || {
            pin();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_or_else(drop, |runtime| runtime.block_on(spin(doors, script)));
        });
        Ok(Self { registry, turns })
    }
}

/// What every caller of a load hears.
struct Load(Arc<Turns>);

impl Script for Load {
    fn connected(&self) {
        self.0.count(|counts| counts.connections += 1);
    }

    async fn answer(
        &self,
        door: Service,
        number: u16,
        connection: &mut Connection,
        request: &Request,
    ) -> io::Result<()> {
        answer(door, number, connection, request, &self.0).await
    }
}

async fn spin(doors: Doors, script: Arc<Load>) {
    doors.serve(&script);
    // Always something to do, so the runtime never sleeps.
    loop {
        tokio::task::yield_now().await;
    }
}

async fn answer(
    part: Service,
    number: u16,
    connection: &mut Connection,
    request: &Request,
    turns: &Turns,
) -> io::Result<()> {
    if request.field("authorization").is_none_or(|value| value.len() < 10) {
        return connection.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}").await;
    }
    match part {
        Service::Recogniser | Service::Voice if request.is("POST", "/v1/auth/grant") => {
            turns.count(|counts| counts.granted += 1);
            let body = r#"{"access_token":"a-token-of-nobodys-0123456789","expires_in":30}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
            connection.write(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await
        }
        Service::Recogniser if request.is("GET", "/v1/listen") => {
            connection.switch_to_websocket(request, "").await?;
            Ears { number, turn: 0, loud: 0, quiet: 0, is_speech: false, rest: Vec::new() }
                .listen(connection, turns)
                .await
        }
        Service::Model if request.is("POST", "/v1/chat/completions") => {
            reply(connection, request, turns).await
        }
        Service::Voice if request.is("POST", "/v1/speak") => {
            speak(connection, request, turns).await
        }
        _ => connection.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}").await,
    }
}

/// A recogniser of one caller that hears energy.
struct Ears {
    number: u16,
    turn: u16,
    loud: u32,
    quiet: u32,
    is_speech: bool,
    rest: Vec<u8>,
}

/// What has just been heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    None,
    Began,
    Ended,
}

impl Ears {
    async fn listen(mut self, connection: &mut Connection, turns: &Turns) -> io::Result<()> {
        let mut final_at: Option<tokio::time::Instant> = None;
        loop {
            let frame = tokio::select! {
                frame = connection.frame() => frame?,
                () = tokio::time::sleep_until(final_at.unwrap_or_else(tokio::time::Instant::now)),
                    if final_at.is_some() =>
                {
                    final_at = None;
                    self.tell(connection, turns, true).await?;
                    continue;
                }
            };
            match frame {
                (0x82, audio) => {
                    turns.count(|counts| {
                        counts.audio_messages += 1;
                        counts.audio_bytes += audio.len() as u64;
                    });
                    match self.hear(&audio) {
                        Edge::None => {}
                        Edge::Began => {
                            let began = r#"{"type":"SpeechStarted","channel":[0,1],"timestamp":1}"#;
                            connection.text(began).await?;
                        }
                        Edge::Ended => {
                            self.turn += 1;
                            self.tell(connection, turns, false).await?;
                            final_at = Some(tokio::time::Instant::now() + FINAL_LATENCY);
                        }
                    }
                }
                (0x81, text) if text.windows(8).any(|word| word == b"Finalize") => match final_at {
                    // The words that are waited for, sooner. Nothing would mean that there were none.
                    Some(at) => {
                        final_at = Some(at.min(tokio::time::Instant::now() + FINALISE_LATENCY));
                    }
                    None => {
                        let empty = results("", "", true, r#","from_finalize":true"#);
                        connection.text(&empty).await?;
                    }
                },
                (0x81, _) => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn hear(&mut self, audio: &[u8]) -> Edge {
        self.rest.extend_from_slice(audio);
        let mut edge = Edge::None;
        let whole = self.rest.len() - self.rest.len() % FRAME_BYTES;
        for frame in self.rest[..whole].chunks_exact(FRAME_BYTES) {
            let sum: u32 =
                frame.iter().map(|byte| u32::from(mulaw::decode(*byte).unsigned_abs())).sum();
            if sum / FRAME_BYTES as u32 >= LOUD {
                (self.loud, self.quiet) = (self.loud + 1, 0);
            } else {
                (self.loud, self.quiet) = (0, self.quiet + 1);
            }
            if !self.is_speech && self.loud >= 3 {
                (self.is_speech, edge) = (true, Edge::Began);
            }
            if self.is_speech && self.quiet >= QUIET_FRAMES {
                (self.is_speech, edge) = (false, Edge::Ended);
            }
        }
        self.rest.drain(..whole);
        edge
    }

    async fn tell(
        &self,
        connection: &mut Connection,
        turns: &Turns,
        is_final: bool,
    ) -> io::Result<()> {
        let name = Name { conversation: self.number, turn: self.turn };
        let text = format!("i would like to book an appointment please {}", name.word());
        let words: Vec<String> = text
            .split(' ')
            .enumerate()
            .map(|(place, word)| {
                format!(
                    r#"{{"word":"{word}","start":{place}.1,"end":{place}.4,"confidence":0.98}}"#
                )
            })
            .collect();
        let end = if is_final { r#","speech_final":true"# } else { r#","speech_final":false"# };
        let message = results(&text, &words.join(","), is_final, end);
        let now = Instant::now();
        turns.note(name, |turn| {
            *(if is_final { &mut turn.last } else { &mut turn.partial }) = Some(now);
        });
        connection.text(&message).await
    }
}

fn results(text: &str, words: &str, is_final: bool, more: &str) -> String {
    format!(
        r#"{{"type":"Results","channel_index":[0,1],"duration":2.4,"start":0.0,"is_final":{is_final}{more},"channel":{{"alternatives":[{{"transcript":"{text}","confidence":0.98,"words":[{words}]}}]}},"metadata":{{"request_id":"00000000-0000-4000-8000-000000000000","model_info":{{"name":"general","version":"1","arch":"scripted"}}}}}}"#
    )
}

/// The model's reply, token by token.
async fn reply(connection: &mut Connection, request: &Request, turns: &Turns) -> io::Result<()> {
    let asked = Instant::now();
    let Some(name) = Name::last_in(&request.body) else {
        turns.count(|counts| counts.unreadable += 1);
        return connection.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").await;
    };
    turns.count(|counts| counts.asked += 1);
    turns.note(name, |turn| turn.asked = Some(asked));
    let word = name.word();
    // The first sentence is complete with the first token of the second.
    let first = format!("The desk has the request {word} now.");
    let second = format!(" What else would you like to add to {word}?");
    let mut tokens: Vec<&str> = first.split_inclusive(' ').collect();
    let complete = tokens.len();
    tokens.extend(second.split_inclusive(' '));
    sleep(FIRST_TOKEN).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                transfer-encoding: chunked\r\n\r\n";
    connection.write(head.as_bytes()).await?;
    let event = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-scripted\",\"object\":\"chat.completion.chunk\",\"created\":0,\
             \"model\":\"scripted\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\
             \"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    for (place, token) in tokens.iter().enumerate() {
        let piece = event(&format!("{{\"content\":\"{token}\"}}"), "null");
        if place == complete {
            let now = Instant::now();
            turns.note(name, |turn| turn.sentence = Some(now));
        }
        connection.chunk(piece.as_bytes()).await?;
        sleep(TOKEN_STEP).await;
    }
    let last = event("{}", "\"stop\"") + "data: [DONE]\n\n";
    connection.chunk(last.as_bytes()).await?;
    connection.chunk(b"").await
}

/// A sentence's audio: frames that say whose they are.
async fn speak(connection: &mut Connection, request: &Request, turns: &Turns) -> io::Result<()> {
    let asked = Instant::now();
    let Some(name) = Name::last_in(&request.body) else {
        turns.count(|counts| counts.unreadable += 1);
        return connection.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").await;
    };
    let sentence = u16::from(request.body.windows(9).any(|word| word == b"What else"));
    turns.count(|counts| counts.said += 1);
    if sentence == 0 {
        turns.note(name, |turn| turn.said = Some(asked));
    }
    let mut audio = Vec::with_capacity(usize::from(SENTENCE_FRAMES) * FRAME_BYTES);
    for frame in 0..SENTENCE_FRAMES {
        let from = audio.len();
        audio.extend_from_slice(&TAG);
        for number in [name.conversation, name.turn, sentence * SENTENCE_FRAMES + frame] {
            audio.extend_from_slice(&number.to_be_bytes());
        }
        // A square wave of 400 Hz, magnitude about 4,000.
        audio.extend((8..FRAME_BYTES).map(|at| if at / 10 % 2 == 0 { 0xAF } else { 0x2F }));
        debug_assert_eq!(audio.len() - from, FRAME_BYTES);
    }
    sleep(FIRST_AUDIO).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: audio/mulaw\r\n\
                transfer-encoding: chunked\r\n\r\n";
    if sentence == 0 {
        let now = Instant::now();
        turns.note(name, |turn| turn.spoken = Some(now));
    }
    connection.write(head.as_bytes()).await?;
    for chunk in audio.chunks(CHUNK_BYTES) {
        connection.chunk(chunk).await?;
        sleep(CHUNK_STEP).await;
    }
    connection.chunk(b"").await
}
