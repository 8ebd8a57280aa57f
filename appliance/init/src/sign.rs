//! `sign`: answers signature requests for TLS handshakes of this host, and nothing else.
//!
//! What it is asked to sign must have the shape of a handshake's own text; a request for anything else,
//! in any other scheme, or too long, gets an empty answer. It keeps the key and no message.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::control::receive;
use ward_edge::handed::{Handed, read_document};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::signing::{Hello, Request, SCHEMES};
use ward_edge::start::{StartError, exit_code};
use ward_edge::worker::start_beside;
use ward_policy::audit::{Event, Role};
use ward_policy::limit;
use ward_sys::process::leave;

/// Runs the role until its launcher ends it.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments))
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    let sink = handed.log.take().ok_or(StartError::Handed)?;
    let log = Log::new(Role::Sign, Clock::start(), sink);
    install(Strategy::Abort, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    let entered = cell::enter(Role::Sign, target, &handed, &[], &log)?;
    let pem = read_document(handed.tls_key.take(), "tls-key").map_err(|_pem| StartError::Tls)?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes());
    drop(pem);
    let key = rustls::crypto::ring::sign::any_supported_type(&key.map_err(|_key| StartError::Tls)?);
    let key = key.map_err(|_key| StartError::Tls)?;
    let hello = hello(key.as_ref()).ok_or(StartError::Tls)?.to_bytes();
    let control = handed.control.take().ok_or(StartError::Handed)?;
    let queue = Arc::new(Queue::default());
    handed.sign.into_iter().for_each(|channel| queue.put(channel));
    let workers = u16::try_from(handed.workers).map_err(|_count| StartError::Handed)?;
    let sealed = Arc::new(Barrier::new(handed.workers.saturating_add(1)));
    for _ in 0..workers {
        let (key, hello, queue) = (Arc::clone(&key), hello.clone(), Arc::clone(&queue));
        let gate = Arc::clone(&sealed);
        start_beside("channel", move || {
            gate.wait();
            loop {
                serve(&queue.take(), key.as_ref(), &hello);
            }
        })?;
    }
    entered.seal(&log)?;
    log.record(&Event::Started { workers });
    // Only now is anything said or signed.
    sealed.wait();
    // A server that is started again has other channels. The end of this one is the supervisor's, and ours.
    while let Ok(channel) = receive(control.as_fd()) {
        channel.into_iter().for_each(|channel| queue.put(channel));
    }
    leave(0)
}

/// Channels that no thread serves yet.
#[derive(Default)]
struct Queue {
    channels: Mutex<VecDeque<OwnedFd>>,
    more: Condvar,
}

impl Queue {
    fn put(&self, channel: OwnedFd) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).push_back(channel);
        self.more.notify_one();
    }

    fn take(&self) -> OwnedFd {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(channel) = channels.pop_front() {
                return channel;
            }
            channels = self.more.wait(channels).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the server must know of the key: enough to choose a scheme and to compare it with a certificate.
fn hello(key: &dyn SigningKey) -> Option<Hello> {
    let schemes = SCHEMES.iter().copied().filter(|scheme| key.choose_scheme(&[*scheme]).is_some());
    let public_key = key.public_key()?.to_vec();
    Some(Hello { algorithm: key.algorithm(), schemes: schemes.collect(), public_key })
}

/// One server's channel, until the server is gone.
fn serve(channel: &OwnedFd, key: &dyn SigningKey, hello: &[u8]) {
    let mut buffer = [0; limit::SIGN_MESSAGE_BYTES_MAX];
    loop {
        let length = match recv(channel, &mut buffer, RecvFlags::TRUNC) {
            Ok((_, length)) => length,
            Err(Errno::INTR) => continue,
            Err(_broken) => return,
        };
        // Longer than the buffer: it was cut, and is no request of a handshake anyway.
        let request = buffer.get(..length).and_then(Request::parse);
        let number = request.as_ref().map_or(0, |request| request.number);
        let answer = match request {
            Some(Request { scheme: Request::HELLO, .. }) => hello.to_vec(),
            Some(request) => sign(key, &request).unwrap_or_default(),
            None => Vec::new(),
        };
        let answer = [&number.to_be_bytes()[..], &answer].concat();
        // An empty message and the end look alike; only a server that is gone cannot be answered.
        if send(channel, &answer, SendFlags::NOSIGNAL).is_err() {
            return;
        }
    }
}

fn sign(key: &dyn SigningKey, request: &Request<'_>) -> Option<Vec<u8>> {
    if !is_handshake(request.message) {
        return None;
    }
    let signer = key.choose_scheme(&[SignatureScheme::from(request.scheme)])?;
    signer.sign(request.message).ok()
}

/// Whether `message` is what a TLS server signs: RFC 8446 §4.4.3, or RFC 8422 §5.4 in TLS 1.2.
fn is_handshake(message: &[u8]) -> bool {
    is_certificate_verify(message) || is_key_exchange(message)
}

fn is_certificate_verify(message: &[u8]) -> bool {
    const CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
    let Some((padding, rest)) = message.split_at_checked(64) else { return false };
    let hash = rest.strip_prefix(CONTEXT);
    // SHA-256 and SHA-384: the hashes of the suites there are.
    padding.iter().all(|byte| *byte == b' ')
        && hash.is_some_and(|hash| matches!(hash.len(), 32 | 48))
}

fn is_key_exchange(message: &[u8]) -> bool {
    // Two randoms of 32 bytes, then a named curve and a point with its length.
    let Some((_randoms, params)) = message.split_at_checked(64) else { return false };
    let [3, high, low, length, point @ ..] = params else { return false };
    let (expected, is_plain) = match u16::from_be_bytes([*high, *low]) {
        0x001d => (32, true),                      // x25519
        0x0017 => (65, point.first() == Some(&4)), // secp256r1, uncompressed
        0x0018 => (97, point.first() == Some(&4)), // secp384r1, uncompressed
        _ => return false,
    };
    is_plain && usize::from(*length) == expected && point.len() == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(hash: usize) -> Vec<u8> {
        let mut message = vec![b' '; 64];
        message.extend_from_slice(b"TLS 1.3, server CertificateVerify\0");
        message.resize(message.len() + hash, 7);
        message
    }

    fn exchange(group: u16, point: u8) -> Vec<u8> {
        let [high, low] = group.to_be_bytes();
        let mut message = vec![9; 64];
        message.extend_from_slice(&[3, high, low, point]);
        message.resize(message.len() + usize::from(point), 4);
        message
    }

    #[test]
    fn only_the_text_of_a_handshake_is_signed() {
        for message in
            [verify(32), verify(48), exchange(0x1d, 32), exchange(0x17, 65), exchange(0x18, 97)]
        {
            assert!(is_handshake(&message), "{message:?}");
        }
        let client = b"TLS 1.3, client CertificateVerify\0";
        let mut other = verify(32);
        other[64..64 + client.len()].copy_from_slice(client);
        let mut padded = verify(32);
        padded[3] = b'x';
        let mut compressed = exchange(0x17, 65);
        compressed[68] = 2;
        let mut longer = exchange(0x1d, 32);
        longer.push(0);
        for message in [
            Vec::new(),
            b"a certificate request, say".to_vec(),
            vec![b' '; 64],
            verify(0),
            verify(20),
            verify(64),
            other,
            padded,
            exchange(0x1d, 65),
            exchange(0x1e, 32),
            longer,
            compressed,
            vec![0; 200],
        ] {
            assert!(!is_handshake(&message), "{message:?}");
        }
    }
}
