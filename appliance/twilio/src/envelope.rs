//! The Media Streams envelope: JSON text messages in, exact minimal objects out.
//!
//! Parsing borrows from the message and tolerates what Twilio may add: unknown fields, unknown
//! events, numbers as strings or as integers. Writing is exact: Twilio warns (31951) about any key it
//! does not expect. Errors carry no text of the message, because a cut-off `media` message is a
//! caller's voice.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use ward_policy::limit;

use crate::ticket::PARAMETER;

/// A message from Twilio.
#[derive(PartialEq, Eq)]
pub enum Message<'a> {
    /// The first message on the socket.
    Connected(Connected<'a>),
    /// The stream begins; exactly once.
    Start(Start<'a>),
    /// Audio of the caller.
    Media(Media<'a>),
    /// A key was pressed.
    Dtmf(Dtmf<'a>),
    /// A mark of ours came back: its audio was played, or flushed.
    Mark(Mark<'a>),
    /// The stream ends.
    Stop(Stop<'a>),
    /// An event that we do not know. Twilio adds some without notice.
    Unknown,
}

/// `connected`.
#[derive(PartialEq, Eq)]
pub struct Connected<'a> {
    /// `Call` for a voice call.
    pub protocol: Cow<'a, str>,
    /// Version of the protocol.
    pub version: Cow<'a, str>,
}

/// `start`.
#[derive(PartialEq, Eq)]
pub struct Start<'a> {
    /// Counts messages on the stream from 1.
    pub sequence_number: Option<u64>,
    /// The stream, as the envelope names it.
    pub stream_sid: Cow<'a, str>,
    /// The stream, as `start` itself names it.
    pub inner_stream_sid: Cow<'a, str>,
    /// The account.
    pub account_sid: Cow<'a, str>,
    /// The call.
    pub call_sid: Cow<'a, str>,
    /// `inbound`, `outbound`.
    pub tracks: Vec<Cow<'a, str>>,
    /// How the audio is coded.
    pub media_format: MediaFormat<'a>,
    /// `<Parameter>` of the TwiML.
    pub parameters: Parameters,
    /// The value of the only one of them that is read: the ticket's.
    pub ticket: Option<Cow<'a, str>>,
}

/// `start.mediaFormat`.
#[derive(PartialEq, Eq)]
pub struct MediaFormat<'a> {
    /// `audio/x-mulaw`.
    pub encoding: Cow<'a, str>,
    /// 8000.
    pub sample_rate_hz: u64,
    /// 1.
    pub channels: u64,
}

impl MediaFormat<'_> {
    /// Whether it is the only format that Media Streams has.
    #[must_use]
    pub fn is_mulaw_8000_mono(&self) -> bool {
        self.encoding == "audio/x-mulaw" && self.sample_rate_hz == 8_000 && self.channels == 1
    }
}

/// What is known of `start.customParameters`: they may be PHI, and nothing needs the text of any but a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Parameters {
    /// How many there are; a repeated name counts each time.
    pub count: usize,
    /// Length in bytes of the longest name and value together.
    pub longest_bytes: usize,
    /// Whether a name stands twice, or a name or value has a control character.
    pub malformed: bool,
}

impl Parameters {
    /// Whether Twilio's own limits are kept.
    #[must_use]
    pub const fn is_acceptable(&self) -> bool {
        self.count <= limit::PARAMETERS_MAX
            && self.longest_bytes <= limit::PARAMETER_BYTES_MAX
            && !self.malformed
    }
}

/// `media`.
#[derive(PartialEq, Eq)]
pub struct Media<'a> {
    /// Counts messages on the stream.
    pub sequence_number: Option<u64>,
    /// The stream.
    pub stream_sid: Cow<'a, str>,
    /// `inbound` or `outbound`.
    pub track: Cow<'a, str>,
    /// Presentation time in milliseconds since the stream began.
    pub timestamp_ms: Option<u64>,
    /// µ-law in base64.
    pub payload: Cow<'a, str>,
}

/// `dtmf`.
#[derive(PartialEq, Eq)]
pub struct Dtmf<'a> {
    /// Counts messages on the stream.
    pub sequence_number: Option<u64>,
    /// The stream.
    pub stream_sid: Cow<'a, str>,
    /// One of `0-9*#A-D`.
    pub digit: Cow<'a, str>,
}

/// `mark`.
#[derive(PartialEq, Eq)]
pub struct Mark<'a> {
    /// Counts messages on the stream.
    pub sequence_number: Option<u64>,
    /// The stream.
    pub stream_sid: Cow<'a, str>,
    /// The name that we gave it.
    pub name: Cow<'a, str>,
}

/// `stop`.
#[derive(PartialEq, Eq)]
pub struct Stop<'a> {
    /// Counts messages on the stream.
    pub sequence_number: Option<u64>,
    /// The stream.
    pub stream_sid: Cow<'a, str>,
}

/// Says which message it is; what it holds is a caller's.
macro_rules! closed_debug {
    ($($name:ident)+) => {
        $(impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        })+
    };
}
closed_debug!(Message Connected Start MediaFormat Media Dtmf Mark Stop);

/// Why a text message is not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No JSON object, or one that repeats a field.
    #[error("not a JSON object")]
    Json,
    /// The event is known; what belongs to it is absent or of another type.
    #[error("a known event without its fields")]
    Fields,
}

/// Why a payload is not audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not canonical base64 of the standard alphabet.
    #[error("not canonical base64")]
    Base64,
    /// More than [`limit::PAYLOAD_BYTES_MAX`].
    #[error("more audio than one message may carry")]
    Long,
}

/// Parses one text message.
///
/// # Errors
/// [`EnvelopeError`]; the message should be counted and dropped.
pub fn parse(text: &str) -> Result<Message<'_>, EnvelopeError> {
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => EnvelopeError::Fields,
        _ => EnvelopeError::Json,
    })?;
    let event =
        raw.event.as_ref().map(|Text(event)| event.as_ref()).ok_or(EnvelopeError::Fields)?;
    match event {
        "media" => raw.media(),
        "connected" => raw.connected(),
        "start" => raw.start(),
        "dtmf" => raw.dtmf(),
        "mark" => raw.mark(),
        "stop" => raw.stop(),
        _ => Ok(Message::Unknown),
    }
}

impl Media<'_> {
    /// Decodes the payload into `audio`, which is emptied first.
    ///
    /// # Errors
    /// [`PayloadError`]; `audio` is then empty.
    pub fn decode_into(&self, audio: &mut Vec<u8>) -> Result<(), PayloadError> {
        decode_payload(&self.payload, audio)
    }
}

/// Decodes base64 of the standard alphabet, with its padding and nothing after it.
///
/// # Errors
/// [`PayloadError`]; `audio` is then empty.
pub fn decode_payload(payload: &str, audio: &mut Vec<u8>) -> Result<(), PayloadError> {
    /// Base64 of the longest audio.
    const CHARS_MAX: usize = limit::PAYLOAD_BYTES_MAX.div_ceil(3).saturating_mul(4);
    audio.clear();
    if payload.len() > CHARS_MAX {
        return Err(PayloadError::Long);
    }
    let decoded = STANDARD.decode_vec(payload, audio).map_err(|_base64| PayloadError::Base64);
    if decoded.is_err() {
        audio.clear();
    }
    decoded?;
    if audio.len() > limit::PAYLOAD_BYTES_MAX {
        audio.clear();
        return Err(PayloadError::Long);
    }
    Ok(())
}

// --- Out: the only three messages that Twilio takes from a server ---

/// Appends a `media` message: exactly `event`, `streamSid` and `media.payload`.
pub fn write_media(stream_sid: &str, audio: &[u8], text: &mut String) {
    text.push_str(r#"{"event":"media","streamSid":""#);
    text.push_str(stream_sid);
    text.push_str(r#"","media":{"payload":""#);
    STANDARD.encode_string(audio, text);
    text.push_str(r#""}}"#);
}

/// Appends a `mark` message. `name` must need no escaping: ours are letters, digits and `-`.
pub fn write_mark(stream_sid: &str, name: &str, text: &mut String) {
    text.push_str(r#"{"event":"mark","streamSid":""#);
    text.push_str(stream_sid);
    text.push_str(r#"","mark":{"name":""#);
    text.push_str(name);
    text.push_str(r#""}}"#);
}

/// Appends a `clear` message.
pub fn write_clear(stream_sid: &str, text: &mut String) {
    text.push_str(r#"{"event":"clear","streamSid":""#);
    text.push_str(stream_sid);
    text.push_str(r#""}"#);
}

// --- The shapes underneath ---

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    event: Option<Text<'a>>,
    sequence_number: Option<Number>,
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    media: Option<RawMedia<'a>>,
    #[serde(borrow)]
    start: Option<RawStart<'a>>,
    #[serde(borrow)]
    dtmf: Option<RawDtmf<'a>>,
    #[serde(borrow)]
    mark: Option<RawMark<'a>>,
    stop: Option<Object>,
    #[serde(borrow)]
    protocol: Option<Text<'a>>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
struct RawMedia<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    timestamp: Option<Number>,
    #[serde(borrow)]
    payload: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStart<'a> {
    #[serde(borrow)]
    stream_sid: Text<'a>,
    #[serde(borrow)]
    account_sid: Text<'a>,
    #[serde(borrow)]
    call_sid: Text<'a>,
    #[serde(borrow)]
    tracks: Vec<Text<'a>>,
    #[serde(borrow)]
    media_format: RawFormat<'a>,
    #[serde(borrow, default)]
    custom_parameters: RawParameters<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFormat<'a> {
    #[serde(borrow)]
    encoding: Text<'a>,
    sample_rate: Number,
    channels: Number,
}

#[derive(serde::Deserialize)]
struct RawDtmf<'a> {
    #[serde(borrow)]
    digit: Text<'a>,
}

#[derive(serde::Deserialize)]
struct RawMark<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// Any JSON object, its fields ignored.
#[derive(serde::Deserialize)]
struct Object {}

impl<'a> Raw<'a> {
    fn stream(&mut self) -> Result<Cow<'a, str>, EnvelopeError> {
        self.stream_sid.take().map(|Text(sid)| sid).ok_or(EnvelopeError::Fields)
    }

    fn sequence(&self) -> Option<u64> {
        self.sequence_number.as_ref().map(|Number(number)| *number)
    }

    fn connected(self) -> Result<Message<'a>, EnvelopeError> {
        let Text(protocol) = self.protocol.ok_or(EnvelopeError::Fields)?;
        let Text(version) = self.version.ok_or(EnvelopeError::Fields)?;
        Ok(Message::Connected(Connected { protocol, version }))
    }

    fn start(mut self) -> Result<Message<'a>, EnvelopeError> {
        let start = self.start.take().ok_or(EnvelopeError::Fields)?;
        Ok(Message::Start(Start {
            sequence_number: self.sequence(),
            stream_sid: self.stream()?,
            inner_stream_sid: start.stream_sid.0,
            account_sid: start.account_sid.0,
            call_sid: start.call_sid.0,
            tracks: start.tracks.into_iter().map(|Text(track)| track).collect(),
            media_format: MediaFormat {
                encoding: start.media_format.encoding.0,
                sample_rate_hz: start.media_format.sample_rate.0,
                channels: start.media_format.channels.0,
            },
            parameters: start.custom_parameters.measured,
            ticket: start.custom_parameters.ticket,
        }))
    }

    fn media(mut self) -> Result<Message<'a>, EnvelopeError> {
        let media = self.media.take().ok_or(EnvelopeError::Fields)?;
        Ok(Message::Media(Media {
            sequence_number: self.sequence(),
            stream_sid: self.stream()?,
            track: media.track.map_or(Cow::Borrowed("inbound"), |Text(track)| track),
            timestamp_ms: media.timestamp.map(|Number(number)| number),
            payload: media.payload.0,
        }))
    }

    fn dtmf(mut self) -> Result<Message<'a>, EnvelopeError> {
        let RawDtmf { digit: Text(digit) } = self.dtmf.take().ok_or(EnvelopeError::Fields)?;
        Ok(Message::Dtmf(Dtmf {
            sequence_number: self.sequence(),
            stream_sid: self.stream()?,
            digit,
        }))
    }

    fn mark(mut self) -> Result<Message<'a>, EnvelopeError> {
        let RawMark { name: Text(name) } = self.mark.take().ok_or(EnvelopeError::Fields)?;
        Ok(Message::Mark(Mark {
            sequence_number: self.sequence(),
            stream_sid: self.stream()?,
            name,
        }))
    }

    fn stop(mut self) -> Result<Message<'a>, EnvelopeError> {
        let Object {} = self.stop.take().ok_or(EnvelopeError::Fields)?;
        Ok(Message::Stop(Stop { sequence_number: self.sequence(), stream_sid: self.stream()? }))
    }
}

/// A string that borrows unless it has escapes. (serde's own `Cow` always copies.)
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A whole number, written as one or as a string of digits.
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = if digits { text.parse().ok() } else { None };
                number.map(Number).ok_or_else(|| E::custom("not a whole number"))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// `customParameters` as they come: measured, and of all values the ticket's alone is kept.
#[derive(Default)]
struct RawParameters<'a> {
    measured: Parameters,
    ticket: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawParameters<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParametersVisitor;
        impl<'de> Visitor<'de> for ParametersVisitor {
            type Value = RawParameters<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut found, mut ticket) = (Parameters::default(), None);
                // Bounded by the message limit; kept only long enough to see a repetition.
                let mut names: Vec<Cow<'de, str>> = Vec::new();
                while let Some((Text(name), Text(value))) =
                    map.next_entry::<Text<'de>, Text<'de>>()?
                {
                    found.count = found.count.saturating_add(1);
                    let bytes = name.len().saturating_add(value.len());
                    found.longest_bytes = found.longest_bytes.max(bytes);
                    let control = name.chars().chain(value.chars()).any(char::is_control);
                    found.malformed |= control || names.contains(&name);
                    if name == PARAMETER {
                        ticket = Some(value);
                    }
                    if names.len() < limit::PARAMETERS_MAX {
                        names.push(name);
                    }
                }
                Ok(RawParameters { measured: found, ticket })
            }
        }
        deserializer.deserialize_map(ParametersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"a":"1"}},"streamSid":"MZ1"}"#;

    fn refused(text: &str, error: EnvelopeError) {
        assert_eq!(parse(text).err(), Some(error), "{text}");
    }

    #[test]
    fn the_documented_messages_are_read() {
        let text = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
        assert!(matches!(parse(text), Ok(Message::Connected(c)) if c.protocol == "Call"));
        let Ok(Message::Start(start)) = parse(START) else { panic!("no start") };
        assert_eq!((start.sequence_number, &*start.call_sid), (Some(1), "CA1"));
        assert!(start.media_format.is_mulaw_8000_mono());
        assert_eq!(start.parameters.count, 1);
        let text = r#"{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2","timestamp":"5","payload":"/w=="},"streamSid":"MZ1"}"#;
        let Ok(Message::Media(media)) = parse(text) else { panic!("no media") };
        assert_eq!((media.timestamp_ms, &*media.track), (Some(5), "inbound"));
        assert!(matches!(media.payload, Cow::Borrowed("/w==")));
        let text = r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"1"}}"#;
        assert!(matches!(parse(text), Ok(Message::Dtmf(dtmf)) if dtmf.digit == "1"));
        let text = r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"m"}}"#;
        assert!(matches!(parse(text), Ok(Message::Mark(mark)) if mark.name == "m"));
        let text = r#"{"event":"stop","sequenceNumber":"5","stop":{"accountSid":"AC1","callSid":"CA1"},"streamSid":"MZ1"}"#;
        assert!(matches!(parse(text), Ok(Message::Stop(stop)) if stop.sequence_number == Some(5)));
    }

    #[test]
    fn numbers_may_be_strings_or_integers() {
        let start = START.replace("8000", r#""8000""#).replace(r#""1","start""#, r#"1,"start""#);
        let Ok(Message::Start(start)) = parse(&start) else { panic!("no start") };
        assert_eq!((start.sequence_number, start.media_format.sample_rate_hz), (Some(1), 8_000));
        for number in [
            r#""-1""#,
            r#""+1""#,
            r#"" 1""#,
            r#""""#,
            "1.5",
            "-1",
            "1e3",
            r#""18446744073709551616""#,
            "[]",
        ] {
            let text = format!(
                r#"{{"event":"stop","sequenceNumber":{number},"stop":{{}},"streamSid":"MZ1"}}"#
            );
            refused(&text, EnvelopeError::Fields);
        }
    }

    #[test]
    fn what_twilio_may_add_is_tolerated() {
        assert!(matches!(parse(r#"{"event":"novelty","x":[1,{"y":null}]}"#), Ok(Message::Unknown)));
        let text = r#"{"event":"stop","new":{"deep":[1]},"stop":{"reason":"x"},"streamSid":"MZ1"}"#;
        assert!(matches!(parse(text), Ok(Message::Stop(_))));
        let escaped = r#"{"event":"media","media":{"payload":"\/w=="},"streamSid":"MZ1"}"#;
        assert!(matches!(parse(escaped), Ok(Message::Media(media)) if media.payload == "/w=="));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "null",
            "[]",
            "7",
            "\"x\"",
            "{",
            "{}x",
            "\u{FEFF}{}",
            "NaN",
            &deep,
            r#"{"event":"media","media":{"payload":"abc"#,
        ] {
            assert!(parse(text).is_err(), "{text:.40}");
        }
        refused(r#"{"event":"\ud800"}"#, EnvelopeError::Json);
        let nested = format!(r#"{{"event":"x","y":{deep}}}"#);
        refused(&nested, EnvelopeError::Json);
    }

    #[test]
    fn known_events_without_their_fields_are_refused() {
        for text in [
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"media","streamSid":"MZ1"}"#,
            r#"{"event":"media","media":{},"streamSid":"MZ1"}"#,
            r#"{"event":"media","media":[],"streamSid":"MZ1"}"#,
            r#"{"event":"media","media":{"payload":7},"streamSid":"MZ1"}"#,
            r#"{"event":"media","media":{"payload":"/w=="}}"#,
            r#"{"event":"mark","mark":{},"streamSid":"MZ1"}"#,
            r#"{"event":"dtmf","streamSid":"MZ1"}"#,
            r#"{"event":"stop","streamSid":"MZ1"}"#,
            r#"{"event":"stop","stop":7,"streamSid":"MZ1"}"#,
            r#"{"event":"connected"}"#,
            r#"{"event":"start","streamSid":"MZ1"}"#,
            r#"{"event":"stop","event":"stop","stop":{},"streamSid":"MZ1"}"#,
        ] {
            refused(text, EnvelopeError::Fields);
        }
        refused(&START.replace(r#""callSid":"CA1","#, ""), EnvelopeError::Fields);
        refused(&START.replace(r#"{"a":"1"}"#, r#"{"a":{"b":"1"}}"#), EnvelopeError::Fields);
    }

    #[test]
    fn parameters_are_measured_and_not_kept() {
        let check = |parameters: &str, acceptable: bool| {
            let text = START.replace(r#"{"a":"1"}"#, parameters);
            let Ok(Message::Start(start)) = parse(&text) else {
                panic!("no start: {parameters:.40}")
            };
            assert_eq!(start.parameters.is_acceptable(), acceptable, "{parameters:.40}");
        };
        let list = |n: usize| {
            let entries: Vec<String> = (0..n).map(|i| format!(r#""k{i}":"v""#)).collect();
            format!("{{{}}}", entries.join(","))
        };
        check("{}", true);
        check(&list(32), true);
        check(&list(33), false);
        check(&format!(r#"{{"a":"{}"}}"#, "x".repeat(499)), true);
        check(&format!(r#"{{"a":"{}"}}"#, "x".repeat(500)), false);
        check(r#"{"a":"1","a":"2"}"#, false);
        check(r#"{"a":"\u0007"}"#, false);
        let ticketed = START.replace(r#"{"a":"1"}"#, r#"{"a":"1","wardTicket":"AQ-_"}"#);
        let Ok(Message::Start(start)) = parse(&ticketed) else { panic!("no start") };
        assert_eq!((start.parameters.count, start.ticket.as_deref()), (2, Some("AQ-_")));
        let without = START.replace(r#","customParameters":{"a":"1"}"#, "");
        assert!(matches!(parse(&without), Ok(Message::Start(s)) if s.parameters.count == 0));
    }

    #[test]
    fn payloads_are_canonical_base64_of_at_most_a_second() {
        let check = |payload: &str, expected: Result<usize, PayloadError>| {
            let mut audio = vec![1, 2, 3];
            let got = decode_payload(payload, &mut audio).map(|()| audio.len());
            assert_eq!(got, expected, "{payload:.20}");
            if got.is_err() {
                assert!(audio.is_empty());
            }
        };
        check("", Ok(0));
        check("/w==", Ok(1));
        check(&STANDARD.encode([0xFF; 160]), Ok(160));
        check(&STANDARD.encode([0xFF; 8_000]), Ok(8_000));
        check(&STANDARD.encode([0xFF; 8_001]), Err(PayloadError::Long));
        check(&STANDARD.encode([0xFF; 9_000]), Err(PayloadError::Long));
        for payload in ["/w=", "/w", "_w==", "/w== ", "/x==", "/ w=", "====", "/w==/w==", "é"] {
            check(payload, Err(PayloadError::Base64));
        }
    }

    #[test]
    fn messages_out_are_exact() {
        let mut text = String::new();
        write_media("MZ1", &[0xFF], &mut text);
        assert_eq!(text, r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/w=="}}"#);
        text.clear();
        write_mark("MZ1", "g1-2", &mut text);
        assert_eq!(text, r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g1-2"}}"#);
        text.clear();
        write_clear("MZ1", &mut text);
        assert_eq!(text, r#"{"event":"clear","streamSid":"MZ1"}"#);
    }
}
