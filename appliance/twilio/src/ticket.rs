//! Stream tickets: what the responder gives a call on its way, and the media server asks for.
//!
//! 130 bytes in base64url, signed with Ed25519: version, key, when it was issued and for how long, a nonce, and a
//! digest that binds the nonce to one call. The responder signs ([`TicketKey`]); the media server holds public keys
//! only ([`TicketPublicKeys`]). A ticket names nobody: without the `CallSid` the digest says nothing. This module
//! says whether a key has signed a ticket; whether it is in time, and used, is [`ward_policy::ticket`]'s to say. It
//! asks no clock and makes nothing up: time and nonce are arguments.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ward_policy::fault::TicketFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::ticket::{DateMs, Nonce, Validity};
use zeroize::Zeroizing;

use crate::sid::CallSid;

/// The `<Parameter>` that carries a ticket.
pub const PARAMETER: &str = "wardTicket";
/// The first byte of every ticket of this format.
const VERSION: u8 = 1;
/// What is signed begins with this, so that a signature for something else is none for a ticket.
const DOMAIN: &[u8] = b"ward stream ticket 1\0";
/// Bytes of a key's name: enough to tell a few keys apart; the signature is what is believed.
const KEY_ID_BYTES: usize = 8;
/// Bytes that are signed: version, key, time, life, nonce, digest.
const BODY_BYTES: usize = 1 + KEY_ID_BYTES + 8 + 1 + 16 + 32;
/// Bytes of a whole ticket; an Ed25519 signature has 64 (RFC 8032 §5.1.6).
const TICKET_BYTES: usize = BODY_BYTES + 64;
/// Characters of a ticket. A `<Parameter>` may have 500 with its name, a path more.
pub const TICKET_CHARS: usize = (TICKET_BYTES * 4).div_ceil(3);
/// Bytes of a key, of either half (RFC 8032 §5.1.5).
const KEY_BYTES: usize = 32;

/// What a key is called in a ticket: the beginning of the SHA-256 of its public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    fn of(public: &[u8]) -> Self {
        let digest = digest(&SHA256, public);
        Self(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// In lower-case hexadecimal digits, for people who compare keys.
    #[must_use]
    pub fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ticket key is 32 bytes in base64: 44 characters")]
pub struct TicketKeyError;

/// The responder's half of a key: it signs.
pub struct TicketKey {
    pair: Ed25519KeyPair,
    id: KeyId,
}

impl TicketKey {
    /// Takes the 32 bytes of an Ed25519 private key (RFC 8032 §5.1.5) in base64.
    ///
    /// # Errors
    /// [`TicketKeyError`].
    pub fn parse(text: &Secret<String>) -> Result<Self, TicketKeyError> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        decode_key(text.expose(), &mut seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
        let pair = pair.map_err(|_seed| TicketKeyError)?;
        let id = KeyId::of(pair.public_key().as_ref());
        Ok(Self { pair, id })
    }

    /// The other half.
    #[must_use]
    pub fn public(&self) -> TicketPublicKey {
        let public = self.pair.public_key().as_ref().first_chunk().copied().unwrap_or_default();
        TicketPublicKey { public, id: self.id }
    }

    /// A ticket for `call`, with a `nonce` that nothing else ever has.
    #[must_use]
    pub fn issue(&self, call: &CallSid, validity: Validity, nonce: Nonce) -> String {
        let mut ticket = Vec::with_capacity(TICKET_BYTES);
        ticket.push(VERSION);
        ticket.extend_from_slice(&self.id.0);
        ticket.extend_from_slice(&validity.issued_ms.to_be_bytes());
        ticket.push(validity.life_s);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(&bound(nonce, call));
        let signature = self.pair.sign(&signed(&ticket));
        ticket.extend_from_slice(signature.as_ref());
        URL_SAFE_NO_PAD.encode(ticket)
    }
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketKey({:?})", self.id)
    }
}

/// The media server's half: it verifies, and is no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketPublicKey {
    public: [u8; KEY_BYTES],
    id: KeyId,
}

impl TicketPublicKey {
    /// Takes the 32 bytes of an Ed25519 public key in base64.
    ///
    /// # Errors
    /// [`TicketKeyError`]. Whether the bytes are a point of the curve shows with the first ticket.
    pub fn parse(text: &str) -> Result<Self, TicketKeyError> {
        let mut public = [0; KEY_BYTES];
        decode_key(text, &mut public)?;
        Ok(Self { public, id: KeyId::of(&public) })
    }

    /// The key as text.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.public)
    }

    /// What it is called in tickets.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl std::fmt::Debug for TicketPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketPublicKey({:?})", self.id)
    }
}

/// A ticket that one of our keys has signed. Only [`TicketPublicKeys::verify`] makes one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifiedTicket {
    validity: Validity,
    nonce: Nonce,
    bound: [u8; 32],
}

impl VerifiedTicket {
    /// When it may be used.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// What makes it one of its kind.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Whether it was issued for `call`.
    #[must_use]
    pub fn is_for(&self, call: &CallSid) -> bool {
        // Both are known to whoever has ticket and call, so there is nothing to learn from how long it takes.
        self.bound == bound(self.nonce, call)
    }
}

impl std::fmt::Debug for VerifiedTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifiedTicket(…)")
    }
}

/// The keys whose tickets are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketPublicKeys(Vec<TicketPublicKey>);

impl TicketPublicKeys {
    /// Takes up to [`limit::TICKET_KEYS_MAX`] keys; `None` when there are more, or one stands twice.
    #[must_use]
    pub fn new(keys: Vec<TicketPublicKey>) -> Option<Self> {
        let is_twice =
            |key: &TicketPublicKey| keys.iter().filter(|other| other.id == key.id).count() > 1;
        let is_fine = keys.len() <= limit::TICKET_KEYS_MAX && !keys.iter().any(is_twice);
        is_fine.then_some(Self(keys))
    }

    /// Every key.
    #[must_use]
    pub fn as_slice(&self) -> &[TicketPublicKey] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Believes a ticket that one of the keys has signed.
    ///
    /// # Errors
    /// [`TicketFault::Malformed`], [`TicketFault::UnknownKey`] or [`TicketFault::Wrong`].
    pub fn verify(&self, text: &str) -> Result<VerifiedTicket, TicketFault> {
        let mut bytes = [0; TICKET_BYTES];
        // Canonical base64 only: one ticket has one spelling.
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
        if text.len() != TICKET_CHARS || decoded != Ok(TICKET_BYTES) {
            return Err(TicketFault::Malformed);
        }
        let (body, signature) = bytes.split_at(BODY_BYTES);
        let mut rest = Fields(body);
        let [version] = rest.take().ok_or(TicketFault::Malformed)?;
        if version != VERSION {
            return Err(TicketFault::Malformed);
        }
        let id = KeyId(rest.take().ok_or(TicketFault::Malformed)?);
        let issued_ms = DateMs::from_be_bytes(rest.take().ok_or(TicketFault::Malformed)?);
        let [life_s] = rest.take().ok_or(TicketFault::Malformed)?;
        let nonce = rest.take().ok_or(TicketFault::Malformed)?;
        let bound = rest.take().ok_or(TicketFault::Malformed)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or(TicketFault::UnknownKey)?;
        let key = UnparsedPublicKey::new(&ED25519, key.public);
        key.verify(&signed(body), signature).map_err(|_wrong| TicketFault::Wrong)?;
        Ok(VerifiedTicket { validity: Validity { issued_ms, life_s }, nonce, bound })
    }
}

/// What is left of a ticket's bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

fn decode_key(text: &str, key: &mut [u8; KEY_BYTES]) -> Result<(), TicketKeyError> {
    match STANDARD.decode_slice(text, key) {
        Ok(KEY_BYTES) => Ok(()),
        _ => Err(TicketKeyError),
    }
}

/// The text under the signature.
fn signed(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

/// SHA-256 of nonce and `CallSid`, its digits in lower case.
fn bound(nonce: Nonce, call: &CallSid) -> [u8; 32] {
    let digest = digest(&SHA256, &[&nonce[..], &call.canonical()].concat());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "CA0123456789abcdefABCDEF0123456789";

    fn key(first: u8) -> TicketKey {
        let seed = [[first; 1].as_slice(), &[7; 31]].concat();
        TicketKey::parse(&Secret::new(STANDARD.encode(seed))).unwrap()
    }

    fn keys(all: &[&TicketKey]) -> TicketPublicKeys {
        TicketPublicKeys::new(all.iter().map(|key| key.public()).collect()).unwrap()
    }

    fn call() -> CallSid {
        CallSid::parse(CALL).unwrap()
    }

    const FINE: Validity = Validity { issued_ms: 1_700_000_000_000, life_s: 30 };

    #[test]
    fn a_ticket_says_what_was_signed_and_is_for_one_call() {
        let ticket = key(1).issue(&call(), FINE, [9; 16]);
        assert_eq!(ticket.len(), TICKET_CHARS);
        assert!(ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let verified = keys(&[&key(2), &key(1)]).verify(&ticket).unwrap();
        assert_eq!((verified.validity(), verified.nonce()), (FINE, [9; 16]));
        assert!(verified.is_for(&call()));
        // Another spelling of the same SID is the same call.
        assert!(verified.is_for(&CallSid::parse(&CALL.replace("abcdef", "ABCDEF")).unwrap()));
        assert!(!verified.is_for(&CallSid::parse(&CALL.replace("01", "11")).unwrap()));
        let other = key(1).issue(&call(), FINE, [8; 16]);
        assert_ne!(keys(&[&key(1)]).verify(&other).unwrap().bound, verified.bound);
    }

    #[test]
    fn a_key_that_is_not_held_is_named_so_and_no_key_holds_nothing() {
        let ticket = key(1).issue(&call(), FINE, [9; 16]);
        assert_eq!(keys(&[&key(2)]).verify(&ticket), Err(TicketFault::UnknownKey));
        assert_eq!(TicketPublicKeys::default().verify(&ticket), Err(TicketFault::UnknownKey));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let all = keys(&[&key(1)]);
        let ticket = URL_SAFE_NO_PAD.decode(key(1).issue(&call(), FINE, [9; 16])).unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut changed = ticket.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0 => TicketFault::Malformed,
                1..=KEY_ID_BYTES => TicketFault::UnknownKey,
                _ => TicketFault::Wrong,
            };
            assert_eq!(all.verify(&URL_SAFE_NO_PAD.encode(changed)), Err(expected), "{bit}");
        }
    }

    #[test]
    fn what_is_no_ticket_is_malformed() {
        let all = keys(&[&key(1)]);
        let ticket = key(1).issue(&call(), FINE, [9; 16]);
        let (_, short) = ticket.split_at(1);
        let (long, padded) = (format!("{ticket}A"), format!("{}==", ticket.split_at(172).0));
        let mut loose = ticket.clone();
        // 130 bytes leave four bits of the last character unused; they must be zero.
        let last = loose.pop().unwrap();
        let next = char::from(u8::try_from(u32::from(last)).unwrap() + 1);
        loose.push(next);
        let standard = format!("+{short}");
        for text in ["", "A", short, &long, &padded, &loose, &standard, &"é".repeat(87)] {
            assert_eq!(all.verify(text), Err(TicketFault::Malformed), "{text}");
        }
    }

    #[test]
    fn a_signature_over_the_bare_body_is_none() {
        let ticket = URL_SAFE_NO_PAD.decode(key(1).issue(&call(), FINE, [9; 16])).unwrap();
        let (body, _) = ticket.split_at(BODY_BYTES);
        let bare = [body, key(1).pair.sign(body).as_ref()].concat();
        let verified = keys(&[&key(1)]).verify(&URL_SAFE_NO_PAD.encode(bare));
        assert_eq!(verified, Err(TicketFault::Wrong));
    }

    #[test]
    fn keys_are_32_bytes_in_base64_and_stand_once() {
        let public = key(1).public();
        assert_eq!(TicketPublicKey::parse(&public.to_base64()), Ok(public));
        assert_eq!(public.id().hex().len(), 16);
        let [short, long] = [31, 33].map(|bytes| STANDARD.encode(vec![0; bytes]));
        let spaced = format!("{} ", public.to_base64());
        for text in ["", "x", &short, &long, &"A".repeat(43), &spaced] {
            assert_eq!(TicketPublicKey::parse(text), Err(TicketKeyError), "{text}");
        }
        assert_eq!(TicketPublicKeys::new(vec![public, public]), None);
        let many = (0..5).map(|first| key(first).public()).collect::<Vec<_>>();
        assert!(TicketPublicKeys::new(many.clone()).is_none());
        assert!(TicketPublicKeys::new(many[..limit::TICKET_KEYS_MAX].to_vec()).is_some());
    }
}
