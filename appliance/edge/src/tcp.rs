//! A TCP connection that sends one buffer a call.
//!
//! rustls hands its records over as a list of buffers, nearly always a list of one. `send` costs the
//! kernel less than `writev` for one, and the send is the dearest thing about a frame. It adds no
//! buffer and changes no byte; asked to, it wipes the buffer that it reads into first.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    /// Whether the next read begins with wiping what it reads into.
    wipes_next: bool,
}

impl Tcp {
    /// Takes a connection over.
    #[must_use]
    pub const fn new(stream: TcpStream) -> Self {
        Self { stream, wipes_next: false }
    }

    /// Has the next read wipe the buffer that it is given, before anything is read.
    ///
    /// rustls decrypts in place in one buffer of a connection and never clears it: what came in one long record,
    /// a request head with a signature in it, would lie behind shorter ones for the length of a call.
    pub const fn wipe_with_next_read(&mut self) {
        self.wipes_next = true;
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wipes_next) {
            buffer.initialize_unfilled().fill(0);
        }
        #[cfg(negative_control)]
        return crate::log::leak::read(Pin::new(&mut self.stream), context, buffer);
        #[cfg(not(negative_control))]
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// The default of a vectored write is to write the first buffer, which is what is wanted.
impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asked_to_it_wipes_what_it_reads_into_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut tcp = Tcp::new(listener.accept().await.unwrap().0);
        let read = |tcp: &mut Tcp| {
            let mut bytes = *b"what was here before";
            let mut buffer = ReadBuf::new(&mut bytes);
            buffer.set_filled(5);
            // Nothing has come, and nothing must: the wiping does not wait for it.
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(tcp).poll_read(&mut context, &mut buffer).is_pending());
            bytes
        };
        assert_eq!(&read(&mut tcp), b"what was here before");
        tcp.wipe_with_next_read();
        assert_eq!(&read(&mut tcp), b"what \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&read(&mut tcp), b"what was here before");
    }
}
