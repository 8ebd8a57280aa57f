//! The vendors' connections of one call: opened when it starts, closed when it ends.
//!
//! TLS is made here, over a descriptor of the broker's; name and roots come from the registry. A vendor that
//! cannot be had never ends a call. What is said over a connection is not this file's business.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::vendor_tls::client_config;
use ward_edge::wiped::wiped;
use ward_policy::audit::Event;
use ward_policy::data_class::DataClass;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::vendor_id::VendorId;

use crate::broker::{Broker, Given, Loan, Token};

/// A vendor that every call has a connection to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub vendor: VendorId,
    /// What it will be given.
    pub class: DataClass,
}

/// One worker's way to the vendors.
#[derive(Debug)]
pub struct Vendors {
    broker: Arc<Broker>,
    wanted: Vec<Wanted>,
    clock: Clock,
    log: Log,
}

impl Vendors {
    /// What every call of a worker is to have.
    #[must_use]
    pub const fn new(broker: Arc<Broker>, wanted: Vec<Wanted>, clock: Clock, log: Log) -> Self {
        Self { broker, wanted, clock, log }
    }

    /// Opens every connection of `call`. They close when what is returned is dropped.
    #[must_use]
    pub fn open(self: &Arc<Self>, call: Pseudonym) -> CallVendors {
        let one = |wanted: &Wanted| tokio::spawn(wiped(Arc::clone(self).keep(call, *wanted)));
        CallVendors(self.wanted.iter().map(one).collect())
    }

    async fn keep(self: Arc<Self>, call: Pseudonym, wanted: Wanted) {
        let Wanted { vendor, .. } = wanted;
        let began = self.clock.now();
        let connection = match self.connect(wanted).await {
            Ok(connection) => connection,
            Err(reason) => return self.log.record(&Event::VendorFailed { call, vendor, reason }),
        };
        let took = self.clock.now().saturating_sub(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.log.record(&Event::VendorConnected { call, vendor, took_ms });
        let mut ended = Ended { log: self.log.clone(), call, vendor, reason: VendorEnd::CallOver };
        ended.reason = connection.hold().await;
    }

    async fn connect(&self, wanted: Wanted) -> Result<Connection, DialFault> {
        let asked_at = self.clock.now();
        let given = self.broker.ask(wanted.vendor, wanted.class).await?;
        let Given { connection, loan, terms, token } = given;
        let socket = std::net::TcpStream::from(connection);
        let socket = TcpStream::from_std(socket).map_err(|_system| DialFault::BadAnswer)?;
        let config = client_config(&terms.roots_pem).ok_or(DialFault::VendorTls)?;
        let name = ServerName::try_from(terms.host).map_err(|_name| DialFault::BadAnswer)?;
        let connecting =
            TlsConnector::from(Arc::new(config)).connect(name, Lent { socket, _loan: loan });
        let Ok(Ok(stream)) = timeout(limit::VENDOR_TLS_DEADLINE, connecting).await else {
            return Err(DialFault::VendorTls);
        };
        // Counted from the question, so that nothing is used for longer than the broker meant.
        let until = |length| self.clock.instant(asked_at.saturating_add(length));
        let (token_until, session_until) = (until(terms.token_ttl), until(terms.session_max));
        Ok(Connection { stream, token, token_until, session_until })
    }
}

/// A call's connections; closed when dropped.
pub struct CallVendors(Vec<JoinHandle<()>>);

impl Drop for CallVendors {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for CallVendors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallVendors({})", self.0.len())
    }
}

/// Says how a connection ended, however it did.
struct Ended {
    log: Log,
    call: Pseudonym,
    vendor: VendorId,
    reason: VendorEnd,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Self { call, vendor, reason, .. } = *self;
        self.log.record(&Event::VendorEnded { call, vendor, reason });
    }
}

/// One vendor's connection.
struct Connection {
    stream: TlsStream<Lent>,
    token: Option<Token>,
    token_until: Instant,
    session_until: Instant,
}

impl Connection {
    /// Keeps it until its time is over or the vendor ends it; the token goes when its own is.
    async fn hold(mut self) -> VendorEnd {
        let mut unread = [0; 256];
        let nearly_over = self.session_until.checked_sub(limit::SESSION_END_SLACK);
        let session = sleep_until(self.session_until);
        let token = sleep_until(self.token_until);
        tokio::pin!(session, token);
        loop {
            tokio::select! {
                () = &mut session => return VendorEnd::SessionOver,
                () = &mut token, if self.token.is_some() => self.token = None,
                read = self.stream.read(&mut unread) => match read {
                    // The broker's clock and ours end it together; whichever is first.
                    Ok(0) | Err(_) if nearly_over.is_none_or(|at| Instant::now() >= at) => {
                        return VendorEnd::SessionOver;
                    }
                    Ok(0) | Err(_) => return VendorEnd::VendorClosed,
                    // Nothing was asked, so nothing is expected.
                    Ok(_) => {
                        #[cfg(negative_control)]
                        ward_edge::log::leak::leak(&unread);
                    }
                },
            }
        }
    }
}

/// A socket that the broker has too, and is told about when it is dropped.
#[derive(Debug)]
struct Lent {
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
