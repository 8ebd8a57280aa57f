//! Answers, and the one place where the security headers are added.
//!
//! Handlers make an [`Answer`]; only this module turns one into bytes or into hyper's response, and it
//! cannot do so without the headers. Bodies are fixed texts: nothing of the request comes back.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use ward_policy::fault::Refusal;
use ward_policy::header;

use crate::random;

/// What a handler answers.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    extra: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// A document.
    #[must_use]
    pub fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type, body: body.into(), extra: Vec::new() }
    }

    /// The switch to WebSocket, with the value of `Sec-WebSocket-Accept`.
    #[must_use]
    pub fn switching_to_websocket(accept: HeaderValue) -> Self {
        Self {
            status: StatusCode::SWITCHING_PROTOCOLS,
            content_type: "",
            body: Bytes::new(),
            extra: vec![
                (hyper::header::CONNECTION, HeaderValue::from_static("Upgrade")),
                (hyper::header::UPGRADE, HeaderValue::from_static("websocket")),
                (hyper::header::SEC_WEBSOCKET_ACCEPT, accept),
            ],
        }
    }

    /// A refusal; `None` when the connection should be closed without an answer.
    #[must_use]
    pub fn refusal(refusal: Refusal) -> Option<Self> {
        let status = status(refusal)?;
        let mut extra = Vec::new();
        let mut add = |name, value| extra.push((name, HeaderValue::from_static(value)));
        match refusal {
            Refusal::UpgradeAbsent | Refusal::WebSocketVersion => {
                add(hyper::header::UPGRADE, "websocket");
                add(hyper::header::SEC_WEBSOCKET_VERSION, "13");
            }
            Refusal::Capacity
            | Refusal::Draining
            | Refusal::TicketMemoryFull
            | Refusal::Unproven => add(hyper::header::RETRY_AFTER, "5"),
            _ => {}
        }
        // The reason phrase of the status and nothing else: it says no more than the status does.
        let body = status.canonical_reason().unwrap_or_default();
        Some(Self { status, content_type: TEXT, body: Bytes::from_static(body.as_bytes()), extra })
    }

    /// A 405 that names the method the route has.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut answer = Self::ok(TEXT, "Method Not Allowed");
        answer.status = StatusCode::METHOD_NOT_ALLOWED;
        answer.extra.push((hyper::header::ALLOW, HeaderValue::from_static(allow)));
        answer
    }

    /// The health of a server.
    #[must_use]
    pub fn health(is_ready: bool) -> Self {
        let mut answer = Self::ok(TEXT, if is_ready { "ready" } else { "not ready" });
        if !is_ready {
            answer.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        answer
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// hyper's response, headers added.
    #[must_use]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            let value = HeaderValue::from_static(self.content_type);
            headers.insert(hyper::header::CONTENT_TYPE, value);
        }
        // One request a connection: hyper must never read a head that was not judged. (Its own switch
        // for that would also overwrite the `Connection: Upgrade` of a 101.)
        headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in self.extra {
            headers.insert(name, value);
        }
        for (name, value) in header::FIXED {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(hyper::header::CONTENT_SECURITY_POLICY, policy());
        response
    }

    /// The whole response as bytes, for a request that hyper never saw.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let body = self.body.clone();
        let response = self.into_response();
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        for (name, value) in response.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let length = format!("content-length: {}\r\n\r\n", body.len());
        bytes.extend_from_slice(length.as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// The policy with a fresh nonce; without randomness, one that nothing can match.
fn policy() -> HeaderValue {
    let nonce = random::nonce().unwrap_or_default();
    HeaderValue::try_from(header::content_security_policy(&nonce))
        .unwrap_or_else(|_value| HeaderValue::from_static("default-src 'none'"))
}

/// The status for each reason; `None` closes without one.
const fn status(refusal: Refusal) -> Option<StatusCode> {
    Some(match refusal {
        Refusal::HeadSlow => return None,
        Refusal::HeadLong | Refusal::HeadFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::HeadMalformed
        | Refusal::HostHeader
        | Refusal::BodyFraming
        | Refusal::WebSocketKey => StatusCode::BAD_REQUEST,
        Refusal::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        Refusal::Expect => StatusCode::EXPECTATION_FAILED,
        Refusal::Route => StatusCode::NOT_FOUND,
        Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::UpgradeAbsent | Refusal::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
        Refusal::SignatureAbsent
        | Refusal::SignatureRepeated
        | Refusal::SignatureMalformed
        | Refusal::SignatureWrong
        | Refusal::TokenAbsent
        | Refusal::TicketMalformed
        | Refusal::TicketUnknownKey
        | Refusal::TicketWrong
        | Refusal::TicketExpired
        | Refusal::TicketEarly
        | Refusal::TicketStale
        | Refusal::TicketUsed
        | Refusal::BodyMalformed
        | Refusal::Schema
        | Refusal::ForeignAccount => StatusCode::FORBIDDEN,
        Refusal::BodyType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::BodyLong => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::BodySlow => StatusCode::REQUEST_TIMEOUT,
        Refusal::Capacity | Refusal::Draining | Refusal::TicketMemoryFull | Refusal::Unproven => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let lower = text.to_ascii_lowercase();
        for (name, value) in header::FIXED {
            assert!(lower.contains(&format!("\r\n{name}: {}\r\n", value.to_ascii_lowercase())));
        }
        for name in header::FORBIDDEN {
            assert!(!lower.contains(&format!("\r\n{name}:")), "{name}");
        }
        let nonce = text.split("script-src 'nonce-").nth(1).unwrap();
        nonce.split('\'').next().unwrap().to_owned()
    }

    #[test]
    fn every_refusal_carries_every_header_and_a_nonce_of_its_own() {
        let mut nonces = Vec::new();
        for refusal in Refusal::ALL {
            let Some(answer) = Answer::refusal(*refusal) else {
                assert_eq!(*refusal, Refusal::HeadSlow);
                continue;
            };
            assert!(answer.status() >= 400);
            nonces.push(check(&answer.into_bytes()));
        }
        nonces.push(check(&Answer::ok("text/xml", "<Response/>").into_bytes()));
        nonces.push(check(&Answer::health(false).into_bytes()));
        nonces.push(check(&Answer::method_not_allowed("POST").into_bytes()));
        let accept = HeaderValue::from_static("x");
        nonces.push(check(&Answer::switching_to_websocket(accept).into_bytes()));
        let count = nonces.len();
        nonces.sort();
        nonces.dedup();
        assert_eq!(nonces.len(), count);
    }
}
