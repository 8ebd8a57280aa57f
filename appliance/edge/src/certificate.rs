//! Which certificate a server shows, at every handshake anew; and the broker's or the operator's word that it should be another.
//!
//! The keys are `sign`'s. A certificate is used only once `sign` has said that it has its key, and only then is the broker answered: so an
//! authority is told to look after the server answers, never before. Connections that are there already notice nothing.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ward_policy::audit::{Event, Finding};
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::CertificateFault;
use ward_policy::limit;
use ward_policy::tls::ALPN_ACME;

use crate::clock::Clock;
use crate::following::follow;
use crate::handed::Handed;
use crate::instruction::{Instruction, Taken};
use crate::log::Log;
use crate::signing::{KeyId, SignChannels};
use crate::start::StartError;
use crate::worker::start_beside;

/// What a server shows.
pub struct Certificates {
    shown: RwLock<Shown>,
    answers_challenges: bool,
}

#[derive(Default)]
struct Shown {
    current: Option<Arc<CertifiedKey>>,
    challenges: Vec<(String, Arc<CertifiedKey>)>,
}

impl Certificates {
    /// Nothing to show yet.
    #[must_use]
    pub fn new(answers_challenges: bool) -> Self {
        Self { shown: RwLock::default(), answers_challenges }
    }

    /// This one, from the beginning.
    #[must_use]
    pub fn showing(certified: CertifiedKey) -> Self {
        let certificates = Self::new(false);
        certificates.change(|shown| shown.current = Some(Arc::new(certified)));
        certificates
    }

    /// Whether an authority that checks a name may get an answer.
    #[must_use]
    pub const fn answers_challenges(&self) -> bool {
        self.answers_challenges
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn choose(&self, is_authority: bool, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        if is_authority {
            let mut challenges = shown.challenges.iter();
            let found = challenges.find(|(known, _)| Some(known.as_str()) == name);
            return found.map(|(_, key)| Arc::clone(key));
        }
        shown.current.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 §3: an authority that checks a name offers this word and no other.
        let mut words = hello.alpn().into_iter().flatten();
        let is_authority = words.next() == Some(ALPN_ACME) && words.next().is_none();
        self.choose(is_authority, hello.server_name())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

/// Takes what was handed down: a document that may be replaced, or a channel over which the broker will say.
///
/// # Errors
/// [`StartError::Tls`] when the documents are unusable, [`StartError::Settings`] when such a source has no place on this machine,
/// [`StartError::System`] when `sign` says nothing; [`StartError::Handed`].
pub fn certificates(
    handed: &mut Handed,
    target: Target,
    clock: Clock,
    log: &Log,
) -> Result<Arc<Certificates>, StartError> {
    // Without any there is nothing to speak TLS with.
    let source = handed.certificate.ok_or(StartError::Tls)?;
    let channels = std::mem::take(&mut handed.sign);
    if source == CertificateSource::DevelopmentCa {
        // A telephone network would not come, and an operator would not know why.
        if target == Target::Image {
            return Err(StartError::Settings);
        }
        log.record(&Event::Finding { finding: Finding::DevelopmentCa });
    }
    if source == CertificateSource::Acme {
        let channel = handed.instructions.take().ok_or(StartError::Handed)?;
        // A `sign` that says nothing may do so later: it is started again, and so is this.
        let sign = SignChannels::new(channels, None, clock, log.clone());
        let sign = sign.map_err(|_silent| StartError::System)?;
        let certificates = Arc::new(Certificates::new(true));
        let shown = Arc::clone(&certificates);
        let follower = Follower { certificates: shown, sign, source, log: log.clone() };
        start_beside("certificate", move || follower.follow(&channel))?;
        return Ok(certificates);
    }
    let chain = handed.tls_chain.take().ok_or(StartError::Tls)?;
    let sign = SignChannels::new(channels, None, clock, log.clone());
    let sign = sign.map_err(|_silent| StartError::System)?;
    let certificates = Arc::new(Certificates::new(false));
    let shown = Arc::clone(&certificates);
    let follower = Follower { certificates: shown, sign, source, log: log.clone() };
    // The first one now, and each that takes its place while this process lives.
    let following = follow(chain, move |pem| follower.take_pem(pem.expose()));
    following.map_err(|error| match error {
        StartError::Settings => StartError::Tls,
        other => other,
    })?;
    Ok(certificates)
}

fn key_of(chain: &[CertificateDer<'static>]) -> Option<KeyId> {
    let leaf = ParsedCertificate::try_from(chain.first()?).ok()?;
    Some(KeyId::of(&leaf.subject_public_key_info()))
}

/// The chain with its key, which `sign` must have.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    sign: &SignChannels,
) -> Result<Arc<CertifiedKey>, CertificateFault> {
    let key = key_of(&chain).ok_or(CertificateFault::Garbage)?;
    let key = sign.key(key).map_err(|_silent| CertificateFault::NoKey)?;
    let certified = CertifiedKey::new(chain, Arc::new(key));
    certified.keys_match().map_err(|_keys| CertificateFault::NoKey)?;
    Ok(Arc::new(certified))
}

/// A challenge's certificate with its key. It has a critical extension that the library does not know, so it is not read: that the key
/// stands in it is enough, since whoever looks at it believes nothing else of it.
fn for_challenge(
    certificate: CertificateDer<'static>,
    key: KeyId,
    sign: &SignChannels,
) -> Result<Arc<CertifiedKey>, CertificateFault> {
    let key = sign.key(key).map_err(|_silent| CertificateFault::NoKey)?;
    let public_key = key.public_key().ok_or(CertificateFault::NoKey)?;
    let mut parts = certificate.windows(public_key.len().max(1));
    if !parts.any(|part| part == public_key.as_ref()) {
        return Err(CertificateFault::Garbage);
    }
    Ok(Arc::new(CertifiedKey::new(vec![certificate], Arc::new(key))))
}

/// Goes by what the broker or the operator says, for as long as this process lives.
struct Follower {
    certificates: Arc<Certificates>,
    sign: SignChannels,
    source: CertificateSource,
    log: Log,
}

impl Follower {
    fn follow(&self, channel: &OwnedFd) {
        let mut buffer = vec![0; limit::CERTIFICATE_MESSAGE_BYTES_MAX];
        loop {
            let length = match recv(channel, &mut buffer[..], RecvFlags::TRUNC) {
                Ok((_, 0)) => return,
                Ok((_, length)) => length,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(_broken) => return,
            };
            // Longer than the buffer: it was cut, and is no instruction.
            let said = buffer.get(..length).and_then(Instruction::parse);
            let (number, instruction) = said.unwrap_or((0, None));
            let outcome = self.take(instruction);
            if let Err(reason) = outcome {
                self.log.record(&Event::CertificateRefused { reason });
            }
            let taken = Taken { number, outcome }.to_bytes();
            // A broker that is gone is started again, and says again what it has said.
            send(channel, &taken, SendFlags::NOSIGNAL).map(drop).unwrap_or_default();
        }
    }

    /// Shows the chain in a document of the operator's. Its key is on its way to `sign`, which is asked again until it has it.
    fn take_pem(&self, pem: &str) -> bool {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let mut outcome = Err(CertificateFault::Garbage);
        if let Ok(chain) = chain {
            outcome = self.show(chain.clone());
            for _ in 1..limit::CERTIFICATE_TOLD_MAX {
                if outcome != Err(CertificateFault::NoKey) {
                    break;
                }
                // Nobody wakes this thread before its time, and no harm is done if somebody does.
                std::thread::park_timeout(limit::CERTIFICATE_TOLD_PAUSE);
                outcome = self.show(chain.clone());
            }
        }
        if let Err(reason) = outcome {
            self.log.record(&Event::CertificateRefused { reason });
        }
        outcome.is_ok()
    }

    fn show(&self, chain: Vec<CertificateDer<'static>>) -> Result<(), CertificateFault> {
        let certified = certified(chain, &self.sign)?;
        let mut is_new = true;
        self.certificates.change(|shown| {
            let before = shown.current.replace(Arc::clone(&certified));
            is_new = before.is_none_or(|before| before.cert != certified.cert);
        });
        if is_new {
            self.log.holds(CredentialKind::TlsKey, 1);
            self.log.record(&Event::CertificateSet { source: self.source });
        }
        Ok(())
    }

    fn take(&self, instruction: Option<Instruction>) -> Result<(), CertificateFault> {
        match instruction.ok_or(CertificateFault::Garbage)? {
            Instruction::Chain(chain) => self.show(chain)?,
            Instruction::Challenge { name, key, certificate } => {
                let certified = for_challenge(certificate, key, &self.sign)?;
                self.certificates.change(|shown| {
                    shown.challenges.retain(|(known, _)| *known != name);
                    shown.challenges.push((name, certified));
                    let more = shown.challenges.len().saturating_sub(limit::CERTIFICATE_NAMES_MAX);
                    shown.challenges.drain(..more);
                });
                self.log.record(&Event::ChallengeSet);
            }
            Instruction::NoChallenge => self.certificates.change(|shown| shown.challenges.clear()),
        }
        Ok(())
    }
}
