//! One caller's line: TLS and a WebSocket as Twilio has them, driven by whoever spins.
//!
//! It knows what a message is and nothing of what it means.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use ward_policy::phi::Secret;
use ward_twilio::signature::AuthToken;

/// Where to call.
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) ca: String,
}

/// The key that the client's frames are masked with; any will do.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x17, 0x9E];

/// One connection, upgraded, with its stream begun.
pub(crate) struct Line {
    stream: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
    pub(crate) stream_sid: String,
    is_open: bool,
}

impl Line {
    /// Connects, upgrades, and sends `connected` and `start` of call `number`.
    pub(crate) fn connect(
        port: u16,
        config: &Arc<ClientConfig>,
        number: usize,
    ) -> Result<Self, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let mut tls =
            ClientConnection::new(Arc::clone(config), name).map_err(|error| error.to_string())?;
        let mut wire = rustls::Stream::new(&mut tls, &mut stream);
        wire.write_all(upgrade_request(port).as_bytes()).map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            wire.read_exact(&mut byte).map_err(|error| format!("no 101: {error}"))?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(String::from_utf8_lossy(&head).into_owned());
        }
        let stream_sid = format!("MZ{number:032x}");
        let received = Vec::with_capacity(4_096);
        let mut line = Self { stream, tls, received, stream_sid, is_open: true };
        line.send_text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        let start = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC00000000000000000000000000000000","streamSid":"{sid}","callSid":"CA{number:032x}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}},"streamSid":"{sid}"}}"#,
            sid = line.stream_sid
        );
        line.send_text(&start);
        line.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(line)
    }

    /// Has `poll` name `number` when something has come.
    pub(crate) fn watch(&self, poll: &OwnedFd, number: usize) -> Result<(), String> {
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(poll, self.stream.as_fd(), data, epoll::EventFlags::IN)
            .map_err(|error| error.to_string())
    }

    /// What TLS agreed on.
    pub(crate) fn cipher(&self) -> String {
        let suite = self.tls.negotiated_cipher_suite();
        suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite()))
    }

    /// Whether the server has neither closed nor reset it.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// One frame of caller's audio, base64 already.
    pub(crate) fn send_media(&mut self, sequence: u64, chunk: u64, payload: &str) {
        let text = format!(
            r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{}","payload":"{payload}"}},"streamSid":"{}"}}"#,
            (chunk - 1) * 20,
            self.stream_sid
        );
        self.send_text(&text);
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        let mut frame = Vec::with_capacity(text.len() + 8);
        frame.push(0x81);
        match u8::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        drop(self.tls.writer().write_all(&frame));
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.is_open = false;
                    return;
                }
            }
        }
    }

    /// Gives every text message that has come to `each`.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) {
        match self.tls.read_tls(&mut self.stream) {
            Ok(count) if count > 0 => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            _ => {
                self.is_open = false;
                return;
            }
        }
        let Ok(state) = self.tls.process_new_packets() else {
            self.is_open = false;
            return;
        };
        let from = self.received.len();
        self.received.resize(from + state.plaintext_bytes_to_read(), 0);
        drop(self.tls.reader().read_exact(&mut self.received[from..]));
        let mut at = 0;
        while let Some((head, length)) = frame_at(&self.received[at..]) {
            match self.received[at] & 0x0F {
                1 => each(&self.received[at + head..at + head + length]),
                8 => self.is_open = false,
                _ => {}
            }
            at += head + length;
        }
        self.received.drain(..at);
    }
}

/// Whose line has something, without waiting.
pub(crate) fn ready(poll: &OwnedFd, mut each: impl FnMut(usize)) {
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
            64];
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let count = epoll::wait(poll, &mut events, Some(&zero)).unwrap_or(0);
    for event in &events[..count] {
        each(event.data.u64() as usize);
    }
}

/// Length of a whole frame's head and body at the beginning of `bytes`.
fn frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = usize::from(*bytes.get(1)? & 0x7F);
    let (head, length) = if second == 126 {
        (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))
    } else {
        (2, second)
    };
    (bytes.len() >= head + length).then_some((head, length))
}

/// The string that is the value of `key`, which is written with its quotes.
pub(crate) fn string_of<'m>(message: &'m [u8], key: &str) -> Option<&'m [u8]> {
    let key = key.as_bytes();
    let at = message.windows(key.len()).position(|window| window == key)? + key.len();
    let rest = message.get(at..)?;
    let open = rest.iter().position(|byte| *byte == b'"')? + 1;
    let rest = rest.get(open..)?;
    rest.get(..rest.iter().position(|byte| *byte == b'"')?)
}

fn upgrade_request(port: u16) -> String {
    let signature = AuthToken::new(&Secret::new("12345".to_owned()))
        .map(|token| token.sign_url("wss://localhost/rtm/voice").to_base64())
        .unwrap_or_default();
    format!(
        "GET /rtm/voice HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Twilio-Signature: {signature}\r\n\r\n"
    )
}

/// TLS 1.3 with AES-128-GCM for everyone: peers must not win by a cheaper cipher.
pub(crate) fn client_config(ca: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()).flatten() {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
