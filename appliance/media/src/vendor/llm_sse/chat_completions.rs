//! The dialect of `…/chat/completions`: what is asked, and what an event of the answer says. No input or output.

use serde::Deserialize;
use ward_call::service::{Prompt, Speaker};
use ward_policy::connector::Manner;
use ward_policy::fault::ServiceFault;
use ward_policy::limit;

use super::super::request::{Members, Unsuited};
use super::{Bad, Said};

const OWN: [&str; 3] = ["messages", "model", "stream"];

/// The body of a request.
pub(super) fn body(manner: &Manner, prompt: &Prompt) -> Result<Vec<u8>, Unsuited> {
    let mut members = Members::begin(manner, &OWN, room(prompt))?;
    members.text("model", &manner.connector.model);
    members.raw("stream", "true");
    // Newer models take the second name only, and an entry can say so.
    let is_told = |name: &str| ["max_tokens", "max_completion_tokens"].contains(&name);
    if !manner.musts.iter().any(|must| is_told(&must.name)) {
        members.raw("max_tokens", &limit::MODEL_TOKENS_MAX.to_string());
    }
    members.name("messages");
    members.json("[{\"role\":\"system\",\"content\":");
    members.string(&prompt.system);
    members.json("}");
    lines(&mut members, prompt, true);
    members.json("]");
    Ok(members.end())
}

/// So many bytes that a body need not grow, and leaves no copies behind.
pub(super) fn room(prompt: &Prompt) -> usize {
    let line = |line: &ward_call::service::Line| line.text.expose().len().saturating_add(64);
    let lines: usize = prompt.lines.iter().map(line).sum();
    prompt
        .system
        .len()
        .saturating_add(lines)
        .saturating_mul(9)
        .saturating_div(8)
        .saturating_add(512)
}

/// The lines of a conversation, as both dialects have them.
pub(super) fn lines(members: &mut Members, prompt: &Prompt, is_after_others: bool) {
    for (place, line) in prompt.lines.iter().enumerate() {
        members.json(if place > 0 || is_after_others { ",{\"role\":" } else { "{\"role\":" });
        members.json(match line.speaker {
            Speaker::Caller => "\"user\",\"content\":",
            Speaker::Ward => "\"assistant\",\"content\":",
        });
        members.string(line.text.expose());
        members.json("}");
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Error>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Error {}

/// What the data of one event says.
pub(super) fn read(data: &[u8]) -> Result<Said, Bad> {
    if data == b"[DONE]" {
        return Ok(Said::End);
    }
    let event: Event = serde_json::from_slice(data).map_err(|_json| Bad)?;
    if event.error.is_some() {
        return Ok(Said::Failed(ServiceFault::Broken));
    }
    let Some(choice) = event.choices.into_iter().next() else { return Ok(Said::Nothing) };
    Ok(match (choice.delta.content, choice.finish_reason) {
        (Some(text), _) if !text.is_empty() => Said::Piece(text),
        (_, Some(_reason)) => Said::LastPiece,
        _ => Said::Nothing,
    })
}

#[cfg(test)]
pub(in crate::vendor::llm_sse) mod tests {
    use super::super::super::request::tests::manner;
    use super::*;
    use serde_json::{Value, json};
    use ward_call::service::Line;
    use ward_policy::connector::{Dialect, RequestPlace};
    use ward_policy::phi::Phi;

    pub(in crate::vendor::llm_sse) fn prompt() -> Prompt {
        let line = |speaker, text: &str| Line { speaker, text: Phi::new(text.to_owned()) };
        let lines = vec![
            line(Speaker::Caller, "My \"leg\"\nhurts"),
            line(Speaker::Ward, "Since when?"),
            line(Speaker::Caller, "Monday"),
        ];
        Prompt { system: "Be kind.".into(), lines }
    }

    #[test]
    fn a_request_is_the_conversation_with_the_musts() {
        let musts = [
            (RequestPlace::Body, "store", "false"),
            (RequestPlace::Body, "service_tier", "default"),
            (RequestPlace::Query, "api-version", "1"),
        ];
        let manner = manner(Dialect::ChatCompletions, "/", &musts);
        let bytes = body(&manner, &prompt()).unwrap();
        assert!(bytes.len() <= room(&prompt()));
        let found: Value = serde_json::from_slice(&bytes).unwrap();
        let expected = json!({
            "store": false, "service_tier": "default", "model": "a-model", "stream": true,
            "max_tokens": limit::MODEL_TOKENS_MAX,
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "My \"leg\"\nhurts"},
                {"role": "assistant", "content": "Since when?"},
                {"role": "user", "content": "Monday"},
            ],
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn an_entry_may_name_the_most_tokens_and_not_the_rest() {
        let with = |name: &str| {
            let musts = [(RequestPlace::Body, name, "9")];
            body(&manner(Dialect::ChatCompletions, "/", &musts), &prompt())
        };
        let found: Value = serde_json::from_slice(&with("max_completion_tokens").unwrap()).unwrap();
        assert_eq!(
            (&found["max_completion_tokens"], &found["max_tokens"]),
            (&json!(9), &Value::Null)
        );
        for name in OWN {
            assert_eq!(with(name), Err(Unsuited::Clash));
        }
    }

    #[test]
    fn events_say_pieces_and_ends() {
        let says = |text: &str| read(text.as_bytes());
        let first = r#"{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        assert_eq!(says(first), Ok(Said::Nothing));
        let piece = r#"{"choices":[{"delta":{"content":"Hel\u00e9"},"finish_reason":null}]}"#;
        assert_eq!(says(piece), Ok(Said::Piece("Hel\u{e9}".to_owned())));
        let last = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        assert_eq!(says(last), Ok(Said::LastPiece));
        assert_eq!(says(r#"{"choices":[],"usage":{"total_tokens":9}}"#), Ok(Said::Nothing));
        assert_eq!(says("[DONE]"), Ok(Said::End));
        let error = r#"{"error":{"message":"overloaded","code":529}}"#;
        assert_eq!(says(error), Ok(Said::Failed(ServiceFault::Broken)));
        for bad in ["", "[]", "{", "[DONE", "\"x\"", r#"{"choices":[{"delta":{"content":7}}]}"#] {
            assert_eq!(says(bad), Err(Bad), "{bad}");
        }
    }
}
