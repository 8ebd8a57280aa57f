//! The one TwiML document that the responder answers with.
//!
//! It holds configuration and a ticket of our own making: nothing from the request is ever put into it, so nothing can
//! be injected. An [`Origin`] has no character that XML would need escaped, nor has a ticket; a path is checked here.

use ward_policy::limit;

use crate::ticket::PARAMETER;
use crate::url::Origin;

/// The document that connects a call to the stream at `origin` and `path`.
#[must_use]
pub fn connect_stream(origin: &Origin, path: &StreamPath) -> String {
    format!("<Response><Connect><Stream url=\"{origin}{path}\"/></Connect></Response>")
}

/// How a call carries its ticket to the media server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TicketForm {
    /// Not at all: the seed document's `TwiML`, to the byte.
    #[default]
    Off,
    /// As a `<Parameter>`, which comes in `start`.
    Parameter,
    /// As the last segment of the path.
    Path,
}

impl TicketForm {
    /// The form called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "parameter" => Some(Self::Parameter),
            "path" => Some(Self::Path),
            _ => None,
        }
    }
}

/// The document that connects a call to the stream at `origin` and `path` with a ticket.
#[must_use]
pub fn connect_stream_with(
    origin: &Origin,
    path: &StreamPath,
    form: TicketForm,
    ticket: &str,
) -> String {
    match form {
        TicketForm::Off => connect_stream(origin, path),
        TicketForm::Parameter => format!(
            "<Response><Connect><Stream url=\"{origin}{path}\"><Parameter name=\"{PARAMETER}\" \
             value=\"{ticket}\"/></Stream></Connect></Response>"
        ),
        TicketForm::Path => format!(
            "<Response><Connect><Stream url=\"{origin}{path}/{ticket}\"/></Connect></Response>"
        ),
    }
}

/// The path of the media route: `/` and characters that need no escaping in a URL or in XML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPath(String);

/// The text is no usable path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a path starts with / and has letters, digits, - . _ ~ and single slashes only")]
pub struct StreamPathError;

impl StreamPath {
    /// The path of the seed document, and the default.
    pub const DEFAULT: &str = "/rtm/voice";

    /// Parses a path of at most 128 characters without empty, `.` or `..` segments.
    ///
    /// # Errors
    /// [`StreamPathError`].
    pub fn parse(text: &str) -> Result<Self, StreamPathError> {
        let segments = text.strip_prefix('/').ok_or(StreamPathError)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let fine = segments
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(plain));
        if fine && text.len() <= limit::PATH_CHARS_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(StreamPathError)
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for StreamPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Scheme;

    #[test]
    fn the_document_is_the_seeds_to_the_byte() {
        let origin = Origin::parse("wss://media.example.com", &[Scheme::Wss]).unwrap();
        assert_eq!(
            connect_stream(&origin, &StreamPath::parse(StreamPath::DEFAULT).unwrap()),
            r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>"#
        );
    }

    #[test]
    fn a_ticket_is_a_parameter_or_the_end_of_the_path() {
        let origin = Origin::parse("wss://media.example.com", &[Scheme::Wss]).unwrap();
        let path = StreamPath::parse(StreamPath::DEFAULT).unwrap();
        let with = |form| connect_stream_with(&origin, &path, form, "T-_1");
        assert_eq!(with(TicketForm::Off), connect_stream(&origin, &path));
        assert_eq!(
            with(TicketForm::Parameter),
            r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"><Parameter name="wardTicket" value="T-_1"/></Stream></Connect></Response>"#
        );
        assert_eq!(
            with(TicketForm::Path),
            r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice/T-_1"/></Connect></Response>"#
        );
        assert_eq!(TicketForm::from_name("path"), Some(TicketForm::Path));
        assert_eq!(TicketForm::from_name("Path"), None);
    }

    #[test]
    fn paths_that_need_escaping_or_normalising_are_refused() {
        for text in [
            "", "rtm", "/", "//", "/a/", "/a//b", "/a/../b", "/.", "/a b", "/a%2e", "/a\"", "/a<b",
            "/a&b", "/a?b", "/é",
        ] {
            assert_eq!(StreamPath::parse(text).unwrap_err(), StreamPathError, "{text}");
        }
        assert_eq!(
            StreamPath::parse(&format!("/{}", "a".repeat(128))).unwrap_err(),
            StreamPathError
        );
        assert_eq!(StreamPath::parse("/v1/rtm.voice~x").unwrap().as_str(), "/v1/rtm.voice~x");
    }
}
