//! `sign`: answers signature requests for TLS handshakes of this host, and makes what an authority wants to see of it.
//!
//! What a server asks it to sign must have the shape of a handshake's own text; a request for anything else,
//! in any other scheme, or too long, gets an empty answer. What the broker may order is in `keys.rs`. Who asks what is decided by the
//! channel: a server can order nothing, and the broker have nothing signed. It keeps its keys and no message.

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
use ward_edge::control::{ORDERS, SERVERS, receive_named};
use ward_edge::following::follow;
use ward_edge::handed::{Handed, read_document};
use ward_edge::kept::Kept;
use ward_edge::log::Log;
use ward_edge::order::Order;
use ward_edge::panic::{Strategy, install};
use ward_edge::signing::Request;
use ward_edge::start::{StartError, exit_code};
use ward_edge::worker::start_beside;
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_sys::process::leave;

use crate::keys::{Key, Keys};

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
    let (keys, is_unreadable) = keys(&mut handed)?;
    let keys = Arc::new(keys);
    if let Some(source) = handed.tls_key.take() {
        let given = Arc::clone(&keys);
        let following = follow(source, move |pem| take_key(&given, pem));
        following.map_err(|error| match error {
            StartError::Settings => StartError::Tls,
            other => other,
        })?;
    }
    let control = handed.control.take().ok_or(StartError::Handed)?;
    let queue = Arc::new(Queue::default());
    handed.sign.into_iter().for_each(|channel| queue.put(Channel::Server(channel)));
    handed.orders.into_iter().for_each(|channel| queue.put(Channel::Broker(channel)));
    let workers = u16::try_from(handed.workers).map_err(|_count| StartError::Handed)?;
    let sealed = Arc::new(Barrier::new(handed.workers.saturating_add(1)));
    for _ in 0..workers {
        let (keys, queue, gate) = (Arc::clone(&keys), Arc::clone(&queue), Arc::clone(&sealed));
        start_beside("channel", move || {
            gate.wait();
            loop {
                match queue.take() {
                    Channel::Server(channel) => serve(&channel, |bytes| answer(&keys, bytes)),
                    Channel::Broker(channel) => serve(&channel, |bytes| fill(&keys, bytes)),
                }
            }
        })?;
    }
    entered.seal(&log)?;
    if is_unreadable {
        log.record(&Event::Finding { finding: Finding::AcmeKeptUnreadable });
    }
    log.record(&Event::Started { workers });
    // Only now is anything said or signed.
    sealed.wait();
    // A server or a broker that is started again has other channels. The end of this one is the supervisor's, and ours.
    while let Ok(received) = receive_named(control.as_fd()) {
        match received {
            Some((SERVERS, channel)) => queue.put(Channel::Server(channel)),
            Some((ORDERS, channel)) => queue.put(Channel::Broker(channel)),
            _ => {}
        }
    }
    leave(0)
}

/// Where keys are made here, those that were kept; and whether what was kept of them cannot be opened. The operator's come by themselves.
fn keys(handed: &mut Handed) -> Result<(Keys, bool), StartError> {
    if let Some(names) = handed.names.take() {
        let names = read_document(Some(names), "names").map_err(|_names| StartError::Handed)?;
        let seal = read_document(handed.seal.take(), "seal").map_err(|_seal| StartError::Handed)?;
        let place = handed.kept.take().ok_or(StartError::Handed)?;
        let kept = Kept::new(place, &seal, Role::Sign).map_err(|_key| StartError::Settings)?;
        return Keys::for_names(names.expose(), kept);
    }
    if handed.tls_key.is_none() {
        return Err(StartError::Tls);
    }
    Ok((Keys::of_operator(), false))
}

/// Takes a key of the operator's, at the start and whenever there is another; false when it is none, and then the last one stays.
fn take_key(keys: &Keys, pem: &Secret<String>) -> bool {
    let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes());
    let key = der.ok().and_then(Key::new);
    key.map(|key| keys.take(key)).is_some()
}

/// A channel, and who is at its other end.
enum Channel {
    /// A server, which has handshakes signed.
    Server(OwnedFd),
    /// The broker, which orders what authorities want to see.
    Broker(OwnedFd),
}

/// Channels that no thread serves yet.
#[derive(Default)]
struct Queue {
    channels: Mutex<VecDeque<Channel>>,
    more: Condvar,
}

impl Queue {
    fn put(&self, channel: Channel) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).push_back(channel);
        self.more.notify_one();
    }

    fn take(&self) -> Channel {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(channel) = channels.pop_front() {
                return channel;
            }
            channels = self.more.wait(channels).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One channel, until whoever is at its other end is gone.
fn serve(channel: &OwnedFd, answer: impl Fn(&[u8]) -> (u64, Vec<u8>)) {
    let mut buffer = [0; limit::SIGN_MESSAGE_BYTES_MAX];
    loop {
        let length = match recv(channel, &mut buffer, RecvFlags::TRUNC) {
            Ok((_, length)) => length,
            Err(Errno::INTR) => continue,
            Err(_broken) => return,
        };
        // Longer than the buffer: it was cut, and is no request anyway.
        let (number, answer) = answer(buffer.get(..length).unwrap_or_default());
        let answer = [&number.to_be_bytes()[..], &answer].concat();
        // An empty message and the end look alike; only someone who is gone cannot be answered.
        if send(channel, &answer, SendFlags::NOSIGNAL).is_err() {
            return;
        }
    }
}

/// A server's request: number and answer, an empty one for a refusal.
fn answer(keys: &Keys, bytes: &[u8]) -> (u64, Vec<u8>) {
    let Some(request) = Request::parse(bytes) else { return (0, Vec::new()) };
    let answer = keys.find(request.key).and_then(|key| match request.scheme {
        Request::HELLO => Some(key.hello.to_vec()),
        _ => sign(key.key.as_ref(), &request),
    });
    (request.number, answer.unwrap_or_default())
}

/// The broker's order, in the same way.
fn fill(keys: &Keys, bytes: &[u8]) -> (u64, Vec<u8>) {
    let Some((number, order)) = Order::parse(bytes) else { return (0, Vec::new()) };
    (number, keys.fill(&order).unwrap_or_default())
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
