//! The load: N callers who behave as Twilio does, on one thread that spins.
//!
//! A sleeping generator would be woken by the server's `send`, and that interrupt would fall on the
//! server. Each frame carries its own pseudo-random audio, and each echo is compared with it byte for
//! byte, so a frame that is lost, damaged or crossed with another call is seen.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// One frame every 20 ms.
const PERIOD: Duration = Duration::from_millis(20);
/// A frame that leaves later than this after its time is the generator's fault.
const LATE: Duration = Duration::from_millis(5);
/// Base64 of 160 bytes.
const PAYLOAD_CHARS: usize = 216;
/// The key that the client's frames are masked with; any will do.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x17, 0x9E];

/// What was seen in one window.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) echoed: u64,
    pub(crate) crossed: u64,
    pub(crate) late_ticks: u64,
    latencies_us: Vec<u32>,
}

impl Seen {
    pub(crate) fn percentile_ms(&mut self, percent: f64) -> f64 {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0).round() as usize;
        self.latencies_us.get(at).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

struct Caller {
    stream: TcpStream,
    tls: ClientConnection,
    stream_sid: String,
    received: Vec<u8>,
    sequence: u64,
    random: u64,
    due: Instant,
    in_flight: VecDeque<(Instant, [u8; PAYLOAD_CHARS])>,
}

/// Every caller.
pub(crate) struct Load {
    callers: Vec<Caller>,
    poll: std::os::fd::OwnedFd,
    seen: Seen,
    is_begun: bool,
}

impl Load {
    pub(crate) fn connect(target: &Target, calls: usize) -> Result<Self, String> {
        let config = client_config(&target.ca)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut callers = Vec::with_capacity(calls);
        for number in 0..calls {
            let caller = Caller::connect(target.port, &config, number)
                .map_err(|error| format!("call {number}: {error}"))?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&poll, caller.stream.as_fd(), data, epoll::EventFlags::IN)
                .map_err(|error| error.to_string())?;
            callers.push(caller);
        }
        Ok(Self { callers, poll, seen: Seen::default(), is_begun: false })
    }

    pub(crate) fn cipher(&self) -> String {
        let suite = self.callers.first().and_then(|caller| caller.tls.negotiated_cipher_suite());
        suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite()))
    }

    /// Loads the server for `window`.
    pub(crate) fn run(&mut self, window: Duration) -> Seen {
        let begin = Instant::now();
        if !self.is_begun {
            self.is_begun = true;
            self.spread(begin);
        }
        let until = begin + window;
        let mut order: Vec<usize> = (0..self.callers.len()).collect();
        order.sort_by_key(|index| self.callers[*index].due);
        let mut next = 0;
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            self.receive(now);
            // Everyone has the same period, so the order never changes.
            while let Some(index) = order.get(next) {
                let now = Instant::now();
                let caller = &mut self.callers[*index];
                if caller.due > now {
                    break;
                }
                if now - caller.due > LATE {
                    self.seen.late_ticks += 1;
                }
                caller.send_frame(now);
                next = (next + 1) % order.len();
            }
        }
        std::mem::take(&mut self.seen)
    }

    /// Puts each caller at a random place in the period.
    fn spread(&mut self, begin: Instant) {
        for caller in &mut self.callers {
            let micros = caller.next_random() % 20_000;
            caller.due = begin + Duration::from_micros(micros);
        }
    }

    fn receive(&mut self, now: Instant) {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.poll, &mut events, Some(&zero)).unwrap_or(0);
        for event in &events[..count] {
            let index = event.data.u64() as usize;
            self.callers[index].receive(now, &mut self.seen);
        }
    }

    /// Waits for what is still on its way; what does not come within two seconds is lost.
    pub(crate) fn settle(&mut self) -> u64 {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && self.in_flight() > 0 {
            self.receive(Instant::now());
        }
        self.in_flight()
    }

    fn in_flight(&self) -> u64 {
        self.callers.iter().map(|caller| caller.in_flight.len() as u64).sum()
    }
}

impl Caller {
    fn connect(port: u16, config: &Arc<ClientConfig>, number: usize) -> Result<Self, String> {
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
        let mut caller = Self {
            stream,
            tls,
            stream_sid,
            received: Vec::with_capacity(4_096),
            sequence: 1,
            random: 0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95),
            due: Instant::now(),
            in_flight: VecDeque::with_capacity(64),
        };
        caller.send_text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        let start = format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC00000000000000000000000000000000","streamSid":"{sid}","callSid":"CA{number:032x}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}},"streamSid":"{sid}"}}"#,
            sid = caller.stream_sid
        );
        caller.send_text(&start);
        caller.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(caller)
    }

    /// xorshift64: audio that no two frames share.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn send_frame(&mut self, now: Instant) {
        let mut audio = [0; 160];
        for chunk in audio.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_random().to_le_bytes());
        }
        let mut payload = [0; PAYLOAD_CHARS];
        drop(STANDARD.encode_slice(audio, &mut payload));
        let chars = String::from_utf8_lossy(&payload);
        self.sequence += 1;
        let text = format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{}","payload":"{chars}"}},"streamSid":"{}"}}"#,
            self.sequence,
            self.sequence - 1,
            (self.sequence - 2) * 20,
            self.stream_sid
        );
        self.send_text(&text);
        self.in_flight.push_back((now, payload));
        self.due += PERIOD;
    }

    fn send_text(&mut self, text: &str) {
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
                Err(_) => return,
            }
        }
    }

    fn receive(&mut self, now: Instant, seen: &mut Seen) {
        match self.tls.read_tls(&mut self.stream) {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let Ok(state) = self.tls.process_new_packets() else {
            return;
        };
        let from = self.received.len();
        self.received.resize(from + state.plaintext_bytes_to_read(), 0);
        drop(self.tls.reader().read_exact(&mut self.received[from..]));
        let mut at = 0;
        while let Some((head, length)) = frame_at(&self.received[at..]) {
            let message = &self.received[at + head..at + head + length];
            if self.received[at] & 0x0F == 1 {
                let sent = self.in_flight.pop_front();
                let expected = sent.as_ref().map(|(_, payload)| &payload[..]);
                if expected == payload_of(message) && contains(message, self.stream_sid.as_bytes())
                {
                    seen.echoed += 1;
                } else {
                    seen.crossed += 1;
                }
                if let Some((sent_at, _)) = sent {
                    let micros = now.saturating_duration_since(sent_at).as_micros();
                    seen.latencies_us.push(u32::try_from(micros).unwrap_or(u32::MAX));
                }
            }
            at += head + length;
        }
        self.received.drain(..at);
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

fn payload_of(message: &[u8]) -> Option<&[u8]> {
    let key = b"\"payload\":";
    let at = message.windows(key.len()).position(|window| window == key)? + key.len();
    let rest = message.get(at..)?;
    let open = rest.iter().position(|byte| *byte == b'"')? + 1;
    rest.get(open..open + PAYLOAD_CHARS)
}

fn contains(message: &[u8], needle: &[u8]) -> bool {
    message.windows(needle.len()).any(|window| window == needle)
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
fn client_config(ca: &str) -> Result<Arc<ClientConfig>, String> {
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
