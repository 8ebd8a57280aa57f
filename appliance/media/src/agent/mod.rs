//! The agents that ship: `echo` for measuring, `greeter` as the embedded default.
//!
//! Neither reaches a vendor or the network, or keeps anything of a call.

mod greeter;

use std::sync::Arc;

use ward_call::Agent;
use ward_call::agent::Echo;

pub use greeter::{Greeter, GreeterAudio};

/// Which agent takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AgentKind {
    /// Every frame comes back at once.
    Echo,
    /// Greets, listens and answers; needs no vendor, key or network.
    #[default]
    Greeter,
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
            _ => Err("must be echo or greeter"),
        }
    }
}

/// Makes one agent per call.
pub trait Agents: Send + Sync + 'static {
    /// An agent for a call that begins.
    fn agent(&self) -> Box<dyn Agent>;
}

/// The agents that ship, with their audio prepared once.
#[derive(Debug)]
pub struct Embedded {
    kind: AgentKind,
    audio: Arc<GreeterAudio>,
}

impl Embedded {
    /// Prepares the audio of every prompt and tone.
    #[must_use]
    pub fn new(kind: AgentKind) -> Self {
        Self { kind, audio: Arc::new(GreeterAudio::prepare()) }
    }
}

impl Agents for Embedded {
    fn agent(&self) -> Box<dyn Agent> {
        match self.kind {
            AgentKind::Echo => Box::new(Echo),
            AgentKind::Greeter => Box::new(Greeter::new(Arc::clone(&self.audio))),
        }
    }
}
