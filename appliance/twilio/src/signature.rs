//! `X-Twilio-Signature` on webhooks: base64(HMAC-SHA1(auth token, URL ‖ fields)).
//!
//! Verification returns a witness, [`Verified`], which nothing else can make, so a handler that needs
//! one cannot forget the check. The comparison runs over every token and every spelling of the URL in
//! constant time. A signature carries no time and no delimiters between fields: it can be replayed
//! and its fields can be cut differently, so [`crate::webhook`] must still judge them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use ward_policy::limit;
use ward_policy::phi::Secret;

use crate::form::Form;
use crate::url::spellings;

/// Bytes of a signature: HMAC-SHA1.
pub const SIGNATURE_BYTES: usize = 20;

/// A signature as presented; not yet known to be right.
#[derive(Clone, Copy)]
pub struct Signature([u8; SIGNATURE_BYTES]);

/// Why a request is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No header.
    #[error("no signature")]
    Absent,
    /// More than one header.
    #[error("more than one signature")]
    Repeated,
    /// Not 20 bytes of canonical base64.
    #[error("not a signature")]
    Malformed,
    /// No token and no spelling of the URL gives this signature.
    #[error("the signature matches no token")]
    Wrong,
    /// `bodySHA256` is absent, or is not the digest of the body.
    #[error("the body is not the signed one")]
    Body,
    /// No token is configured.
    #[error("no auth token is configured")]
    NoToken,
}

impl Signature {
    /// Parses the values of the header, of which there must be one.
    ///
    /// # Errors
    /// [`SignatureError::Absent`], [`SignatureError::Repeated`] or [`SignatureError::Malformed`].
    pub fn from_headers<'h>(
        values: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Self, SignatureError> {
        let mut values = values.into_iter();
        let only = values.next().ok_or(SignatureError::Absent)?;
        if values.next().is_some() {
            return Err(SignatureError::Repeated);
        }
        Self::parse(only)
    }

    /// Parses canonical base64 of 20 bytes.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`].
    pub fn parse(text: &[u8]) -> Result<Self, SignatureError> {
        let mut bytes = [0; SIGNATURE_BYTES];
        let right_length = text.len() == limit::SIGNATURE_CHARS;
        let decoded = STANDARD.decode_slice(text, &mut bytes);
        match decoded {
            Ok(SIGNATURE_BYTES) if right_length => Ok(Self(bytes)),
            _ => Err(SignatureError::Malformed),
        }
    }

    /// The signature as Twilio sends it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// Something that Twilio signed. Only this module makes one.
#[derive(Debug)]
pub struct Verified<T> {
    value: T,
    token: u8,
}

impl<T> Verified<T> {
    /// What was signed.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// Which token matched: 1 the current, 2 the next.
    pub const fn token(&self) -> u8 {
        self.token
    }
}

/// One auth token, ready to sign and verify.
pub struct AuthToken(hmac::Key);

/// Why a text is no auth token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an auth token is 1 to 256 visible ASCII characters")]
pub struct AuthTokenError;

impl AuthToken {
    /// Takes the token's text.
    ///
    /// # Errors
    /// [`AuthTokenError`] when it is empty, too long or has characters that cannot be typed.
    pub fn new(text: &Secret<String>) -> Result<Self, AuthTokenError> {
        let bytes = text.expose().as_bytes();
        let visible = bytes.iter().all(u8::is_ascii_graphic);
        if bytes.is_empty() || bytes.len() > limit::AUTH_TOKEN_CHARS_MAX || !visible {
            return Err(AuthTokenError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes)))
    }

    /// What Twilio sends for a form posted to `url`, spelled exactly so.
    #[must_use]
    pub fn sign_form(&self, url: &str, form: &Form<'_>) -> Signature {
        self.sign(&form_message(url, form))
    }

    /// What Twilio sends for `url` alone: GET, JSON (whose URL carries `bodySHA256`), handshakes.
    #[must_use]
    pub fn sign_url(&self, url: &str) -> Signature {
        self.sign(url.as_bytes())
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let tag = hmac::sign(&self.0, message);
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        Signature(bytes)
    }
}

impl std::fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthToken(…)")
    }
}

/// The tokens that are valid now: none, one, or two during a rotation.
#[derive(Debug, Default)]
pub struct AuthTokens {
    current: Option<AuthToken>,
    next: Option<AuthToken>,
}

impl AuthTokens {
    /// The current token, and the next one during a rotation.
    #[must_use]
    pub const fn new(current: Option<AuthToken>, next: Option<AuthToken>) -> Self {
        Self { current, next }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u8 {
        u8::from(self.current.is_some()).saturating_add(u8::from(self.next.is_some()))
    }

    /// Whether nothing can be verified.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.current.is_none() && self.next.is_none()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        [&self.current, &self.next].into_iter().flatten().count()
    }

    /// Believes a form that was posted to `url`.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`], or [`SignatureError::NoToken`].
    pub fn verify_form<'a>(
        &self,
        url: &str,
        form: Form<'a>,
        signature: &Signature,
    ) -> Result<Verified<Form<'a>>, SignatureError> {
        let messages = spellings(url).iter().map(|url| form_message(url, &form)).collect();
        let token = self.matching(messages, signature)?;
        Ok(Verified { value: form, token })
    }

    /// Believes a body of any other type that was posted to `url`, which must carry `bodySHA256`.
    ///
    /// # Errors
    /// [`SignatureError::Body`] when the digest is absent, repeated or wrong, else as for forms.
    pub fn verify_body<'a>(
        &self,
        url: &str,
        body: &'a [u8],
        signature: &Signature,
    ) -> Result<Verified<&'a [u8]>, SignatureError> {
        let is_signed_body = body_digest_matches(url, body);
        let messages = spellings(url).into_iter().map(String::into_bytes).collect();
        let token = self.matching(messages, signature)?;
        if is_signed_body { Ok(Verified { value: body, token }) } else { Err(SignatureError::Body) }
    }

    /// Believes a GET of `url`.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`], or [`SignatureError::NoToken`].
    pub fn verify_get(
        &self,
        url: &str,
        signature: &Signature,
    ) -> Result<Verified<()>, SignatureError> {
        let messages = spellings(url).into_iter().map(String::into_bytes).collect();
        let token = self.matching(messages, signature)?;
        Ok(Verified { value: (), token })
    }

    /// Compares with every token over every message, without stopping at a match.
    fn matching(
        &self,
        messages: Vec<Vec<u8>>,
        signature: &Signature,
    ) -> Result<u8, SignatureError> {
        if self.is_empty() {
            return Err(SignatureError::NoToken);
        }
        let mut matched = 0;
        for (number, token) in [(1, &self.current), (2, &self.next)] {
            for message in &messages {
                let right = token
                    .as_ref()
                    .is_some_and(|token| hmac::verify(&token.0, message, &signature.0).is_ok());
                matched = if right && matched == 0 { number } else { matched };
            }
        }
        // The messages hold the webhook's fields; the servers' allocator wipes them as they go.
        drop(messages);
        if matched == 0 { Err(SignatureError::Wrong) } else { Ok(matched) }
    }
}

/// URL, then every name and value in sorted order, with nothing between them.
fn form_message(url: &str, form: &Form<'_>) -> Vec<u8> {
    let mut message = url.as_bytes().to_vec();
    for (name, value) in form.sorted() {
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(value.as_bytes());
    }
    message
}

/// Whether the URL's query has one `bodySHA256`, and it is the digest of `body` in hexadecimal.
fn body_digest_matches(url: &str, body: &[u8]) -> bool {
    let url = url.split_once('#').map_or(url, |(before, _fragment)| before);
    let query = url.split_once('?').map_or("", |(_path, query)| query);
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("bodySHA256="));
    let (Some(claimed), None) = (values.next(), values.next()) else {
        return false;
    };
    let digest = digest::digest(&digest::SHA256, body);
    let mut expected = String::with_capacity(64);
    for byte in digest.as_ref() {
        for nibble in [byte >> 4, byte & 0x0f] {
            expected.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    // The digest of a body that the sender chose is no secret, yet equal time costs nothing.
    let differing = expected.bytes().zip(claimed.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
    claimed.len() == expected.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    // The published vectors, token `12345`, and those computed with both official SDKs.
    const U: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const P: &[(&str, &str)] = &[
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];
    const BODY: &[u8] = br#"{"property": "value", "boolean": true}"#;
    const H: &str = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    const V1: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

    fn token(text: &str) -> AuthToken {
        AuthToken::new(&Secret::new(text.to_owned())).unwrap()
    }

    fn tokens() -> AuthTokens {
        AuthTokens::new(Some(token("12345")), None)
    }

    fn check_form(url: &str, fields: &[(&str, &str)], signature: &str) -> bool {
        let Ok(signature) = Signature::parse(signature.as_bytes()) else {
            return false;
        };
        let form = Form::from_fields(fields.iter().copied());
        tokens().verify_form(url, form, &signature).is_ok()
    }

    #[test]
    fn the_published_form_vectors_verify() {
        let v7 = [
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ];
        let v8 = [
            ("MessagingBinding.Address", "+1325xxxxxxx"),
            ("MessagingBinding.Address", "+1415xxxxxxx"),
        ];
        let https_443 = U.replace(".com/", ".com:443/");
        let http = U.replace("https", "http");
        let http_80 = http.replace(".com/", ".com:80/");
        let http_1234 = http.replace(".com/", ".com:1234/");
        let https_1234 = U.replace(".com/", ".com:1234/");
        for (id, url, fields, signature) in [
            ("V1", U, P, V1),
            ("V2", &https_443, P, "kvajT1Ptam85bY51eRf/AJRuM3w="),
            ("V2 for U", U, P, "kvajT1Ptam85bY51eRf/AJRuM3w="),
            ("V3", &http_80, P, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            ("V3 for U", &http, P, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            ("V4", &http_1234, P, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
            ("V5", &https_1234, P, V1),
            ("V6", &https_1234, P, "CYn1h0gLBdNxDGkKJg6hYohgeD8="),
            ("V7", U, &v7, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
            ("V8", U, &v8, "83O6e2vORAoJHUNzJjDWN1jz+BA="),
        ] {
            assert!(check_form(url, fields, signature), "{id}");
        }
        let swapped = [v8[1], v8[0]];
        assert!(check_form(U, &swapped, "83O6e2vORAoJHUNzJjDWN1jz+BA="), "V8 reversed");
    }

    #[test]
    fn the_published_body_vectors_verify() {
        for (id, url, signature) in [
            ("V9", format!("{U}&bodySHA256={H}"), "a9nBmqA0ju/hNViExpshrM61xv4="),
            (
                "V10",
                format!("https://mycompany.com/myapp.php?bodySHA256={H}"),
                "y77kIzt2vzLz71DgmJGsen2scGs=",
            ),
        ] {
            let signature = Signature::parse(signature.as_bytes()).unwrap();
            assert!(tokens().verify_body(&url, BODY, &signature).is_ok(), "{id}");
            let shortened = url.strip_suffix('0').unwrap();
            let resigned = token("12345").sign_url(shortened);
            assert_eq!(
                tokens().verify_body(shortened, BODY, &resigned).unwrap_err(),
                SignatureError::Body,
                "{id} with the last character of the digest removed"
            );
            assert_eq!(
                tokens().verify_body(&url, b"other", &signature).unwrap_err(),
                SignatureError::Body
            );
        }
        let unsigned_body = Signature::parse(V1.as_bytes()).unwrap();
        assert!(tokens().verify_body(U, BODY, &unsigned_body).is_err());
        let empty = format!(
            "{U}&bodySHA256={}",
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert!(tokens().verify_body(&empty, b"{}", &token("12345").sign_url(&empty)).is_ok());
        let twice = format!("{empty}&bodySHA256=0");
        assert!(tokens().verify_body(&twice, b"{}", &token("12345").sign_url(&twice)).is_err());
    }

    #[test]
    fn the_incoming_call_vectors_verify() {
        let account = format!("AC{}", "0".repeat(32));
        let call = format!("CA{}", "0".repeat(32));
        let fields = [
            ("AccountSid", account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &call),
            ("CallStatus", "ringing"),
            ("Called", "+18005551212"),
            ("Caller", "+14158675309"),
            ("Direction", "inbound"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ];
        let url = "https://www.example.com/api/voice/incoming";
        assert!(check_form(url, &fields, "C56u0u8ZOScqcxNVK7IP8N+RBSo="), "V-I1");
        assert!(check_form(url, &fields, "wVCfYK159cFoCXvQAj2ObbFcpTk="), "V-I2");
        assert!(check_form(url, &[], "7MMJ9tZ4W+WP7KMo+4MeL5L/iHY="), "V-I3 as an empty POST");
        let signature = Signature::parse(b"7MMJ9tZ4W+WP7KMo+4MeL5L/iHY=").unwrap();
        assert!(tokens().verify_get(url, &signature).is_ok(), "V-I3 as a GET");
    }

    #[test]
    fn signatures_are_malleable_so_the_schema_must_judge() {
        let m1 = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309Digits1234From+14158675309To+18005551212"),
        ];
        let m2 = [(
            "CallSidCA1234567890ABCDECaller",
            "+14158675309Digits1234From+14158675309To+18005551212",
        )];
        assert!(check_form(U, &m1, V1), "V-M1 has a valid signature");
        assert!(check_form(U, &m2, V1), "V-M2 has a valid signature");
    }

    #[test]
    fn what_must_fail_fails() {
        for signature in
            ["WRONG_SIGNATURE", &format!("NOT{V1}"), "", "RSOYDt4T1cUTdK1PDd93/VVr8B9="]
        {
            assert!(!check_form(U, P, signature), "{signature}");
        }
        assert!(!check_form(&format!("{U}&somethingUnexpected=true"), P, V1));
        let absent: [&[u8]; 0] = [];
        assert_eq!(Signature::from_headers(absent).unwrap_err(), SignatureError::Absent);
        let two = [V1.as_bytes(), V1.as_bytes()];
        assert_eq!(Signature::from_headers(two).unwrap_err(), SignatureError::Repeated);
        for text in [
            &b"\xFF\xFE"[..],
            &[b'A'; 10_000],
            b"RSOYDt4T1cUTdK1PDd93_VVr8B8=",
            b"RSOYDt4T1cUTdK1PDd93/VVr8B8",
        ] {
            assert_eq!(Signature::parse(text).unwrap_err(), SignatureError::Malformed);
        }
    }

    #[test]
    fn two_tokens_are_valid_during_a_rotation_and_none_without_a_token() {
        let signature = token("new").sign_form(U, &Form::from_fields(P.iter().copied()));
        let form = || Form::from_fields(P.iter().copied());
        let both = AuthTokens::new(Some(token("12345")), Some(token("new")));
        assert_eq!(both.verify_form(U, form(), &signature).unwrap().token(), 2);
        let v1 = Signature::parse(V1.as_bytes()).unwrap();
        assert_eq!(both.verify_form(U, form(), &v1).unwrap().token(), 1);
        assert_eq!(tokens().verify_form(U, form(), &signature).unwrap_err(), SignatureError::Wrong);
        let none = AuthTokens::default();
        assert_eq!(none.verify_form(U, form(), &v1).unwrap_err(), SignatureError::NoToken);
    }

    #[test]
    fn tokens_are_visible_characters() {
        for text in ["", "a b", "a\n", "é", &"x".repeat(257)] {
            assert_eq!(AuthToken::new(&Secret::new(text.to_owned())).unwrap_err(), AuthTokenError);
        }
    }
}
