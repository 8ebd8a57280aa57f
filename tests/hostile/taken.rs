//! The media server, taken over: it is started as one, in its cell, with its channels, and asks the broker for
//! what it should not get.
//!
//! What came of it is given, as text, to whoever connects to its listener, together with one connection that was
//! granted and that it never lets go of.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::egress::{Answer, Question, receive};
use ward_edge::handed::Handed;
use ward_edge::log::Log;
use ward_policy::audit::Role;
use ward_policy::data_class::DataClass;
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::secret::SecretPool;

use crate::attempt::{Attempts, errno};

/// Vendors and classes that are asked for, in this order; `minted` and the last one should be granted.
const ASKED: [(&str, DataClass); 18] = [
    ("nobody", DataClass::Audio),
    ("pending", DataClass::Audio),
    ("expired", DataClass::Audio),
    ("overdue", DataClass::Audio),
    ("standin", DataClass::Transcript),
    ("metadata", DataClass::Audio),
    ("private", DataClass::Audio),
    ("mixed", DataClass::Audio),
    ("nowhere", DataClass::Audio),
    ("static", DataClass::Audio),
    ("mint-wrong", DataClass::Audio),
    ("mint-private", DataClass::Audio),
    ("mint-late", DataClass::Audio),
    ("mint-huge", DataClass::Audio),
    ("mint-garbage", DataClass::Audio),
    ("mint-over", DataClass::Audio),
    ("minted", DataClass::Audio),
    ("standin", DataClass::Audio),
];

/// Plays the server until it is ended.
pub fn serve(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut handed = Handed::adopt(arguments).map_err(|error| error.to_string())?;
    let target = handed.target.ok_or("no target")?;
    let log = Log::new(Role::Media, Clock::start(), handed.log.take().ok_or("no log")?);
    // Before the cell, as the server does.
    let tokens = SecretPool::new(2, limit::TOKEN_BYTES_MAX).map_err(|error| error.to_string())?;
    let entered = cell::enter(Role::Media, target, &handed, &[], &log);
    let entered = entered.map_err(|error| format!("{error:?}"))?;
    let channel = handed.broker.pop().ok_or("no broker")?;
    let listener = handed.listeners.pop().ok_or("no listener")?;
    let attempts = Attempts::new(Some(entered));
    let mut told = String::new();
    let mut note = |tried: crate::attempt::Tried| {
        told.push_str(&format!("{}: {}\n", tried.name, tried.outcome));
    };
    note(attempts.child("pass a descriptor away", || pass_away(&channel)));
    note(attempts.child("make a socket", || {
        // SAFETY: three numbers.
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        if socket == -1 { Err(errno()) } else { Ok(0) }
    }));
    // The first wait of a thread makes a key, for which musl's library blocks signals; a server has waited by then.
    std::thread::park_timeout(Duration::ZERO);
    // From here on as a server serves: what follows outlives an attempt.
    attempts.seal();
    let mut granted = None;
    for (number, (vendor, class)) in (1..).zip(ASKED) {
        let vendor = VendorId::parse(vendor).map_err(|error| error.to_string())?;
        let question = Question::Dial { number, class, vendor, is_refused: false };
        send(&channel, &question.to_bytes(), SendFlags::NOSIGNAL).map_err(text)?;
        let mut token = tokens.place().ok_or("no place for a token")?;
        let answer = loop {
            match receive(&channel, &mut token).map_err(|error| error.to_string())? {
                Some(answer) => break answer,
                None => std::thread::park_timeout(Duration::from_millis(5)),
            }
        };
        let Answer { outcome, .. } = answer;
        let outcome = outcome.map(|grant| {
            let text = String::from_utf8_lossy(&token.bytes()[..grant.token_bytes]);
            told.push_str(&format!("token of {}: {text}\n", vendor.as_str()));
            let path = grant.terms.manner.map(|manner| manner.connector.path);
            told.push_str(&format!("path of {}: {}\n", vendor.as_str(), path.unwrap_or_default()));
            granted = Some(grant.connection);
            "granted"
        });
        let code = outcome.unwrap_or_else(|reason| reason.code());
        told.push_str(&format!("{} {}: {code}\n", vendor.as_str(), class.name()));
    }
    let connection = granted.ok_or("nothing was granted")?;
    // A TLS server answers nonsense with an alert.
    send(&connection, b"nonsense that is no handshake\r\n", SendFlags::NOSIGNAL).map_err(text)?;
    told.push_str(&format!("answered: {} bytes\n", read_some(&connection)?));
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let reader = loop {
        match accept_with(&listener, flags) {
            Ok(reader) => break reader,
            Err(_nobody) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    send(&reader, told.as_bytes(), SendFlags::NOSIGNAL).map_err(text)?;
    // Never closed here: it must end all the same.
    let clock = Clock::start();
    while read_some(&connection)? > 0 && clock.now() < Duration::from_secs(20) {}
    let ended = format!("ended after {} ms\n", clock.now().as_millis());
    send(&reader, ended.as_bytes(), SendFlags::NOSIGNAL).map_err(text)?;
    loop {
        std::thread::park();
    }
}

fn text(error: rustix::io::Errno) -> String {
    error.to_string()
}

/// Waits for bytes; how many, or 0 at the end.
fn read_some(connection: &OwnedFd) -> Result<usize, String> {
    let mut buffer = [0; 64];
    loop {
        match recv(connection, &mut buffer, RecvFlags::empty()) {
            Ok((_, count)) => return Ok(count),
            Err(rustix::io::Errno::AGAIN) => std::thread::park_timeout(Duration::from_millis(5)),
            Err(rustix::io::Errno::CONNRESET) => return Ok(0),
            Err(error) => return Err(text(error)),
        }
    }
}

/// Sends the channel itself over the channel.
fn pass_away(channel: &OwnedFd) -> Result<i64, i32> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};
    use std::os::fd::AsFd as _;
    assert!(channel.as_raw_fd() > 2);
    let all = [channel.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&all));
    let sent = sendmsg(channel, &[std::io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty());
    sent.map(|_| 0).map_err(rustix::io::Errno::raw_os_error)
}
