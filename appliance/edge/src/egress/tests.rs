//! The messages of the broker's channel, whole, cut and made up.

use super::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, send, socketpair};
use ward_policy::connector::{Connector, Dialect, RequestMust, RequestPlace};
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
    let dial =
        |is_refused| Question::Dial { number: 7, class: DataClass::Transcript, vendor, is_refused };
    let refused = dial(true);
    assert_eq!(Question::parse(&refused.to_bytes()), Some(refused));
    assert_ne!(refused.to_bytes(), dial(false).to_bytes());
    let dial = dial(false);
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

fn terms() -> Terms {
    let connector = Connector {
        dialect: Dialect::DeepgramListen,
        path: "/v1/listen".to_owned(),
        model: "nova-3".to_owned(),
    };
    let (name, value) = ("mip_opt_out".to_owned(), "true".to_owned());
    let musts = vec![RequestMust { place: RequestPlace::Query, name, value }];
    Terms {
        vendor: VendorId::parse("standin").unwrap(),
        host: "api.example.com".to_owned(),
        token_ttl: Duration::from_secs(30),
        session_max: Duration::from_secs(3_600),
        roots_pem: "a certificate".to_owned(),
        manner: Some(Manner { connector, musts }),
    }
}

#[test]
fn a_grant_arrives_as_it_was_sent_and_its_token_in_its_place() {
    let (ours, theirs) = pair();
    let (given, kept) = pair();
    let terms = terms();
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
    head[21..25].copy_from_slice(&[1, 1, b'a', 0xff]);
    for bytes in [&b""[..], &[1; 3], &head] {
        send(&theirs, bytes, SendFlags::NOSIGNAL).unwrap();
        let answer = receive(&ours, &mut token).unwrap().unwrap();
        assert_eq!(answer.outcome.unwrap_err(), DialFault::BadAnswer);
    }
}

/// Sends a grant whose rest is `rest`, the first `manner_length` bytes of it the manner.
fn answer(manner_length: usize, rest: &[u8]) -> Result<Terms, DialFault> {
    let (ours, theirs) = pair();
    let (given, _kept) = pair();
    let mut head = [0_u8; HEAD_BYTES];
    let length = u16::try_from(manner_length).unwrap().to_be_bytes();
    head[19..21].copy_from_slice(&length);
    head[21..25].copy_from_slice(&[1, 1, b'a', b'b']);
    let connection = [given.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&connection));
    let token = [0; limit::TOKEN_BYTES_MAX];
    let all = [&head[..], &token, rest].map(IoSlice::new);
    sendmsg(&theirs, &all, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    receive(&ours, &mut place()).unwrap().unwrap().outcome.map(|grant| grant.terms)
}

#[test]
fn a_manner_is_the_whole_of_it_or_the_grant_is_none() {
    let manner = terms().manner.unwrap();
    let bytes = manner.to_bytes().unwrap();
    let with_roots = [&bytes[..], b"roots"].concat();
    let taken = answer(bytes.len(), &with_roots).unwrap();
    assert_eq!((taken.manner, taken.roots_pem.as_str()), (Some(manner), "roots"));
    assert_eq!(answer(0, b"roots").unwrap().manner, None);
    let most = vec![b'r'; REST_BYTES_MAX];
    assert_eq!(answer(0, &most).unwrap().roots_pem.len(), REST_BYTES_MAX);
    for (manner_length, rest) in [
        (bytes.len() - 1, &with_roots[..]),
        (bytes.len() + 1, &with_roots),
        (with_roots.len() + 1, &with_roots),
        (2, b"{}"),
        (1, b""),
        (0, &[&most[..], b"r"].concat()),
    ] {
        assert_eq!(answer(manner_length, rest), Err(DialFault::BadAnswer), "{manner_length}");
    }
}

#[test]
fn what_would_not_be_taken_is_not_sent() {
    let (_ours, theirs) = pair();
    let send = |terms: &Terms| send_grant(theirs.as_fd(), 9, terms, b"", theirs.as_fd());
    let (mut unfit, mut long) = (terms(), terms());
    unfit.manner.as_mut().unwrap().connector.path = "no path".to_owned();
    long.roots_pem = "x".repeat(limit::ROOTS_BYTES_MAX + 1);
    for terms in [unfit, long] {
        assert_eq!(send(&terms).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    send(&terms()).unwrap();
}
