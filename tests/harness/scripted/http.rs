//! As much HTTP/1.1 and WebSocket as a scripted vendor needs, over one TLS connection.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// One request.
#[derive(Debug)]
pub struct Request {
    head: String,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Request {
    /// Everything before the body, as it came.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Whether it is for `path`, with a query or without.
    #[must_use]
    pub fn is(&self, method: &str, path: &str) -> bool {
        let rest = self.head.strip_prefix(method).and_then(|rest| rest.strip_prefix(' '));
        let rest = rest.and_then(|rest| rest.strip_prefix(path));
        rest.is_some_and(|rest| rest.starts_with(['?', ' ']))
    }

    /// The first header field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(one, _)| one.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }
}

/// One connection of Ward's.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    unread: Vec<u8>,
}

impl Connection {
    pub(super) const fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Reads more; an error at the end of everything. May be dropped and called again.
    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next request.
    ///
    /// # Errors
    /// At the end of the connection, and of what is no UTF-8.
    pub async fn request(&mut self) -> io::Result<Request> {
        let end = loop {
            let end = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).map_err(|_text| io::ErrorKind::InvalidData)?;
        let mut request = Request { head, body: Vec::new() };
        let length = request.field("content-length").and_then(|text| text.parse().ok());
        let length = length.unwrap_or(0);
        while self.unread.len() < length {
            self.more().await?;
        }
        request.body = self.unread.drain(..length).collect();
        Ok(request)
    }

    /// Writes any bytes.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// One chunk of a body; an empty one ends it.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = format!("{:x}\r\n", bytes.len());
        self.write(&[size.as_bytes(), bytes, b"\r\n"].concat()).await
    }

    /// Agrees to an upgrade, with `more` header lines in the answer.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn switch_to_websocket(&mut self, request: &Request, more: &str) -> io::Result<()> {
        let key = request.field("sec-websocket-key").unwrap_or_default();
        let accept = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, accept.as_bytes()));
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n{more}\r\n"
        );
        self.write(head.as_bytes()).await
    }

    /// One text message of less than 64 KiB.
    ///
    /// # Errors
    /// Of the connection.
    pub async fn text(&mut self, text: &str) -> io::Result<()> {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(length) if length < 126 => frame.push(length),
            _ => {
                frame.push(126);
                frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(text.as_bytes());
        self.write(&frame).await
    }

    /// The next frame: its first byte and its body. May be dropped and called again.
    ///
    /// # Errors
    /// At the end of the connection.
    pub async fn frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            if let Some((head, length)) = masked_frame_at(&self.unread) {
                let kind = self.unread[0];
                let mask: Vec<u8> = self.unread[head - 4..head].to_vec();
                let body = self.unread[head..head + length].iter().zip(mask.iter().cycle());
                let body = body.map(|(byte, mask)| byte ^ mask).collect();
                self.unread.drain(..head + length);
                return Ok((kind, body));
            }
            self.more().await?;
        }
    }

    /// Says that nothing more will come, and takes what still does.
    pub async fn finish(&mut self) -> Vec<u8> {
        // Whoever has had enough leaves first.
        drop(self.stream.shutdown().await);
        while self.more().await.is_ok() {}
        std::mem::take(&mut self.unread)
    }
}

/// Length of a whole masked frame's head and body.
fn masked_frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = usize::from(*bytes.get(1)? & 0x7F);
    let (head, length) = if second == 126 {
        (8, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))
    } else {
        (6, second)
    };
    (bytes.len() >= head + length).then_some((head, length))
}
