//! The webhook: what Twilio posts when a call comes in, and the TwiML it gets back.
//!
//! It follows no redirect and carries out no other verb.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use ring::rand::{SecureRandom as _, SystemRandom};
use ward_twilio::form::Form;
use ward_twilio::signature::AuthToken;
use ward_twilio::url::{Origin, Scheme};

use crate::client::Client;
use crate::console::Failure;

/// A call that is being placed.
#[derive(Debug, Clone)]
pub struct Identifiers {
    /// Whose call it is.
    pub account_sid: String,
    /// The call.
    pub call_sid: String,
    /// Its media stream.
    pub stream_sid: String,
}

impl Identifiers {
    /// Fresh identifiers for a call of `account_sid`.
    ///
    /// # Errors
    /// [`Failure::Checked`] without randomness.
    pub fn new(account_sid: &str) -> Result<Self, Failure> {
        Ok(Self {
            account_sid: account_sid.to_owned(),
            call_sid: random_sid("CA")?,
            stream_sid: random_sid("MZ")?,
        })
    }
}

fn random_sid(prefix: &str) -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_random| Failure::Checked("no random bytes".to_owned()))?;
    let mut sid = prefix.to_owned();
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            sid.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    Ok(sid)
}

/// Origin and target of a webhook's URL.
#[derive(Debug, Clone)]
pub struct WebhookUrl {
    origin: Origin,
    target: String,
}

impl WebhookUrl {
    /// Parses `https://host[:port]/path[?query]`.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if !text.starts_with("https://") {
            return Err(Failure::Usage(format!("{text}: a webhook's URL begins with https://")));
        }
        let path_at = text.find("://").and_then(|at| {
            let rest = text.get(at + 3..)?;
            rest.find('/').map(|slash| at + 3 + slash)
        });
        let parts = path_at.and_then(|at| text.split_at_checked(at));
        let (origin, target) =
            parts.ok_or_else(|| Failure::Usage(format!("{text}: no path in the URL")))?;
        let origin = Origin::parse(origin, &[Scheme::Https])
            .map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
        Ok(Self { origin, target: target.to_owned() })
    }

    /// The URL as Twilio signs it.
    #[must_use]
    pub fn signed(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Posts the webhook, signed with `token` or, without one, unsigned.
///
/// # Errors
/// [`Failure::Checked`] when there is no answer.
pub async fn post(
    client: &Client,
    url: &WebhookUrl,
    call: &Identifiers,
    token: Option<&AuthToken>,
) -> Result<WebhookAnswer, Failure> {
    let form = Form::from_fields([
        ("AccountSid", call.account_sid.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", &call.call_sid),
        ("CallStatus", "ringing"),
        ("Called", "+18005550100"),
        ("Caller", "+12025550123"),
        ("Direction", "inbound"),
        ("From", "+12025550123"),
        ("To", "+18005550100"),
    ]);
    let mut request = Request::post(url.target.as_str())
        .header("host", format!("{}:{}", url.origin.host(), url.origin.port()))
        .header("user-agent", "TwilioProxy/1.1")
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    if let Some(token) = token {
        let signature = token.sign_form(&url.signed(), &form);
        request = request.header("x-twilio-signature", signature.to_base64());
    }
    let request = request
        .body(Full::new(Bytes::from(form.encode())))
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let answer = client.request(url.origin.host(), url.origin.port(), request).await?;
    let body = String::from_utf8_lossy(answer.body()).into_owned();
    Ok(WebhookAnswer { status: answer.status().as_u16(), body })
}

/// The stream that a TwiML document connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTarget {
    /// Where it is.
    pub url: String,
    /// Name and value of each `<Parameter>`, which come in `start`.
    pub parameters: Vec<(String, String)>,
}

/// The only `<Stream>` of a TwiML document that connects one.
///
/// # Errors
/// [`Failure::Checked`] when the document does something else.
pub fn stream_target(twiml: &str) -> Result<StreamTarget, Failure> {
    let refused = |what: &str| Failure::Checked(format!("the TwiML {what}"));
    let document =
        roxmltree::Document::parse(twiml).map_err(|error| refused(&error.to_string()))?;
    let response = document.root_element();
    let connect = response.first_element_child();
    let stream = connect.and_then(|connect| connect.first_element_child());
    let names = [Some(response), connect, stream].map(|node| node.map(|n| n.tag_name().name()));
    if names != [Some("Response"), Some("Connect"), Some("Stream")] {
        return Err(refused("does not connect a stream"));
    }
    let stream = stream.ok_or_else(|| refused("does not connect a stream"))?;
    let url = stream.attribute("url").ok_or_else(|| refused("has a stream without a URL"))?;
    let parameters = stream.children().filter(|child| child.has_tag_name("Parameter"));
    let parameters: Option<Vec<_>> = parameters
        .map(|one| Some((one.attribute("name")?.to_owned(), one.attribute("value")?.to_owned())))
        .collect();
    let parameters = parameters.ok_or_else(|| refused("has a parameter without name or value"))?;
    Ok(StreamTarget { url: url.to_owned(), parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_is_split_at_its_path() {
        let url = WebhookUrl::parse("https://a.example:8443/api/voice/incoming?x=1").unwrap();
        assert_eq!(url.target, "/api/voice/incoming?x=1");
        assert_eq!(url.origin.port(), 8_443);
        for text in ["https://a.example", "http://a.example/", "a.example/x", ""] {
            assert!(WebhookUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_connected_stream_is_dialled() {
        let twiml = r#"<?xml version="1.0"?><Response><Connect><Stream url="wss://a/b"/></Connect></Response>"#;
        let target = StreamTarget { url: "wss://a/b".to_owned(), parameters: Vec::new() };
        assert_eq!(stream_target(twiml).unwrap(), target);
        let twiml = r#"<Response><Connect><Stream url="wss://a/b"><Parameter name="n" value="v"/></Stream></Connect></Response>"#;
        let parameters = vec![("n".to_owned(), "v".to_owned())];
        assert_eq!(stream_target(twiml).unwrap().parameters, parameters);
        for twiml in [
            "",
            "<Response/>",
            "<Response><Hangup/></Response>",
            "<Response><Start><Stream url=\"wss://a\"/></Start></Response>",
            "<Response><Connect><Stream/></Connect></Response>",
            "<Response><Connect><Stream url=\"wss://a\"><Parameter name=\"n\"/></Stream></Connect></Response>",
        ] {
            assert!(stream_target(twiml).is_err(), "{twiml}");
        }
    }
}
