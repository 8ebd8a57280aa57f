//! The power button, as the kernel tells of it: a group of generic netlink that ACPI speaks to (`drivers/acpi/event.c`).
//!
//! It needs no device and no driver for input. What is not a button that was pressed is not read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

const HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
/// The family that knows the others, and its question for one (`linux/genetlink.h`).
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_NAME: u16 = 2;
const GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_ID: u16 = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct PowerButton(OwnedFd);

impl PowerButton {
    /// Begins to listen.
    ///
    /// # Errors
    /// The operating system's; not found on a machine without ACPI.
    pub(crate) fn open() -> io::Result<Self> {
        let open = |groups| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket =
                socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(GENERIC))?;
            bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            Ok::<_, io::Error>(socket)
        };
        let asking = open(0)?;
        send(&asking, &question(), SendFlags::NOSIGNAL)?;
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(&asking, PollFlags::IN)], Some(&patience))?;
        let mut buffer = [0; 4_096];
        let (length, _) = recv(&asking, &mut buffer[..], RecvFlags::DONTWAIT)?;
        let group = group(buffer.get(..length).unwrap_or_default());
        // Groups are numbered from one, and a mask has a bit for each of the first thirty-two.
        let bit = group.and_then(|group| 1_u32.checked_shl(group.checked_sub(1)?));
        Ok(Self(open(bit.ok_or(io::ErrorKind::NotFound)?)?))
    }

    /// Whether it was pressed since the last time.
    #[must_use]
    pub(crate) fn was_pressed(&self) -> bool {
        let (mut buffer, mut is_pressed) = ([0; 1_024], false);
        while let Ok((length, _)) = recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
            is_pressed |= is_power(buffer.get(..length).unwrap_or_default());
        }
        is_pressed
    }
}

impl AsFd for PowerButton {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn question() -> Vec<u8> {
    let name = b"acpi_event\0\0";
    let mut bytes = vec![0; 4];
    bytes.extend(CONTROLLER.to_ne_bytes());
    // `NLM_F_REQUEST`.
    bytes.extend(1_u16.to_ne_bytes());
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([GET_FAMILY, 1, 0, 0]);
    bytes.extend(15_u16.to_ne_bytes());
    bytes.extend(FAMILY_NAME.to_ne_bytes());
    bytes.extend(name);
    let length = u32::try_from(bytes.len()).unwrap_or(0).to_ne_bytes();
    if let Some(place) = bytes.first_chunk_mut::<4>() {
        *place = length;
    }
    bytes
}

/// Attributes one after the other: kind and content.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk::<2>()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk::<2>()?) & 0x3fff;
        let content = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

fn body(message: &[u8]) -> &[u8] {
    message.get(HEADER.saturating_add(GENERIC_HEADER)..).unwrap_or_default()
}

/// The number of the family's group.
fn group(answer: &[u8]) -> Option<u32> {
    let (_, groups) = attributes(body(answer)).find(|(kind, _)| *kind == GROUPS)?;
    let mut named = attributes(groups).filter_map(|(_, group)| {
        let name = attributes(group).find(|(kind, _)| *kind == GROUP_NAME)?.1;
        let (_, number) = attributes(group).find(|(kind, _)| *kind == GROUP_ID)?;
        let number = u32::from_ne_bytes(*number.first_chunk::<4>()?);
        name.starts_with(b"acpi_mc_group\0").then_some(number)
    });
    named.next()
}

/// `struct acpi_genl_event` begins with the class of the device.
fn is_power(message: &[u8]) -> bool {
    attributes(body(message)).any(|(_, event)| event.starts_with(b"button/power"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 4).unwrap();
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(body: &[u8]) -> Vec<u8> {
        [&[0; HEADER + GENERIC_HEADER][..], body].concat()
    }

    #[test]
    fn the_group_is_found_in_the_kernels_answer() {
        let group_of = |name: &[u8], number: u32| {
            let parts = [attribute(GROUP_ID, &number.to_ne_bytes()), attribute(GROUP_NAME, name)];
            attribute(1, &parts.concat())
        };
        let groups = [group_of(b"other\0", 4), group_of(b"acpi_mc_group\0", 5)].concat();
        let answer = [attribute(FAMILY_NAME, b"acpi_event\0"), attribute(GROUPS, &groups)].concat();
        assert_eq!(group(&message(&answer)), Some(5));
        for length in 0..message(&answer).len() - 4 {
            assert_eq!(group(&message(&answer)[..length]), None, "{length}");
        }
        assert_eq!(question().len(), 36);
    }

    #[test]
    fn a_button_that_is_pressed_is_the_power_button_or_none() {
        let event = |class: &[u8]| message(&attribute(1, &[class, &[0; 30]].concat()));
        assert!(is_power(&event(b"button/power")));
        assert!(!is_power(&event(b"button/sleep")));
        assert!(!is_power(&event(b"ac_adapter")));
        assert!(!is_power(&[]));
    }
}
