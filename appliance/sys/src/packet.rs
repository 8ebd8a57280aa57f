//! The socket that asks for an address before there is one: it hears DHCP's answers on one link and nothing else.
//!
//! Its filter is on and locked before it is bound, so no other packet of the machine ever reaches it, a call's least of all.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// IPv4's number among Ethernet's types, as the kernel wants it.
const IPV4: u16 = 0x0800_u16.to_be();
/// `AF_PACKET`, in the width that addresses have.
const FAMILY: libc::sa_family_t = 17;
/// Everyone on the link.
const BROADCAST: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0];

/// One step of the filter: code, two jumps, a value (`linux/filter.h`).
const fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Version 4, UDP, the first fragment, to the port of DHCP clients; otherwise nothing.
const FILTER: [libc::sock_filter; 11] = [
    step(0x30, 0, 0, 0),      // the first byte of the header
    step(0x54, 0, 0, 0xf0),   // its upper half
    step(0x15, 0, 7, 0x40),   // version 4, or drop
    step(0x30, 0, 0, 9),      // the protocol
    step(0x15, 0, 5, 17),     // UDP, or drop
    step(0x28, 0, 0, 6),      // flags and fragment
    step(0x45, 3, 0, 0x1fff), // a later fragment is dropped
    step(0xb1, 0, 0, 0),      // the length of the header
    step(0x48, 0, 0, 2),      // the destination's port
    step(0x15, 1, 0, 68),     // that of clients is taken
    step(0x06, 0, 0, 0),      // drop
];
/// What a packet that is taken ends with.
const TAKE: libc::sock_filter = step(0x06, 0, 0, 0xffff);

/// See the module.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    link: i32,
}

impl PacketSocket {
    /// Opens it on the link with this index; it does not block.
    ///
    /// # Errors
    /// The operating system's: `CAP_NET_RAW` is needed.
    pub fn open(link: u32) -> io::Result<Self> {
        let link = i32::try_from(link).map_err(io::Error::other)?;
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Of no protocol: until it is bound it hears nothing.
        // SAFETY: socket(2) takes numbers and gives a descriptor or -1.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made the descriptor, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        let mut steps = FILTER.to_vec();
        steps.push(TAKE);
        let length = u16::try_from(steps.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len: length, filter: steps.as_mut_ptr() };
        set_option(&socket, libc::SO_ATTACH_FILTER, &program)?;
        set_option(&socket, libc::SO_LOCK_FILTER, &1_i32)?;
        let address = address(link, [0; 8]);
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
        let length = length.map_err(io::Error::other)?;
        // SAFETY: the address is a whole `sockaddr_ll` of that length, and lives through the call.
        let bound = unsafe { libc::bind(raw, (&raw const address).cast(), length) };
        if bound == 0 { Ok(Self { socket, link }) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends one IPv4 packet to everyone on the link.
    ///
    /// # Errors
    /// The operating system's.
    pub fn broadcast(&self, packet: &[u8]) -> io::Result<()> {
        let address = address(self.link, BROADCAST);
        let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
        let length = length.map_err(io::Error::other)?;
        // SAFETY: buffer and address are valid for their lengths, and live through the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_NOSIGNAL,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address(link: i32, hardware: [u8; 8]) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: FAMILY,
        sll_protocol: IPV4,
        sll_ifindex: link,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: hardware,
    }
}

fn set_option<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let value: *const T = value;
    // SAFETY: the value is a whole `T` of that length; a program's steps live in the caller.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value.cast(), length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with the filter, in a few lines.
    fn takes(packet: &[u8]) -> bool {
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        let steps: Vec<_> = FILTER.iter().chain([&TAKE]).collect();
        let byte = |at: u32| packet.get(at as usize).copied().map(u32::from);
        loop {
            let one = steps[at];
            at += 1;
            let half = |from: u32| Some(byte(from)? << 8 | byte(from + 1)?);
            match one.code {
                0x30 => {
                    a = match byte(one.k) {
                        Some(value) => value,
                        None => return false,
                    }
                }
                0x28 => {
                    a = match half(one.k) {
                        Some(value) => value,
                        None => return false,
                    }
                }
                0x48 => {
                    a = match half(x + one.k) {
                        Some(value) => value,
                        None => return false,
                    }
                }
                0xb1 => {
                    x = match byte(one.k) {
                        Some(value) => (value & 15) * 4,
                        None => return false,
                    }
                }
                0x54 => a &= one.k,
                0x15 => at += usize::from(if a == one.k { one.jt } else { one.jf }),
                0x45 => at += usize::from(if a & one.k != 0 { one.jt } else { one.jf }),
                0x06 => return one.k != 0,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn the_filter_takes_answers_of_dhcp_and_nothing_else() {
        let mut answer = vec![0; 28];
        (answer[0], answer[9]) = (0x45, 17);
        answer[22..24].copy_from_slice(&68_u16.to_be_bytes());
        assert!(takes(&answer));
        let mut longer = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 0, 17];
        longer.resize(32, 0);
        longer[26..28].copy_from_slice(&68_u16.to_be_bytes());
        assert!(takes(&longer), "with an option in the header");
        for (at, value) in [(0, 0x65), (9, 6), (7, 1), (23, 69), (22, 1)] {
            let mut other = answer.clone();
            other[at] = value;
            assert!(!takes(&other), "{at} {value}");
        }
        assert!(!takes(&[]) && !takes(&answer[..20]));
    }
}
