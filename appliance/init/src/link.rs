//! The channels between a server and one of its helpers, one a worker.
//!
//! A server that starts gets fresh ones, so that nothing its predecessor did to a channel is left: it may have been
//! taken over. The helper goes on and is sent the other ends; one that is started again gets those that are in use,
//! so the server that talks to it only waits. Only ends that belong to helpers are kept here.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What the helper is told that they are.
    kind: u8,
    workers: usize,
    /// The helper's ends of the channels that the server has now.
    ends: Vec<OwnedFd>,
    /// Where the running helper is sent new ones.
    control: Option<OwnedFd>,
}

impl Link {
    pub(crate) fn new(kind: u8, workers: usize) -> Self {
        Self(Arc::new(Mutex::new(State { kind, workers, ends: Vec::new(), control: None })))
    }

    /// Fresh channels; the server's ends. The helper is sent the others.
    pub(crate) fn for_server(&self) -> io::Result<Vec<OwnedFd>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ends.clear();
        let mut servers = Vec::with_capacity(state.workers);
        for _ in 0..state.workers {
            let (server, helper) = pair()?;
            if let Some(control) = &state.control {
                // A helper that is gone, or does not read, gets it when it is started again.
                send(control, state.kind, &helper).unwrap_or_default();
            }
            state.ends.push(helper);
            servers.push(server);
        }
        Ok(servers)
    }

    /// The ends that a helper is given that is being started, and will be sent others over `control`.
    pub(crate) fn for_helper(&self, control: OwnedFd) -> io::Result<Vec<OwnedFd>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.control = Some(control);
        state.ends.iter().map(OwnedFd::try_clone).collect()
    }
}

/// Both ends of a channel that keeps messages apart.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Both ends of a channel between the log and the broker, which do not block. The supervisor keeps both: whichever of the
/// two is started again finds its own.
pub(crate) fn lasting_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

fn send(control: &OwnedFd, kind: u8, end: &OwnedFd) -> io::Result<()> {
    let ends = [end.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&ends));
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(control, &[IoSlice::new(&[kind])], &mut ancillary, flags)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvFlags, recv, send as send_bytes};
    use ward_edge::control::{SERVERS, receive_named};

    #[test]
    fn a_server_gets_fresh_channels_and_a_helper_those_in_use() {
        let link = Link::new(SERVERS, 1);
        let (ours, control) = pair().unwrap();
        assert!(link.for_helper(ours).unwrap().is_empty(), "no server yet");
        let first = link.for_server().unwrap().pop().unwrap();
        let (kind, end) = receive_named(control.as_fd()).unwrap().unwrap();
        assert_eq!(kind, SERVERS);
        send_bytes(&first, b"one", SendFlags::empty()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(recv(&end, &mut buffer, RecvFlags::empty()).unwrap().1, 3);
        // Started again, the helper has the same channel.
        drop((end, control));
        let (ours, control) = pair().unwrap();
        let mut ends = link.for_helper(ours).unwrap();
        send_bytes(&first, b"three", SendFlags::empty()).unwrap();
        assert_eq!(recv(ends.pop().unwrap(), &mut buffer, RecvFlags::empty()).unwrap().1, 5);
        // The next server has another, and nothing of the first one's is in it.
        let second = link.for_server().unwrap().pop().unwrap();
        let (_, end) = receive_named(control.as_fd()).unwrap().unwrap();
        send_bytes(&second, b"2", SendFlags::empty()).unwrap();
        assert_eq!(recv(&end, &mut buffer, RecvFlags::empty()).unwrap().1, 1);
        // Of the first server's channel nobody has the other end any more.
        assert!(send_bytes(&first, b"x", SendFlags::NOSIGNAL).is_err());
    }
}
