//! The three services of a conversation as a call sees them: what they report and what they are asked.
//!
//! Nothing here knows a vendor, a connection or a protocol. One connector may be several services at once:
//! a speech-to-speech vendor is a model and a voice.

use std::fmt;
use std::sync::Arc;

use ward_policy::fault::ServiceFault;
use ward_policy::phi::Phi;
use ward_policy::service::Service;

/// Something that a service reports.
pub enum Report {
    /// The recogniser hears speech.
    SpeechBegan,
    /// What is being said, as far as the recogniser can tell; it replaces the one before.
    Partial(Phi<String>),
    /// What was said and will not change. The next partial begins after it.
    Final(Phi<String>),
    /// The caller has probably finished.
    EagerEnd,
    /// They had not.
    Resumed,
    /// The caller has finished.
    TurnEnd,
    /// The recogniser has begun anew: nothing more comes of what it was hearing, and what it says next follows that.
    BegunAnew,
    /// A piece of a reply.
    Piece {
        /// Whose.
        request: u32,
        /// The next characters.
        text: Phi<String>,
    },
    /// A reply is complete.
    ReplyEnd {
        /// Whose.
        request: u32,
    },
    /// Speech: µ-law, 8,000 Hz, any number of bytes.
    Audio {
        /// Of which sentence.
        sentence: u32,
        /// The next samples.
        audio: Phi<Vec<u8>>,
    },
    /// A sentence is complete.
    SentenceEnd {
        /// Which.
        sentence: u32,
    },
    /// A service has failed, and its connector has tried whatever else there was.
    Failed {
        /// Which.
        service: Service,
        /// The request or the sentence that will not be answered; 0 for the recogniser.
        number: u32,
        /// Why.
        fault: ServiceFault,
    },
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpeechBegan => f.write_str("SpeechBegan"),
            Self::Partial(_) => f.write_str("Partial(…)"),
            Self::Final(_) => f.write_str("Final(…)"),
            Self::EagerEnd => f.write_str("EagerEnd"),
            Self::Resumed => f.write_str("Resumed"),
            Self::TurnEnd => f.write_str("TurnEnd"),
            Self::BegunAnew => f.write_str("BegunAnew"),
            Self::Piece { request, .. } => write!(f, "Piece({request}, …)"),
            Self::ReplyEnd { request } => write!(f, "ReplyEnd({request})"),
            Self::Audio { sentence, audio } => {
                write!(f, "Audio({sentence}, {} bytes)", audio.expose().len())
            }
            Self::SentenceEnd { sentence } => write!(f, "SentenceEnd({sentence})"),
            Self::Failed { service, number, fault } => {
                write!(f, "Failed({}, {number}, {})", service.name(), fault.code())
            }
        }
    }
}

/// Something that a service is asked.
pub enum Request {
    /// The recogniser: nothing more is coming for now, say what you have.
    Finalise,
    /// The model: what to answer.
    Ask {
        /// Its number, which is never used twice in a call and never 0.
        request: u32,
        /// What has been said.
        prompt: Prompt,
    },
    /// The model: this one is not wanted any more.
    Cancel {
        /// Which.
        request: u32,
    },
    /// The voice: speak this.
    Say {
        /// Its number, which is never used twice in a call and never 0.
        sentence: u32,
        /// What to speak.
        text: Phi<String>,
    },
    /// The voice: no sentence that was asked for so far is wanted any more.
    Unsay,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finalise => f.write_str("Finalise"),
            Self::Ask { request, .. } => write!(f, "Ask({request}, …)"),
            Self::Cancel { request } => write!(f, "Cancel({request})"),
            Self::Say { sentence, .. } => write!(f, "Say({sentence}, …)"),
            Self::Unsay => f.write_str("Unsay"),
        }
    }
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The caller.
    Caller,
    /// We.
    Ward,
}

/// One thing that was said.
#[expect(missing_debug_implementations, reason = "it must never be printed")]
pub struct Line {
    /// Who said it.
    pub speaker: Speaker,
    /// What was said, with placeholders for what a model need not know.
    pub text: Phi<String>,
}

/// Everything a model is told: never empty, the last line is the caller's, speakers take turns.
#[expect(missing_debug_implementations, reason = "it must never be printed")]
pub struct Prompt {
    /// What it is and what it may do.
    pub system: Arc<str>,
    /// The conversation so far, oldest first.
    pub lines: Vec<Line>,
}
