//! One connection to the log sink: a descriptor of the broker's with TLS on it, and the credential that came with it.
//!
//! Name and roots come from the registry, by way of the broker. It waits for nothing: what cannot be read or written now is
//! left for the next time.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use ward_edge::egress::{Grant, Question};
use ward_edge::vendor_tls::client_config;
use ward_policy::fault::SinkFault;
use ward_policy::limit;
use ward_sys::secret::SecretPlace;

/// Plaintext that waits in the TLS library, in bytes.
const TLS_BUFFER_BYTES: usize = 64 * 1024;

/// See the module.
pub(super) struct Connection {
    tls: ClientConnection,
    socket: Socket,
    token: SecretPlace,
    token_bytes: usize,
    /// When it must not be used any more.
    pub(super) good_until: Duration,
    /// Bytes that came since there was something to read in them.
    mute_bytes: usize,
    /// The broker, and the number by which it knows the connection.
    broker: Rc<OwnedFd>,
    number: u64,
}

/// How a connection stands after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// The other side will send no more.
    Ended,
}

impl Connection {
    /// Begins TLS over what the broker granted at `now`.
    pub(super) fn begin(
        grant: Grant,
        token: SecretPlace,
        number: u64,
        broker: &Rc<OwnedFd>,
        now: Duration,
    ) -> Result<Self, SinkFault> {
        let Grant { connection, terms, token_bytes } = grant;
        let config = client_config(&terms.roots_pem).ok_or(SinkFault::Tls)?;
        let name = ServerName::try_from(terms.host).map_err(|_name| SinkFault::Unreachable)?;
        let mut tls = ClientConnection::new(config, name).map_err(|_tls| SinkFault::Tls)?;
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        let token_life = (token_bytes > 0).then_some(terms.token_ttl);
        let life = token_life.map_or(terms.session_max, |ttl| ttl.min(terms.session_max));
        // Half of a life that is shorter than two slacks.
        let life = life.saturating_sub(limit::SINK_LIFE_SLACK).max(life / 2);
        let good_until = now.saturating_add(life);
        let (socket, broker) = (Socket(connection), Rc::clone(broker));
        Ok(Self { tls, socket, token, token_bytes, good_until, mute_bytes: 0, broker, number })
    }

    /// What is waited for.
    pub(super) fn awaited(&self) -> PollFd<'_> {
        let writing = if self.tls.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::new(&self.socket.0, PollFlags::IN | writing)
    }

    pub(super) fn is_greeting(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The credential; empty without one.
    pub(super) fn token(&self) -> &[u8] {
        self.token.bytes().get(..self.token_bytes).unwrap_or_default()
    }

    /// Moves what can be moved between the socket and TLS, and of what comes no more than
    /// [`limit::SINK_PUMP_BYTES_MAX`]: the rest is there the next time.
    pub(super) fn pump(&mut self) -> Result<Flow, SinkFault> {
        let mut left = limit::SINK_PUMP_BYTES_MAX;
        while left > 0 {
            self.push()?;
            let is_greeting = self.tls.is_handshaking();
            let fault = if is_greeting { SinkFault::Tls } else { SinkFault::Garbage };
            let count = match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Ok(Flow::Ended),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flow::Open),
                // The library holds as much as it may: what is there is to be read first.
                Err(error) if error.kind() == ErrorKind::Other => return Ok(Flow::Open),
                // A message of TLS that is longer than any.
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(fault),
                Err(_broken) => return Ok(Flow::Ended),
            };
            left = left.saturating_sub(count);
            let Ok(state) = self.tls.process_new_packets() else {
                // What is wrong is told, if it can be.
                self.push().unwrap_or_default();
                return Err(fault);
            };
            // Tickets without end, for one, are never anything to read.
            let is_mute = state.plaintext_bytes_to_read() == 0;
            self.mute_bytes = if is_mute { self.mute_bytes.saturating_add(count) } else { 0 };
            if self.mute_bytes > limit::SINK_MUTE_BYTES_MAX {
                return Err(fault);
            }
        }
        Ok(Flow::Open)
    }

    fn push(&mut self) -> Result<(), SinkFault> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_some) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_broken) => return Err(SinkFault::Closed),
            }
        }
        Ok(())
    }

    /// Takes as much of `bytes` as there is room for; how much.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        self.tls.writer().write(bytes).unwrap_or(0)
    }

    /// Whether everything that was taken has left.
    pub(super) fn is_flushed(&self) -> bool {
        !self.tls.wants_write()
    }

    /// What the other side has said; none when there is nothing now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        self.tls.reader().read(buffer).ok().filter(|count| *count > 0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tls.send_close_notify();
        // Nobody is waited for.
        self.push().unwrap_or_default();
        let done = Question::Done { number: self.number }.to_bytes();
        // A broker that does not read ends the connection by its own clock.
        rustix::io::write(&self.broker, &done).map(drop).unwrap_or_default();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection(…)")
    }
}

/// A socket that does not block, one buffer a call.
struct Socket(OwnedFd);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        again(|| rustix::io::read(&self.0, &mut *buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        again(|| rustix::io::write(&self.0, bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Once more after a signal.
fn again(mut call: impl FnMut() -> rustix::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}
