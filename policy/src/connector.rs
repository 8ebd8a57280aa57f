//! How a vendor's service is spoken to: the dialect, and what every request must carry.
//!
//! A closed list of dialects; what a dialect looks like on the wire is its connector's business. It says what is
//! wrong with a manner by itself, for the registry and for whoever is sent one.

use serde::{Deserialize, Serialize};

use crate::limit;
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

/// Whether `path` can stand in a request line as it is: it begins with `/`, is printable ASCII without spaces and
/// `#`, and no longer than [`limit::VENDOR_PATH_CHARS_MAX`].
pub(crate) fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    path.starts_with('/')
        && path.len() <= limit::VENDOR_PATH_CHARS_MAX
        && path.bytes().all(is_plain)
}

/// Whether `name` needs no escaping in a query: RFC 3986 §2.3, and `:` and `/` of §3.4.
fn is_model(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    (1..=limit::MODEL_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

impl Manner {
    /// Everything that is wrong with it; empty when it can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<&'static str> {
        let Self { connector, musts } = self;
        let mut problems = Vec::new();
        let mut check = |is_fine: bool, what: &'static str| {
            if !is_fine {
                problems.push(what);
            }
        };
        let is_plain = is_path(&connector.path) && !connector.path.contains('?');
        check(is_plain, "the connector's path is no plain path that begins with /");
        check(is_model(&connector.model), "the connector's model is no name that a URL can hold");
        let all = || musts.iter().flat_map(|must| [&must.name, &must.value]);
        check(all().all(|text| !text.is_empty()), "request_must needs name and value");
        let is_clean = |text: &String| !text.contains(char::is_control);
        check(all().all(is_clean), "request_must has a control character");
        let length = serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len());
        let is_short = length <= limit::MANNER_BYTES_MAX;
        check(is_short, "connector and request_must are too long together");
        problems
    }

    /// JSON, as it is sent to media; `None` when it has a problem.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        if self.problems().is_empty() { serde_json::to_vec(self).ok() } else { None }
    }

    /// Parses what [`Self::to_bytes`] makes; `None` for anything else, and for what has a problem.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > limit::MANNER_BYTES_MAX {
            return None;
        }
        let manner: Self = serde_json::from_slice(bytes).ok()?;
        manner.problems().is_empty().then_some(manner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner() -> Manner {
        let connector = Connector {
            dialect: Dialect::DeepgramListen,
            path: "/v1/listen".to_owned(),
            model: "nova-3".to_owned(),
        };
        let must = RequestMust {
            place: RequestPlace::Query,
            name: "mip_opt_out".to_owned(),
            value: "true".to_owned(),
        };
        Manner { connector, musts: vec![must] }
    }

    #[test]
    fn a_manner_arrives_as_it_was_sent_or_not_at_all() {
        let bytes = manner().to_bytes().unwrap();
        assert_eq!(Manner::parse(&bytes), Some(manner()));
        let text = String::from_utf8(bytes.clone()).unwrap();
        for (from, to) in [
            ("/v1/listen", "v1/listen"),
            ("deepgram-listen", "carrier-pigeon"),
            ("\"musts\"", "\"other\""),
            ("nova-3", "nova 3"),
            ("true", ""),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert_eq!(Manner::parse(changed.as_bytes()), None, "{to}");
        }
        assert_eq!(Manner::parse(b""), None);
        assert_eq!(Manner::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Manner::parse(&vec![b' '; limit::MANNER_BYTES_MAX * 2]), None);
    }

    #[test]
    fn every_problem_is_named() {
        let check = |change: &dyn Fn(&mut Manner), what: &str| {
            let mut changed = manner();
            change(&mut changed);
            let found = changed.problems();
            assert!(found.iter().any(|problem| problem.contains(what)), "{what}: {found:?}");
            assert_eq!(changed.to_bytes(), None);
        };
        assert_eq!(manner().problems(), Vec::<&str>::new());
        for path in ["", "v1", "/v 1", "/v1?a=b", "/v1#a", "/v1\r\n", "/v\u{e9}"] {
            check(&|changed| path.clone_into(&mut changed.connector.path), "path");
        }
        let long = "/".repeat(limit::VENDOR_PATH_CHARS_MAX + 1);
        check(&|changed| long.clone_into(&mut changed.connector.path), "path");
        for model in ["", "a b", "a&b", "a=b", "a%20", "a\u{e9}", &long] {
            check(&|changed| model.clone_into(&mut changed.connector.model), "model");
        }
        check(&|changed| changed.musts[0].value = "a\r\nb".to_owned(), "control");
        check(&|changed| changed.musts[0].name.clear(), "name and value");
        let many = vec![manner().musts[0].clone(); limit::MANNER_BYTES_MAX / 40];
        check(&|changed| changed.musts.clone_from(&many), "too long together");
    }
}
