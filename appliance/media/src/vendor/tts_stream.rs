//! `tts-stream`: a POST for each sentence, answered by raw µ-law in pieces.
//!
//! Sentences are spoken in the order in which they were asked for. While the call does not take what was spoken, nothing
//! is read. It never knows what is heard.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use tokio::sync::{Notify, mpsc};
use ward_call::service::Report;
use ward_policy::connector::{Manner, RequestPlace};
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::service::Service;

use super::inbox::Inbox;
use super::link::{Ask, Deadlines, More};
use super::request::{Members, default_header, head};
use super::warm::Warm;

/// What a voice is asked.
pub(super) enum ToVoice {
    /// Speak.
    Say {
        /// Which sentence.
        sentence: u32,
        /// What.
        text: Phi<String>,
    },
    /// Nothing of what was asked for is wanted any more; what waited is gone already.
    Unsay,
}

const CARRIES: [RequestPlace; 3] = [RequestPlace::Query, RequestPlace::Header, RequestPlace::Body];
/// Kinds of audio that are a file around it, or no µ-law.
const NOT_RAW: [&str; 12] = [
    "aac", "flac", "mp3", "mp4", "mpeg", "ogg", "opus", "vnd.wave", "wav", "wave", "webm", "x-wav",
];
const SENTENCE_BYTES_MAX: usize = limit::bytes_in_ms(limit::VOICE_SENTENCE_MS_MAX);

/// The connector of one call.
pub(super) struct Voice {
    /// The vendors.
    pub(super) warm: Warm,
    /// What it is asked.
    pub(super) inbox: Arc<Inbox<ToVoice>>,
    /// A turn begins.
    pub(super) turn: Arc<Notify>,
    /// Speech, and what has its place among it.
    pub(super) speech: mpsc::Sender<Report>,
    /// Everything else.
    pub(super) reports: mpsc::Sender<Report>,
}

impl Voice {
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
                Some(ToVoice::Unsay) => {}
                // What speaking takes is there while it goes on.
                Some(ToVoice::Say { sentence, text }) => Box::pin(self.say(sentence, text)).await,
            }
        }
    }

    async fn say(&mut self, sentence: u32, text: Phi<String>) {
        let speech = self.speech.clone();
        let mut spoken = Spoken { sentence, text, speech, bytes: 0 };
        let outcome = tokio::select! {
            biased;
            _unsaid = self.inbox.next_where(|one| matches!(one, ToVoice::Unsay)) => None,
            outcome = self.warm.ask(&mut spoken) => Some(outcome),
        };
        match outcome {
            Some(Ok(())) => {}
            Some(Err(fault)) => {
                // After speech it has its place among it; before, nobody needs to wait.
                let way = if spoken.has_begun() { &self.speech } else { &self.reports };
                let failed = Report::Failed { service: Service::Voice, number: sentence, fault };
                // A call that is over takes nothing.
                way.send(failed).await.unwrap_or_default();
            }
            None => {
                self.warm.let_go(VendorEnd::LetGo);
                self.warm.renew();
            }
        }
    }
}

/// One sentence.
struct Spoken {
    sentence: u32,
    text: Phi<String>,
    speech: mpsc::Sender<Report>,
    /// How much of it has been passed on.
    bytes: usize,
}

impl Ask for Spoken {
    const DEADLINES: Deadlines = Deadlines {
        first: limit::VOICE_FIRST_PIECE_DEADLINE,
        next: limit::VOICE_NEXT_PIECE_DEADLINE,
        whole: limit::VOICE_WHOLE_DEADLINE,
    };

    fn request(&mut self, manner: &Manner) -> Result<Request<Full<Bytes>>, ServiceFault> {
        let query = [
            ("model", manner.connector.model.as_str()),
            ("encoding", "mulaw"),
            ("sample_rate", "8000"),
            ("container", "none"),
        ];
        let mut request = head(manner, Method::POST, &query, &CARRIES)?;
        default_header(request.headers_mut(), CONTENT_TYPE, "application/json");
        default_header(request.headers_mut(), ACCEPT, "audio/*");
        let text = self.text.expose();
        let mut members = Members::begin(manner, &["text"], text.len().saturating_add(256))?;
        members.text("text", text);
        Ok(request.map(|()| Full::from(members.end())))
    }

    fn judge(&self, answer: &Response<()>) -> Result<(), ServiceFault> {
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let raw = kind.strip_prefix("audio/").filter(|kind| !NOT_RAW.contains(kind));
        raw.map(drop).ok_or(ServiceFault::Garbage)
    }

    async fn take(&mut self, bytes: Bytes) -> Result<More, ServiceFault> {
        if self.bytes.saturating_add(bytes.len()) > SENTENCE_BYTES_MAX {
            return Err(ServiceFault::TooLong);
        }
        for piece in bytes.chunks(limit::VOICE_PIECE_BYTES_MAX) {
            let audio = Phi::new(piece.to_vec());
            let report = Report::Audio { sentence: self.sentence, audio };
            self.speech.send(report).await.map_err(|_over| ServiceFault::Over)?;
            self.bytes = self.bytes.saturating_add(piece.len());
        }
        Ok(More::Wanted)
    }

    async fn end(&mut self) -> Result<(), ServiceFault> {
        if self.bytes == 0 {
            return Err(ServiceFault::Garbage);
        }
        let ended = Report::SentenceEnd { sentence: self.sentence };
        self.speech.send(ended).await.map_err(|_over| ServiceFault::Over)
    }

    fn has_begun(&self) -> bool {
        self.bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_raw_audio_is_speech() {
        let (speech, _theirs) = mpsc::channel(1);
        let spoken = Spoken { sentence: 1, text: Phi::new(String::new()), speech, bytes: 0 };
        let judge = |kind: &str| {
            let answer = Response::builder().header("Content-Type", kind).body(()).unwrap();
            spoken.judge(&answer).is_ok()
        };
        for kind in ["audio/mulaw", "audio/basic", "Audio/X-MULAW;rate=8000"] {
            assert!(judge(kind), "{kind}");
        }
        for kind in ["audio/wav", "audio/mpeg", "audio/wav; x=y", "text/plain", "", "audio"] {
            assert!(!judge(kind), "{kind}");
        }
        assert!(spoken.judge(&Response::new(())).is_err());
    }
}
