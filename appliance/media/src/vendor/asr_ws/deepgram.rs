//! Deepgram's words for a recogniser, listen v1: what it is told, and what its messages say. No input or output.

use serde::Deserialize;
use ward_call::service::Report;
use ward_policy::limit;
use ward_policy::phi::Phi;

/// Said in silence.
pub(super) const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
/// Asks for what it has.
pub(super) const FINALISE: &str = r#"{"type":"Finalize"}"#;
/// Said at the end.
pub(super) const CLOSE: &str = r#"{"type":"CloseStream"}"#;

/// What it is asked for, beside its model.
pub(super) fn query() -> [(&'static str, String); 7] {
    [
        ("encoding", "mulaw".to_owned()),
        ("sample_rate", limit::SAMPLE_RATE_HZ.to_string()),
        ("channels", "1".to_owned()),
        ("interim_results", "true".to_owned()),
        ("endpointing", limit::RECOGNISER_ENDPOINTING_MS.to_string()),
        ("utterance_end_ms", limit::RECOGNISER_UTTERANCE_END_MS.to_string()),
        ("vad_events", "true".to_owned()),
    ]
}

/// The message is none of Deepgram's, or longer than its limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad;

/// What must be known of the messages before.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Something was said since the last end of a turn.
    is_open: bool,
    /// Words have been guessed and are not final.
    has_partial: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Message {
    Results(Results),
    UtteranceEnd {},
    SpeechStarted {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "as Deepgram has it")]
struct Results {
    channel: Channel,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    #[serde(default)]
    from_finalize: bool,
}

#[derive(Deserialize)]
struct Channel {
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    transcript: String,
}

impl Hearing {
    /// Whether words were guessed whose final has not come.
    pub(super) const fn has_partial(&self) -> bool {
        self.has_partial
    }

    /// Appends what one message reports: at most two things.
    pub(super) fn read(
        &mut self,
        text: &str,
        reports: &mut impl Extend<Report>,
    ) -> Result<(), Bad> {
        match serde_json::from_str(text).map_err(|_json| Bad)? {
            Message::Results(results) => self.results(results, reports)?,
            // An end that was told already is no second one.
            Message::UtteranceEnd {} => {
                reports.extend(std::mem::take(&mut self.is_open).then_some(Report::TurnEnd));
            }
            Message::SpeechStarted {} => reports.extend([Report::SpeechBegan]),
            Message::Other => {}
        }
        Ok(())
    }

    fn results(&mut self, results: Results, reports: &mut impl Extend<Report>) -> Result<(), Bad> {
        let first = results.channel.alternatives.into_iter().next().ok_or(Bad)?;
        let text = Phi::new(first.transcript);
        if text.expose().len() > limit::RECOGNISER_TEXT_BYTES_MAX {
            return Err(Bad);
        }
        // Words that were guessed and are none after all: their final is empty.
        let is_taken_back = results.is_final && std::mem::take(&mut self.has_partial);
        if !text.expose().is_empty() || is_taken_back {
            self.is_open |= !text.expose().is_empty();
            self.has_partial = !results.is_final;
            let report = if results.is_final { Report::Final(text) } else { Report::Partial(text) };
            reports.extend([report]);
        }
        // A pause as short as was asked for, or what we asked for in one: who speaks on has not ended their turn. Whoever
        // asked waits for an answer, even if that is nothing.
        if results.from_finalize || (results.speech_final && self.is_open) {
            reports.extend([Report::EagerEnd]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(text: &str, flags: &str) -> String {
        format!(
            r#"{{"type":"Results","channel_index":[0,1],"duration":1.02,"start":0.0,{flags},"channel":{{"alternatives":[{{"transcript":"{text}","confidence":0.99,"words":[{{"word":"x","start":0.1,"end":0.2,"confidence":0.9}}]}}]}},"metadata":{{"request_id":"r","model_info":{{"name":"n"}}}}}}"#
        )
    }

    fn read(messages: &[&str]) -> Vec<String> {
        let (mut hearing, mut reports) = (Hearing::default(), Vec::new());
        for message in messages {
            hearing.read(message, &mut reports).unwrap();
        }
        let text = |report: &Report| match report {
            Report::Partial(text) => format!("~{}", text.expose()),
            Report::Final(text) => format!("={}", text.expose()),
            other => format!("{other:?}"),
        };
        reports.iter().map(text).collect()
    }

    #[test]
    fn results_are_partial_final_and_ends() {
        let partial = results("my leg", r#""is_final":false,"speech_final":false"#);
        let last = results("my leg hurts", r#""is_final":true,"speech_final":true"#);
        let more = results("since monday", r#""is_final":true,"speech_final":false"#);
        let silence = results("", r#""is_final":true,"speech_final":true"#);
        let asked = results("", r#""is_final":true,"speech_final":false,"from_finalize":true"#);
        let began = r#"{"type":"SpeechStarted","channel":[0],"timestamp":1.0}"#;
        let ended = r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.4}"#;
        let metadata = r#"{"type":"Metadata","request_id":"x","channels":1}"#;
        let all = [
            metadata, began, &partial, &last, ended, &silence, &more, ended, ended, &more,
            &silence, &asked,
        ];
        let expected = [
            "SpeechBegan",
            "~my leg",
            "=my leg hurts",
            "EagerEnd",
            "TurnEnd",
            "=since monday",
            "TurnEnd",
            "=since monday",
            "EagerEnd",
            "EagerEnd",
        ];
        assert_eq!(read(&all), expected);
    }

    #[test]
    fn what_makes_no_sense_reports_nothing() {
        let long = results(&"x".repeat(5_000), r#""is_final":true"#);
        let good = results("x", r#""is_final":true"#);
        let none = r#"{"type":"Results","channel":{"alternatives":[]}}"#;
        let number = r#"{"type":"Results","channel":{"alternatives":[{"transcript":7}]}}"#;
        let bare = [r#"{"type":"Results"}"#, r#"{"type":7}"#, "{}", "", "text", "[]"];
        for bad in [long.as_str(), none, number].into_iter().chain(bare) {
            let mut reports = Vec::new();
            assert_eq!(Hearing::default().read(bad, &mut reports), Err(Bad), "{bad}");
            assert!(reports.is_empty());
        }
        // Cut anywhere, it is nothing.
        for end in 0..good.len() {
            assert!(
                Hearing::default().read(good.get(..end).unwrap(), &mut Vec::new()).is_err(),
                "{end}"
            );
        }
    }
}
