//! How the log sink is spoken to, as data, and what can be wrong with that. It sends nothing.
//!
//! An operator writes it under `[sink]` of a registry entry whose role is `log-sink`; the launcher hands it to the one
//! process that writes the log. Records go there as newline-delimited JSON in the body of a POST.

use serde::{Deserialize, Serialize};

use crate::connector::is_path;
use crate::limit;

/// What stands under `[sink]`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// The path that records are posted to, with its query.
    pub path: String,
    /// The header field that carries the credential, in lower case.
    #[serde(default = "authorization")]
    pub key_header: String,
    /// What stands before the credential in it, its space included.
    #[serde(default = "bearer")]
    pub key_prefix: String,
    /// How much memory may wait for it, in bytes.
    #[serde(default = "spool_bytes")]
    pub spool_bytes: usize,
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

const fn spool_bytes() -> usize {
    limit::LOG_SPOOL_BYTES
}

/// Fields that the log's writer writes itself, or that would change where a request ends.
const OURS: [&str; 7] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
];

impl Sink {
    /// Everything that is wrong with it; empty when it can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<&'static str> {
        let Self { path, key_header, key_prefix, spool_bytes } = self;
        let mut problems = Vec::new();
        let mut check = |is_fine: bool, what: &'static str| {
            if !is_fine {
                problems.push(what);
            }
        };
        check(is_path(path), "the sink's path is no path that begins with /");
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_short = |text: &str| text.len() <= limit::MINT_WORD_CHARS_MAX;
        let is_name = !key_header.is_empty() && is_short(key_header);
        check(
            is_name && key_header.bytes().all(is_plain) && !OURS.contains(&key_header.as_str()),
            "the sink's key_header has no name in lower case, or one that is not the registry's to set",
        );
        let is_value = key_prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        check(is_value && is_short(key_prefix), "the sink's key_prefix is not printable ASCII");
        let sizes = limit::LOG_SPOOL_BYTES_MIN..=limit::LOG_SPOOL_BYTES_MAX;
        check(sizes.contains(spool_bytes), "the sink's spool_bytes is not 32 KiB to 256 MiB");
        problems
    }
}

/// What the log's writer is told: whom to ask the broker for, and how to speak to them.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkPlan {
    /// The entry's id in the registry.
    pub vendor: String,
    /// Whom a request is addressed to: the name of its host, with the port if it is not 443.
    pub authority: String,
    /// How it is spoken to.
    pub sink: Sink,
}

impl SinkPlan {
    /// JSON, as it is handed down.
    #[must_use]
    pub fn to_document(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses what [`Self::to_document`] makes; `None` for anything else, and for what has a problem.
    #[must_use]
    pub fn parse(document: &str) -> Option<Self> {
        if document.len() > limit::SINK_PLAN_BYTES_MAX {
            return None;
        }
        let plan: Self = serde_json::from_str(document).ok()?;
        let is_plain = plan.authority.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && plan.sink.problems().is_empty()).then_some(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> Sink {
        Sink {
            path: "/services/collector/raw?sourcetype=ward".to_owned(),
            key_header: authorization(),
            key_prefix: "Splunk ".to_owned(),
            spool_bytes: limit::LOG_SPOOL_BYTES,
        }
    }

    #[test]
    fn a_plan_arrives_as_it_was_handed_down_or_not_at_all() {
        let plan = SinkPlan {
            vendor: "log-sink".to_owned(),
            authority: "logs.example.com:8443".to_owned(),
            sink: sink(),
        };
        let text = plan.to_document();
        assert_eq!(SinkPlan::parse(&text), Some(plan));
        for (from, to) in [
            ("/services", "services"),
            ("\"sink\"", "\"other\""),
            ("authorization", "content-length"),
            ("example.com", "example.com\\r\\na: b"),
            ("16777216", "16"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert_eq!(SinkPlan::parse(&changed), None, "{to}");
        }
        assert_eq!(SinkPlan::parse(&" ".repeat(limit::SINK_PLAN_BYTES_MAX + 1)), None);
    }

    #[test]
    fn every_problem_is_named() {
        let check = |change: &dyn Fn(&mut Sink), what: &str| {
            let mut changed = sink();
            change(&mut changed);
            let found = changed.problems();
            assert!(found.iter().any(|problem| problem.contains(what)), "{what}: {found:?}");
        };
        assert_eq!(sink().problems(), Vec::<&str>::new());
        for path in ["", "a", "/a b", "/a\r\nhost: b"] {
            check(&|changed| path.clone_into(&mut changed.path), "path");
        }
        for name in ["", "Authorization", "a:b", "host", "transfer-encoding", "a\r\nb"] {
            check(&|changed| name.clone_into(&mut changed.key_header), "key_header");
        }
        check(&|changed| changed.key_prefix = "a\r\nb: ".to_owned(), "key_prefix");
        check(&|changed| changed.spool_bytes = limit::LOG_SPOOL_BYTES_MIN - 1, "spool_bytes");
        check(&|changed| changed.spool_bytes = limit::LOG_SPOOL_BYTES_MAX + 1, "spool_bytes");
    }
}
