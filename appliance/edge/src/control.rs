//! Descriptors that are sent to a process that runs, by the supervisor or to it: one in each message, with one byte that says what it is.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A channel to a server of the helper's: what every helper has.
pub const SERVERS: u8 = b'c';
/// A channel on which the broker orders of `sign`.
pub const ORDERS: u8 = b'o';
/// A channel on which the broker instructs a server.
pub const INSTRUCTIONS: u8 = b'i';

/// From the launcher, what replaces the server's document: what handshakes are compared with, or made with.
pub const HANDSHAKE: u8 = b'h';
/// From the launcher, what replaces the certificate's chain.
pub const TLS_CHAIN: u8 = b't';
/// And its key, which comes first: `sign` has both until the next one.
pub const TLS_KEY: u8 = b'k';

/// One message: its byte, and the descriptor that came with it; `None` when there is none to be had now.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] when the other end is gone.
pub fn receive_named(control: BorrowedFd<'_>) -> io::Result<Option<(u8, OwnedFd)>> {
    let mut byte = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut all = [IoSliceMut::new(&mut byte)];
    let received = match recvmsg(control, &mut all, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        other => other?,
    };
    let mut documents = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = documents.next().and_then(|mut descriptors| descriptors.next());
    if descriptor.is_none() && received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [kind] = byte;
    Ok(descriptor.map(|descriptor| (kind, descriptor)))
}
