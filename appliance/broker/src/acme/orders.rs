//! The channel on which `sign` is asked for what an authority wants to see.
//!
//! One question at a time. What is left of those before it answers nobody.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;
use ward_edge::order::{DEADLINE, KEPT, Made, Order};
use ward_edge::signing::KeyId;
use ward_policy::fault::AcmeFault;
use ward_policy::limit;
use ward_sys::readiness::watch;

/// Why `sign` did not do what was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotDone {
    /// It said so: it has no such name or key.
    Refused,
    /// It said nothing in time, or nothing that can be used. It may be about to be started again.
    Silent,
}

impl From<NotDone> for AcmeFault {
    fn from(_reason: NotDone) -> Self {
        Self::SignSilent
    }
}

pub(super) struct Orders {
    channel: AsyncFd<OwnedFd>,
    number: AtomicU64,
}

impl Orders {
    /// `None` when the operating system cannot watch the channel.
    pub(super) fn new(channel: OwnedFd) -> Option<Self> {
        let channel = watch(channel, Interest::READABLE).ok()?;
        Some(Self { channel, number: AtomicU64::new(0) })
    }

    /// A new key, and a request for a certificate for it.
    pub(super) async fn request(&self) -> Result<Made, NotDone> {
        let answer = self.ask(&Order::Request).await?;
        Made::parse(&answer).ok_or(NotDone::Silent)
    }

    /// A challenge's certificate.
    pub(super) async fn challenge(&self, digest: [u8; 32], name: &str) -> Result<Made, NotDone> {
        let answer = self.ask(&Order::Challenge { digest, name: name.to_owned() }).await?;
        Made::parse(&answer).ok_or(NotDone::Silent)
    }

    /// Has the key kept. One that is silent is asked again: it may be about to be started.
    pub(super) async fn keep(&self, key: KeyId) -> Result<(), NotDone> {
        for _ in 1..limit::CERTIFICATE_TOLD_MAX {
            let done = self.keep_once(key).await;
            if done != Err(NotDone::Silent) {
                return done;
            }
            tokio::time::sleep(limit::CERTIFICATE_TOLD_PAUSE).await;
        }
        self.keep_once(key).await
    }

    async fn keep_once(&self, key: KeyId) -> Result<(), NotDone> {
        let answer = self.ask(&Order::Keep(key)).await?;
        if answer == KEPT { Ok(()) } else { Err(NotDone::Silent) }
    }

    async fn ask(&self, order: &Order) -> Result<Vec<u8>, NotDone> {
        let number = self.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let bytes = order.to_bytes(number);
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        send(self.channel.get_ref().as_fd(), &bytes, flags).map_err(|_gone| NotDone::Silent)?;
        let answer = timeout(DEADLINE, self.answer(number)).await;
        let answer = answer.ok().flatten().ok_or(NotDone::Silent)?;
        // It answers each order: with nothing where it refuses.
        if answer.is_empty() { Err(NotDone::Refused) } else { Ok(answer) }
    }

    /// The answer to question `number`; `None` when the channel is broken.
    async fn answer(&self, number: u64) -> Option<Vec<u8>> {
        let mut buffer = [0; limit::ORDER_ANSWER_BYTES_MAX];
        loop {
            let mut ready = self.channel.readable().await.ok()?;
            match recv(self.channel.get_ref().as_fd(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return None,
                Ok((_, length)) => {
                    let (said, answer) = buffer.get(..length)?.split_first_chunk::<8>()?;
                    if u64::from_be_bytes(*said) == number {
                        return Some(answer.to_vec());
                    }
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(_broken) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_that_of_its_question_and_silence_has_an_end() {
        let (ours, theirs) = pair();
        let orders = Orders::new(ours).unwrap();
        let answer = |number: u64, what: &[u8]| {
            let bytes = [&number.to_be_bytes()[..], what].concat();
            send(&theirs, &bytes, SendFlags::NOSIGNAL).unwrap();
        };
        // An answer to somebody who had the channel before, then ours.
        answer(77, b"old");
        answer(1, KEPT);
        orders.keep(KeyId::NONE).await.unwrap();
        // A refusal is empty; another word than the one that is due is none either.
        answer(2, b"");
        assert_eq!(orders.request().await, Err(NotDone::Refused));
        answer(3, b"other");
        assert_eq!(orders.keep_once(KeyId::NONE).await, Err(NotDone::Silent));
        assert_eq!(orders.challenge([0; 32], "a.b").await, Err(NotDone::Silent));
        // A key is asked after again while nothing is said, and no more once something is.
        answer(5, b"other");
        answer(6, KEPT);
        orders.keep(KeyId::NONE).await.unwrap();
        answer(7, b"");
        assert_eq!(orders.keep(KeyId::NONE).await, Err(NotDone::Refused));
        assert_eq!(orders.keep(KeyId::NONE).await, Err(NotDone::Silent), "three times");
        assert_eq!(orders.number.load(Ordering::Relaxed), 10);
        drop(theirs);
        assert_eq!(orders.request().await, Err(NotDone::Silent));
    }
}
