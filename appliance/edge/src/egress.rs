//! How media asks the broker for a vendor's connection: the messages of their channel.
//!
//! Media names a vendor of the registry and a class of data, never a host or an address. The answer is a
//! connected descriptor, a short-lived token and what is needed to check the vendor's certificate; or a reason.
//! Both sides take the other's messages for hostile: what has not the one right shape is no message.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
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
    },
}

/// In the place of a class of data: done with.
const DONE: u8 = u8::MAX;

impl Question {
    /// Eight bytes of number, one of the class's place in its list or 255 for done with, the vendor's id.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Done { number } => [&number.to_be_bytes()[..], &[DONE]].concat(),
            Self::Dial { number, class, vendor } => {
                let place = DataClass::ALL.iter().position(|one| one == class).unwrap_or_default();
                let place = u8::try_from(place).unwrap_or_default();
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
        let class = *DataClass::ALL.get(usize::from(*class))?;
        let vendor = std::str::from_utf8(vendor).ok()?;
        Some(Self::Dial { number, class, vendor: VendorId::parse(vendor).ok()? })
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
    /// How the vendor is spoken to; none for an entry that does not say.
    pub manner: Option<Manner>,
}

/// Number, outcome, two durations, the lengths of token, vendor and host, the vendor, the host.
const HEAD_BYTES: usize = 8 + 1 + 4 + 4 + 2 + 1 + 1 + VendorId::CHARS_MAX + limit::HOST_CHARS_MAX;

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
    let invalid = |_long| io::Error::from(io::ErrorKind::InvalidInput);
    let mut head = [0; HEAD_BYTES];
    let token_length = u16::try_from(token.len()).map_err(invalid)?;
    let vendor = terms.vendor.as_str().as_bytes();
    let vendor_length = u8::try_from(vendor.len()).map_err(invalid)?;
    let host_length = u8::try_from(terms.host.len()).map_err(invalid)?;
    let parts: [&[u8]; 9] = [
        &number.to_be_bytes(),
        &[GRANTED],
        &millis(terms.token_ttl).to_be_bytes(),
        &millis(terms.session_max).to_be_bytes(),
        &token_length.to_be_bytes(),
        &[vendor_length],
        &[host_length],
        vendor,
        terms.host.as_bytes(),
    ];
    for (slot, byte) in head.iter_mut().zip(parts.iter().copied().flatten()) {
        *slot = *byte;
    }
    let padding = [0; limit::TOKEN_BYTES_MAX];
    let padding = padding.get(token.len()..).ok_or(io::ErrorKind::InvalidInput)?;
    let connection = [connection];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&connection));
    // After the roots, which have no such byte in them.
    let manner = terms.manner.as_ref().and_then(|manner| serde_json::to_vec(manner).ok());
    let manner = manner.map(|manner| [&b"\0"[..], &manner].concat()).unwrap_or_default();
    let all = [&head[..], token, padding, terms.roots_pem.as_bytes(), &manner].map(IoSlice::new);
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
    let (mut head, mut roots) = ([0; HEAD_BYTES], vec![0; limit::ROOTS_BYTES_MAX]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let token_place = token.bytes_mut().get_mut(..limit::TOKEN_BYTES_MAX).unwrap_or_default();
    let mut all =
        [IoSliceMut::new(&mut head), IoSliceMut::new(token_place), IoSliceMut::new(&mut roots)];
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
    let roots_length = received.bytes.saturating_sub(HEAD_BYTES + limit::TOKEN_BYTES_MAX);
    roots.truncate(roots_length);
    let number = head.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
    let outcome = match head.get(8) {
        Some(&GRANTED) => {
            let terms = parse_terms(&head, roots);
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
    let manner = match roots.iter().position(|byte| *byte == 0) {
        None => None,
        Some(end) => {
            let manner = roots.split_off(end);
            Some(serde_json::from_slice(manner.get(1..)?).ok()?)
        }
    };
    let (_number_and_outcome, rest) = head.split_first_chunk::<9>()?;
    let (token_ttl, rest) = rest.split_first_chunk::<4>()?;
    let (session_max, rest) = rest.split_first_chunk::<4>()?;
    let (token_length, rest) = rest.split_first_chunk::<2>()?;
    let ([vendor_length, host_length], rest) = rest.split_first_chunk::<2>()?;
    let (vendor, rest) = rest.split_at_checked(usize::from(*vendor_length))?;
    let token_bytes = usize::from(u16::from_be_bytes(*token_length));
    let vendor = VendorId::parse(std::str::from_utf8(vendor).ok()?).ok()?;
    let host = std::str::from_utf8(rest.get(..usize::from(*host_length))?).ok()?;
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
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, send, socketpair};
    use ward_sys::secret::SecretPool;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    fn place() -> SecretPlace {
        SecretPool::new(1, limit::TOKEN_BYTES_MAX).unwrap().place().unwrap()
    }

    #[test]
    fn a_question_is_parsed_whole_or_not_at_all() {
        let vendor = VendorId::parse("deepgram").unwrap();
        let dial = Question::Dial { number: 7, class: DataClass::Transcript, vendor };
        for question in [Question::Done { number: 7 }, dial] {
            assert_eq!(Question::parse(&question.to_bytes()), Some(question));
        }
        let mut wrong = dial.to_bytes();
        wrong[8] = 99;
        let mut unnumbered = dial.to_bytes();
        unnumbered[..8].fill(0);
        let long = [&Question::Done { number: 7 }.to_bytes()[..], b"x"].concat();
        let all = [&b""[..], &[1; 7], &[1; 8], &dial.to_bytes()[..9], &wrong, &unnumbered, &long];
        for bytes in all {
            assert_eq!(Question::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_grant_arrives_as_it_was_sent_and_its_token_in_its_place() {
        let (ours, theirs) = pair();
        let (given, kept) = pair();
        let terms = Terms {
            vendor: VendorId::parse("standin").unwrap(),
            host: "api.example.com".to_owned(),
            token_ttl: Duration::from_secs(30),
            session_max: Duration::from_secs(3_600),
            roots_pem: "a certificate".to_owned(),
            manner: None,
        };
        send_grant(theirs.as_fd(), 9, &terms, b"a token", given.as_fd()).unwrap();
        let mut token = place();
        let answer = receive(&ours, &mut token).unwrap().unwrap();
        let grant = answer.outcome.unwrap();
        assert_eq!((answer.number, &grant.terms, grant.token_bytes), (9, &terms, 7));
        assert_eq!(&token.bytes()[..7], b"a token");
        send(&grant.connection, b"x", SendFlags::NOSIGNAL).unwrap();
        let mut byte = [0; 1];
        rustix::net::recv(&kept, &mut byte, RecvFlags::empty()).unwrap();
        assert_eq!(&byte, b"x");
        assert!(receive(&ours, &mut token).unwrap().is_none());
    }

    #[test]
    fn refusals_keep_their_reason_and_nonsense_is_none() {
        let (ours, theirs) = pair();
        let mut token = place();
        for reason in DialFault::ALL {
            send_refusal(theirs.as_fd(), 3, *reason).unwrap();
            let answer = receive(&ours, &mut token).unwrap().unwrap();
            assert_eq!((answer.number, answer.outcome.unwrap_err()), (3, *reason));
        }
        // A grant without a descriptor, and one with a host that is not text.
        let mut head = [0_u8; HEAD_BYTES];
        head[19..23].copy_from_slice(&[1, 1, b'a', 0xff]);
        for bytes in [&b""[..], &[1; 3], &head] {
            send(&theirs, bytes, SendFlags::NOSIGNAL).unwrap();
            let answer = receive(&ours, &mut token).unwrap().unwrap();
            assert_eq!(answer.outcome.unwrap_err(), DialFault::BadAnswer);
        }
    }
}
