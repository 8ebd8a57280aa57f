//! What the stand-ins tell, typed. It judges nothing: a test or the demo does.

use serde_json::{Map, Value};

use ward_policy::service::Service;

/// One message of a conversation, as a language model is asked it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The words.
    pub content: String,
}

/// Something that happened at a stand-in.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A TLS handshake was finished.
    Connection {
        /// At which.
        part: Service,
        /// `TLSv1.3`, for instance.
        tls: String,
        /// The name that was asked for.
        name: Option<String>,
    },
    /// A request came, whatever becomes of it.
    Request {
        /// At which.
        part: Service,
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// The query's names and values.
        flags: Vec<(String, String)>,
        /// The names of its headers.
        headers: Vec<String>,
        /// `good`, or what is wrong with its token.
        token: String,
        /// Whether the service's long-lived key is anywhere in it.
        shows_key: bool,
    },
    /// A request was refused.
    Refused {
        /// At which.
        part: Service,
        /// The status.
        status: u64,
        /// Why.
        why: String,
    },
    /// A token was granted.
    Granted {
        /// By which.
        part: Service,
    },
    /// An utterance was over; the words are empty for what is no sentence of the clinic.
    Utterance {
        /// What was heard.
        text: String,
    },
    /// The language model was asked.
    Chat {
        /// Which dialect, by its path.
        path: String,
        /// What it was asked.
        messages: Vec<Message>,
        /// Every other member of the body.
        members: Map<String, Value>,
    },
    /// The language model has answered to the end.
    Reply {
        /// What it said.
        text: String,
    },
    /// Speech was asked for.
    Synthesis {
        /// What is to be said.
        text: String,
    },
    /// An appointment was booked: the reply that says so has been sent.
    Booking {
        /// The day, in the caller's words.
        day: String,
        /// The time.
        time: String,
        /// The name or its placeholder.
        name: String,
    },
    /// A fault is being played.
    Fault {
        /// At which.
        part: Service,
        /// Its kind.
        kind: String,
    },
    /// What goes wrong was changed.
    FaultSet,
    /// Anything else, as it came.
    Other(Value),
}

impl Event {
    /// The event in a line.
    pub(super) fn read(line: Value) -> Self {
        Self::known(&line).unwrap_or(Self::Other(line))
    }

    fn known(line: &Value) -> Option<Self> {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let part = || Service::from_name(line["service"].as_str()?);
        Some(match line["event"].as_str()? {
            "connection" => {
                Self::Connection { part: part()?, tls: text("tls")?, name: text("sni") }
            }
            "request" => Self::Request {
                part: part()?,
                method: text("method")?,
                path: text("path")?,
                flags: line["flags"].as_array()?.iter().filter_map(pair).collect(),
                headers: line["headers"].as_array()?.iter().filter_map(string).collect(),
                token: text("token")?,
                shows_key: line["shows_key"].as_bool()?,
            },
            "refused" => {
                Self::Refused { part: part()?, status: line["status"].as_u64()?, why: text("why")? }
            }
            "granted" => Self::Granted { part: part()? },
            "utterance" => Self::Utterance { text: text("text")? },
            "chat" => Self::Chat {
                path: text("path")?,
                messages: line["messages"].as_array()?.iter().filter_map(message).collect(),
                members: line["members"].as_object()?.clone(),
            },
            "reply" => Self::Reply { text: text("text")? },
            "synthesis" => Self::Synthesis { text: text("text")? },
            "booking" => {
                Self::Booking { day: text("day")?, time: text("time")?, name: text("name")? }
            }
            "fault" => Self::Fault { part: part()?, kind: text("kind")? },
            "fault_set" => Self::FaultSet,
            _ => return None,
        })
    }
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn pair(value: &Value) -> Option<(String, String)> {
    Some((string(value.get(0)?)?, string(value.get(1)?)?))
}

fn message(value: &Value) -> Option<Message> {
    Some(Message { role: string(&value["role"])?, content: string(&value["content"])? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_read_and_what_is_unknown_is_kept() {
        let booking = json!({ "event": "booking", "at_ms": 1, "service": "llm", "day": "Tuesday",
            "time": "ten", "name": "[NAME_1]", "born": "[BIRTH_DATE_1]" });
        let (day, time, name) = ("Tuesday".to_owned(), "ten".to_owned(), "[NAME_1]".to_owned());
        assert_eq!(Event::read(booking), Event::Booking { day, time, name });
        let request = json!({ "event": "request", "service": "asr", "method": "GET",
            "path": "/v1/listen", "flags": [["model", "nova-3"]], "headers": ["host"],
            "token": "good", "shows_key": false });
        let Event::Request { part, flags, headers, token, .. } = Event::read(request) else {
            panic!("no request");
        };
        assert_eq!((part, token.as_str()), (Service::Recogniser, "good"));
        assert_eq!(flags, [("model".to_owned(), "nova-3".to_owned())]);
        assert_eq!(headers, ["host"]);
        let chat = json!({ "event": "chat", "service": "llm", "path": "/v1/messages",
            "messages": [{ "role": "user", "content": "hello" }], "members": { "store": false } });
        let Event::Chat { messages, .. } = Event::read(chat) else { panic!("no chat") };
        assert_eq!(messages[0].content, "hello");
        for odd in [
            json!({ "event": "booking", "service": "llm" }),
            json!({ "event": "request", "service": "nobody" }),
            json!({ "event": "closed", "service": "tts" }),
            json!([1]),
        ] {
            assert_eq!(Event::read(odd.clone()), Event::Other(odd));
        }
    }
}
