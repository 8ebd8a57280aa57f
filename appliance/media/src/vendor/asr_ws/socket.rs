//! A WebSocket to a vendor, on our side of it: the upgrade, and messages both ways.
//!
//! tungstenite keeps the protocol's state and is driven by hand over the connection. What could not be written yet is
//! never more than one message. It knows no recogniser.

use std::io;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::AsyncWriteExt as _;
use tungstenite::Message;
use tungstenite::error::Error;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;

use super::super::connection::{Life, Protected};
use super::super::link::{Link, Upgraded};
use super::super::request::fault_of_status;
use crate::socket::Wire;

/// A connection that was upgraded.
pub(super) struct Socket {
    stream: Box<Protected>,
    protocol: WebSocketContext,
    life: Life,
    is_dirty: bool,
}

/// What has happened.
pub(super) enum Turn {
    /// What could not be written has been.
    Written,
    /// A message has come.
    Message(Message),
}

impl Socket {
    /// Asks for the upgrade with `request`, which has everything but the upgrade's own fields.
    pub(super) async fn open(mut link: Link, request: Request<()>) -> Result<Self, ServiceFault> {
        let mut nonce = [0; 16];
        SystemRandom::new().fill(&mut nonce).map_err(|_random| ServiceFault::Unreachable)?;
        let key = STANDARD.encode(nonce);
        let value = HeaderValue::from_str(&key).map_err(|_value| ServiceFault::Unreachable)?;
        let mut request = request.map(|()| Full::<Bytes>::default());
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, value);
        let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
        let answer = link.send(request).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(fault_of_status(answer.status()).unwrap_or(ServiceFault::Garbage));
        }
        if !is_upgrade(answer.headers(), &key, offered.as_ref()) {
            return Err(ServiceFault::Garbage);
        }
        drop(answer);
        let Upgraded { stream, early, life } = link.into_upgraded()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(limit::READ_BUFFER_BYTES)
            .write_buffer_size(limit::READ_BUFFER_BYTES)
            .max_write_buffer_size(limit::RECOGNISER_WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(limit::RECOGNISER_MESSAGE_BYTES_MAX))
            .max_frame_size(Some(limit::RECOGNISER_MESSAGE_BYTES_MAX));
        let protocol = WebSocketContext::from_partially_read(early, Role::Client, Some(config));
        Ok(Self { stream, protocol, life, is_dirty: false })
    }

    /// How long it may be used.
    pub(super) const fn life(&mut self) -> &mut Life {
        &mut self.life
    }

    /// Whether something waits to be written; then nothing more should be.
    pub(super) const fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Writes one message, as far as the vendor takes it now.
    pub(super) async fn write(&mut self, message: Message) -> Result<(), ServiceFault> {
        let mut message = Some(message);
        std::future::poll_fn(|context| {
            if let Some(message) = message.take() {
                let mut wire = Wire { stream: &mut self.stream, context };
                self.is_dirty = true;
                match self.protocol.write(&mut wire, message) {
                    Ok(()) => {}
                    Err(error) if is_blocked(&error) => {}
                    Err(error) => return Poll::Ready(Err(fault_of(&error))),
                }
            }
            Poll::Ready(self.flush(context))
        })
        .await
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), ServiceFault> {
        let mut wire = Wire { stream: &mut self.stream, context };
        match self.protocol.flush(&mut wire) {
            Ok(()) => self.is_dirty = false,
            Err(error) if is_blocked(&error) => self.is_dirty = true,
            Err(error) => return Err(fault_of(&error)),
        }
        Ok(())
    }

    /// Waits until something happens; messages are read only when `may_read`.
    pub(super) async fn turn(&mut self, may_read: bool) -> Result<Turn, ServiceFault> {
        std::future::poll_fn(|context| {
            if self.is_dirty {
                self.flush(context)?;
                if !self.is_dirty {
                    return Poll::Ready(Ok(Turn::Written));
                }
            }
            if !may_read {
                return Poll::Pending;
            }
            let mut wire = Wire { stream: &mut self.stream, context };
            match self.protocol.read(&mut wire) {
                Ok(message) => {
                    // The answer to a ping waits to be written.
                    self.is_dirty |= message.is_ping();
                    Poll::Ready(Ok(Turn::Message(message)))
                }
                Err(error) if is_blocked(&error) => Poll::Pending,
                Err(error) => Poll::Ready(Err(fault_of(&error))),
            }
        })
        .await
    }

    /// Says goodbye, with `last` before it.
    pub(super) async fn close(mut self, last: Message) {
        let closing = async {
            self.write(last).await?;
            // Written for us by tungstenite, as far as it goes now.
            self.write(Message::Close(None)).await?;
            while self.is_dirty {
                self.turn(false).await?;
            }
            self.stream.shutdown().await.map_err(|_broken| ServiceFault::Closed)
        };
        // Nobody waits for a vendor that takes no goodbye.
        let closed = tokio::time::timeout(limit::RECOGNISER_GOODBYE_DEADLINE, closing).await;
        drop(closed);
        self.life.end(VendorEnd::CallOver);
    }
}

fn is_upgrade(headers: &HeaderMap, key: &str, offered: Option<&HeaderValue>) -> bool {
    let is = |name: header::HeaderName, expected: &[u8]| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(expected))
    };
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    let chosen = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(HeaderValue::as_bytes);
    let is_offered = |chosen: &[u8]| {
        let offered = offered.map(HeaderValue::as_bytes).unwrap_or_default();
        offered.split(|byte| *byte == b',').any(|one| one.trim_ascii() == chosen)
    };
    is(header::UPGRADE, b"websocket")
        && is(header::CONNECTION, b"upgrade")
        && accept == Some(derive_accept_key(key.as_bytes()).as_bytes())
        && !headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
        && chosen.is_none_or(is_offered)
}

fn is_blocked(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn fault_of(error: &Error) -> ServiceFault {
    match error {
        Error::Capacity(_) => ServiceFault::TooLong,
        Error::WriteBufferFull(_) => ServiceFault::Late,
        Error::Utf8(_) => ServiceFault::Garbage,
        Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
            | tungstenite::error::ProtocolError::SendAfterClosing
            | tungstenite::error::ProtocolError::ReceivedAfterClosing,
        ) => ServiceFault::Closed,
        Error::Protocol(_) => ServiceFault::Garbage,
        _ => ServiceFault::Closed,
    }
}
