//! Documents that may be replaced while a process runs, on their way from the launcher to it, unread.
//!
//! Expected signatures for the media server, auth tokens and a ticket key for the responder, a certificate's chain for a server and its key
//! for `sign`: secrets, most of them, so the supervisor never has them in its memory. It holds a document and lets the kernel copy it into
//! the process's channel, once for every start and once for every replacement.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use ward_policy::limit;

/// Where one of them comes from.
#[derive(Clone, Debug)]
pub(crate) struct Followed(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    document: OwnedFd,
    /// The end of the channel that the running process does not have.
    writer: Option<OwnedFd>,
}

impl Followed {
    pub(crate) fn new(document: OwnedFd) -> Self {
        Self(Arc::new(Mutex::new(State { document, writer: None })))
    }

    /// A fresh channel with the document of now in it.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = SocketFlags::CLOEXEC;
        let (reader, writer) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // A process that does not read must not hold the supervisor up.
        rustix::io::ioctl_fionbio(&writer, true)?;
        send(&state.document, &writer)?;
        state.writer = Some(writer);
        Ok(reader)
    }

    /// Takes a new document and gives it to the running process.
    pub(crate) fn replace(&self, document: OwnedFd) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.document = document;
        if let Some(writer) = &state.writer {
            // A process that is gone, or does not read, gets it at its next start.
            send(&state.document, writer).unwrap_or_default();
        }
    }
}

/// Lets the kernel copy the whole document.
fn send(document: &OwnedFd, writer: &OwnedFd) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let sent =
            rustix::fs::sendfile(writer, document, Some(&mut offset), limit::DOCUMENT_BYTES_MAX)?;
        if sent == 0 {
            return Ok(());
        }
    }
}
