//! A call whose broker and vendors are the test: TLS over a pair of sockets, HTTP and WebSocket frames by hand.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair, sockopt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;
use ward_call::service::Report;
use ward_edge::clock::Clock;
use ward_edge::egress::{Question, Terms, send_grant, send_refusal};
use ward_edge::log::Log;
use ward_policy::audit::Role;
use ward_policy::connector::Manner;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;
use ward_policy::vendor_id::VendorId;
use ward_sys::readiness::watch;
use ward_sys::secret::SecretPool;

use super::super::{CallServices, Vendors, Wanted};
use crate::broker::Broker;

const HOST: &str = "vendor.test";
/// Longer than anything that is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(120);

struct Identity {
    roots_pem: String,
    config: Arc<ServerConfig>,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let mut parameters = CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(leaf.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Identity { roots_pem: issuer.pem(), config: Arc::new(config) }
});

/// A vendor of the test's.
#[derive(Clone)]
pub(super) struct Vendor {
    /// How it is spoken to; none for one that the broker refuses.
    pub(super) manner: Option<Manner>,
    /// What it is given.
    pub(super) class: &'static str,
    /// How long its token is good.
    pub(super) token_ttl: Duration,
    /// How long its connection is.
    pub(super) session_max: Duration,
}

impl Vendor {
    pub(super) fn new(class: &'static str, manner: Manner) -> Self {
        let hour = Duration::from_secs(3_600);
        Self { manner: Some(manner), class, token_ttl: hour, session_max: hour }
    }
}

/// A call and everything around it.
pub(super) struct Rig {
    pub(super) services: Option<CallServices>,
    dialled: mpsc::UnboundedReceiver<(VendorId, OwnedFd)>,
    has_recogniser: bool,
    log: std::io::PipeReader,
}

impl Rig {
    /// A call with these vendors, in the order in which they are preferred.
    pub(super) fn new(vendors: &[(&str, Vendor)]) -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let (ours, theirs) = pair;
        let tokens = SecretPool::new(8, limit::TOKEN_BYTES_MAX).unwrap();
        let broker = Broker::new(ours, tokens).unwrap();
        let (dials, dialled) = mpsc::unbounded_channel();
        let id = |id: &str| VendorId::parse(id).unwrap();
        let all: BTreeMap<String, Vendor> =
            vendors.iter().map(|(name, vendor)| ((*name).to_owned(), vendor.clone())).collect();
        tokio::spawn(answer(theirs, all, dials));
        let has_recogniser = vendors.iter().any(|(_, vendor)| vendor.class == "audio");
        let wanted = vendors.iter().map(|(name, vendor)| Wanted {
            vendor: id(name),
            class: ward_policy::data_class::DataClass::from_name(vendor.class).unwrap(),
        });
        let (log, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&log, true).unwrap();
        let clock = Clock::start();
        let writer = Log::new(Role::Media, clock, writer.into());
        let vendors = Arc::new(Vendors::new(broker, wanted.collect(), clock, writer));
        let call = Pseudonym::from_keyed_digest(&[7; 8]).unwrap();
        Self { services: Some(vendors.open(call)), dialled, has_recogniser, log }
    }

    pub(super) fn services(&mut self) -> &mut CallServices {
        self.services.as_mut().unwrap()
    }

    /// The next connection that the call makes, and to whom.
    pub(super) async fn accept(&mut self) -> Peer {
        let (vendor, socket) = timeout(PATIENCE, self.dialled.recv()).await.unwrap().unwrap();
        let socket = UnixStream::from_std(socket.into()).unwrap();
        let stream = TlsAcceptor::from(Arc::clone(&IDENTITY.config)).accept(socket).await.unwrap();
        Peer { vendor: vendor.as_str().to_owned(), stream, unread: vec![] }
    }

    /// The same for a connection over which nothing may be said.
    pub(super) async fn accept_silence(&mut self) {
        let (_, socket) = timeout(PATIENCE, self.dialled.recv()).await.unwrap().unwrap();
        let socket = UnixStream::from_std(socket.into()).unwrap();
        let accepting = TlsAcceptor::from(Arc::clone(&IDENTITY.config)).accept(socket);
        // Who has nothing to say may be gone before the handshake's last bytes are written.
        let Ok(mut stream) = accepting.await else { return };
        let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert!(!matches!(read, Ok(1)), "something was said");
    }

    /// Whether somebody else was dialled.
    pub(super) fn is_dialled(&mut self) -> bool {
        !self.dialled.is_empty()
    }

    /// The next report.
    pub(super) async fn report(&mut self) -> Report {
        self.report_if(true).await
    }

    pub(super) async fn report_if(&mut self, takes_audio: bool) -> Report {
        loop {
            let services = self.services.as_mut().unwrap();
            let next = std::future::poll_fn(|context| services.poll_report(context, takes_audio));
            let report = timeout(PATIENCE, next).await.expect("no report");
            let report = report.expect("no more reports");
            // Without a recogniser that is said once, and no test but one asks for it.
            let is_expected = matches!(report, Report::Failed { service: Service::Recogniser, .. });
            if self.has_recogniser || !is_expected {
                return report;
            }
        }
    }

    /// The next report as text.
    pub(super) async fn told(&mut self) -> String {
        let report = self.report().await;
        match &report {
            Report::Partial(text) => format!("~{}", text.expose()),
            Report::Final(text) => format!("={}", text.expose()),
            Report::Piece { text, .. } => format!("+{}", text.expose()),
            other => format!("{other:?}"),
        }
    }

    /// What was logged so far, without times.
    pub(super) fn logged(&mut self) -> Vec<String> {
        use std::io::Read as _;
        let mut text = vec![];
        let mut buffer = [0; 4_096];
        while let Ok(count) = self.log.read(&mut buffer) {
            if count == 0 {
                break;
            }
            text.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8(text).unwrap();
        let field = |line: &str, name: &str| {
            let after = line.split_once(&format!("\"{name}\":\"")).map(|(_, after)| after);
            after.and_then(|after| after.split('"').next()).unwrap_or("-").to_owned()
        };
        let short = |line: &str| {
            ["event", "vendor", "service", "reason"].map(|name| field(line, name)).join(" ")
        };
        text.lines().map(short).collect()
    }
}

/// The broker.
async fn answer(
    channel: OwnedFd,
    all: BTreeMap<String, Vendor>,
    dials: mpsc::UnboundedSender<(VendorId, OwnedFd)>,
) {
    let channel = watch(channel, Interest::READABLE).unwrap();
    let mut counted = 0;
    loop {
        let mut ready = channel.readable().await.unwrap();
        let mut buffer = [0; limit::QUESTION_BYTES_MAX];
        let Ok((_, length)) = recv(channel.get_ref(), &mut buffer, RecvFlags::empty()) else {
            ready.clear_ready();
            continue;
        };
        if length == 0 {
            return;
        }
        let Some(Question::Dial { number, vendor, class, .. }) = Question::parse(&buffer[..length])
        else {
            continue;
        };
        let entry = &all[vendor.as_str()];
        assert_eq!(class.name(), entry.class);
        let Some(manner) = entry.manner.clone() else {
            send_refusal(channel.get_ref().as_fd(), number, DialFault::ConnectFailed).unwrap();
            continue;
        };
        counted += 1;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        for end in [&pair.0, &pair.1] {
            sockopt::set_socket_send_buffer_size(end, 4_096).unwrap();
        }
        let terms = Terms {
            vendor,
            host: HOST.to_owned(),
            token_ttl: entry.token_ttl,
            session_max: entry.session_max,
            roots_pem: IDENTITY.roots_pem.clone(),
            manner: Some(manner),
        };
        let token = format!("token-{counted}");
        let given = pair.0.as_fd();
        send_grant(channel.get_ref().as_fd(), number, &terms, token.as_bytes(), given).unwrap();
        if dials.send((vendor, pair.1)).is_err() {
            return;
        }
    }
}

/// A vendor's end of a connection.
pub(super) struct Peer {
    pub(super) vendor: String,
    pub(super) stream: TlsStream<UnixStream>,
    unread: Vec<u8>,
}

/// One HTTP request.
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: String,
}

impl Asked {
    /// A header field, by its name in lower case.
    pub(super) fn field(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        found.next().unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }
}

impl Peer {
    async fn more(&mut self) {
        let mut buffer = [0; 4_096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await.unwrap();
        let count = read.unwrap();
        assert!(count > 0, "it was closed");
        self.unread.extend_from_slice(&buffer[..count]);
    }

    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.more().await;
        }
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    pub(super) async fn asked(&mut self) -> Asked {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more().await,
            }
        };
        let head = String::from_utf8(self.exactly(end).await).unwrap();
        let mut asked = Asked { head, body: String::new() };
        let is_post = asked.head.starts_with("POST ");
        let length = if is_post { asked.field("content-length").parse().unwrap() } else { 0 };
        asked.body = String::from_utf8(self.exactly(length).await).unwrap();
        asked
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// An answer without a body.
    pub(super) async fn status(&mut self, status: u16) {
        self.write(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
    }

    /// The head of an answer in chunks.
    pub(super) async fn begin(&mut self, kind: &str) {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        self.write(head).await;
    }

    pub(super) async fn chunk(&mut self, bytes: &[u8]) {
        let head = format!("{:x}\r\n", bytes.len());
        self.write([head.as_bytes(), bytes, b"\r\n"].concat()).await;
    }

    pub(super) async fn end(&mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Waits until the other end has closed.
    pub(super) async fn closed(mut self) {
        let mut buffer = [0; 4_096];
        let closing =
            async { while !matches!(self.stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
        timeout(PATIENCE, closing).await.expect("still open");
    }

    /// Answers an upgrade; what was asked.
    pub(super) async fn upgrade(&mut self) -> Asked {
        let asked = self.asked().await;
        let accept =
            tungstenite::handshake::derive_accept_key(asked.field("sec-websocket-key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(head).await;
        asked
    }

    /// The next WebSocket frame: its kind, and what is in it.
    pub(super) async fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.exactly(2).await;
        assert_eq!((head[0] & 0xf0, head[1] & 0x80), (0x80, 0x80), "whole and masked");
        let length = match head[1] & 0x7f {
            126 => {
                let more = self.exactly(2).await;
                usize::from(u16::from_be_bytes([more[0], more[1]]))
            }
            short => usize::from(short),
        };
        let mask = self.exactly(4).await;
        let mut payload = self.exactly(length).await;
        payload.iter_mut().enumerate().for_each(|(place, byte)| *byte ^= mask[place % 4]);
        (head[0] & 0x0f, payload)
    }

    /// The next WebSocket frame, which must be a text.
    pub(super) async fn text(&mut self) -> String {
        let (kind, payload) = self.frame().await;
        assert_eq!(kind, 1);
        String::from_utf8(payload).unwrap()
    }

    /// Says something over the WebSocket.
    pub(super) async fn say(&mut self, text: &str) {
        let length = text.len();
        let head = match u16::try_from(length) {
            Ok(short @ 0..126) => vec![0x81, u8::try_from(short).unwrap()],
            Ok(long) => [&[0x81, 126][..], &long.to_be_bytes()].concat(),
            Err(_longer) => {
                let length = u64::try_from(length).unwrap();
                [&[0x81, 127][..], &length.to_be_bytes()].concat()
            }
        };
        self.write([&head, text.as_bytes()].concat()).await;
    }
}
