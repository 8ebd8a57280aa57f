//! The agents that ship: `echo` for measuring, `greeter` as the embedded default, `conversation` for patients.
//!
//! None reaches a vendor or the network itself: a conversation says what to ask, and others ask it.

mod greeter;
mod phrases;

use std::sync::Arc;

use ward_call::Agent;
use ward_call::agent::Echo;
use ward_call::conversation::{Conversation, Script};
use ward_edge::start::StartError;
use ward_policy::gate::Dialogue;

pub use greeter::{Greeter, GreeterAudio};

/// Which agent takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentKind {
    /// Every frame comes back at once.
    Echo,
    /// Greets, listens and answers; needs no vendor, key or network.
    #[default]
    Greeter,
    /// Listens, asks a model and speaks its reply: needs a recogniser, a model and a voice.
    Conversation,
}

impl AgentKind {
    /// Parses the setting's value.
    ///
    /// # Errors
    /// The values there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "echo" => Ok(Self::Echo),
            "greeter" => Ok(Self::Greeter),
            "conversation" => Ok(Self::Conversation),
            _ => Err("must be echo, greeter or conversation"),
        }
    }
}

/// Makes one agent per call.
pub trait Agents: Send + Sync + 'static {
    /// An agent for a call that begins.
    fn agent(&self) -> Box<dyn Agent>;
}

/// The agents that ship, with what they share prepared once.
#[derive(Debug)]
pub enum Embedded {
    /// Every frame comes back.
    Echo,
    /// With the audio of its prompts and tones.
    Greeter(Arc<GreeterAudio>),
    /// With its rules and phrases.
    Conversation(Arc<Script>),
}

impl Embedded {
    /// Prepares what every call shares. With `is_guessing`, a conversation begins replies before it is certain that the
    /// caller has finished.
    ///
    /// # Errors
    /// [`StartError::Settings`] when the rules of conversations are broken.
    pub fn new(kind: AgentKind, is_guessing: bool) -> Result<Self, StartError> {
        Ok(match kind {
            AgentKind::Echo => Self::Echo,
            AgentKind::Greeter => Self::Greeter(Arc::new(GreeterAudio::prepare())),
            AgentKind::Conversation => {
                let dialogue = Dialogue::built_in().map_err(|_problems| StartError::Settings)?;
                Self::Conversation(Arc::new(Script::new(dialogue, phrases::clip, is_guessing)))
            }
        })
    }
}

impl Agents for Embedded {
    fn agent(&self) -> Box<dyn Agent> {
        match self {
            Self::Echo => Box::new(Echo),
            Self::Greeter(audio) => Box::new(Greeter::new(Arc::clone(audio))),
            Self::Conversation(script) => Box::new(Conversation::new(Arc::clone(script))),
        }
    }
}
