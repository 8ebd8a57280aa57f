//! One connection: accept, TLS, head, then hyper for exactly one request.
//!
//! Every step has a deadline, and none holds up the accept loop. Every answer closes the connection, so
//! no second head can reach hyper unjudged. The handler sees requests whose heads are plain, and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, server::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use ward_policy::audit::Event;
use ward_policy::fault::{ConnectionEnd, Refusal};
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::tls::ALPN_ACME;

use crate::answer::Answer;
use crate::drain::{Drain, Phase};
use crate::head::{Judgement, judge_from};
use crate::log::Log;
use crate::prefixed::Prefixed;
use crate::tcp::Tcp;
use crate::wiped::wiped;

/// What a server does with a request.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request, whose head is plain.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// How connections begin.
#[derive(Clone)]
pub enum Transport {
    /// TLS of our own.
    Tls(TlsAcceptor),
    /// None: somebody else's TLS ends on this machine.
    Plain,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Plain => "Plain",
        })
    }
}

/// Accepts connections until the process stops.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    transport: Transport,
    handler: Arc<H>,
    mut drain: Drain,
    log: Log,
) {
    let pending = Pending::default();
    let ending = drain.clone();
    let mut stopping = std::pin::pin!(async move { drain.reached(Phase::Stopping).await });
    loop {
        let accepted = std::future::poll_fn(|context| {
            if stopping.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(None);
            }
            listener.poll_accept(context).map(Some)
        });
        let stream = match accepted.await {
            None => break,
            Some(Ok((stream, _address))) => stream,
            Some(Err(error)) => {
                let errno = error.raw_os_error().unwrap_or(0);
                log.record(&Event::AcceptFailed { errno });
                tokio::time::sleep(limit::ACCEPT_BACKOFF).await;
                continue;
            }
        };
        if pending.make_room() {
            log.record(&Event::ConnectionEnded { reason: ConnectionEnd::Crowded });
        }
        let (transport, handler, log) = (transport.clone(), Arc::clone(&handler), log.clone());
        // A request that has begun is answered even if the process is told to stop meanwhile.
        let live = ending.live();
        let place = pending.place();
        let number = place.number;
        let task = tokio::spawn(wiped(async move {
            begin(Tcp::new(stream), transport, handler, log).await;
            drop((live, place));
        }));
        pending.set(number, task.abort_handle());
    }
    // Sessions end by themselves at this phase; their Close frames need this runtime a little longer.
    ending.idle(limit::LAST_WORDS).await;
}

async fn begin<H: Handler>(stream: Tcp, transport: Transport, handler: Arc<H>, log: Log) {
    let end = match transport {
        Transport::Plain => return request(stream, handler, log).await,
        Transport::Tls(acceptor) => {
            match timeout(limit::TLS_HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
                // An authority that checks a name has seen what it came for (RFC 8737 §3).
                Ok(Ok(stream)) if is_authority(&stream) => return,
                Ok(Ok(stream)) => return request(stream, handler, log).await,
                Ok(Err(_)) => ConnectionEnd::TlsFailed,
                Err(_) => ConnectionEnd::TlsSlow,
            }
        }
    };
    log.record(&Event::ConnectionEnded { reason: end });
}

fn is_authority(stream: &TlsStream<Tcp>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN_ACME)
}

/// Connections of one worker that have not become calls, oldest first.
///
/// When there are too many, the oldest gives way: whoever has said nothing for longest is the least
/// likely to be Twilio, and a newcomer with a right signature is never locked out.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<PendingState>>);

#[derive(Default)]
struct PendingState {
    next: u64,
    tasks: BTreeMap<u64, Option<AbortHandle>>,
}

/// One connection's place; given up when dropped.
struct PendingPlace {
    pending: Pending,
    number: u64,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, PendingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the oldest connection if there is no room for another; says whether it did.
    fn make_room(&self) -> bool {
        let oldest = {
            let mut state = self.lock();
            let is_full = state.tasks.len() >= limit::PENDING_CONNECTIONS_MAX;
            if is_full { state.tasks.pop_first() } else { None }
        };
        let Some((_, task)) = oldest else { return false };
        if let Some(task) = task {
            task.abort();
        }
        true
    }

    fn place(&self) -> PendingPlace {
        let mut state = self.lock();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.tasks.insert(number, None);
        PendingPlace { pending: self.clone(), number }
    }

    /// Says which task has the place, unless it has given it up already.
    fn set(&self, number: u64, task: AbortHandle) {
        if let Some(slot) = self.lock().tasks.get_mut(&number) {
            *slot = Some(task);
        }
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        self.pending.lock().tasks.remove(&self.number);
    }
}

/// A stream of either transport.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

async fn request<S: Stream, H: Handler>(mut stream: S, handler: Arc<H>, log: Log) {
    let refusal = match timeout(limit::HEAD_DEADLINE, read_head(&mut stream)).await {
        Ok(Ok(Ok(head))) => return hand_to_hyper(Prefixed::new(head, stream), handler, log).await,
        Ok(Ok(Err(refusal))) => refusal,
        Ok(Err(_)) => {
            log.record(&Event::ConnectionEnded { reason: ConnectionEnd::Left });
            return;
        }
        Err(_) => Refusal::HeadSlow,
    };
    let answer = Answer::refusal(refusal);
    let status = answer.as_ref().map_or(0, Answer::status);
    log.record(&Event::Refused { status, reason: refusal });
    if let Some(answer) = answer {
        // Whatever happens to the refusal, the connection ends here.
        let sent = timeout(limit::RESPONSE_DEADLINE, refuse(stream, &answer.into_bytes())).await;
        drop(sent);
    }
}

/// Reads until the head is judged; the outer error means that the peer left.
async fn read_head<S: Stream>(stream: &mut S) -> io::Result<Result<Vec<u8>, Refusal>> {
    let mut head = Vec::with_capacity(1_024);
    let mut known = 0;
    loop {
        #[cfg(negative_control)]
        crate::log::leak::leak(head.get(known..).unwrap_or_default());
        match judge_from(&head, known) {
            Judgement::Plain { .. } => return Ok(Ok(head)),
            Judgement::Refused(refusal) => return Ok(Err(refusal)),
            Judgement::Incomplete => known = head.len(),
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends the answer, then reads a little longer: closing with unread bytes would reset the connection
/// and could destroy the answer on its way.
async fn refuse<S: Stream>(mut stream: S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut discarded = [0; 1_024];
    let mut total = 0_usize;
    while total < limit::HEAD_DISCARDED_BYTES_MAX {
        match stream.read(&mut discarded).await? {
            0 => break,
            count => total = total.saturating_add(count),
        }
    }
    Ok(())
}

async fn hand_to_hyper<S: Stream, H: Handler>(stream: Prefixed<S>, handler: Arc<H>, log: Log) {
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(handler.handle(request).await.into_response()) }
    });
    let serving = http1::Builder::new()
        .max_buf_size(limit::HEAD_BYTES_MAX)
        .max_headers(limit::HEAD_FIELDS_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let deadline = limit::BODY_DEADLINE.saturating_add(limit::RESPONSE_DEADLINE);
    if !matches!(timeout(deadline, serving).await, Ok(Ok(()))) {
        log.record(&Event::ConnectionEnded { reason: ConnectionEnd::Left });
    }
}

/// Reads a whole body of at most [`limit::BODY_BYTES_MAX`].
///
/// # Errors
/// [`Refusal::BodyLong`], [`Refusal::BodySlow`] or [`Refusal::BodyMalformed`].
pub async fn read_body(mut body: Incoming) -> Result<Phi<Vec<u8>>, Refusal> {
    let reading = async {
        let mut bytes = Phi::new(Vec::with_capacity(TYPICAL_BODY_BYTES));
        let mut discarded = 0_usize;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_broken| Refusal::BodyMalformed)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let total = bytes.expose().len().saturating_add(data.len());
            if total <= limit::BODY_BYTES_MAX && discarded == 0 {
                bytes.expose_mut().extend_from_slice(&data);
                continue;
            }
            // Read on for a while, so that the peer is listening when the answer comes.
            discarded = discarded.saturating_add(data.len());
            if discarded > limit::BODY_DISCARDED_BYTES_MAX {
                break;
            }
        }
        if discarded > 0 { Err(Refusal::BodyLong) } else { Ok(bytes) }
    };
    timeout(limit::BODY_DEADLINE, reading).await.unwrap_or(Err(Refusal::BodySlow))
}

/// A voice webhook is about this long, in bytes: one allocation for most.
const TYPICAL_BODY_BYTES: usize = 2 * 1024;
