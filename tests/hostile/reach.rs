//! What the layers beside the filter take away: paths, networks, signals, executable memory, privileges.
//!
//! The addresses are loopback, and the metadata address of clouds, which a test may give to a namespace of
//! its own; nothing else is dialled.

use crate::attempt::{Attempts, Tried, errno};

/// Tries everything once.
pub fn everything(attempts: &Attempts, mut report: impl FnMut(Tried)) {
    // SAFETY: asks for a number.
    let parent = unsafe { libc::getppid() };
    report(attempts.child("open /", || open(c"/", libc::O_RDONLY)));
    report(attempts.child("open /etc/passwd", || open(c"/etc/passwd", libc::O_RDONLY)));
    report(attempts.child("open /proc/self/mem", || open(c"/proc/self/mem", libc::O_RDONLY)));
    report(attempts.child("make a file", || open(c"/tmp", libc::O_TMPFILE | libc::O_WRONLY)));
    report(attempts.child("connect 127.0.0.1", || connect([127, 0, 0, 1])));
    report(attempts.child("connect 169.254.169.254", || connect([169, 254, 169, 254])));
    report(attempts.child("sendto 127.0.0.1 at once", || at_once(false)));
    report(attempts.child("sendmsg 127.0.0.1 at once", || at_once(true)));
    report(attempts.child("bind 127.0.0.1", bind));
    // SAFETY: signal 0 asks whether the process could be signalled.
    report(attempts.child("signal the launcher", move || value(unsafe { libc::kill(parent, 0) })));
    report(attempts.child("trace the launcher", move || {
        // SAFETY: attaches to a process, which goes on when this child ends.
        let outcome = unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0) };
        if outcome == -1 { Err(errno()) } else { Ok(outcome) }
    }));
    report(attempts.child("read the launcher's memory", move || {
        let mut byte = 0_u8;
        let ours = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // The other end is some address of ours, which a launcher need not have: what counts is whether it
        // may be looked at at all.
        // SAFETY: one byte of our own to be written to.
        let read =
            unsafe { libc::process_vm_readv(parent, &raw const ours, 1, &raw const ours, 1, 0) };
        match errno() {
            libc::EFAULT if read == -1 => Ok(0),
            error if read == -1 => Err(error),
            _ => Ok(0),
        }
    }));
    report(attempts.child("map writable and executable", || {
        map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).map(|_| 0)
    }));
    report(attempts.child("make written memory executable", || {
        let block = map(libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: a page of our own.
        value(unsafe { libc::mprotect(block, PAGE, libc::PROT_READ | libc::PROT_EXEC) })
    }));
    // SAFETY: asks for another user; takes a number.
    report(attempts.child("become root", || value(unsafe { libc::setuid(0) })));
    report(attempts.child("make a user namespace", || {
        // SAFETY: asks for a namespace.
        value(unsafe { libc::unshare(libc::CLONE_NEWUSER) })
    }));
    report(attempts.child("execute /proc/self/exe", || {
        let none = [std::ptr::null()];
        // SAFETY: a path and two empty lists.
        value(unsafe { libc::execve(c"/proc/self/exe".as_ptr(), none.as_ptr(), none.as_ptr()) })
    }));
}

const PAGE: usize = 4_096;

fn value(outcome: i32) -> Result<i64, i32> {
    if outcome == -1 { Err(errno()) } else { Ok(i64::from(outcome)) }
}

fn open(path: &std::ffi::CStr, flags: i32) -> Result<i64, i32> {
    // SAFETY: a path that ends.
    value(unsafe { libc::open(path.as_ptr(), flags, 0o600) })
}

fn map(protection: i32) -> Result<*mut libc::c_void, i32> {
    // SAFETY: a new page wherever the kernel likes.
    let block = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if block == libc::MAP_FAILED { Err(errno()) } else { Ok(block) }
}

/// The port that a test listens on, on both addresses.
const PORT: u16 = 47_313;

fn address(ip: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(0),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip) },
        sin_zero: [0; 8],
    }
}

fn socket() -> Result<i32, i32> {
    // SAFETY: three numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    if socket == -1 { Err(errno()) } else { Ok(socket) }
}

fn connect(ip: [u8; 4]) -> Result<i64, i32> {
    let (socket, address) = (socket()?, address(ip, PORT));
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: an address of the length that is given.
    value(unsafe { libc::connect(socket, (&raw const address).cast(), length) })
}

/// Connects and sends in one call (TCP Fast Open, RFC 7413).
fn at_once(with_message: bool) -> Result<i64, i32> {
    let (socket, mut address) = (socket()?, address([127, 0, 0, 1], PORT));
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    let mut byte = 1_u8;
    let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
    let sent = if with_message {
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: all zero is a message without anything.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = length;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        // SAFETY: the message points at an address and a byte of our own.
        unsafe { libc::sendmsg(socket, &raw const message, flags) }
    } else {
        let address = (&raw const address).cast();
        // SAFETY: one byte of our own, and an address of the length that is given.
        unsafe { libc::sendto(socket, (&raw const byte).cast(), 1, flags, address, length) }
    };
    if sent == -1 { Err(errno()) } else { Ok(sent.try_into().unwrap_or(i64::MAX)) }
}

fn bind() -> Result<i64, i32> {
    let (socket, address) = (socket()?, address([127, 0, 0, 1], 0));
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: an address of the length that is given.
    value(unsafe { libc::bind(socket, (&raw const address).cast(), length) })
}
