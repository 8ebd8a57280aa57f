//! The upgrade request: 101 only for a WebSocket handshake that has shown what [`crate::admission`] asks for.
//!
//! `Origin`, subprotocols and extensions are ignored and none is ever selected. Nothing here reads
//! `Host` or `X-Forwarded-*`: the URL that was signed comes from the settings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use ward_policy::fault::Refusal;
use ward_policy::ticket::DateMs;

use crate::admission::{Admission, Shown};

/// A handshake that may be answered with 101. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedUpgrade {
    accept: HeaderValue,
    shown: Shown,
}

impl VerifiedUpgrade {
    /// The value of `Sec-WebSocket-Accept`, and what the upgrade has shown.
    #[must_use]
    pub fn into_parts(self) -> (HeaderValue, Shown) {
        (self.accept, self.shown)
    }
}

/// Judges the headers of a GET on the media route, with `ticket` as the last segment of its path, at `now_ms`.
///
/// # Errors
/// [`Refusal`]: no upgrade (RFC 6455 §4.2.1), or not what is demanded.
pub fn verify(
    headers: &HeaderMap,
    ticket: Option<&str>,
    admission: &Admission,
    now_ms: DateMs,
) -> Result<VerifiedUpgrade, Refusal> {
    if !has_token(headers, &header::CONNECTION, "upgrade")
        || !has_token(headers, &header::UPGRADE, "websocket")
    {
        return Err(Refusal::UpgradeAbsent);
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Refusal::WebSocketVersion);
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(Refusal::WebSocketKey)?;
    let mut bytes = [0; 18];
    if key.len() != 24 || !matches!(STANDARD.decode_slice(key, &mut bytes), Ok(16)) {
        return Err(Refusal::WebSocketKey);
    }
    let accept = tungstenite::handshake::derive_accept_key(key);
    let accept = HeaderValue::try_from(accept).map_err(|_value| Refusal::WebSocketKey)?;
    let values = headers.get_all("x-twilio-signature");
    let values = values.iter().map(HeaderValue::as_bytes);
    let shown = admission.judge(values, ticket, now_ms)?;
    Ok(VerifiedUpgrade { accept, shown })
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HandshakeMode;
    use ward_policy::proof::Proof;
    use ward_twilio::handshake::HandshakeSet;

    const VW1: &str = "hT6TllFCjXqRGzPszuGWRqAQ2lY=";

    fn check(changes: &[(&'static str, Option<&'static str>)]) -> Result<bool, Refusal> {
        let expected = HandshakeSet::parse(VW1).unwrap();
        let admission = Admission::new(HandshakeMode::Signature, expected, 0);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("x-twilio-signature", VW1),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            headers.remove(*name);
            if let Some(value) = value {
                headers.insert(*name, HeaderValue::from_static(value));
            }
        }
        verify(&headers, None, &admission, 0).map(|upgrade| {
            let (accept, shown) = upgrade.into_parts();
            // The example of RFC 6455 §1.3.
            accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" && shown.proof() == Proof::Signature(0)
        })
    }

    #[test]
    fn a_signed_handshake_is_accepted_whatever_else_it_offers() {
        assert_eq!(check(&[]), Ok(true));
        assert_eq!(
            check(&[
                ("sec-websocket-protocol", Some("audio")),
                ("sec-websocket-extensions", Some("permessage-deflate")),
                ("origin", Some("https://evil.example")),
                ("x-forwarded-host", Some("evil.example")),
            ]),
            Ok(true)
        );
    }

    #[test]
    fn each_missing_part_has_its_own_refusal() {
        for (name, value, refusal) in [
            ("connection", None, Refusal::UpgradeAbsent),
            ("connection", Some("close"), Refusal::UpgradeAbsent),
            ("upgrade", Some("h2c"), Refusal::UpgradeAbsent),
            ("sec-websocket-version", Some("8"), Refusal::WebSocketVersion),
            ("sec-websocket-version", None, Refusal::WebSocketVersion),
            ("sec-websocket-key", None, Refusal::WebSocketKey),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ"), Refusal::WebSocketKey),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZSE="), Refusal::WebSocketKey),
            ("x-twilio-signature", None, Refusal::SignatureAbsent),
            ("x-twilio-signature", Some(""), Refusal::SignatureMalformed),
            ("x-twilio-signature", Some("Vij22jir6R+t9gbbSc1DUsBFJ5w="), Refusal::SignatureWrong),
        ] {
            assert_eq!(check(&[(name, value)]), Err(refusal), "{name}: {value:?}");
        }
    }
}
