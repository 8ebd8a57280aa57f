//! The WebSocket of one stream: bytes to messages and back, close codes, deadlines, containment.
//!
//! tungstenite keeps the protocol's state and is driven by hand over the connection, so a turn of the
//! session costs one read and at most one write. A panic in the session ends this call with 1011 and
//! touches no other.

use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Sleep, timeout};
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use ward_edge::clock::Clock;
use ward_edge::drain::{Drain, Phase};
use ward_policy::audit::Event;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_policy::limit;
use zeroize::Zeroizing;

use crate::session::Session;
use crate::vendor::{CallServices, CallVendors, Vendors};

/// The close code that a peer is told; `None` ends the connection without one.
#[must_use]
pub const fn close_code(end: CallEnd) -> Option<u16> {
    Some(match end {
        CallEnd::PeerEnded | CallEnd::AgentFinished | CallEnd::DurationMax => 1000,
        CallEnd::Silent | CallEnd::Draining => 1001,
        CallEnd::WebSocketProtocol => 1002,
        CallEnd::BadFormat | CallEnd::TooManyBinary => 1003,
        CallEnd::WebSocketText => 1007,
        CallEnd::StartLate
        | CallEnd::OutOfOrder
        | CallEnd::UnknownProtocol
        | CallEnd::ForeignAccount
        | CallEnd::BadStart
        | CallEnd::BadParameters
        | CallEnd::TicketAbsent
        | CallEnd::TicketMalformed
        | CallEnd::TicketUnknownKey
        | CallEnd::TicketWrong
        | CallEnd::TicketExpired
        | CallEnd::TicketEarly
        | CallEnd::TicketStale
        | CallEnd::TicketUsed
        | CallEnd::TicketOtherCall
        | CallEnd::TicketRepeated
        | CallEnd::AlreadyLive
        | CallEnd::Replaced
        | CallEnd::TooManyBad
        | CallEnd::TooManyForeign
        | CallEnd::AudioFlood
        | CallEnd::MessageFlood
        | CallEnd::PingFlood => 1008,
        CallEnd::MessageLong => 1009,
        CallEnd::TicketMemoryFull => 1013,
        CallEnd::Panicked => 1011,
        CallEnd::PeerVanished | CallEnd::NotReading => return None,
    })
}

/// Runs one stream to its end over `stream`, of which `early` has been read already; its call has `vendors`.
pub fn run<S>(
    stream: S,
    early: Vec<u8>,
    session: Session,
    clock: Clock,
    drain: Drain,
    vendors: Option<Arc<Vendors>>,
) -> impl Future<Output = ()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // On the heap before there is a future: one that is given all this has room for it twice.
    let mut socket = Box::new(Socket::new(stream, early, session, clock));
    socket.vendors = vendors;
    run_to_end(socket, drain)
}

async fn run_to_end<S>(mut socket: Box<Socket<S>>, drain: Drain)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (log, clock) = (socket.session.log().clone(), socket.clock);
    let mut end = socket.serve(&drain).await;
    // First of all: what a vendor was told of the call ends with it.
    socket.part();
    // The agent is dropped here, and its code may panic there as well as anywhere.
    if catch_unwind(AssertUnwindSafe(|| socket.session.finish())).is_err() {
        end = CallEnd::Panicked;
    }
    let close = socket.close(end).await;
    let now = clock.now();
    log.record(&Event::CallEnded {
        call: socket.session.pseudonym(),
        reason: end,
        close,
        duration_ms: u64::try_from(socket.session.age(now).as_millis()).unwrap_or(u64::MAX),
        counts: socket.session.counts(),
    });
}

struct Socket<S> {
    stream: S,
    protocol: WebSocketContext,
    session: Session,
    clock: Clock,
    timer: Pin<Box<Sleep>>,
    timer_at: Duration,
    /// Since when the peer has not taken what we send.
    blocked_at: Option<Duration>,
    /// Whether messages wait in the write buffer.
    is_dirty: bool,
    /// The way to the vendors, until the call has them.
    vendors: Option<Arc<Vendors>>,
    company: Company,
    /// How long tungstenite's answer to the peer's Close frame is, once there is one.
    answer_bytes: usize,
}

/// Whom the call has with it.
enum Company {
    Nobody,
    /// Connections that nothing is said over.
    Held {
        /// Closed with the call.
        _vendors: CallVendors,
    },
    /// Recogniser, model and voice.
    Services(Box<CallServices>),
}

/// A Close frame with a code and no reason, in bytes: two of head, two of code.
const CLOSE_BYTES: usize = 4;

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    fn new(stream: S, early: Vec<u8>, session: Session, clock: Clock) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limit::READ_BUFFER_BYTES)
            .write_buffer_size(limit::WRITE_BUFFER_BYTES)
            .max_write_buffer_size(limit::WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(limit::MESSAGE_BYTES_MAX))
            .max_frame_size(Some(limit::MESSAGE_BYTES_MAX));
        // In the past, so that the first turn sets it.
        let timer_at = Duration::ZERO;
        Self {
            stream,
            protocol: WebSocketContext::from_partially_read(early, Role::Server, Some(config)),
            session,
            clock,
            timer: Box::pin(tokio::time::sleep_until(clock.instant(timer_at))),
            timer_at,
            blocked_at: None,
            is_dirty: false,
            vendors: None,
            company: Company::Nobody,
            answer_bytes: 0,
        }
    }

    /// Serves until the call ends, and says why.
    async fn serve(&mut self, drain: &Drain) -> CallEnd {
        std::future::poll_fn(|context| {
            if drain.phase() == Phase::Stopping {
                return Poll::Ready(CallEnd::Draining);
            }
            // The session is not used again after a panic, only asked for its counters.
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn(context)));
            match turn {
                Ok(Ok(())) => Poll::Pending,
                Ok(Err(end)) => Poll::Ready(end),
                Err(_panic) => Poll::Ready(CallEnd::Panicked),
            }
        })
        .await
    }

    /// One turn: everything that has arrived, everything that is due, one flush.
    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), CallEnd> {
        let mut now = self.clock.now();
        for _ in 0..limit::MESSAGES_PER_TURN_MAX {
            let is_empty = !self.receive(now, context)?;
            self.meet();
            // Services are heard once a turn, whatever has come of the caller.
            if is_empty {
                self.serve_services(now, context);
            }
            self.send_due(now, context)?;
            self.ask_services();
            if is_empty {
                self.flush(now, context)?;
                return self.wait(now, context);
            }
        }
        // More has arrived than one turn may take: let the others have theirs.
        now = self.clock.now();
        self.flush(now, context)?;
        context.waker().wake_by_ref();
        Ok(())
    }

    /// Opens what the call needs of vendors, once there is a call.
    fn meet(&mut self) {
        let Some(call) = self.session.pseudonym() else { return };
        let Some(vendors) = self.vendors.take() else { return };
        self.company = if self.session.has_services() {
            Company::Services(Box::new(vendors.open(call)))
        } else {
            Company::Held { _vendors: vendors.hold(call) }
        };
    }

    /// Ends what the call has with vendors.
    fn part(&mut self) {
        if let Company::Services(mut services) =
            std::mem::replace(&mut self.company, Company::Nobody)
        {
            self.session.count_all(&services.take_counts());
        }
    }

    /// Gives the call what its services say, and the recogniser what the caller does.
    fn serve_services(&mut self, now: Duration, context: &mut Context<'_>) {
        let Company::Services(services) = &mut self.company else { return };
        for _ in 0..limit::MESSAGES_PER_TURN_MAX {
            match services.poll_report(context, self.session.takes_speech()) {
                Poll::Ready(Some(report)) => self.session.report(now, report),
                Poll::Ready(None) | Poll::Pending => return self.ask_services(),
            }
            while let Some(request) = self.session.next_request() {
                services.send(request);
            }
        }
        // More is there than one turn may take.
        context.waker().wake_by_ref();
        self.ask_services();
    }

    /// Asks what the call wants to know, and passes on what was heard.
    fn ask_services(&mut self) {
        let Company::Services(services) = &mut self.company else { return };
        let mut audio = Zeroizing::new([0; 2 * limit::FRAME_BYTES]);
        loop {
            let count = self.session.take_audio(audio.as_mut());
            if count == 0 {
                break;
            }
            services.push_audio(audio.get(..count).unwrap_or_default());
        }
        while let Some(request) = self.session.next_request() {
            services.send(request);
        }
    }

    /// Takes one message; `false` when none has arrived.
    fn receive(&mut self, now: Duration, context: &mut Context<'_>) -> Result<bool, CallEnd> {
        let mut wire = Wire { stream: &mut self.stream, context };
        let message = match self.protocol.read(&mut wire) {
            Ok(message) => message,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(self.end_of(&error)),
        };
        match message {
            Message::Text(text) => self.session.on_text(now, text.as_str(), context.waker())?,
            Message::Binary(_) => self.session.on_binary(now)?,
            Message::Ping(_) => self.session.on_ping(now)?,
            Message::Pong(_) => self.session.on_pong(now)?,
            // tungstenite has the answer ready; closing sends it.
            Message::Close(frame) => {
                self.answer_bytes =
                    frame.map_or(2, |frame| frame.reason.len().saturating_add(CLOSE_BYTES));
                return Err(CallEnd::PeerEnded);
            }
            Message::Frame(_) => {}
        }
        Ok(true)
    }

    /// Writes what the call has to say into the buffer.
    fn send_due(&mut self, now: Duration, context: &mut Context<'_>) -> Result<(), CallEnd> {
        while let Some(text) = self.session.poll(now)? {
            self.write(Message::text(text), context)?;
        }
        Ok(())
    }

    fn write(&mut self, message: Message, context: &mut Context<'_>) -> Result<(), CallEnd> {
        let mut wire = Wire { stream: &mut self.stream, context };
        self.is_dirty = true;
        match self.protocol.write(&mut wire, message) {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(Error::WriteBufferFull(_)) => Err(CallEnd::NotReading),
            Err(error) => Err(self.end_of(&error)),
        }
    }

    fn flush(&mut self, now: Duration, context: &mut Context<'_>) -> Result<(), CallEnd> {
        if !self.is_dirty {
            return Ok(());
        }
        let mut wire = Wire { stream: &mut self.stream, context };
        match self.protocol.flush(&mut wire) {
            Ok(()) => {
                self.is_dirty = false;
                self.blocked_at = None;
                Ok(())
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                let blocked_at = *self.blocked_at.get_or_insert(now);
                let is_patient = now.saturating_sub(blocked_at) < limit::SEND_DEADLINE;
                if is_patient { Ok(()) } else { Err(CallEnd::NotReading) }
            }
            Err(error) => Err(self.end_of(&error)),
        }
    }

    /// Does what time asks for, and arranges to be woken for the next such thing.
    fn wait(&mut self, now: Duration, context: &mut Context<'_>) -> Result<(), CallEnd> {
        if self.session.on_time(now)? {
            self.write(Message::Ping(Vec::new().into()), context)?;
            self.flush(now, context)?;
        }
        let due = self.session.wake_at();
        let due =
            self.blocked_at.map_or(due, |at| due.min(at.saturating_add(limit::SEND_DEADLINE)));
        let due = due.min(now.saturating_add(limit::STOP_NOTICED_AFTER));
        // A timer that fires early is cheaper than one that is moved with every message. One that has
        // been polled since it was set wakes this task by itself.
        if due < self.timer_at || self.timer_at <= now {
            let due = due.max(now.saturating_add(limit::TIMER_STEP));
            self.timer_at = due;
            self.timer.as_mut().reset(self.clock.instant(due));
            if self.timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Ok(())
    }

    fn end_of(&mut self, error: &Error) -> CallEnd {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => CallEnd::PeerEnded,
            Error::Capacity(_) => CallEnd::MessageLong,
            Error::Utf8(_) => CallEnd::WebSocketText,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CallEnd::PeerVanished,
            Error::Io(error) => {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    self.session.count(Count::TruncatedTls);
                }
                CallEnd::PeerVanished
            }
            _ => CallEnd::WebSocketProtocol,
        }
    }

    /// Sends our Close frame, or the answer to the peer's, ends TLS; returns the code that was sent.
    async fn close(&mut self, end: CallEnd) -> u16 {
        let Some(code) = close_code(end) else {
            return 0;
        };
        let is_ours = self.protocol.can_write();
        let closing = async {
            if is_ours {
                self.send_close(code).await?;
                self.await_close().await;
            } else {
                let last_words = self.last_words();
                self.stream.write_all(&last_words).await?;
            }
            self.stream.shutdown().await?;
            self.discard().await
        };
        // A peer that is gone, or that takes longer, gets no more than this.
        let closed = timeout(limit::CLOSE_DEADLINE, closing).await;
        drop(closed);
        code
    }

    /// What waits to be sent, and at its end the answer to the peer's Close frame: the peer's own code, as
    /// tungstenite has it, and not the peer's reason, which is text of somebody else's.
    fn last_words(&mut self) -> Vec<u8> {
        let mut written = io::Cursor::new(Vec::new());
        self.protocol.flush(&mut written).unwrap_or_default();
        without_reason(written.into_inner(), self.answer_bytes)
    }

    /// Sends a Close frame with `code`.
    async fn send_close(&mut self, code: u16) -> io::Result<()> {
        let mut frame = Some(CloseFrame { code: CloseCode::from(code), reason: "".into() });
        std::future::poll_fn(|context| {
            let mut wire = Wire { stream: &mut self.stream, context };
            let sent = match frame.take() {
                Some(frame) => self.protocol.close(&mut wire, Some(frame)),
                None => self.protocol.flush(&mut wire),
            };
            match sent {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                Err(Error::Io(error)) => Poll::Ready(Err(error)),
                _ => Pin::new(&mut self.stream).poll_flush(context),
            }
        })
        .await
    }

    /// Reads until the peer's Close frame; what else comes is counted and dropped.
    async fn await_close(&mut self) {
        std::future::poll_fn(|context| {
            loop {
                let mut wire = Wire { stream: &mut self.stream, context };
                match self.protocol.read(&mut wire) {
                    Ok(Message::Text(_) | Message::Binary(_)) => {
                        self.session.count(Count::AfterStop);
                    }
                    Ok(Message::Close(_)) => return Poll::Ready(()),
                    Ok(_) => {}
                    Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Poll::Pending;
                    }
                    Err(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    /// Reads to the end: closing with unread bytes would reset the connection under our Close frame.
    async fn discard(&mut self) -> io::Result<()> {
        let mut discarded = [0; 512];
        while self.stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}

/// Takes the reason off the Close frame that the last `answer_bytes` of `written` are, if there was room for it.
fn without_reason(mut written: Vec<u8>, answer_bytes: usize) -> Vec<u8> {
    let at = written.len().saturating_sub(answer_bytes);
    if let Some([0x88, length, ..]) = written.get_mut(at..) {
        *length = 2.min(*length);
        written.truncate(at.saturating_add(CLOSE_BYTES));
    }
    written
}

/// The connection as tungstenite wants it, for the length of one poll.
pub(crate) struct Wire<'a, 'c, S> {
    pub(crate) stream: &'a mut S,
    pub(crate) context: &'a mut Context<'c>,
}

fn blocked<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Wire<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        #[cfg(not(negative_control))]
        let read = S::poll_read;
        #[cfg(negative_control)]
        let read = ward_edge::log::leak::read::<S>;
        blocked(read(Pin::new(&mut *self.stream), self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Wire<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocked(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        blocked(Pin::new(&mut *self.stream).poll_flush(self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_code_that_may_be_sent_or_none() {
        for end in CallEnd::ALL {
            if let Some(code) = close_code(*end) {
                assert!(CloseCode::from(code).is_allowed(), "{code}");
            }
        }
        assert_eq!(close_code(CallEnd::Panicked), Some(1011));
    }

    #[test]
    fn a_peers_reason_is_not_sent_back() {
        let reason = b"\x88\x0a\x03\xe8a reason";
        for (written, answer_bytes, expected) in [
            (&reason[..], 12, &b"\x88\x02\x03\xe8"[..]),
            (&[b"\x81\x02hi", &reason[..]].concat(), 12, b"\x81\x02hi\x88\x02\x03\xe8"),
            (b"\x81\x02hi\x88\x02\x03\xe8", 4, b"\x81\x02hi\x88\x02\x03\xe8"),
            (b"\x88\x00", 2, b"\x88\x00"),
            (b"", 12, b""),
            (b"\x81\x0bsomething..", 12, b"\x81\x0bsomething.."),
        ] {
            assert_eq!(without_reason(written.to_vec(), answer_bytes), expected);
        }
    }
}
