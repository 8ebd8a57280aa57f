//! The keys of `sign`: the operator's one, or those that it makes itself for the names that it was told.
//!
//! What it makes never leaves it but sealed, into its own place. An authority is shown requests and challenges for those names and no
//! others; whoever orders them chooses no name, no key and no word of either.

use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::sign::SigningKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use ward_edge::kept::{Kept, KeptError};
use ward_edge::order::{KEPT, Made, Order, is_name};
use ward_edge::signing::{Hello, KeyId, schemes};
use ward_edge::start::StartError;
use ward_edge::tls::provider;
use ward_policy::limit;
use ward_policy::phi::Secret;

/// One key, and what is said of it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) key: Arc<dyn SigningKey>,
    pub(crate) hello: Arc<[u8]>,
}

impl Key {
    /// `None` when it is of no kind that is used here.
    pub(crate) fn new(der: PrivateKeyDer<'static>) -> Option<Self> {
        let key = provider().key_provider.load_private_key(der).ok()?;
        let schemes = schemes().filter(|scheme| key.choose_scheme(&[*scheme]).is_some());
        let public_key = key.public_key()?.to_vec();
        let id = KeyId::of(&public_key);
        let schemes = schemes.collect();
        let hello = Hello { algorithm: key.algorithm(), schemes, public_key }.to_bytes();
        Some(Self { id, key, hello: hello.into() })
    }
}

/// A key that was made here, in the form in which it is kept.
#[derive(Clone)]
struct OwnKey {
    key: Key,
    der: Arc<Secret<Vec<u8>>>,
}

impl OwnKey {
    fn new(der: Vec<u8>) -> Option<Self> {
        let der = Secret::new(der);
        let pkcs8 = PrivatePkcs8KeyDer::from(der.expose().clone());
        Some(Self { key: Key::new(pkcs8.into())?, der: Arc::new(der) })
    }

    fn pair(&self) -> Option<KeyPair> {
        let pkcs8 = PrivatePkcs8KeyDer::from(self.der.expose().clone());
        KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ECDSA_P256_SHA256).ok()
    }
}

/// Every key there is.
pub(crate) struct Keys {
    /// The operator's own, the newest last; the one before it may still be in use.
    given: RwLock<Vec<Key>>,
    workshop: Option<Workshop>,
}

/// Where keys are made.
struct Workshop {
    names: Vec<String>,
    kept: Kept,
    made: RwLock<MadeKeys>,
}

struct MadeKeys {
    /// For challenges, for as long as this process lives: worth nothing to anyone else.
    challenge: OwnKey,
    /// The newest last; the one before it may still be in use.
    certificate: Vec<OwnKey>,
    /// The one that was ordered last, until its certificate is there.
    next: Option<OwnKey>,
}

/// The key in use and the one before it.
const KEYS_KEPT_MAX: usize = 2;

impl Keys {
    /// None yet: the operator's are [taken](Self::take) as they come.
    pub(crate) const fn of_operator() -> Self {
        Self { given: RwLock::new(Vec::new()), workshop: None }
    }

    /// Takes a key of the operator's. The one before it stays until the next: the server shows its certificate until it has the new one.
    pub(crate) fn take(&self, key: Key) {
        let mut given = self.given.write().unwrap_or_else(PoisonError::into_inner);
        given.retain(|known| known.id != key.id);
        given.push(key);
        let more = given.len().saturating_sub(KEYS_KEPT_MAX);
        given.drain(..more);
    }

    /// Keys for `names`, one a line; those that were kept are there again. True when what was kept cannot be opened.
    ///
    /// # Errors
    /// [`StartError::Settings`] when a name is none, [`StartError::System`] when the machine can make no key.
    pub(crate) fn for_names(names: &str, kept: Kept) -> Result<(Self, bool), StartError> {
        let names: Vec<String> = names.split_ascii_whitespace().map(str::to_owned).collect();
        let is_right = (1..=limit::CERTIFICATE_NAMES_MAX).contains(&names.len())
            && names.iter().all(|name| is_name(name));
        if !is_right {
            return Err(StartError::Settings);
        }
        let (certificate, is_unreadable) = match kept.load() {
            Ok(None) => (Vec::new(), false),
            Ok(Some(record)) => {
                read(record.expose()).map_or((Vec::new(), true), |all| (all, false))
            }
            Err(KeptError::System(_)) => return Err(StartError::System),
            Err(_unreadable) => (Vec::new(), true),
        };
        let challenge = make().ok_or(StartError::System)?;
        let made = RwLock::new(MadeKeys { challenge, certificate, next: None });
        let workshop = Some(Workshop { names, kept, made });
        Ok((Self { given: RwLock::default(), workshop }, is_unreadable))
    }

    /// The key called `id`.
    pub(crate) fn find(&self, id: KeyId) -> Option<Key> {
        let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(given) = given.iter().find(|given| given.id == id) {
            return Some(given.clone());
        }
        let made = &self.workshop.as_ref()?.made;
        let made = made.read().unwrap_or_else(PoisonError::into_inner);
        let all = made.certificate.iter().chain(&made.next).chain([&made.challenge]);
        all.map(|made| &made.key).find(|key| key.id == id).cloned()
    }

    /// What the broker ordered, or nothing.
    pub(crate) fn fill(&self, order: &Order) -> Option<Vec<u8>> {
        let workshop = self.workshop.as_ref()?;
        match order {
            Order::Request => workshop.request(),
            Order::Challenge { digest, name } => workshop.challenge(digest, name),
            Order::Keep(id) => workshop.keep(*id),
        }
    }
}

impl Workshop {
    fn request(&self) -> Option<Vec<u8>> {
        let next = make()?;
        let mut parameters = CertificateParams::new(self.names.clone()).ok()?;
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&next.pair()?).ok()?;
        let answer = Made { key: next.key.id, der: request.der().to_vec() }.to_bytes();
        self.made.write().unwrap_or_else(PoisonError::into_inner).next = Some(next);
        Some(answer)
    }

    fn challenge(&self, digest: &[u8; 32], name: &str) -> Option<Vec<u8>> {
        let known = self.names.iter().find(|known| known.as_str() == name)?;
        let mut parameters = CertificateParams::new(vec![known.clone()]).ok()?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        let certificate = parameters.self_signed(&made.challenge.pair()?).ok()?;
        let (key, der) = (made.challenge.key.id, certificate.der().to_vec());
        Some(Made { key, der }.to_bytes())
    }

    fn keep(&self, id: KeyId) -> Option<Vec<u8>> {
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = made.next.take_if(|next| next.key.id == id) {
            made.certificate.push(next);
            let more = made.certificate.len().saturating_sub(KEYS_KEPT_MAX);
            made.certificate.drain(..more);
            // What cannot be kept is made again after a restart; until then it serves. The broker's own record says so: both places are
            // on one disk.
            self.kept.store(write(&made.certificate).expose()).unwrap_or_default();
        }
        let is_there = made.certificate.iter().any(|made| made.key.id == id);
        is_there.then(|| KEPT.to_vec())
    }
}

/// A new key on P-256: what every telephone network takes, and quick to sign with.
fn make() -> Option<OwnKey> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).ok()?;
    let made = OwnKey::new(pair.serialize_der())?;
    debug_assert_eq!(made.key.id, KeyId::of(&pair.subject_public_key_info()), "one key");
    Some(made)
}

/// Two bytes of length, then the key, for each.
fn write(keys: &[OwnKey]) -> Secret<Vec<u8>> {
    let mut record = Secret::new(Vec::with_capacity(limit::KEPT_BYTES));
    for made in keys {
        let der = made.der.expose();
        let length = u16::try_from(der.len()).unwrap_or(u16::MAX);
        record.expose_mut().extend_from_slice(&length.to_be_bytes());
        record.expose_mut().extend_from_slice(der);
    }
    record
}

fn read(mut record: &[u8]) -> Option<Vec<OwnKey>> {
    let mut keys = Vec::new();
    while !record.is_empty() {
        let (length, rest) = record.split_first_chunk::<2>()?;
        let (der, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        record = rest;
        keys.push(OwnKey::new(der.to_vec())?);
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use std::os::fd::OwnedFd;
    use ward_policy::audit::Role;

    const NAMES: &str = "media.example.com\nvoice.example.com\n";

    fn place() -> OwnedFd {
        let place = memfd_create("kept", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&place, u64::try_from(limit::KEPT_BYTES).unwrap()).unwrap();
        place
    }

    fn keys(place: &OwnedFd, names: &str) -> Result<(Keys, bool), StartError> {
        let seal = Secret::new("5".repeat(64));
        let kept = Kept::new(place.try_clone().unwrap(), &seal, Role::Sign).unwrap();
        Keys::for_names(names, kept)
    }

    fn request(keys: &Keys) -> Made {
        Made::parse(&keys.fill(&Order::Request).unwrap()).unwrap()
    }

    fn has(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_request_is_for_the_names_and_a_new_key_each_time() {
        let (keys, is_unreadable) = keys(&place(), NAMES).unwrap();
        assert!(!is_unreadable);
        let (first, second) = (request(&keys), request(&keys));
        assert_ne!(first.key, second.key);
        assert!(has(&second.der, b"media.example.com") && has(&second.der, b"voice.example.com"));
        let key = keys.find(second.key).unwrap();
        let spki = key.key.public_key().unwrap();
        assert!(has(&second.der, &spki), "the request is for that key");
        assert!(keys.find(first.key).is_none(), "nobody has a certificate for it any more");
        assert!(keys.find(KeyId::NONE).is_none());
    }

    #[test]
    fn a_challenge_is_for_a_name_of_ours_alone() {
        let (keys, _) = keys(&place(), NAMES).unwrap();
        let order = |name: &str| Order::Challenge { digest: [0xd1; 32], name: name.to_owned() };
        let made = Made::parse(&keys.fill(&order("voice.example.com")).unwrap()).unwrap();
        let spki = keys.find(made.key).unwrap().key.public_key().unwrap().to_vec();
        let certificate = made.der;
        assert!(has(&certificate, &spki), "with the key that it is said to have");
        // id-pe-acmeIdentifier, critical, with the digest as an octet string in it (RFC 8737 §3).
        let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff];
        assert!(has(&certificate, &oid));
        assert!(has(&certificate, &[&[0x04, 0x20][..], &[0xd1; 32]].concat()));
        assert!(has(&certificate, b"voice.example.com") && !has(&certificate, b"media."));
        for name in ["other.example.com", "*.example.com", "", "VOICE.example.com"] {
            assert!(keys.fill(&order(name)).is_none(), "{name}");
        }
    }

    #[test]
    fn the_key_in_use_and_the_one_before_outlive_the_process() {
        let place = place();
        let (first, _) = keys(&place, NAMES).unwrap();
        let ids: Vec<KeyId> = (0..3)
            .map(|_| {
                let id = request(&first).key;
                assert_eq!(first.fill(&Order::Keep(id)).as_deref(), Some(KEPT));
                id
            })
            .collect();
        assert_eq!(first.fill(&Order::Keep(ids[2])).as_deref(), Some(KEPT), "said twice");
        assert!(first.fill(&Order::Keep(ids[0])).is_none(), "gone");
        let pending = request(&first).key;
        let (again, is_unreadable) = keys(&place, NAMES).unwrap();
        assert!(!is_unreadable);
        for (id, is_there) in [(ids[0], false), (ids[1], true), (ids[2], true), (pending, false)] {
            assert_eq!(again.find(id).is_some(), is_there, "{id:?}");
        }
        for half in [0, u64::try_from(limit::KEPT_BYTES / 2).unwrap()] {
            rustix::io::pwrite(&place, &[0xff; 8], half + 30).unwrap();
        }
        let (anew, is_unreadable) = keys(&place, NAMES).unwrap();
        assert!(is_unreadable && anew.find(ids[2]).is_none());
    }

    #[test]
    fn without_names_nothing_is_made_and_wrong_names_are_none() {
        let key = || {
            let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            Key::new(PrivatePkcs8KeyDer::from(pair.serialize_der()).into()).unwrap()
        };
        let given = Keys::of_operator();
        let keys_given = [key(), key(), key()];
        for (number, key) in keys_given.iter().enumerate() {
            given.take(key.clone());
            given.take(key.clone());
            let there = keys_given.iter().map(|key| given.find(key.id).is_some());
            let expected = (0..3).map(|other| other <= number && number - other < 2);
            assert!(there.eq(expected), "it and the one before, also when it is said twice");
        }
        let id = keys_given[2].id;
        let challenge = Order::Challenge { digest: [0; 32], name: "media.example.com".to_owned() };
        for order in [Order::Request, challenge, Order::Keep(id)] {
            assert!(given.fill(&order).is_none(), "{order:?}");
        }
        let many = "a.b ".repeat(limit::CERTIFICATE_NAMES_MAX + 1);
        for names in ["", "*.example.com", "a.example.com B.example.com", &many] {
            assert_eq!(keys(&place(), names).err(), Some(StartError::Settings), "{names}");
        }
    }
}
