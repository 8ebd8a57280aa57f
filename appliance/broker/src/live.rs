//! Connections that were given away: how long each may live, and its end.
//!
//! The broker keeps its own descriptor of each, to cut it: what media does with its copy, it cannot keep the
//! connection alive. It never reads from one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch as changes;
use ward_edge::log::Log;
use ward_policy::audit::Event;
use ward_policy::fault::{DialFault, VendorEnd};
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::readiness::watch;

/// How long a connection may live, and why it ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) length: Duration,
    pub(crate) reason: VendorEnd,
}

/// Every connection that is out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live(Arc<AtomicUsize>);

/// One connection's place among them.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Live {
    /// A place for one more.
    pub(crate) fn place(&self) -> Result<Place, DialFault> {
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.0));
        if taken < limit::VENDOR_CONNECTIONS_MAX {
            Ok(place)
        } else {
            Err(DialFault::TooManyConnections)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Holds a connection until its term is over, both ends have closed it, or the media server that has it is gone,
/// which `media` tells by a change.
pub(crate) async fn hold(
    connection: TcpStream,
    vendor: VendorId,
    term: Term,
    mut media: changes::Receiver<u64>,
    place: Place,
    log: Log,
) {
    let Ok(connection) = connection.into_std() else { return };
    // Only the end of it wakes us: data that comes is media's.
    let Ok(connection) = watch(connection.into(), Interest::PRIORITY) else {
        return;
    };
    let reason = tokio::select! {
        _closed = connection.ready(Interest::PRIORITY) => None,
        () = tokio::time::sleep(term.length) => Some(term.reason),
        // An error means that this process is ending.
        _changed = media.changed() => Some(VendorEnd::MediaGone),
    };
    if let Some(reason) = reason {
        // It can only fail because the connection is over.
        shutdown(connection.get_ref(), Shutdown::Both).unwrap_or_default();
        log.record(&Event::VendorCut { vendor, reason });
    }
    drop((connection, place));
}
