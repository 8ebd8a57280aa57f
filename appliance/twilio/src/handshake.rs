//! What a media stream's WebSocket handshake is compared with: expected signatures, and keys of tickets.
//!
//! The signature covers the URL only, so for one token it is the same for every call: in effect a password.
//! The launcher computes the expected values ([`expected`]) and hands them to the server, which keeps
//! only digests keyed with a random key of its own ([`HandshakeSet`]) and never holds the auth token. The keys
//! are public ones; they come with the values because both are replaced while the server runs.

use ring::hmac;
use ring::rand::SystemRandom;
use ward_policy::limit;
use ward_policy::phi::Secret;

use crate::signature::{AuthToken, Signature, SignatureError};
use crate::ticket::{TicketPublicKey, TicketPublicKeys};
use crate::url::Origin;

/// The spellings of the stream's URL that Twilio may sign, in the order they are tried.
///
/// Twilio's page on webhook security tells servers to try a trailing slash; the port is added because
/// its back end is inconsistent about ports.
#[must_use]
pub fn candidates(origin: &Origin, path: &str) -> [String; 4] {
    let (scheme, host, port) = (origin.scheme().name(), origin.host(), origin.port());
    let plain = if port == 443 { format!("{scheme}://{host}") } else { origin.to_string() };
    let ported = format!("{scheme}://{host}:{port}");
    [
        format!("{plain}{path}"),
        format!("{plain}{path}/"),
        format!("{ported}{path}"),
        format!("{ported}{path}/"),
    ]
}

/// The values Twilio may send for the stream, for each token in turn.
#[must_use]
pub fn expected(origin: &Origin, path: &str, tokens: &[&AuthToken]) -> Vec<Signature> {
    let urls = candidates(origin, path);
    tokens.iter().flat_map(|token| urls.iter().map(|url| token.sign_url(url))).collect()
}

/// A handshake that carried an expected value. Only [`HandshakeSet::verify`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedHandshake {
    candidate: u8,
}

impl VerifiedHandshake {
    /// Index of the value that matched, in the order the set was given.
    #[must_use]
    pub const fn candidate(&self) -> u8 {
        self.candidate
    }
}

/// What a line that names a key of tickets begins with; every other line is a signature.
const TICKET_KEY: &str = "ticket-key ";

/// The document that [`HandshakeSet::parse`] reads, without the empty line that ends it.
#[must_use]
pub fn document(values: &[Signature], keys: &TicketPublicKeys) -> Secret<String> {
    let mut text = Secret::new(String::new());
    for value in values {
        text.expose_mut().push_str(&value.to_base64());
        text.expose_mut().push('\n');
    }
    for key in keys.as_slice() {
        text.expose_mut().push_str(TICKET_KEY);
        text.expose_mut().push_str(&key.to_base64());
        text.expose_mut().push('\n');
    }
    text
}

/// The expected values, as digests under a key that only this set knows, and the keys whose tickets are taken.
pub struct HandshakeSet {
    key: hmac::Key,
    digests: Vec<hmac::Tag>,
    ticket_keys: TicketPublicKeys,
}

/// Why a set could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeSetError {
    /// More values than [`limit::HANDSHAKE_VALUES_MAX`], more keys than [`limit::TICKET_KEYS_MAX`], or one key twice.
    #[error("too many expected values or ticket keys")]
    TooMany,
    /// A line that is no signature.
    #[error("an expected value is neither a signature nor a ticket key")]
    Malformed,
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random,
}

impl HandshakeSet {
    /// Digests `values` under a fresh key; no ticket is taken.
    ///
    /// # Errors
    /// [`HandshakeSetError::TooMany`] or [`HandshakeSetError::Random`].
    pub fn new(values: &[Signature]) -> Result<Self, HandshakeSetError> {
        if values.len() > limit::HANDSHAKE_VALUES_MAX {
            return Err(HandshakeSetError::TooMany);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_random| HandshakeSetError::Random)?;
        let digests = values.iter().map(|value| hmac::sign(&key, value.as_bytes())).collect();
        Ok(Self { key, digests, ticket_keys: TicketPublicKeys::default() })
    }

    /// Parses one value or key per line, as the launcher sends them.
    ///
    /// # Errors
    /// [`HandshakeSetError`]; the set in use should stay.
    pub fn parse(document: &str) -> Result<Self, HandshakeSetError> {
        let (mut values, mut keys) = (Vec::new(), Vec::new());
        for line in document.lines().filter(|line| !line.is_empty()) {
            if let Some(key) = line.strip_prefix(TICKET_KEY) {
                keys.push(
                    TicketPublicKey::parse(key).map_err(|_key| HandshakeSetError::Malformed)?,
                );
            } else {
                let value = Signature::parse(line.as_bytes());
                values.push(value.map_err(|_malformed| HandshakeSetError::Malformed)?);
            }
        }
        let ticket_keys = TicketPublicKeys::new(keys).ok_or(HandshakeSetError::TooMany)?;
        Ok(Self { ticket_keys, ..Self::new(&values)? })
    }

    /// The keys whose tickets are taken.
    #[must_use]
    pub const fn ticket_keys(&self) -> &TicketPublicKeys {
        &self.ticket_keys
    }

    /// How many values are expected.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether every signature will be refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Compares with every value in constant time.
    ///
    /// # Errors
    /// [`SignatureError::Wrong`], or [`SignatureError::NoToken`] when the set is empty.
    pub fn verify(&self, signature: &Signature) -> Result<VerifiedHandshake, SignatureError> {
        if self.digests.is_empty() {
            return Err(SignatureError::NoToken);
        }
        let mut matched = None;
        for (candidate, digest) in (0_u8..).zip(&self.digests) {
            let right = hmac::verify(&self.key, signature.as_bytes(), digest.as_ref()).is_ok();
            matched = if right && matched.is_none() { Some(candidate) } else { matched };
        }
        matched.map(|candidate| VerifiedHandshake { candidate }).ok_or(SignatureError::Wrong)
    }
}

impl std::fmt::Debug for HandshakeSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (values, keys) = (self.digests.len(), self.ticket_keys.as_slice());
        write!(f, "HandshakeSet({values} values, {keys:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::Scheme;

    const PATH: &str = "/rtm/voice";

    fn set() -> HandshakeSet {
        let origin = Origin::parse("wss://media.example.com", &[Scheme::Wss]).unwrap();
        let token = AuthToken::new(&Secret::new("12345".to_owned())).unwrap();
        HandshakeSet::new(&expected(&origin, PATH, &[&token])).unwrap()
    }

    fn check(signature: &str) -> Result<u8, SignatureError> {
        let signature = Signature::parse(signature.as_bytes())?;
        set().verify(&signature).map(|verified| verified.candidate())
    }

    #[test]
    fn the_four_spellings_match_by_index() {
        assert_eq!(check("hT6TllFCjXqRGzPszuGWRqAQ2lY="), Ok(0), "V-W1");
        assert_eq!(check("gjxuOLmJG+6CnGdHw/FVY6tSrqU="), Ok(1), "V-W2");
        assert_eq!(check("I65z+Hpd3lUK1SEIW2HjNEq+oOI="), Ok(2), "V-W3");
        assert_eq!(check("D8cLjHjovf+kMf22RKUiWLk9sH4="), Ok(3), "V-W4");
    }

    #[test]
    fn another_scheme_port_or_text_is_refused() {
        assert_eq!(check("Vij22jir6R+t9gbbSc1DUsBFJ5w="), Err(SignatureError::Wrong), "V-W5");
        assert_eq!(check(""), Err(SignatureError::Malformed));
        let token = AuthToken::new(&Secret::new("12345".to_owned())).unwrap();
        let over_80 = token.sign_url("wss://media.example.com:80/rtm/voice");
        assert_eq!(set().verify(&over_80), Err(SignatureError::Wrong));
    }

    #[test]
    fn a_port_of_its_own_is_part_of_every_spelling() {
        let origin = Origin::parse("wss://media.example.com:8443", &[Scheme::Wss]).unwrap();
        let urls = candidates(&origin, PATH);
        assert_eq!(urls[0], "wss://media.example.com:8443/rtm/voice");
        let explicit = Origin::parse("wss://media.example.com:443", &[Scheme::Wss]).unwrap();
        assert_eq!(candidates(&explicit, PATH)[0], "wss://media.example.com/rtm/voice");
    }

    #[test]
    fn a_document_is_one_value_a_line() {
        let document = "hT6TllFCjXqRGzPszuGWRqAQ2lY=\n\ngjxuOLmJG+6CnGdHw/FVY6tSrqU=\n";
        assert_eq!(HandshakeSet::parse(document).unwrap().len(), 2);
        assert_eq!(HandshakeSet::parse("x").unwrap_err(), HandshakeSetError::Malformed);
        let many = "hT6TllFCjXqRGzPszuGWRqAQ2lY=\n".repeat(limit::HANDSHAKE_VALUES_MAX + 1);
        assert_eq!(HandshakeSet::parse(&many).unwrap_err(), HandshakeSetError::TooMany);
        // The example of RFC 8032 §7.1, test 1.
        let key = TicketPublicKey::parse("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
        let keys = TicketPublicKeys::new(vec![key]).unwrap();
        let text =
            self::document(&[Signature::parse(b"hT6TllFCjXqRGzPszuGWRqAQ2lY=").unwrap()], &keys);
        let set = HandshakeSet::parse(text.expose()).unwrap();
        assert_eq!((set.len(), set.ticket_keys()), (1, &keys));
        let line = text.expose().lines().last().unwrap().to_owned() + "\n";
        for wrong in ["ticket-key x", "ticket-key", "ticket-key "] {
            assert_eq!(HandshakeSet::parse(wrong).unwrap_err(), HandshakeSetError::Malformed);
        }
        assert_eq!(HandshakeSet::parse(&line.repeat(2)).unwrap_err(), HandshakeSetError::TooMany);
        let empty = HandshakeSet::parse("").unwrap();
        let signature = Signature::parse(b"hT6TllFCjXqRGzPszuGWRqAQ2lY=").unwrap();
        assert_eq!(empty.verify(&signature), Err(SignatureError::NoToken));
    }
}
