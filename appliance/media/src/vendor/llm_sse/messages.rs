//! The dialect of `…/messages`: what is asked, and what an event of the answer says. No input or output.

use hyper::header::HeaderName;
use serde::Deserialize;
use ward_call::service::Prompt;
use ward_policy::connector::Manner;
use ward_policy::fault::ServiceFault;
use ward_policy::limit;

use super::super::request::{Members, Unsuited};
use super::chat_completions::{lines, room};
use super::{Bad, Said};

/// The header without which nothing is answered.
pub(super) const VERSION_HEADER: HeaderName = HeaderName::from_static("anthropic-version");
/// The one version there is.
pub(super) const VERSION: &str = "2023-06-01";

const OWN: [&str; 4] = ["messages", "model", "stream", "system"];

/// The body of a request.
pub(super) fn body(manner: &Manner, prompt: &Prompt) -> Result<Vec<u8>, Unsuited> {
    let mut members = Members::begin(manner, &OWN, room(prompt))?;
    members.text("model", &manner.connector.model);
    members.raw("stream", "true");
    if !manner.musts.iter().any(|must| must.name == "max_tokens") {
        members.raw("max_tokens", &limit::MODEL_TOKENS_MAX.to_string());
    }
    members.text("system", &prompt.system);
    members.name("messages");
    members.json("[");
    lines(&mut members, prompt, false);
    members.json("]");
    Ok(members.end())
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    ContentBlockDelta {
        delta: Delta,
    },
    MessageStop,
    Error {
        error: Error,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: String,
}

/// What the data of one event says.
pub(super) fn read(data: &[u8]) -> Result<Said, Bad> {
    Ok(match serde_json::from_slice(data).map_err(|_json| Bad)? {
        Event::ContentBlockDelta { delta: Delta::TextDelta { text } } if !text.is_empty() => {
            Said::Piece(text)
        }
        Event::MessageStop => Said::End,
        Event::Error { error } => Said::Failed(match error.kind.as_str() {
            "authentication_error" | "permission_error" => ServiceFault::Unauthorized,
            "billing_error" | "rate_limit_error" => ServiceFault::Quota,
            "invalid_request_error" | "not_found_error" => ServiceFault::Rejected,
            _ => ServiceFault::Broken,
        }),
        Event::ContentBlockDelta { .. } | Event::Other => Said::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::request::tests::manner;
    use super::super::chat_completions::tests::prompt;
    use super::*;
    use serde_json::{Value, json};
    use ward_policy::connector::{Dialect, RequestPlace};

    #[test]
    fn a_request_is_the_conversation_with_the_musts() {
        let manner = manner(Dialect::Messages, "/", &[(RequestPlace::Body, "top_k", "5")]);
        let found: Value = serde_json::from_slice(&body(&manner, &prompt()).unwrap()).unwrap();
        let expected = json!({
            "top_k": 5, "model": "a-model", "stream": true,
            "max_tokens": limit::MODEL_TOKENS_MAX, "system": "Be kind.",
            "messages": [
                {"role": "user", "content": "My \"leg\"\nhurts"},
                {"role": "assistant", "content": "Since when?"},
                {"role": "user", "content": "Monday"},
            ],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn events_say_pieces_ends_and_faults() {
        let says = |text: &str| read(text.as_bytes());
        let delta = |kind: &str| {
            format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"{kind}","text":"Hi","thinking":"x"}}}}"#
            )
        };
        assert_eq!(says(&delta("text_delta")), Ok(Said::Piece("Hi".to_owned())));
        assert_eq!(says(&delta("thinking_delta")), Ok(Said::Nothing));
        for nothing in [
            r#"{"type":"message_start","message":{"id":"x","content":[],"usage":{"input_tokens":9}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
            r#"{"type":"something_new","x":[1,2]}"#,
        ] {
            assert_eq!(says(nothing), Ok(Said::Nothing), "{nothing}");
        }
        assert_eq!(says(r#"{"type":"message_stop"}"#), Ok(Said::End));
        for (kind, fault) in [
            ("overloaded_error", ServiceFault::Broken),
            ("rate_limit_error", ServiceFault::Quota),
            ("permission_error", ServiceFault::Unauthorized),
            ("invalid_request_error", ServiceFault::Rejected),
        ] {
            let error = format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#);
            assert_eq!(says(&error), Ok(Said::Failed(fault)));
        }
        for bad in ["", "{}", "[DONE]", r#"{"type":7}"#, r#"{"type":"content_block_delta"}"#] {
            assert_eq!(says(bad), Err(Bad), "{bad}");
        }
    }
}
