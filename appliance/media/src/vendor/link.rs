//! HTTP/1.1 over one connection to a vendor: one request at a time, its answer piece by piece, or an upgrade.
//!
//! hyper is driven by whoever asks, so an answer that nobody reads stays in the vendor's hands. Between two requests there
//! is no hyper: its buffers are most of what a connection takes, and the last request is in them. It knows no service.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use ward_policy::connector::Manner;
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;

use super::connection::{Connection, Life, Protected};
use super::request::{default_header, fault_of_status, manner_for};
use super::route::fault_of;
use super::{Vendors, Wanted};

/// What is sent with a request.
type Sent = Full<Bytes>;

/// A connection on which requests are made.
pub(super) struct Link {
    state: State,
    life: Life,
    host: String,
    manner: Manner,
}

enum State {
    /// Nothing is asked.
    Resting(Box<Protected>),
    /// Something is asked, or has been.
    Asking(Box<Http>),
    /// Nothing can be asked any more.
    Over,
}

/// hyper's two ends.
struct Http {
    sender: http1::SendRequest<Sent>,
    connection: http1::Connection<TokioIo<Box<Protected>>, Sent>,
    is_over: bool,
}

impl Http {
    async fn begin(stream: Box<Protected>) -> Result<Self, ServiceFault> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(limit::VENDOR_READ_BUFFER_BYTES)
            .max_headers(limit::VENDOR_HEAD_FIELDS_MAX)
            // A body is written from where it lies: no copy of a prompt stays in hyper's buffer.
            .writev(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_hyper| ServiceFault::Closed)?;
        Ok(Self { sender, connection, is_over: false })
    }

    /// Lets hyper do what there is to do.
    fn work(&mut self, context: &mut Context<'_>) {
        if !self.is_over {
            self.is_over = self.connection.poll_without_shutdown(context).is_ready();
        }
    }

    fn into_parts(self) -> (Box<Protected>, Bytes) {
        let http1::Parts { io, read_buf, .. } = self.connection.into_parts();
        (io.into_inner(), read_buf)
    }
}

/// What is left of a link when it was upgraded.
pub(super) struct Upgraded {
    /// What is written and read.
    pub(super) stream: Box<Protected>,
    /// What has been read of the new protocol already.
    pub(super) early: Vec<u8>,
    /// How long it may be used.
    pub(super) life: Life,
}

/// How long one exchange may take, as far as we wait for the vendor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// From the request to the first piece that means something.
    pub(super) first: Duration,
    /// From piece to piece.
    pub(super) next: Duration,
    /// All of it.
    pub(super) whole: Duration,
}

/// Whether more of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    /// Yes.
    Wanted,
    /// It is complete.
    Enough,
}

/// One thing to ask of a vendor, and what is done with the answer.
pub(super) trait Ask: Send {
    /// How long it may take.
    const DEADLINES: Deadlines;

    /// The request to a vendor that is spoken to in this `manner`; it may be made more than once.
    fn request(&mut self, manner: &Manner) -> Result<Request<Sent>, ServiceFault>;

    /// Judges the head of an answer that is no fault by its status.
    fn judge(&self, answer: &Response<()>) -> Result<(), ServiceFault>;

    /// Takes the next bytes of the answer.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = Result<More, ServiceFault>> + Send;

    /// The answer has ended; whether it was complete.
    fn end(&mut self) -> impl Future<Output = Result<(), ServiceFault>> + Send;

    /// Whether something of the answer was passed on, so that nobody else can be asked any more.
    fn has_begun(&self) -> bool;
}

impl Link {
    /// A link to the vendor that is `wanted`, for `service`.
    pub(super) async fn open(
        vendors: &Vendors,
        call: Pseudonym,
        wanted: Wanted,
        service: Service,
    ) -> Result<Self, ServiceFault> {
        let connection = vendors.dial(call, wanted).await.map_err(fault_of)?;
        let Connection { stream, life, host, manner } = connection;
        let manner = manner_for(manner, service)?;
        Ok(Self { state: State::Resting(Box::new(stream)), life, host, manner })
    }

    /// How the vendor is spoken to.
    pub(super) const fn manner(&self) -> &Manner {
        &self.manner
    }

    /// Why it ends, if it is not the end of the call.
    pub(super) const fn end(&mut self, reason: VendorEnd) {
        self.life.end(reason);
    }

    /// Whether something can be asked on it now and for `ahead` longer.
    pub(super) fn is_good_for(&self, ahead: Duration) -> bool {
        let at = Instant::now().checked_add(ahead);
        let is_good = at.is_some_and(|at| self.life.is_good_at(at));
        is_good && matches!(self.state, State::Resting(_))
    }

    /// Keeps it while nothing is asked; returns when it is over, and why.
    pub(super) async fn rest(&mut self) -> VendorEnd {
        let State::Resting(stream) = &mut self.state else { return VendorEnd::VendorClosed };
        let until = self.life.good_until();
        tokio::select! {
            biased;
            () = sleep_until(until) => {
                self.life.drop_token();
                if Instant::now() < self.life.session_until() {
                    VendorEnd::LetGo
                } else {
                    VendorEnd::SessionOver
                }
            }
            // Nothing was asked, so nothing is expected: whoever says something is not listened to.
            _any = stream.read_u8() => VendorEnd::VendorClosed,
        }
    }

    /// Asks, and gives the answer to whoever asks.
    pub(super) async fn ask<A: Ask>(&mut self, asked: &mut A) -> Result<(), ServiceFault> {
        let request = asked.request(&self.manner)?;
        let mut patience = Patience::new::<A>(self.life.session_until());
        let answer = patience.wait(false, self.send(request)).await??;
        let (head, mut body) = answer.into_parts();
        if let Some(fault) = fault_of_status(head.status) {
            return Err(fault);
        }
        asked.judge(&Response::from_parts(head, ()))?;
        loop {
            let piece = patience.wait(asked.has_begun(), self.piece(&mut body)).await??;
            let Some(piece) = piece else { break };
            if asked.take(piece).await? == More::Enough {
                asked.end().await?;
                self.finish(Some(body)).await;
                return Ok(());
            }
        }
        asked.end().await?;
        self.finish(None).await;
        Ok(())
    }

    /// Reads what is left of a body, so that the connection can be used again; otherwise it is over.
    async fn finish(&mut self, rest: Option<Incoming>) {
        let reading = async {
            let Some(mut body) = rest else { return true };
            // An end is near; whoever goes on talking is not listened to.
            for _ in 0..8 {
                match self.piece(&mut body).await {
                    Ok(Some(_more)) => {}
                    Ok(None) => return true,
                    Err(_broken) => return false,
                }
            }
            false
        };
        let is_read = timeout(limit::VENDOR_BODY_END_DEADLINE, reading).await;
        let State::Asking(mut http) = std::mem::replace(&mut self.state, State::Over) else {
            return;
        };
        // Whether the vendor keeps it open is known once hyper has looked at it.
        std::future::poll_fn(|context| {
            http.work(context);
            Poll::Ready(())
        })
        .await;
        if is_read == Ok(true) && !http.is_over {
            let (stream, unread) = http.into_parts();
            if unread.is_empty() {
                self.state = State::Resting(stream);
            }
        }
    }

    /// Sends a request, with who is asked and who asks, and waits for the head of the answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Sent>,
    ) -> Result<Response<Incoming>, ServiceFault> {
        let host = HeaderValue::from_str(&self.host).map_err(|_host| ServiceFault::Unsuited)?;
        request.headers_mut().insert(HOST, host);
        default_header(request.headers_mut(), hyper::header::USER_AGENT, "ward");
        if let Some(token) = self.life.token() {
            // hyper lets go of it as soon as it is written; the allocator wipes what is let go of.
            let value = [b"Bearer ", token.expose()].concat();
            let value = HeaderValue::from_maybe_shared(Bytes::from(value));
            let mut value = value.map_err(|_value| ServiceFault::Unauthorized)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let State::Resting(stream) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(ServiceFault::Closed);
        };
        self.state = State::Asking(Box::new(Http::begin(stream).await?));
        let State::Asking(http) = &mut self.state else { return Err(ServiceFault::Closed) };
        let mut sending = pin!(http.sender.send_request(request));
        std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = sending.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|error| fault_of_error(&error)));
            }
            if !http.is_over {
                http.is_over = http.connection.poll_without_shutdown(context).is_ready();
            }
            // What the connection has just read may be the answer.
            match sending.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(answer.map_err(|error| fault_of_error(&error))),
                Poll::Pending if http.is_over => Poll::Ready(Err(ServiceFault::Closed)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// The next bytes of an answer; `None` at its end.
    async fn piece(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, ServiceFault> {
        let State::Asking(http) = &mut self.state else { return Err(ServiceFault::Closed) };
        std::future::poll_fn(|context| {
            loop {
                let mut frame = Pin::new(&mut *body).poll_frame(context);
                if frame.is_pending() && !http.is_over {
                    http.work(context);
                    frame = Pin::new(&mut *body).poll_frame(context);
                }
                return Poll::Ready(match frame {
                    Poll::Ready(None) => Ok(None),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Ok(Some(data)),
                        // Trailers say nothing to us.
                        Err(_trailers) => continue,
                    },
                    Poll::Ready(Some(Err(error))) => Err(fault_of_error(&error)),
                    Poll::Pending if http.is_over => Err(ServiceFault::Closed),
                    Poll::Pending => return Poll::Pending,
                });
            }
        })
        .await
    }

    /// The connection itself, once an answer has switched it to another protocol.
    pub(super) fn into_upgraded(self) -> Result<Upgraded, ServiceFault> {
        let Self { state, mut life, .. } = self;
        life.drop_token();
        let State::Asking(http) = state else { return Err(ServiceFault::Closed) };
        let (stream, early) = http.into_parts();
        Ok(Upgraded { stream, early: early.to_vec(), life })
    }
}

fn fault_of_error(error: &hyper::Error) -> ServiceFault {
    if error.is_parse_too_large() {
        ServiceFault::TooLong
    } else if error.is_parse() {
        ServiceFault::Garbage
    } else {
        ServiceFault::Closed
    }
}

/// How long we still wait for a vendor; the time in which the call takes nothing is its own.
struct Patience {
    first: Duration,
    next: Duration,
    whole: Duration,
    session_until: Instant,
}

impl Patience {
    const fn new<A: Ask>(session_until: Instant) -> Self {
        let Deadlines { first, next, whole } = A::DEADLINES;
        Self { first, next, whole, session_until }
    }

    async fn wait<T>(
        &mut self,
        has_begun: bool,
        waiting: impl Future<Output = T>,
    ) -> Result<T, ServiceFault> {
        let began = Instant::now();
        let most = self.whole.min(if has_begun { self.next } else { self.first });
        let until = began.checked_add(most).unwrap_or(began).min(self.session_until);
        let waited = timeout_at(until, waiting).await;
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        self.first = self.first.saturating_sub(took);
        self.whole = self.whole.saturating_sub(took);
        let is_over = now >= self.session_until;
        waited.map_err(|_late| if is_over { ServiceFault::Over } else { ServiceFault::Late })
    }
}
