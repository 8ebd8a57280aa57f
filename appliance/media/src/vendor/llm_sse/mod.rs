//! `llm-sse`: a POST with the conversation, answered by events, in two dialects.
//!
//! One request at a time; a cancelled one takes its connection with it. It never decides what a model is told.

mod chat_completions;
mod messages;
mod sse;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use tokio::sync::{Notify, mpsc};
use ward_call::service::{Prompt, Report};
use ward_policy::connector::{Dialect, Manner, RequestPlace};
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::service::Service;

use super::inbox::Inbox;
use super::link::{Ask, Deadlines, More};
use super::request::{default_header, head};
use super::warm::Warm;
use sse::Sse;

/// What a model is asked.
pub(super) enum ToModel {
    /// To answer.
    Ask {
        /// Which request.
        request: u32,
        /// What has been said.
        prompt: Prompt,
    },
    /// Not to answer any more.
    Cancel {
        /// Which request.
        request: u32,
    },
}

/// What one event of an answer says.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
enum Said {
    /// The next characters.
    Piece(String),
    /// There will be no more characters, and perhaps nothing else either.
    LastPiece,
    /// The answer is complete.
    End,
    /// The vendor has failed.
    Failed(ServiceFault),
    /// Nothing for us.
    Nothing,
}

/// The data of an event is none of the dialect's.
#[derive(Debug, PartialEq, Eq)]
struct Bad;

const CARRIES: [RequestPlace; 3] = [RequestPlace::Query, RequestPlace::Header, RequestPlace::Body];

/// The connector of one call.
pub(super) struct Model {
    /// The vendors.
    pub(super) warm: Warm,
    /// What it is asked.
    pub(super) inbox: Arc<Inbox<ToModel>>,
    /// A turn begins.
    pub(super) turn: Arc<Notify>,
    /// What it reports.
    pub(super) reports: mpsc::Sender<Report>,
}

impl Model {
    /// Works until the call is over.
    pub(super) async fn run(mut self) {
        self.warm.renew();
        loop {
            let asked = tokio::select! {
                biased;
                asked = self.inbox.next() => asked,
                () = self.turn.notified() => {
                    self.warm.renew();
                    continue;
                }
                never = self.warm.idle() => match never {},
            };
            match asked {
                None => return,
                // It has been answered already.
                Some(ToModel::Cancel { .. }) => {}
                // What answering takes is there while it goes on.
                Some(ToModel::Ask { request, prompt }) => {
                    Box::pin(self.answer(request, prompt)).await;
                }
            }
        }
    }

    async fn answer(&mut self, request: u32, prompt: Prompt) {
        let mut asked = Asked::new(request, prompt, self.reports.clone());
        let is_cancel =
            |one: &ToModel| matches!(one, ToModel::Cancel { request: other } if *other == request);
        let outcome = tokio::select! {
            biased;
            _cancelled = self.inbox.next_where(is_cancel) => None,
            outcome = self.warm.ask(&mut asked) => Some(outcome),
        };
        match outcome {
            Some(Ok(())) => {}
            Some(Err(fault)) => {
                let failed = Report::Failed { service: Service::Model, number: request, fault };
                // A call that is over takes nothing.
                self.reports.send(failed).await.unwrap_or_default();
            }
            None => {
                self.warm.let_go(VendorEnd::LetGo);
                self.warm.renew();
            }
        }
    }
}

/// One request.
struct Asked {
    request: u32,
    prompt: Prompt,
    reports: mpsc::Sender<Report>,
    dialect: Dialect,
    events: Sse,
    /// Text that was passed on, in bytes.
    text_bytes: usize,
    /// What was read, in bytes.
    bytes: usize,
    /// Whether there will be no more text.
    is_last: bool,
    is_complete: bool,
}

impl Asked {
    fn new(request: u32, prompt: Prompt, reports: mpsc::Sender<Report>) -> Self {
        let (dialect, events) = (Dialect::Messages, Sse::default());
        let (text_bytes, bytes, is_last, is_complete) = (0, 0, false, false);
        Self { request, prompt, reports, dialect, events, text_bytes, bytes, is_last, is_complete }
    }

    async fn report(&self, report: Report) -> Result<(), ServiceFault> {
        self.reports.send(report).await.map_err(|_over| ServiceFault::Over)
    }

    async fn piece(&mut self, text: String) -> Result<(), ServiceFault> {
        let text = Phi::new(text);
        let bytes = text.expose().len();
        if bytes == 0 {
            return Ok(());
        }
        self.text_bytes = self.text_bytes.saturating_add(bytes);
        if self.text_bytes > limit::MODEL_TEXT_BYTES_MAX {
            return Err(ServiceFault::TooLong);
        }
        self.report(Report::Piece { request: self.request, text }).await
    }
}

impl Ask for Asked {
    const DEADLINES: Deadlines = Deadlines {
        first: limit::MODEL_FIRST_PIECE_DEADLINE,
        next: limit::MODEL_NEXT_PIECE_DEADLINE,
        whole: limit::MODEL_WHOLE_DEADLINE,
    };

    fn request(&mut self, manner: &Manner) -> Result<Request<Full<Bytes>>, ServiceFault> {
        // Whatever was read of an answer before this one was nothing that could be passed on.
        (self.events, self.bytes, self.is_last) = (Sse::default(), 0, false);
        self.dialect = manner.connector.dialect;
        let mut request = head(manner, Method::POST, &[], &CARRIES)?;
        let headers = request.headers_mut();
        default_header(headers, CONTENT_TYPE, "application/json");
        default_header(headers, ACCEPT, "text/event-stream");
        let body = match self.dialect {
            Dialect::ChatCompletions => chat_completions::body(manner, &self.prompt)?,
            Dialect::Messages => {
                default_header(headers, messages::VERSION_HEADER, messages::VERSION);
                messages::body(manner, &self.prompt)?
            }
            Dialect::DeepgramListen | Dialect::DeepgramSpeak => return Err(ServiceFault::Unsuited),
        };
        Ok(request.map(|()| Full::from(body)))
    }

    fn judge(&self, answer: &Response<()>) -> Result<(), ServiceFault> {
        let kind = answer.headers().get(CONTENT_TYPE).map(hyper::header::HeaderValue::as_bytes);
        let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
        let kind = kind.unwrap_or_default().trim_ascii();
        let is_events = kind.eq_ignore_ascii_case(b"text/event-stream");
        if is_events { Ok(()) } else { Err(ServiceFault::Garbage) }
    }

    async fn take(&mut self, bytes: Bytes) -> Result<More, ServiceFault> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > limit::MODEL_ANSWER_BYTES_MAX {
            return Err(ServiceFault::TooLong);
        }
        let mut rest = &bytes[..];
        loop {
            let said = match self.events.next(&mut rest)? {
                None => return Ok(More::Wanted),
                Some(data) => match self.dialect {
                    Dialect::ChatCompletions => chat_completions::read(data.expose()),
                    _ => messages::read(data.expose()),
                },
            };
            // Whoever says one thing that makes no sense cannot be trusted with a sentence.
            match said.map_err(|Bad| ServiceFault::Garbage)? {
                Said::Nothing => {}
                Said::Piece(text) => self.piece(text).await?,
                Said::LastPiece => self.is_last = true,
                Said::End => {
                    self.is_last = true;
                    return Ok(More::Enough);
                }
                Said::Failed(fault) => return Err(fault),
            }
        }
    }

    async fn end(&mut self) -> Result<(), ServiceFault> {
        if !self.is_last {
            return Err(ServiceFault::Closed);
        }
        self.is_complete = true;
        self.report(Report::ReplyEnd { request: self.request }).await
    }

    fn has_begun(&self) -> bool {
        self.text_bytes > 0 || self.is_complete
    }
}
