//! How the broker tells a server which certificate to show: the messages of their channel.
//!
//! Certificates are public; what matters is who is told when. A server answers each message once it goes by it, or why it does not.
//! Both sides take the other's messages for hostile: what has not the one right shape is no message.

use rustls_pki_types::CertificateDer;
use ward_policy::fault::CertificateFault;
use ward_policy::limit;

use crate::order::is_name;
use crate::signing::KeyId;

/// What the broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Show this chain from now on, leaf first.
    Chain(Vec<CertificateDer<'static>>),
    /// Show this to an authority that checks `name`.
    Challenge {
        /// Which name.
        name: String,
        /// The key of the certificate. It cannot be read out of one with a critical extension that no library knows.
        key: KeyId,
        /// The certificate for it.
        certificate: CertificateDer<'static>,
    },
    /// No name is checked any more.
    NoChallenge,
}

const CHAIN: u8 = 1;
const CHALLENGE: u8 = 2;
const NO_CHALLENGE: u8 = 3;

impl Instruction {
    /// Eight bytes of number, one of kind. Then how many certificates, or the key's id, the name's length and the name, where the kind has
    /// them; then for each certificate its length in four bytes and itself. `None` when it is too long.
    #[must_use]
    pub fn to_bytes(&self, number: u64) -> Option<Vec<u8>> {
        let mut bytes = number.to_be_bytes().to_vec();
        match self {
            Self::Chain(chain) => {
                bytes.push(CHAIN);
                bytes.push(u8::try_from(chain.len()).ok()?);
                for certificate in chain {
                    push(&mut bytes, certificate)?;
                }
            }
            Self::Challenge { name, key, certificate } => {
                bytes.push(CHALLENGE);
                bytes.extend_from_slice(&key.0);
                bytes.push(u8::try_from(name.len()).ok()?);
                bytes.extend_from_slice(name.as_bytes());
                push(&mut bytes, certificate)?;
            }
            Self::NoChallenge => bytes.push(NO_CHALLENGE),
        }
        (bytes.len() <= limit::CERTIFICATE_MESSAGE_BYTES_MAX).then_some(bytes)
    }

    /// Parses what [`Self::to_bytes`] makes: the number, and what is said if it can be understood.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(u64, Option<Self>)> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*number), Self::parse_body(rest)))
    }

    fn parse_body(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        match *kind {
            CHAIN => {
                let (count, more) = rest.split_first()?;
                rest = more;
                let count = usize::from(*count);
                if !(1..=limit::CERTIFICATE_CHAIN_MAX).contains(&count) {
                    return None;
                }
                let chain: Option<Vec<_>> = (0..count).map(|_| pop(&mut rest)).collect();
                rest.is_empty().then_some(Self::Chain(chain?))
            }
            CHALLENGE => {
                let (key, more) = rest.split_first_chunk::<8>()?;
                let (length, more) = more.split_first()?;
                let (name, more) = more.split_at_checked(usize::from(*length))?;
                rest = more;
                let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
                let certificate = pop(&mut rest)?;
                let (name, key) = (name.to_owned(), KeyId(*key));
                rest.is_empty().then_some(Self::Challenge { name, key, certificate })
            }
            NO_CHALLENGE if rest.is_empty() => Some(Self::NoChallenge),
            _ => None,
        }
    }
}

fn push(bytes: &mut Vec<u8>, certificate: &CertificateDer<'_>) -> Option<()> {
    bytes.extend_from_slice(&u32::try_from(certificate.len()).ok()?.to_be_bytes());
    bytes.extend_from_slice(certificate);
    Some(())
}

fn pop(bytes: &mut &[u8]) -> Option<CertificateDer<'static>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (certificate, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    (!certificate.is_empty()).then(|| CertificateDer::from(certificate.to_vec()))
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The instruction's.
    pub number: u64,
    /// Whether the server goes by it.
    pub outcome: Result<(), CertificateFault>,
}

impl Taken {
    /// Eight bytes of number, one of outcome: 0, or one more than the reason's place.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 9] {
        let place = |reason| CertificateFault::ALL.iter().position(|one| *one == reason);
        let outcome = match self.outcome {
            Ok(()) => 0,
            Err(reason) => u8::try_from(place(reason).unwrap_or_default())
                .unwrap_or_default()
                .saturating_add(1),
        };
        let mut bytes = [outcome; 9];
        for (slot, byte) in bytes.iter_mut().zip(self.number.to_be_bytes()) {
            *slot = byte;
        }
        bytes
    }

    /// Parses what [`Self::to_bytes`] makes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let [outcome] = rest else { return None };
        let outcome = match usize::from(*outcome).checked_sub(1) {
            None => Ok(()),
            Some(place) => Err(*CertificateFault::ALL.get(place)?),
        };
        Some(Self { number: u64::from_be_bytes(*number), outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(length: usize) -> CertificateDer<'static> {
        CertificateDer::from(vec![0x30; length])
    }

    #[test]
    fn an_instruction_is_understood_whole_or_not_at_all() {
        let name = "media.example.com".to_owned();
        for instruction in [
            Instruction::Chain(vec![certificate(900), certificate(1)]),
            Instruction::Challenge { name, key: KeyId([3; 8]), certificate: certificate(400) },
            Instruction::NoChallenge,
        ] {
            let bytes = instruction.to_bytes(7).unwrap();
            assert_eq!(Instruction::parse(&bytes), Some((7, Some(instruction))));
            // Cut anywhere or longer, it is known whose answer it wants, and nothing else.
            for cut in 8..bytes.len() {
                assert_eq!(Instruction::parse(&bytes[..cut]), Some((7, None)), "{cut}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Instruction::parse(&longer), Some((7, None)));
        }
        assert_eq!(Instruction::parse(&[0; 7]), None);
        let too_many = vec![certificate(1); limit::CERTIFICATE_CHAIN_MAX + 1];
        let bytes = Instruction::Chain(too_many).to_bytes(7).unwrap();
        assert_eq!(Instruction::parse(&bytes), Some((7, None)));
        let too_long = certificate(limit::CERTIFICATE_MESSAGE_BYTES_MAX);
        assert_eq!(Instruction::Chain(vec![too_long]).to_bytes(7), None);
    }

    #[test]
    fn an_answer_names_its_instruction_and_a_reason() {
        let reasons = CertificateFault::ALL.iter().map(|reason| Err(*reason));
        for outcome in reasons.chain([Ok(())]) {
            let taken = Taken { number: 9, outcome };
            assert_eq!(Taken::parse(&taken.to_bytes()), Some(taken));
        }
        for wrong in [&[0; 8][..], &[0; 10], &[9; 9]] {
            assert_eq!(Taken::parse(wrong), None);
        }
    }
}
