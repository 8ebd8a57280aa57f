//! One connection to a vendor: a descriptor of the broker's with TLS on it, its token, and its end.
//!
//! Name and roots come from the registry. What is said over a connection is not this file's business.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use ward_edge::log::Log;
use ward_edge::vendor_tls::client_config;
use ward_policy::audit::Event;
use ward_policy::connector::Manner;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor_id::VendorId;

use super::{Vendors, Wanted};
use crate::broker::{Given, Loan, Token};

/// TLS with a vendor.
#[cfg(not(negative_control))]
pub(super) type Protected = TlsStream<Lent>;
#[cfg(negative_control)]
pub(super) type Protected = ward_edge::log::leak::Leaking<TlsStream<Lent>>;

/// A vendor's connection, as it was opened.
pub(super) struct Connection {
    /// What is written and read.
    pub(super) stream: Protected,
    /// What goes with it.
    pub(super) life: Life,
    /// The vendor's name.
    pub(super) host: String,
    /// How the vendor is spoken to.
    pub(super) manner: Option<Manner>,
}

/// How long a connection may be used, and as whom.
pub(super) struct Life {
    token: Option<Token>,
    had_token: bool,
    token_until: Instant,
    session_until: Instant,
    ended: Ended,
}

impl Vendors {
    /// A connection for `call` to the vendor that is `wanted`; both outcomes are said in the log.
    pub(super) async fn dial(
        &self,
        call: Pseudonym,
        wanted: Wanted,
    ) -> Result<Connection, DialFault> {
        let vendor = wanted.vendor;
        let began = self.clock.now();
        let mut connection = match self.connect(call, wanted, began).await {
            Ok(connection) => connection,
            Err(reason) => {
                self.log.record(&Event::VendorFailed { call, vendor, reason });
                return Err(reason);
            }
        };
        let took = self.clock.now().saturating_sub(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.log.record(&Event::VendorConnected { call, vendor, took_ms });
        connection.life.ended.has_begun = true;
        Ok(connection)
    }

    async fn connect(
        &self,
        call: Pseudonym,
        wanted: Wanted,
        asked_at: Duration,
    ) -> Result<Connection, DialFault> {
        let given = self.broker.ask(wanted.vendor, wanted.class).await?;
        let Given { connection, loan, terms, token } = given;
        let socket = std::net::TcpStream::from(connection);
        let socket = TcpStream::from_std(socket).map_err(|_system| DialFault::BadAnswer)?;
        let config = client_config(&terms.roots_pem).ok_or(DialFault::VendorTls)?;
        let name =
            ServerName::try_from(terms.host.clone()).map_err(|_name| DialFault::BadAnswer)?;
        let connecting = TlsConnector::from(config).connect(name, Lent { socket, _loan: loan });
        let Ok(Ok(stream)) = timeout(limit::VENDOR_TLS_DEADLINE, connecting).await else {
            return Err(DialFault::VendorTls);
        };
        #[cfg(negative_control)]
        let stream = Protected::new(stream);
        // Counted from the question, so that nothing is used for longer than the broker meant.
        let until = |length| self.clock.instant(asked_at.saturating_add(length));
        let (token_until, session_until) = (until(terms.token_ttl), until(terms.session_max));
        let (vendor, reason) = (wanted.vendor, VendorEnd::CallOver);
        let ended = Ended { log: self.log.clone(), call, vendor, reason, has_begun: false };
        let had_token = token.is_some();
        let life = Life { token, had_token, token_until, session_until, ended };
        Ok(Connection { stream, life, host: terms.host, manner: terms.manner })
    }
}

impl Life {
    /// Why the connection ends, if it is not the end of the call.
    pub(super) const fn end(&mut self, reason: VendorEnd) {
        self.ended.reason = reason;
    }

    /// When its session is over.
    pub(super) const fn session_until(&self) -> Instant {
        self.session_until
    }

    /// The token, for as long as it is good.
    pub(super) fn token(&self) -> Option<&Token> {
        self.token.as_ref().filter(|_token| Instant::now() < self.token_until)
    }

    /// Whether anything can still be asked over it at `at`.
    pub(super) fn is_good_at(&self, at: Instant) -> bool {
        at < self.session_until && (!self.had_token || at < self.token_until)
    }

    /// When nothing can be asked over it any more.
    pub(super) fn good_until(&self) -> Instant {
        let until = self.session_until;
        if self.had_token { until.min(self.token_until) } else { until }
    }

    /// Forgets the token.
    pub(super) fn drop_token(&mut self) {
        self.token = None;
    }
}

/// Says how a connection ended, however it did.
struct Ended {
    log: Log,
    call: Pseudonym,
    vendor: VendorId,
    reason: VendorEnd,
    /// Whether it was said that it began.
    has_begun: bool,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Self { call, vendor, reason, has_begun, .. } = *self;
        if has_begun {
            self.log.record(&Event::VendorEnded { call, vendor, reason });
        }
    }
}

impl Connection {
    /// Keeps it until its time is over or the vendor ends it; the token goes when its own is.
    pub(super) async fn hold(self) {
        let Self { mut stream, mut life, .. } = self;
        let mut unread = [0; 256];
        let nearly_over = life.session_until.checked_sub(limit::SESSION_END_SLACK);
        let session = sleep_until(life.session_until);
        let token = sleep_until(life.token_until);
        tokio::pin!(session, token);
        let reason = loop {
            tokio::select! {
                // The broker cuts what is over as well; whichever is seen first, that is why.
                biased;
                () = &mut session => break VendorEnd::SessionOver,
                () = &mut token, if life.token.is_some() => life.drop_token(),
                read = stream.read(&mut unread) => match read {
                    // The broker's clock and ours end it together; whichever is first.
                    Ok(0) | Err(_) if nearly_over.is_none_or(|at| Instant::now() >= at) => {
                        break VendorEnd::SessionOver;
                    }
                    Ok(0) | Err(_) => break VendorEnd::VendorClosed,
                    // Nothing was asked, so nothing is expected.
                    Ok(_) => {}
                },
            }
        };
        life.end(reason);
    }
}

/// A socket that the broker has too, and is told about when it is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    socket: TcpStream,
    _loan: Loan,
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        #[cfg(negative_control)]
        return ward_edge::log::leak::read(Pin::new(&mut self.socket), context, buffer);
        #[cfg(not(negative_control))]
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

/// As for [`ward_edge::tcp::Tcp`]: one buffer a call.
impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
