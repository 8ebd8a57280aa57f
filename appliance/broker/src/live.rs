//! Connections that were given away: how long each may live, and its end.
//!
//! The broker keeps its own descriptor of each, to cut it: what media does with its copy, it cannot keep the
//! connection alive. It never reads from one.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use ward_edge::log::Log;
use ward_policy::audit::Event;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::readiness::watch;

use crate::answer::Asker;

/// How long a connection may live, and why it ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) length: Duration,
    pub(crate) reason: VendorEnd,
}

/// Every connection that is out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    media: Arc<AtomicUsize>,
    /// Places of its own: media, which may have been taken over, does not keep the log from its sink.
    log: Arc<AtomicUsize>,
}

/// One connection's place among them.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Live {
    /// A place for one more of `asker`'s.
    pub(crate) fn place(&self, asker: Asker) -> Result<Place, DialFault> {
        let (all, most) = match asker {
            Asker::Media => (&self.media, limit::VENDOR_CONNECTIONS_MAX),
            Asker::Log => (&self.log, limit::SINK_CONNECTIONS_MAX),
        };
        let taken = all.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(all));
        if taken < most { Ok(place) } else { Err(DialFault::TooManyConnections) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connections of one channel, by the number of their question. Whoever is taken out is ended.
pub(crate) type Lent = Arc<Mutex<BTreeMap<u64, oneshot::Sender<VendorEnd>>>>;

/// A connection that can be cut from now on.
#[derive(Debug)]
pub(crate) struct Held(AsyncFd<OwnedFd>);

impl Held {
    /// `None` when the system cannot watch it: then nobody may have it.
    pub(crate) fn new(connection: TcpStream) -> Option<Self> {
        let connection = connection.into_std().ok()?;
        // Only the end of it wakes us: data that comes is media's.
        watch(connection.into(), Interest::PRIORITY).ok().map(Self)
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// Holds a connection until its term is over, it is closed both ways, or `ended` says so. `since` is how long ago
/// its term began.
pub(crate) async fn hold(
    Held(connection): Held,
    vendor: VendorId,
    term: Term,
    since: Duration,
    mut ended: oneshot::Receiver<VendorEnd>,
    log: Log,
) {
    let over = tokio::time::sleep(term.length.saturating_sub(since));
    tokio::pin!(over);
    let reason = loop {
        tokio::select! {
            ready = connection.ready(Interest::PRIORITY) => {
                let Ok(mut guard) = ready else { return };
                // An urgent byte is no end: whoever sends one does not get rid of us. Asked for like this, we hear of
                // no end but one of both directions; it is told as one of reading, and told again for ever.
                if guard.ready().is_read_closed() {
                    return;
                }
                guard.clear_ready();
            }
            () = &mut over => break term.reason,
            // An error means that this process is ending.
            reason = &mut ended => break reason.unwrap_or(VendorEnd::MediaGone),
        }
    };
    // It can only fail because the connection is over.
    shutdown(connection.get_ref(), Shutdown::Both).unwrap_or_default();
    if reason != VendorEnd::CallOver {
        log.record(&Event::VendorCut { vendor, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_does_not_keep_the_log_from_its_sink() {
        let live = Live::default();
        let most = limit::VENDOR_CONNECTIONS_MAX;
        let all: Vec<Place> = (0..most).map(|_| live.place(Asker::Media).unwrap()).collect();
        assert!(live.place(Asker::Media).is_err());
        let sinks: Vec<Place> =
            (0..limit::SINK_CONNECTIONS_MAX).map(|_| live.place(Asker::Log).unwrap()).collect();
        assert!(live.place(Asker::Log).is_err(), "it has an end too");
        drop((all, sinks));
        assert!(live.place(Asker::Media).is_ok() && live.place(Asker::Log).is_ok());
    }
    use std::io::{Read as _, Write as _};
    use ward_edge::clock::Clock;
    use ward_policy::audit::Role;

    const SHORT: Term = Term { length: Duration::from_millis(300), reason: VendorEnd::SessionOver };

    /// Holds one end of a connection while `other` plays the vendor; what was logged.
    async fn check(
        term: Term,
        end: Option<VendorEnd>,
        other: impl FnOnce(std::net::TcpStream) + Send + 'static,
    ) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        connection.set_nonblocking(true).unwrap();
        // What media has: letting go of the broker's own copy ends nothing.
        let of_media = connection.try_clone().unwrap();
        let connection = Held::new(TcpStream::from_std(connection).unwrap()).unwrap();
        let (vendor, _) = listener.accept().unwrap();
        let playing = std::thread::spawn(move || other(vendor));
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Broker, Clock::start(), writer.into());
        let (sender, receiver) = oneshot::channel();
        let kept = match end {
            Some(reason) => {
                sender.send(reason).unwrap();
                None
            }
            None => Some(sender),
        };
        let id = VendorId::parse("standin").unwrap();
        hold(connection, id, term, Duration::ZERO, receiver, log).await;
        drop(kept);
        playing.join().unwrap();
        drop(of_media);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    fn until_the_end(mut vendor: std::net::TcpStream) {
        vendor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        while vendor.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    }

    #[tokio::test]
    async fn neither_data_nor_an_urgent_byte_keeps_a_connection_alive() {
        let text = check(SHORT, None, |mut vendor| {
            vendor.write_all(b"data").unwrap();
            rustix::net::send(&vendor, b"!", rustix::net::SendFlags::OOB).unwrap();
            until_the_end(vendor);
        })
        .await;
        assert!(text.contains("vendor_cut") && text.contains("session_over"), "{text}");
    }

    #[tokio::test]
    async fn a_reset_holds_nobody_up() {
        let long = Term { length: Duration::from_secs(100), ..SHORT };
        for is_closed_first in [false, true] {
            let other = move |vendor: std::net::TcpStream| {
                if is_closed_first {
                    // An end of one direction alone is none; whoever has the connection too may answer it.
                    shutdown(&vendor, Shutdown::Write).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                }
                rustix::net::sockopt::set_socket_linger(&vendor, Some(Duration::ZERO)).unwrap();
                drop(vendor);
            };
            let held = tokio::time::timeout(Duration::from_secs(2), check(long, None, other));
            assert_eq!(held.await.unwrap(), "", "{is_closed_first}");
        }
    }

    #[tokio::test]
    async fn a_connection_ends_when_it_is_done_with_or_its_media_server_is_gone() {
        let long = Term { length: Duration::from_secs(100), ..SHORT };
        let text = check(long, Some(VendorEnd::CallOver), until_the_end).await;
        assert_eq!(text, "", "the ordinary end says nothing");
        let text = check(long, Some(VendorEnd::MediaGone), until_the_end).await;
        assert!(text.contains("media_gone"), "{text}");
    }
}
