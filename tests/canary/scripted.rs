//! Vendors that say what a queue says, answer for answer, and what is usual once it is empty. They keep everything that they
//! are told. Nobody recognises, thinks or speaks here: thousands of answers take seconds.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ward::vendors::Vendors;
use ward_policy::service::Service;
use ward_tests::scripted::{Connection, Doors, Request, Script};
use ward_tests::servers::{ca_certificate, identity_of};
use ward_tests::websocket::Frame;

/// Nothing has been said by anybody for so long: what was to come of an answer has come.
const QUIET: Duration = Duration::from_millis(300);
/// Nobody has asked anything for so long: they have given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a recogniser hears when nothing else is to be heard.
const USUAL: &str = "i would like to book an appointment please";

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// For a token.
    Tokens,
    Recogniser,
    Model,
    Voice,
}

impl Asked {
    pub(crate) const ALL: [Self; 4] = [Self::Tokens, Self::Recogniser, Self::Model, Self::Voice];

    /// What it is called in the names of ways, and the sink of what it is told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Recogniser => "recogniser",
            Self::Model => "model",
            Self::Voice => "voice",
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Header lines of an agreement to the upgrade, which comes first.
    upgrade: Option<String>,
    bytes: Vec<u8>,
    /// The connection goes on after it.
    is_kept: bool,
}

impl Answer {
    /// These bytes, and the end of the connection.
    pub(crate) fn last(bytes: impl Into<Vec<u8>>) -> Self {
        Self { upgrade: None, bytes: bytes.into(), is_kept: false }
    }

    /// These bytes, after which more can be asked.
    pub(crate) fn kept(bytes: impl Into<Vec<u8>>) -> Self {
        Self { is_kept: true, ..Self::last(bytes) }
    }

    /// An upgrade with `more` header lines, and these frames.
    pub(crate) fn upgrade(more: &str, frames: impl Into<Vec<u8>>) -> Self {
        Self { upgrade: Some(more.to_owned()), ..Self::kept(frames) }
    }
}

/// A frame of a server.
pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    Frame { first, masked: false, body }.to_bytes()
}

/// One message of a recogniser.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// What a recogniser has heard, with `more` members.
pub(crate) fn results(transcript: &str, more: &str) -> String {
    format!(
        r#"{{"type":"Results","channel_index":[0,1],"duration":2.4,"start":0.0,{more},"channel":{{"alternatives":[{{"transcript":"{transcript}","confidence":0.98,"words":[]}}]}},"metadata":{{"request_id":"00000000-0000-4000-8000-000000000000"}}}}"#
    )
}

/// Words that the caller has said, and that they have finished.
pub(crate) fn said(transcript: &str) -> Vec<u8> {
    let last = results(transcript, r#""is_final":true,"speech_final":true"#);
    [text(&last), text(TURN_END)].concat()
}

/// The caller has finished.
pub(crate) const TURN_END: &str = r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.4}"#;

/// A good answer of that type, in chunks.
pub(crate) fn good(kind: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n")
            .into_bytes();
    for chunk in chunks.iter().copied().chain([&[][..]]) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A model's events.
pub(crate) fn events(all: &[String]) -> Vec<u8> {
    let mut text = String::new();
    for data in all {
        write!(text, "data: {data}\n\n").unwrap();
    }
    good("text/event-stream", &[text.as_bytes()])
}

/// An event with a piece of a reply, `piece` being a string of JSON already.
pub(crate) fn piece(piece: &str) -> String {
    format!(
        r#"{{"id":"x","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{piece}"}},"finish_reason":null}}]}}"#
    )
}

/// The last events of a reply.
pub(crate) fn stop() -> [String; 2] {
    let last = r#"{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    [last.to_owned(), "[DONE]".to_owned()]
}

/// The same dialect of messages.
pub(crate) fn block(text: &str) -> String {
    format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
    )
}

pub(crate) const MESSAGE_STOP: &str = r#"{"type":"message_stop"}"#;

/// A token that is good, with `more` members behind it.
pub(crate) fn token(token: &str, more: &str) -> Vec<u8> {
    json_answer("200 OK", &format!(r#"{{"access_token":"{token}","expires_in":30{more}}}"#))
}

pub(crate) fn json_answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[derive(Debug)]
struct State {
    answers: BTreeMap<Asked, VecDeque<Answer>>,
    /// Everything that was said to each.
    heard: BTreeMap<Asked, Vec<u8>>,
    /// Credentials that the model was shown.
    shown: Vec<String>,
    touched: Instant,
}

/// The vendors of one server.
#[derive(Debug, Clone)]
pub(crate) struct Scripted(Arc<Mutex<State>>);

impl Scripted {
    /// Serves for as long as the process lives, in this thread's network; with what the broker is to know.
    pub(crate) fn serve() -> (Self, Vendors) {
        let state = State {
            answers: BTreeMap::new(),
            heard: BTreeMap::new(),
            shown: Vec::new(),
            touched: Instant::now(),
        };
        let vendors = Self(Arc::new(Mutex::new(state)));
        let (doors, registry) =
            Doors::open(|host| Ok(identity_of(host)), &ca_certificate()).unwrap();
        let script = Arc::new(vendors.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                doors.serve(&script);
                std::future::pending::<()>().await;
            });
        });
        (vendors, registry)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap();
        state.touched = Instant::now();
        state
    }

    /// These are the next answers.
    pub(crate) fn queue(&self, asked: Asked, answers: impl IntoIterator<Item = Answer>) {
        self.state().answers.entry(asked).or_default().extend(answers);
    }

    /// Waits until every answer was given and nothing more comes of it, or until nobody asks any more; how many are left.
    pub(crate) fn await_quiet(&self) -> usize {
        loop {
            std::thread::sleep(Duration::from_millis(10));
            let state = self.0.lock().unwrap();
            let left: usize = state.answers.values().map(VecDeque::len).sum();
            let enough = if left == 0 { QUIET } else { PATIENCE };
            if state.touched.elapsed() >= enough {
                return left;
            }
        }
    }

    /// Everything that was said to one.
    pub(crate) fn heard(&self, asked: Asked) -> Vec<u8> {
        self.state().heard.get(&asked).cloned().unwrap_or_default()
    }

    /// The credentials that the model was shown.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.state().shown.clone()
    }

    fn hear(&self, asked: Asked, bytes: &[u8]) {
        let mut state = self.state();
        let heard = state.heard.entry(asked).or_default();
        heard.extend_from_slice(bytes);
        heard.push(b'\n');
    }

    fn next(&self, asked: Asked) -> Option<Answer> {
        self.state().answers.get_mut(&asked)?.pop_front()
    }

    /// A recogniser's connection after its answer: what is sent over it is kept, in one piece.
    async fn listen(&self, connection: &mut Connection) -> io::Error {
        let mut said = Vec::new();
        let error = loop {
            match connection.frame().await {
                Ok((0x88, body)) => {
                    said.extend(body);
                    break io::ErrorKind::UnexpectedEof.into();
                }
                Ok((kind, body)) => {
                    if kind == 0x81 && body.windows(8).any(|word| word == b"Finalize") {
                        let none = results("", r#""is_final":true,"from_finalize":true"#);
                        if let Err(error) = connection.text(&none).await {
                            break error;
                        }
                    }
                    said.extend(body);
                }
                Err(error) => break error,
            }
        };
        let mut state = self.0.lock().unwrap();
        state.heard.entry(Asked::Recogniser).or_default().extend(said);
        error
    }
}

/// What is said when nothing else is to be: the model repeats what it was told last.
fn usual(asked: Asked, request: &Request) -> Answer {
    match asked {
        Asked::Tokens => Answer::kept(token("a-token-of-nobodys-0123456789", "")),
        Asked::Recogniser => Answer::upgrade("", said(USUAL)),
        Asked::Model => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let told = body["messages"].as_array().and_then(|lines| lines.last());
            let told = told.and_then(|line| line["content"].as_str()).unwrap_or_default();
            let words = json!(format!("You said {told}.")).to_string();
            let words = words.trim_matches('"');
            let all = if request.is("POST", MESSAGES_PATH) {
                vec![block(words), MESSAGE_STOP.to_owned()]
            } else {
                [vec![piece(words)], stop().to_vec()].concat()
            };
            Answer::kept(events(&all))
        }
        // Two tenths of a second of a tone.
        Asked::Voice => Answer::kept(good("audio/mulaw", &[&[0xAF, 0x2F].repeat(800)])),
    }
}

/// Where the other dialect is asked.
pub(crate) const MESSAGES_PATH: &str = "/v1/messages";

impl Script for Scripted {
    async fn answer(
        &self,
        door: Service,
        _number: u16,
        connection: &mut Connection,
        request: &Request,
    ) -> io::Result<()> {
        let asked = match door {
            _ if request.is("POST", "/v1/auth/grant") => Asked::Tokens,
            Service::Recogniser => Asked::Recogniser,
            Service::Model => Asked::Model,
            Service::Voice => Asked::Voice,
        };
        self.hear(asked, &[request.head().as_bytes(), &request.body].concat());
        if let (Asked::Model, Some(shown)) = (asked, request.field("authorization")) {
            self.state().shown.push(shown.to_owned());
        }
        let answer = self.next(asked).unwrap_or_else(|| usual(asked, request));
        if let Some(more) = &answer.upgrade {
            connection.switch_to_websocket(request, more).await?;
        }
        // Ward may have had enough before it has everything.
        let written = connection.write(&answer.bytes).await;
        if !answer.is_kept {
            let rest = connection.finish().await;
            self.hear(asked, &rest);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if answer.upgrade.is_some() {
            return Err(self.listen(connection).await);
        }
        written
    }
}
