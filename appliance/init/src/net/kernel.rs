//! The kernel's side of the network: two sockets, one for orders and one for what happens to the link, and a datagram to a server that is
//! known. Everything that is decided is decided elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};

use super::follow::Step;
use super::lease::Lease;
use super::netlink;

/// `RTMGRP_LINK`.
const LINKS: u32 = 1;

pub(crate) struct Kernel {
    link: u32,
    orders: OwnedFd,
    events: OwnedFd,
    number: u32,
}

impl Kernel {
    /// Opens both sockets.
    pub(crate) fn open(link: u32) -> io::Result<Self> {
        let open = |groups: u32| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { link, orders: open(0)?, events: open(LINKS)?, number: 0 })
    }

    pub(crate) fn numbers(&self) -> [RawFd; 2] {
        [self.orders.as_raw_fd(), self.events.as_raw_fd()]
    }

    pub(crate) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// The last that was said of the link, if anything was.
    pub(crate) fn heard(&self) -> Option<bool> {
        let (mut buffer, mut last) = ([0; 4_096], None);
        while let Ok((bytes, _)) = recv(&self.events, &mut buffer[..], RecvFlags::DONTWAIT) {
            let said = netlink::is_running(buffer.get(..bytes).unwrap_or_default(), self.link);
            last = said.or(last);
        }
        last
    }

    pub(crate) fn up(&mut self, mtu: Option<u16>) -> io::Result<()> {
        let link = self.link;
        self.order(|number| netlink::link_up(number, link, mtu))
    }

    /// One step of a lease.
    pub(crate) fn take(&mut self, step: &Step<'_>, lease: &Lease) -> io::Result<()> {
        let link = self.link;
        let (address, prefix, time) = (lease.address, lease.prefix, lease.length);
        match step {
            Step::Mtu(mtu) => self.up(Some(*mtu)),
            Step::Address => {
                self.order(|number| netlink::address(number, link, address, prefix, time))
            }
            Step::Route(route) => self.order(|number| netlink::route(number, link, route, address)),
        }
    }

    /// Takes the address away. One whose time is over is gone already.
    pub(crate) fn forget(&mut self, lease: &Lease) -> io::Result<()> {
        let (link, address, prefix) = (self.link, lease.address, lease.prefix);
        let gone = rustix::io::Errno::ADDRNOTAVAIL.raw_os_error();
        match self.order(|number| netlink::no_address(number, link, address, prefix)) {
            Err(error) if error.raw_os_error() == Some(gone) => Ok(()),
            other => other,
        }
    }

    fn order(&mut self, order: impl FnOnce(u32) -> Vec<u8>) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        send(&self.orders, &order(self.number), SendFlags::NOSIGNAL)?;
        // The kernel answers while it is asked; a second is for a machine that stands still.
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut buffer = [0; 4_096];
        loop {
            let mut socket = [PollFd::new(&self.orders, PollFlags::IN)];
            if poll(&mut socket, Some(&patience))? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let (bytes, _) = recv(&self.orders, &mut buffer[..], RecvFlags::DONTWAIT)?;
            match netlink::verdict(buffer.get(..bytes).unwrap_or_default(), self.number) {
                Some(0) => return Ok(()),
                Some(error) => return Err(io::Error::from_raw_os_error(error)),
                None => {}
            }
        }
    }
}

/// A socket that hears nobody but `to`.
pub(crate) fn socket_to(from: SocketAddrV4, to: SocketAddrV4) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    if from.port() != 0 {
        bind(&socket, &from)?;
    }
    connect(&socket, &to)?;
    Ok(socket)
}

/// Sends one datagram from the clients' port to a server's. Its answer comes to the socket that hears all of them, so this one closes.
pub(crate) fn send_from(from: Ipv4Addr, to: Ipv4Addr, datagram: &[u8]) -> io::Result<()> {
    let socket = socket_to(SocketAddrV4::new(from, 68), SocketAddrV4::new(to, 67))?;
    send(&socket, datagram, SendFlags::NOSIGNAL)?;
    Ok(())
}
