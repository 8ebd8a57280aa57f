//! How media asks the broker for a vendor's connection: the messages of their channel.
//!
//! Media names a vendor of the registry and a class of data, never a host or an address. The answer is a
//! connected descriptor, a short-lived token, what is needed to check the vendor's certificate and how the vendor is
//! spoken to; or a reason.
//! Both sides take the other's messages for hostile: what has not the one right shape is no message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use ward_policy::connector::Manner;
use ward_policy::data_class::DataClass;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::secret::SecretPlace;

/// What media says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The connection that was granted to question `number` is done with. It gets no answer.
    Done {
        /// The question's. Never 0.
        number: u64,
    },
    /// A connection to `vendor`, for data of `class`.
    Dial {
        /// Comes back with the answer. Never 0.
        number: u64,
        /// What the vendor will be given.
        class: DataClass,
        /// Whose connection.
        vendor: VendorId,
        /// Whether the credential that was granted last was refused: another is wanted, if there is one by now.
        is_refused: bool,
    },
}

/// In the place of a class of data: done with.
const DONE: u8 = u8::MAX;

/// Beside the class: the last credential was refused.
const REFUSED: u8 = 0x80;

impl Question {
    /// Eight bytes of number, one of the class's place in its list, with the highest bit set after a refusal, or 255 for done with,
    /// the vendor's id.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Done { number } => [&number.to_be_bytes()[..], &[DONE]].concat(),
            Self::Dial { number, class, vendor, is_refused } => {
                let place = DataClass::ALL.iter().position(|one| one == class).unwrap_or_default();
                let place = u8::try_from(place).unwrap_or_default();
                let place = if *is_refused { place | REFUSED } else { place };
                [&number.to_be_bytes()[..], &[place], vendor.as_str().as_bytes()].concat()
            }
        }
    }

    /// Parses what [`Self::to_bytes`] makes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        let (class, vendor) = rest.split_first().filter(|_rest| number > 0)?;
        if *class == DONE {
            return vendor.is_empty().then_some(Self::Done { number });
        }
        let is_refused = class & REFUSED != 0;
        let class = *DataClass::ALL.get(usize::from(class & !REFUSED))?;
        let vendor = std::str::from_utf8(vendor).ok()?;
        Some(Self::Dial { number, class, vendor: VendorId::parse(vendor).ok()?, is_refused })
    }
}

/// What goes with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whose connection it is.
    pub vendor: VendorId,
    /// The name that the vendor's certificate must have.
    pub host: String,
    /// For how long the token is good; zero without one.
    pub token_ttl: Duration,
    /// For how long the connection may be used.
    pub session_max: Duration,
    /// Certificates in PEM that the vendor's must lead to; empty for those that browsers trust.
    pub roots_pem: String,
    /// How the vendor is spoken to; none when its entry does not say.
    pub manner: Option<Manner>,
}

/// Number, outcome, two durations, the lengths of token, manner, vendor and host, the vendor, the host.
const HEAD_BYTES: usize =
    8 + 1 + 4 + 4 + 2 + 2 + 1 + 1 + VendorId::CHARS_MAX + limit::HOST_CHARS_MAX;

/// What follows head and token, at most: the manner in JSON, and the roots.
const REST_BYTES_MAX: usize = limit::MANNER_BYTES_MAX + limit::ROOTS_BYTES_MAX;

/// The outcome of a question that was granted; a refusal is one more than its reason's place.
const GRANTED: u8 = 0;

/// Sends a connection with its terms and its token.
///
/// # Errors
/// The operating system's; terms that are longer than their limits.
pub fn send_grant(
    channel: BorrowedFd<'_>,
    number: u64,
    terms: &Terms,
    token: &[u8],
    connection: BorrowedFd<'_>,
) -> io::Result<()> {
    const UNFIT: io::ErrorKind = io::ErrorKind::InvalidInput;
    let invalid = |_long| io::Error::from(UNFIT);
    let mut head = [0; HEAD_BYTES];
    let token_length = u16::try_from(token.len()).map_err(invalid)?;
    // Nothing is sent that would not be taken.
    let manner = terms.manner.as_ref().map(|manner| manner.to_bytes().ok_or(UNFIT)).transpose()?;
    let manner = manner.unwrap_or_default();
    let manner_length = u16::try_from(manner.len()).map_err(invalid)?;
    let roots = Some(&terms.roots_pem).filter(|roots| roots.len() <= limit::ROOTS_BYTES_MAX);
    let roots = roots.ok_or(UNFIT)?.as_bytes();
    let vendor = terms.vendor.as_str().as_bytes();
    let vendor_length = u8::try_from(vendor.len()).map_err(invalid)?;
    let host_length = u8::try_from(terms.host.len()).map_err(invalid)?;
    let parts: [&[u8]; 10] = [
        &number.to_be_bytes(),
        &[GRANTED],
        &millis(terms.token_ttl).to_be_bytes(),
        &millis(terms.session_max).to_be_bytes(),
        &token_length.to_be_bytes(),
        &manner_length.to_be_bytes(),
        &[vendor_length],
        &[host_length],
        vendor,
        terms.host.as_bytes(),
    ];
    for (slot, byte) in head.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = *byte;
    }
    let padding = [0; limit::TOKEN_BYTES_MAX];
    let padding = padding.get(token.len()..).ok_or(UNFIT)?;
    let connection = [connection];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&connection));
    let all = [&head[..], token, padding, &manner, roots].map(IoSlice::new);
    sendmsg(channel, &all, &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// Sends a reason.
///
/// # Errors
/// The operating system's.
pub fn send_refusal(channel: BorrowedFd<'_>, number: u64, reason: DialFault) -> io::Result<()> {
    let place = DialFault::ALL.iter().position(|one| *one == reason).unwrap_or_default();
    let outcome = u8::try_from(place).unwrap_or_default().saturating_add(1);
    let head = [&number.to_be_bytes()[..], &[outcome]].concat();
    let mut ancillary = SendAncillaryBuffer::default();
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(channel, &[IoSlice::new(&head)], &mut ancillary, flags)?;
    Ok(())
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The question's.
    pub number: u64,
    /// What came of it.
    pub outcome: Result<Grant, DialFault>,
}

/// A connection that was given to us.
#[derive(Debug)]
pub struct Grant {
    /// The connected socket.
    pub connection: OwnedFd,
    /// What goes with it.
    pub terms: Terms,
    /// How many bytes of the place that was given to [`receive`] are the token.
    pub token_bytes: usize,
}

/// Takes one answer, if one is there. The token goes straight into `token`; a descriptor that belongs to no
/// answer is closed.
///
/// # Errors
/// The operating system's.
pub fn receive(channel: impl AsFd, token: &mut SecretPlace) -> io::Result<Option<Answer>> {
    let (mut head, mut rest) = ([0; HEAD_BYTES], vec![0; REST_BYTES_MAX]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let token_place = token.bytes_mut().get_mut(..limit::TOKEN_BYTES_MAX).unwrap_or_default();
    let mut all =
        [IoSliceMut::new(&mut head), IoSliceMut::new(token_place), IoSliceMut::new(&mut rest)];
    // The channel does not block, and the filter lets no other flag through.
    let received = match recvmsg(channel, &mut all, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        other => other?,
    };
    let mut connections: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let rest_length = received.bytes.saturating_sub(HEAD_BYTES + limit::TOKEN_BYTES_MAX);
    rest.truncate(rest_length);
    let is_whole = !received.flags.contains(ReturnFlags::TRUNC);
    let number = head.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
    let outcome = match head.get(8) {
        Some(&GRANTED) => {
            let terms = parse_terms(&head, rest).filter(|_terms| is_whole);
            match (terms, connections.pop(), connections.is_empty()) {
                (Some((terms, token_bytes)), Some(connection), true) => {
                    Ok(Grant { connection, terms, token_bytes })
                }
                _ => Err(DialFault::BadAnswer),
            }
        }
        Some(place) => {
            let place = usize::from(*place).saturating_sub(1);
            Err(DialFault::ALL.get(place).copied().unwrap_or(DialFault::BadAnswer))
        }
        None => Err(DialFault::BadAnswer),
    };
    Ok(Some(Answer { number, outcome }))
}

fn parse_terms(head: &[u8; HEAD_BYTES], mut roots: Vec<u8>) -> Option<(Terms, usize)> {
    let (_number_and_outcome, rest) = head.split_first_chunk::<9>()?;
    let (token_ttl, rest) = rest.split_first_chunk::<4>()?;
    let (session_max, rest) = rest.split_first_chunk::<4>()?;
    let (token_length, rest) = rest.split_first_chunk::<2>()?;
    let (manner_length, rest) = rest.split_first_chunk::<2>()?;
    let ([vendor_length, host_length], rest) = rest.split_first_chunk::<2>()?;
    let (vendor, rest) = rest.split_at_checked(usize::from(*vendor_length))?;
    let token_bytes = usize::from(u16::from_be_bytes(*token_length));
    let vendor = VendorId::parse(std::str::from_utf8(vendor).ok()?).ok()?;
    let host = std::str::from_utf8(rest.get(..usize::from(*host_length))?).ok()?;
    let manner_length = usize::from(u16::from_be_bytes(*manner_length));
    let manner = match roots.get(..manner_length)? {
        [] => None,
        bytes => Some(Manner::parse(bytes)?),
    };
    roots.drain(..manner_length);
    // There was room for the longest; what is kept is kept for as long as a handshake takes.
    roots.shrink_to_fit();
    let duration = |bytes: &[u8; 4]| Duration::from_millis(u64::from(u32::from_be_bytes(*bytes)));
    let terms = Terms {
        vendor,
        host: host.to_owned(),
        token_ttl: duration(token_ttl),
        session_max: duration(session_max),
        roots_pem: String::from_utf8(roots).ok()?,
        manner,
    };
    (token_bytes <= limit::TOKEN_BYTES_MAX && !host.is_empty()).then_some((terms, token_bytes))
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
