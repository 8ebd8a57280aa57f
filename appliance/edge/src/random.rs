//! Randomness of this process: nonces, and the key of its pseudonyms. No identifier is ever kept.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ward_policy::redact::Pseudonym;
use ward_policy::ticket::Nonce;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomError;

/// A fresh nonce for one response: 16 random bytes in base64.
///
/// # Errors
/// [`RandomError`]; the response should go out with a policy that allows nothing.
pub fn nonce() -> Result<String, RandomError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_random| RandomError)?;
    Ok(STANDARD.encode(bytes))
}

/// What makes a ticket one of its kind: 16 random bytes.
///
/// # Errors
/// [`RandomError`]; there is no ticket then.
pub fn ticket_nonce() -> Result<Nonce, RandomError> {
    let mut bytes = Nonce::default();
    SystemRandom::new().fill(&mut bytes).map_err(|_random| RandomError)?;
    Ok(bytes)
}

/// A number by chance, for times that are not to be the same everywhere. Without random bytes it is always the same one.
#[must_use]
pub fn chance() -> u32 {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_or(u32::MAX / 2, |()| u32::from_be_bytes(bytes))
}

/// The part of `whole` that `chance` stands for, from nothing to all of it.
#[must_use]
pub fn share(whole: Duration, chance: u32) -> Duration {
    whole.saturating_mul(chance) / u32::MAX
}

/// Turns identifiers into pseudonyms that live as long as the process.
pub struct Pseudonyms(hmac::Key);

impl Pseudonyms {
    /// A set of pseudonyms under a fresh key.
    ///
    /// # Errors
    /// [`RandomError`]; the server should not start.
    pub fn new() -> Result<Self, RandomError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.map(Self).map_err(|_random| RandomError)
    }

    /// The keyed digest of an identifier, for comparing without keeping it.
    #[must_use]
    pub fn digest(&self, identifier: &[u8]) -> [u8; 16] {
        let tag = hmac::sign(&self.0, identifier);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// What stands for an identifier in the log.
    #[must_use]
    pub fn pseudonym(&self, identifier: &[u8]) -> Option<Pseudonym> {
        Pseudonym::from_keyed_digest(&self.digest(identifier))
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_have_their_length() {
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), ward_policy::header::NONCE_CHARS);
    }

    #[test]
    fn a_pseudonym_is_stable_within_a_process_and_differs_between_two() {
        let (one, two) = (Pseudonyms::new().unwrap(), Pseudonyms::new().unwrap());
        assert_eq!(one.pseudonym(b"CA1"), one.pseudonym(b"CA1"));
        assert_ne!(one.pseudonym(b"CA1"), one.pseudonym(b"CA2"));
        assert_ne!(one.pseudonym(b"CA1"), two.pseudonym(b"CA1"));
    }
}
