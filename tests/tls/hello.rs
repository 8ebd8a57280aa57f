//! A greeting of our own making (RFC 8446 §4.1.2), with any version, suites and groups, and the first words of the answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// What is offered.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// The version in the greeting's head, where everything before 1.3 looks.
    pub(crate) legacy: u16,
    /// The versions in the extension; none leaves it out.
    pub(crate) versions: Vec<u16>,
    pub(crate) suites: Vec<u16>,
    pub(crate) groups: Vec<u16>,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A `ServerHello`.
    Hello { version: u16, suite: u16, group: Option<u16> },
    /// An alert, by its number.
    Alert(u8),
    /// The connection's end.
    End,
}

fn vector(bytes: &[u8], head: usize) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[4 - head..], bytes].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &vector(body, 2)].concat()
}

fn numbers(all: &[u16]) -> Vec<u8> {
    all.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn greeting(offer: &Offer) -> Vec<u8> {
    let name = [&[0][..], &vector(b"localhost", 2)].concat();
    // Every scheme there is a name for, SHA-1 too.
    let schemes = [
        0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203,
        0x0201,
    ];
    let mut extensions = [
        extension(0, &vector(&name, 2)),
        extension(10, &vector(&numbers(&offer.groups), 2)),
        extension(11, &vector(&[0], 1)),
        extension(13, &vector(&numbers(&schemes), 2)),
        // Renegotiation is known to be safe (RFC 5746), so that its absence is no reason to refuse.
        extension(0xff01, &[0]),
        extension(23, &[]),
    ]
    .concat();
    if !offer.versions.is_empty() {
        extensions.extend(extension(43, &vector(&numbers(&offer.versions), 1)));
        // No share: whoever likes a group asks for it (HelloRetryRequest) and so names it.
        extensions.extend(extension(51, &vector(&[], 2)));
    }
    let body = [
        &offer.legacy.to_be_bytes()[..],
        &[0x5a; 32],
        &vector(&[], 1),
        &vector(&numbers(&offer.suites), 2),
        &vector(&[0], 1),
        &vector(&extensions, 2),
    ]
    .concat();
    let message = [&[1][..], &vector(&body, 3)].concat();
    [&[22, 3, 1][..], &vector(&message, 2)].concat()
}

/// Greets whoever listens on `port` of loopback.
pub(crate) fn greet(port: u16, offer: &Offer) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&greeting(offer)).unwrap();
    let mut head = [0; 5];
    if stream.read_exact(&mut head).is_err() {
        return Answer::End;
    }
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    if stream.read_exact(&mut body).is_err() {
        return Answer::End;
    }
    match head[0] {
        21 => Answer::Alert(body[1]),
        22 if body[0] == 2 => hello(&body),
        other => panic!("a record of type {other}: {body:?}"),
    }
}

fn hello(body: &[u8]) -> Answer {
    let at = |place: usize| u16::from_be_bytes([body[place], body[place + 1]]);
    let session = usize::from(body[38]);
    let suite = at(39 + session);
    let mut version = at(4);
    let mut group = None;
    let mut rest = body.get(44 + session..).unwrap_or_default();
    while let [a, b, c, d, more @ ..] = rest {
        let (number, length) =
            (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        let (value, after) = more.split_at(length.min(more.len()));
        match (number, value) {
            (43, [high, low]) => version = u16::from_be_bytes([*high, *low]),
            (51, [high, low, ..]) => group = Some(u16::from_be_bytes([*high, *low])),
            _ => {}
        }
        rest = after;
    }
    Answer::Hello { version, suite, group }
}
