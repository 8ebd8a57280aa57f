//! How a vendor's service is spoken to: the dialect, and what every request must carry.
//!
//! A closed list of dialects; what a dialect looks like on the wire is its connector's business.

use serde::{Deserialize, Serialize};

use crate::service::Service;

/// A way to speak to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// A WebSocket that takes audio and gives Deepgram's `Results`.
    DeepgramListen,
    /// `POST …/chat/completions`, answered by events.
    ChatCompletions,
    /// `POST …/messages`, answered by events.
    Messages,
    /// A POST for each sentence, answered by raw audio in pieces, as Deepgram's `speak` has it.
    DeepgramSpeak,
}

impl Dialect {
    /// What a vendor that speaks it does.
    #[must_use]
    pub const fn service(self) -> Service {
        match self {
            Self::DeepgramListen => Service::Recogniser,
            Self::ChatCompletions | Self::Messages => Service::Model,
            Self::DeepgramSpeak => Service::Voice,
        }
    }
}

/// Where something that every request must carry stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestPlace {
    /// In the query of the URL.
    Query,
    /// In a header.
    Header,
    /// In the body, a member of its JSON object.
    Body,
    /// As a WebSocket subprotocol.
    Subprotocol,
}

/// Something that every request to the vendor must carry.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMust {
    /// Where it stands.
    #[serde(rename = "where")]
    pub place: RequestPlace,
    /// Its name.
    pub name: String,
    /// Its value; in a body, `true`, `false` and numbers are written without quotes.
    pub value: String,
}

/// What an entry of the registry says about speaking to its vendor.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// The dialect.
    pub dialect: Dialect,
    /// The path of the service at its data host, `/v1/listen` for instance.
    pub path: String,
    /// The vendor's name of the model.
    pub model: String,
}

/// A connector with what every request through it must carry: what media is told.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// How the vendor is spoken to.
    pub connector: Connector,
    /// What every request must carry.
    pub musts: Vec<RequestMust>,
}
