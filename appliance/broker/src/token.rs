//! Tokens that the broker signs itself: a JSON Web Token (RFC 7519) with HMAC-SHA-256 (RFC 7518 §3.2).
//!
//! For vendors that share a key and take tokens made with it. Each is for one host and a few seconds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use ward_policy::phi::Secret;

/// A token for `audience`, good from `now_s` for `ttl_s` seconds (both since 1970); none without random bytes.
pub(crate) fn signed(key: &[u8], audience: &str, now_s: u64, ttl_s: u32) -> Option<Secret<String>> {
    let mut number = [0; 16];
    SystemRandom::new().fill(&mut number).ok()?;
    let header = json!({ "alg": "HS256", "typ": "JWT" }).to_string();
    let claims = json!({
        "aud": audience,
        "exp": now_s.saturating_add(u64::from(ttl_s)),
        "iat": now_s,
        "iss": "ward",
        "jti": URL_SAFE_NO_PAD.encode(number),
    })
    .to_string();
    let mut token = Secret::new(URL_SAFE_NO_PAD.encode(header));
    let text = token.expose_mut();
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, text);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(tag.as_ref(), text);
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_host_and_a_time_and_its_signature_holds() {
        let token = signed(b"a shared key", "asr.example.com", 1_000, 30).unwrap();
        let parts: Vec<&str> = token.expose().split('.').collect();
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "asr.example.com");
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_000), &json!(1_030)));
        let (text, tag) = token.expose().rsplit_once('.').unwrap();
        let tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
        let key = |text: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, text);
        hmac::verify(&key(b"a shared key"), text.as_bytes(), &tag).unwrap();
        hmac::verify(&key(b"another key"), text.as_bytes(), &tag).unwrap_err();
        let other = signed(b"a shared key", "asr.example.com", 1_000, 30).unwrap();
        assert_ne!(token.expose(), other.expose(), "each has a number of its own");
    }
}
