//! Requests as Twilio sends them, and one way to ask both servers.

use ward_policy::phi::Secret;
use ward_tests::edge_cases::row_of;
use ward_tests::headers;
use ward_tests::servers::{ACCOUNT, TOKEN};
use ward_tests::site::{Kind, Site};
use ward_tests::websocket::CALL;
use ward_tests::wire::{exchange, status};
use ward_twilio::form::Form;
use ward_twilio::signature::AuthToken;

pub(crate) const PATH: &str = "/api/voice/incoming";
pub(crate) const URL: &str = "https://www.example.com/api/voice/incoming";
pub(crate) const TWIML: &str =
    r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>"#;
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) fn fields() -> Vec<(&'static str, &'static str)> {
    vec![
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("Called", "+18005551212"),
        ("Caller", "+14158675309"),
        ("Direction", "inbound"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
}

pub(crate) fn token(text: &str) -> AuthToken {
    AuthToken::new(&Secret::new(text.to_owned())).unwrap()
}

/// A POST of `fields`, with a signature over `url` and them.
pub(crate) fn signed(url: &str, fields: &[(&str, &str)], token_text: &str) -> String {
    let form = Form::from_fields(fields.iter().copied());
    let signature = token(token_text).sign_form(url, &form).to_base64();
    post(PATH, FORM, &form.encode(), &format!("X-Twilio-Signature: {signature}\r\n"))
}

/// A rightful webhook.
pub(crate) fn rightful() -> String {
    signed(URL, &fields(), TOKEN)
}

pub(crate) fn post(target: &str, content_type: &str, body: &str, more: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

pub(crate) fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n{more}\r\n")
}

/// Asks, and checks the status, every header, and that the document comes with 200 alone.
pub(crate) fn check(site: &Site, request: &str, expected: u16) -> String {
    let response = exchange(site.port, request.as_bytes());
    assert_eq!(status(&response), expected, "{}: {request:.200}\n{response}", site.kind);
    drop(headers::check(&response));
    assert_eq!(response.contains("<Response>"), expected == 200, "{response}");
    response
}

/// What is behind the blank line, whether it came in chunks or not.
pub(crate) fn body(response: &str) -> String {
    let (head, rest) = response.split_once("\r\n\r\n").unwrap();
    if headers::values(head, "transfer-encoding") != ["chunked"] {
        return rest.to_owned();
    }
    let (mut rest, mut body) = (rest, String::new());
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
}

/// What is asked of both.
pub(crate) struct Asked<'r> {
    pub(crate) case: &'r str,
    pub(crate) what: &'r str,
    pub(crate) request: &'r str,
    /// Status and reason, as the responder has them.
    pub(crate) expected: (u16, &'r str),
    /// Where the platform under `apps/web` makes another reason or status of it: what, and why.
    pub(crate) on_platform: Option<(u16, &'r str, &'r str)>,
}

impl<'r> Asked<'r> {
    /// A refusal that both give for the same reason.
    pub(crate) const fn refused(
        what: &'r str,
        request: &'r str,
        status: u16,
        reason: &'r str,
    ) -> Self {
        Self { case: "E61", what, request, expected: (status, reason), on_platform: None }
    }

    /// The same, where `apps/web` gives another reason because of what it runs on.
    pub(crate) const fn but(mut self, status: u16, reason: &'r str, why: &'r str) -> Self {
        self.on_platform = Some((status, reason, why));
        self
    }

    /// Asks one server: a refusal with its reason in the log, and the row that says so.
    pub(crate) fn of(&self, site: &Site) {
        let platform = self.on_platform.filter(|_| site.kind == Kind::Web);
        let (expected, reason) =
            platform.map_or(self.expected, |(status, reason, _)| (status, reason));
        check(site, self.request, expected);
        assert_eq!(site.refused_because(), reason, "{}: {}", site.kind, self.what);
        let meaning = format!("{expected}, {reason}");
        row_of(site.kind, self.case, self.what, &meaning, platform.map(|(_, _, why)| why));
    }
}
