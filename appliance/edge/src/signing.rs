//! The server's end of the `sign` role: a key that signs elsewhere, with a deadline.
//!
//! One channel a worker, so that nobody waits for another's answer. It never holds the private key, and
//! never blocks for longer than [`limit::SIGN_DEADLINE`].

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use ward_policy::audit::Event;
use ward_policy::fault::SigningFault;
use ward_policy::{limit, tls};

use crate::allowance::Allowance;
use crate::clock::Clock;
use crate::log::Log;

/// The schemes that a key may have, best first: the policy's.
pub fn schemes() -> impl Iterator<Item = SignatureScheme> {
    tls::SCHEMES.into_iter().map(SignatureScheme::from)
}

/// Which of the keys of `sign` is meant: the first eight bytes of the SHA-256 of its public key, as that stands in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// No key has it: a question after it is answered by a refusal.
    pub const NONE: Self = Self([0; 8]);

    /// The id of a public key.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        let digest = digest(&SHA256, public_key);
        digest.as_ref().first_chunk().map_or(Self::NONE, |first| Self(*first))
    }
}

/// What `sign` answers to [`Request::HELLO`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The key's kind.
    pub algorithm: SignatureAlgorithm,
    /// What it can sign with, best first.
    pub schemes: Vec<SignatureScheme>,
    /// The public key, as it stands in a certificate.
    pub public_key: Vec<u8>,
}

impl Hello {
    /// One byte for the kind, one for the number of schemes, two for each, then the public key.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.algorithm)];
        bytes.push(u8::try_from(self.schemes.len()).unwrap_or(u8::MAX));
        for scheme in &self.schemes {
            bytes.extend(u16::from(*scheme).to_be_bytes());
        }
        bytes.extend(&self.public_key);
        bytes
    }

    /// Parses what [`Self::to_bytes`] makes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [algorithm, count, rest @ ..] = bytes else { return None };
        let (schemes, public_key) = rest.split_at_checked(usize::from(*count).checked_mul(2)?)?;
        let schemes = schemes.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
        let schemes: Vec<_> =
            schemes.map(|pair| SignatureScheme::from(u16::from_be_bytes(pair))).collect();
        let is_whole = !schemes.is_empty() && !public_key.is_empty();
        is_whole.then(|| Self {
            algorithm: SignatureAlgorithm::from(*algorithm),
            schemes,
            public_key: public_key.to_vec(),
        })
    }
}

/// One request: eight bytes of number, eight of the key's id, two of scheme, the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'m> {
    /// Comes back with the answer, so that a late one is not taken for the next.
    pub number: u64,
    /// Which key.
    pub key: KeyId,
    /// The scheme, as TLS numbers it.
    pub scheme: u16,
    /// What is to be signed.
    pub message: &'m [u8],
}

impl<'m> Request<'m> {
    /// The scheme, reserved by TLS, of a request for what the key is.
    pub const HELLO: u16 = 0;

    /// Parses a request.
    #[must_use]
    pub fn parse(bytes: &'m [u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        let (scheme, message) = rest.split_first_chunk::<2>()?;
        let (number, scheme) = (u64::from_be_bytes(*number), u16::from_be_bytes(*scheme));
        Some(Self { number, key: KeyId(*key), scheme, message })
    }

    /// The request as it is sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (number, scheme) = (self.number.to_be_bytes(), self.scheme.to_be_bytes());
        [&number[..], &self.key.0, &scheme, self.message].concat()
    }
}

/// A key in another process.
pub struct RemoteKey {
    id: KeyId,
    hello: Hello,
    channels: Arc<Channels>,
}

/// The channels to the process that has the keys.
#[derive(Clone)]
pub struct SignChannels {
    channels: Arc<Channels>,
    /// What it said of the key that it was asked for first.
    first: Option<(KeyId, Hello)>,
}

/// The key cannot be used: its process did not say what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing process said nothing that can be used")]
pub struct RemoteKeyError;

impl SignChannels {
    /// Takes the channels and asks on each what the key is; without one, whether somebody is there.
    ///
    /// # Errors
    /// [`RemoteKeyError`] when a channel ends, nothing is said in time, or something else.
    pub fn new(
        channels: Vec<OwnedFd>,
        key: Option<KeyId>,
        clock: Clock,
        log: Log,
    ) -> Result<Self, RemoteKeyError> {
        // Whoever had these channels before may have left answers in them: numbers begin anywhere.
        let mut first = [0; 8];
        SystemRandom::new().fill(&mut first).map_err(|_random| RemoteKeyError)?;
        let mut hello = None;
        let mut free = Vec::with_capacity(channels.len());
        for socket in channels {
            let mut channel = Channel { socket, number: u64::from_be_bytes(first) };
            channel.patience(limit::SIGN_START_DEADLINE)?;
            let id = key.unwrap_or(KeyId::NONE);
            let said = channel.ask(id, Request::HELLO, &[], clock, limit::SIGN_START_DEADLINE);
            match said {
                // Somebody is there, and has no such key: whoever wants it is told when it asks.
                Err(SigningFault::Refused) => {}
                said => {
                    let said = said.map_err(|_fault| RemoteKeyError)?;
                    let said = Hello::parse(&said).ok_or(RemoteKeyError)?;
                    if hello.as_ref().is_some_and(|(_, first)| *first != said) {
                        return Err(RemoteKeyError);
                    }
                    hello = Some((id, said));
                }
            }
            channel.patience(limit::SIGN_DEADLINE)?;
            free.push(channel);
        }
        let workers = u64::try_from(free.len()).unwrap_or(1);
        let each = |most: u32| workers.saturating_mul(u64::from(most));
        let allowance = Allowance::new(
            each(limit::HANDSHAKES_BURST_MAX),
            each(limit::HANDSHAKES_PER_SECOND_MAX),
            clock.now(),
        );
        let channels = Channels {
            free: Mutex::new(free),
            allowance: Mutex::new(allowance),
            rest: Mutex::default(),
            clock,
            log,
        };
        Ok(Self { channels: Arc::new(channels), first: hello })
    }

    /// The key called `id`, if the process that has the keys says that it has it.
    ///
    /// # Errors
    /// [`RemoteKeyError`] when it does not, or says nothing in time.
    pub fn key(&self, id: KeyId) -> Result<RemoteKey, RemoteKeyError> {
        let known = self.first.as_ref().filter(|(first, _)| *first == id);
        let hello = match known {
            Some((_, hello)) => hello.clone(),
            None => {
                let said = self.channels.ask(id, Request::HELLO, &[]);
                let said = said.map_err(|_fault| RemoteKeyError)?;
                Hello::parse(&said).ok_or(RemoteKeyError)?
            }
        };
        Ok(RemoteKey { id, hello, channels: Arc::clone(&self.channels) })
    }
}

impl fmt::Debug for SignChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignChannels(…)")
    }
}

impl fmt::Debug for RemoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteKey(…)")
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = self.hello.schemes.iter().copied().find(|scheme| offered.contains(scheme))?;
        let channels = Arc::clone(&self.channels);
        Some(Box::new(RemoteSigner { id: self.id, scheme, channels }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.hello.public_key.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.hello.algorithm
    }
}

struct RemoteSigner {
    id: KeyId,
    scheme: SignatureScheme,
    channels: Arc<Channels>,
}

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteSigner(…)")
    }
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.channels.sign(self.id, self.scheme, message).map_err(|reason| {
            self.channels.log.record(&Event::SigningFailed { reason });
            Error::General(reason.code().to_owned())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

struct Channels {
    free: Mutex<Vec<Channel>>,
    allowance: Mutex<Allowance>,
    rest: Mutex<Rest>,
    clock: Clock,
    log: Log,
}

struct Channel {
    socket: OwnedFd,
    number: u64,
}

impl Channels {
    fn sign(
        &self,
        key: KeyId,
        scheme: SignatureScheme,
        message: &[u8],
    ) -> Result<Vec<u8>, SigningFault> {
        if !self.allowance.lock().unwrap_or_else(PoisonError::into_inner).allows(self.clock.now()) {
            return Err(SigningFault::Limited);
        }
        self.ask(key, u16::from(scheme), message)
    }

    fn ask(&self, key: KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, SigningFault> {
        let rest = || self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if rest().until > self.clock.now() {
            return Err(SigningFault::Late);
        }
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // One channel more than there are workers, and each thread asks one thing at a time: without one, its other
        // end is gone.
        let mut channel = free().pop().ok_or(SigningFault::Gone)?;
        let answer = channel.ask(key, scheme, message, self.clock, limit::SIGN_DEADLINE);
        rest().note(matches!(answer, Err(SigningFault::Late)), self.clock.now());
        if !matches!(answer, Err(SigningFault::Gone)) {
            free().push(channel);
        }
        answer
    }
}

impl Channel {
    /// How long a read waits.
    fn patience(&self, patience: Duration) -> Result<(), RemoteKeyError> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(patience))
            .map_err(|_system| RemoteKeyError)
    }

    fn ask(
        &mut self,
        key: KeyId,
        scheme: u16,
        message: &[u8],
        clock: Clock,
        patience: Duration,
    ) -> Result<Vec<u8>, SigningFault> {
        let until = clock.now().saturating_add(patience);
        self.number = self.number.wrapping_add(1);
        let request = Request { number: self.number, key, scheme, message }.to_bytes();
        // A process that has stopped reading must not stop this one.
        match send(&self.socket, &request, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Err(SigningFault::Late),
            Err(_gone) => return Err(SigningFault::Gone),
        }
        let mut buffer = [0; limit::SIGN_MESSAGE_BYTES_MAX];
        // What is there already answers earlier questions, which nobody waits for any more.
        loop {
            let (_, length) = match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok(received) => received,
                Err(Errno::INTR) if clock.now() < until => continue,
                Err(Errno::AGAIN | Errno::INTR) => return Err(SigningFault::Late),
                Err(_gone) => return Err(SigningFault::Gone),
            };
            let answer = buffer.get(..length).and_then(<[u8]>::split_first_chunk::<8>);
            let Some((number, signature)) = answer else { return Err(SigningFault::Gone) };
            if u64::from_be_bytes(*number) == self.number {
                let is_signed = !signature.is_empty();
                return if is_signed { Ok(signature.to_vec()) } else { Err(SigningFault::Refused) };
            }
            if clock.now() >= until {
                return Err(SigningFault::Late);
            }
        }
    }
}

/// Spares the workers: after a few late answers in a row nobody is asked for a while.
#[derive(Debug, Default)]
struct Rest {
    late_in_a_row: u32,
    until: Duration,
}

impl Rest {
    fn note(&mut self, is_late: bool, now: Duration) {
        self.late_in_a_row = if is_late { self.late_in_a_row.saturating_add(1) } else { 0 };
        if self.late_in_a_row >= limit::SIGN_LATE_IN_A_ROW_MAX {
            self.late_in_a_row = 0;
            self.until = now.saturating_add(limit::SIGN_REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    const ID: KeyId = KeyId([7; 8]);

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn said() -> Hello {
        Hello {
            algorithm: SignatureAlgorithm::ECDSA,
            schemes: vec![SignatureScheme::ECDSA_NISTP256_SHA256],
            public_key: vec![1, 2, 3],
        }
    }

    fn key() -> (RemoteKey, OwnedFd) {
        let (ours, theirs) = pair();
        let (_reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(ward_policy::audit::Role::Media, Clock::start(), writer.into());
        let clock = Clock::start();
        let playing = std::thread::spawn(move || {
            let mut buffer = [0; 100];
            let (_, length) = recv(&theirs, &mut buffer, RecvFlags::empty()).unwrap();
            let request = Request::parse(&buffer[..length]).unwrap();
            assert_eq!((request.scheme, request.message), (Request::HELLO, &b""[..]));
            // An answer to somebody who had the channel before.
            let old = request.number.wrapping_sub(5).to_be_bytes();
            send(&theirs, &[&old[..], b"old"].concat(), SendFlags::NOSIGNAL).unwrap();
            let answer = [&request.number.to_be_bytes()[..], &said().to_bytes()].concat();
            send(&theirs, &answer, SendFlags::NOSIGNAL).unwrap();
            theirs
        });
        let channels = SignChannels::new(vec![ours], Some(ID), clock, log).unwrap();
        let key = channels.key(ID).unwrap();
        (key, playing.join().unwrap())
    }

    /// Signs while `other` plays the signing process.
    fn check(
        other: impl FnOnce(OwnedFd) -> Option<OwnedFd> + Send + 'static,
    ) -> Result<Vec<u8>, String> {
        let (key, theirs) = key();
        let playing = std::thread::spawn(move || other(theirs));
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        let signed = signer.sign(b"text").map_err(|error| error.to_string());
        drop(playing.join().unwrap());
        signed
    }

    fn request(theirs: &OwnedFd) -> u64 {
        let mut buffer = [0; 100];
        let (_, length) = recv(theirs, &mut buffer, RecvFlags::empty()).unwrap();
        let request = Request::parse(&buffer[..length]).unwrap();
        assert_eq!((request.scheme, request.message), (0x0403, &b"text"[..]));
        request.number
    }

    #[tokio::test(start_paused = true)]
    async fn a_signature_comes_back_and_a_late_one_is_passed_over() {
        let signed = check(|theirs| {
            let number = request(&theirs);
            let late = [&(number.wrapping_sub(1)).to_be_bytes()[..], b"old"].concat();
            send(&theirs, &late, SendFlags::NOSIGNAL).unwrap();
            let right = [&number.to_be_bytes()[..], b"signature"].concat();
            send(&theirs, &right, SendFlags::NOSIGNAL).unwrap();
            Some(theirs)
        });
        assert_eq!(signed, Ok(b"signature".to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_refusal_and_absence_are_told_apart() {
        let silent = check(Some).unwrap_err();
        assert!(silent.contains("signing_late"), "{silent}");
        let refused = check(|theirs| {
            let number = request(&theirs);
            send(&theirs, &number.to_be_bytes(), SendFlags::NOSIGNAL).unwrap();
            Some(theirs)
        });
        assert!(refused.unwrap_err().contains("signing_refused"));
        let gone = check(|_theirs| None).unwrap_err();
        assert!(gone.contains("signing_gone"), "{gone}");
    }

    #[test]
    fn after_late_answers_in_a_row_nobody_is_asked_for_a_while() {
        let mut rest = Rest::default();
        let second = Duration::from_secs(1);
        for _ in 1..limit::SIGN_LATE_IN_A_ROW_MAX {
            rest.note(true, second);
        }
        rest.note(false, second);
        assert_eq!(rest.until, Duration::ZERO, "one answer in time begins anew");
        (0..limit::SIGN_LATE_IN_A_ROW_MAX).for_each(|_| rest.note(true, second));
        assert_eq!(rest.until, second + limit::SIGN_REST);
    }

    #[test]
    fn what_is_said_first_is_parsed_whole_or_not_at_all() {
        let bytes = said().to_bytes();
        assert_eq!(Hello::parse(&bytes), Some(said()));
        for length in 0..bytes.len() - 2 {
            assert_eq!(Hello::parse(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Request::parse(&[0; 9]), None);
    }
}
