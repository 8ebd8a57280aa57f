//! DHCP for IPv4 on the wire (RFC 2131, 2132, 3397, 3442): questions as bytes, answers as an [`Answer`] or the name of what is wrong.
//!
//! It judges shape alone; whether an answer may be followed is [`super::lease`]'s. It opens nothing, and no byte of an answer reaches a
//! log: what is wrong has a name from a closed list.

use std::net::Ipv4Addr;

use ward_policy::limit;

use super::refusal::Refusal;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Who has an address for us?
    Discover,
    /// That one, of that server.
    Request {
        /// The address that was offered.
        address: Ipv4Addr,
        /// Who offered it.
        server: Ipv4Addr,
    },
    /// May we keep it? Of the server that gave it, or of anyone.
    Extend {
        /// The address that we have.
        address: Ipv4Addr,
    },
}

/// What kind of answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An address is offered.
    Offer,
    /// It is ours.
    Ack,
    /// It is not.
    Nak,
}

/// A route of option 121.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where to.
    pub to: Ipv4Addr,
    /// How many bits of that count.
    pub prefix: u8,
    /// Over whom; unspecified for the link itself.
    pub via: Ipv4Addr,
}

/// An answer whose shape is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The number of the question.
    pub number: u32,
    /// Whose question it was.
    pub hardware: [u8; 6],
    /// What kind.
    pub kind: Kind,
    /// The address (`yiaddr`).
    pub address: Ipv4Addr,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// Option 1, as written.
    pub mask: Option<u32>,
    /// Option 3.
    pub routers: Vec<Ipv4Addr>,
    /// Option 6.
    pub name_servers: Vec<Ipv4Addr>,
    /// Option 42.
    pub time_servers: Vec<Ipv4Addr>,
    /// Option 26.
    pub mtu: Option<u16>,
    /// Option 51, in seconds.
    pub lease_s: Option<u32>,
    /// Option 58, in seconds.
    pub renew_s: Option<u32>,
    /// Option 59, in seconds.
    pub rebind_s: Option<u32>,
    /// Option 121.
    pub routes: Vec<Route>,
    /// How many names option 119 has. They are read, so that a malformed list is refused, and used by nobody: names of the
    /// registry are whole.
    pub search: usize,
}

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// The fixed part (RFC 2131 §2), with the cookie.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;

const MASK: u8 = 1;
const ROUTERS: u8 = 3;
const NAME_SERVERS: u8 = 6;
const MTU: u8 = 26;
const TIME_SERVERS: u8 = 42;
const ADDRESS: u8 = 50;
const LEASE: u8 = 51;
const OVERLOAD: u8 = 52;
const MESSAGE: u8 = 53;
const SERVER: u8 = 54;
const WANTED: u8 = 55;
const LONGEST: u8 = 57;
const RENEW: u8 = 58;
const REBIND: u8 = 59;
const SEARCH: u8 = 119;
const ROUTES: u8 = 121;
const END: u8 = 255;

/// What is asked for, and all that is read.
const READ: [u8; 11] =
    [MASK, ROUTERS, NAME_SERVERS, MTU, TIME_SERVERS, LEASE, SERVER, RENEW, REBIND, SEARCH, ROUTES];

/// A question as it is sent in a datagram.
#[must_use]
pub fn question(asked: Question, number: u32, hardware: [u8; 6], waited_s: u16) -> Vec<u8> {
    let mut bytes = vec![0; FIXED];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
            place.copy_from_slice(value);
        }
    };
    // A request over Ethernet; later questions of an address that we have carry it (§4.4.1, table 5).
    put(0, &[1, 1, 6, 0]);
    put(4, &number.to_be_bytes());
    put(8, &waited_s.to_be_bytes());
    // A server that cannot reach a machine without an address is asked to tell everyone, from the second try on.
    if waited_s > 0 && !matches!(asked, Question::Extend { .. }) {
        put(10, &[0x80, 0]);
    }
    if let Question::Extend { address } = asked {
        put(12, &address.octets());
    }
    put(28, &hardware);
    put(236, &COOKIE);
    let kind = if asked == Question::Discover { 1 } else { 3 };
    bytes.extend([MESSAGE, 1, kind]);
    if let Question::Request { address, server } = asked {
        bytes.extend([ADDRESS, 4]);
        bytes.extend(address.octets());
        bytes.extend([SERVER, 4]);
        bytes.extend(server.octets());
    }
    let longest = u16::try_from(limit::DHCP_BYTES_MAX).unwrap_or(u16::MAX).to_be_bytes();
    bytes.extend([LONGEST, 2]);
    bytes.extend(longest);
    bytes.extend([WANTED, u8::try_from(READ.len()).unwrap_or(0)]);
    bytes.extend(READ);
    bytes.push(END);
    bytes
}

/// The same as a packet to everyone on the link, for a machine that has no address, or no server left that it knows.
#[must_use]
pub fn packet(datagram: &[u8], from: Ipv4Addr) -> Vec<u8> {
    let length = datagram.len().saturating_add(UDP_HEADER);
    let word = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = vec![0x45, 0];
    header.extend(word(length.saturating_add(IP_HEADER)));
    // No fragments, 64 hops, UDP; the sum follows.
    header.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    header.extend(from.octets());
    header.extend(Ipv4Addr::BROADCAST.octets());
    let sum = (!sum(&header)).to_be_bytes();
    if let Some(place) = header.get_mut(10..12) {
        place.copy_from_slice(&sum);
    }
    header.extend(CLIENT_PORT.to_be_bytes());
    header.extend(SERVER_PORT.to_be_bytes());
    header.extend(word(length));
    // A sum of zero says that there is none (RFC 768).
    header.extend([0, 0]);
    header.extend(datagram);
    header
}

/// Sixteen-bit words added up as RFC 791 does; a header with its own sum in it gives all ones.
fn sum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair.first().copied().unwrap_or(0),
            pair.get(1).copied().unwrap_or(0),
        ]))
    });
    let mut all = words.fold(0_u32, u32::wrapping_add);
    while all > 0xffff {
        all = (all & 0xffff).wrapping_add(all >> 16);
    }
    u16::try_from(all).unwrap_or(0)
}

/// Reads an IPv4 packet that carries an answer.
///
/// The sum of the datagram is not looked at: on a virtual link nobody computes it, and it keeps nobody out.
///
/// # Errors
/// [`Refusal`]: what about it is not as the documents say.
pub fn answer(packet: &[u8]) -> Result<Answer, Refusal> {
    let first = *packet.first().ok_or(Refusal::Short)?;
    let header = usize::from(first & 15).wrapping_mul(4);
    if first >> 4 != 4 || header < IP_HEADER {
        return Err(Refusal::Header);
    }
    if sum(packet.get(..header).ok_or(Refusal::Short)?) != 0xffff {
        return Err(Refusal::Header);
    }
    let total = usize::from(word(packet, 2)?);
    // What follows the packet is the link's padding.
    let packet = packet.get(..total).ok_or(Refusal::Short)?;
    let datagram = packet.get(header..).ok_or(Refusal::Short)?;
    if word(datagram, 0)? != SERVER_PORT || word(datagram, 2)? != CLIENT_PORT {
        return Err(Refusal::Header);
    }
    let length = usize::from(word(datagram, 4)?);
    message(datagram.get(UDP_HEADER..length).ok_or(Refusal::Short)?)
}

/// Reads the message in a datagram.
///
/// # Errors
/// As [`answer`].
pub fn message(message: &[u8]) -> Result<Answer, Refusal> {
    if message.len() > limit::DHCP_BYTES_MAX {
        return Err(Refusal::Long);
    }
    if message.get(..3) != Some(&[2, 1, 6]) {
        return Err(Refusal::NoAnswer);
    }
    if bytes(message, 236)? != COOKIE {
        return Err(Refusal::Cookie);
    }
    let hardware = message.get(28..34).and_then(|six| six.try_into().ok());
    let mut answer = Answer {
        number: u32::from_be_bytes(bytes(message, 4)?),
        hardware: hardware.ok_or(Refusal::Short)?,
        kind: Kind::Nak,
        address: Ipv4Addr::from(bytes::<4>(message, 16)?),
        server: None,
        mask: None,
        routers: Vec::new(),
        name_servers: Vec::new(),
        time_servers: Vec::new(),
        mtu: None,
        lease_s: None,
        renew_s: None,
        rebind_s: None,
        routes: Vec::new(),
        search: 0,
    };
    let mut options = Options::default();
    options.read(message.get(FIXED..).ok_or(Refusal::Short)?)?;
    match options.take(OVERLOAD).as_deref() {
        None => {}
        // The fields of a file's and a server's name hold options too (§4.1), in this order.
        Some([fields @ 1..=3]) => {
            if fields & 1 != 0 {
                options.read(message.get(108..236).unwrap_or_default())?;
            }
            if fields & 2 != 0 {
                options.read(message.get(44..108).unwrap_or_default())?;
            }
        }
        Some(_) => return Err(Refusal::Option(OVERLOAD)),
    }
    answer.kind = match options.take(MESSAGE).as_deref() {
        Some([2]) => Kind::Offer,
        Some([5]) => Kind::Ack,
        Some([6]) => Kind::Nak,
        _ => return Err(Refusal::Kind),
    };
    answer.server = options.number(SERVER)?.map(Ipv4Addr::from);
    answer.mask = options.number(MASK)?;
    answer.lease_s = options.number(LEASE)?;
    answer.renew_s = options.number(RENEW)?;
    answer.rebind_s = options.number(REBIND)?;
    answer.routers = options.addresses(ROUTERS)?;
    answer.name_servers = options.addresses(NAME_SERVERS)?;
    answer.time_servers = options.addresses(TIME_SERVERS)?;
    answer.mtu = match options.take(MTU).as_deref() {
        None => None,
        Some([high, low]) => Some(u16::from_be_bytes([*high, *low])),
        Some(_) => return Err(Refusal::Option(MTU)),
    };
    answer.routes = options.take(ROUTES).map_or(Ok(Vec::new()), |bytes| routes(&bytes))?;
    answer.search = options.take(SEARCH).map_or(Ok(0), |bytes| search(&bytes))?;
    Ok(answer)
}

/// The options that are read, by number; one that is split comes together again (RFC 3396).
#[derive(Default)]
struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    fn read(&mut self, mut rest: &[u8]) -> Result<(), Refusal> {
        loop {
            let (code, after) = match rest {
                // Some servers leave the end out.
                [] | [END, ..] => return Ok(()),
                [0, after @ ..] => {
                    rest = after;
                    continue;
                }
                [code, after @ ..] => (*code, after),
            };
            let (length, after) = after.split_first().ok_or(Refusal::Option(code))?;
            let (value, after) =
                after.split_at_checked(usize::from(*length)).ok_or(Refusal::Option(code))?;
            if READ.contains(&code) || code == MESSAGE || code == OVERLOAD {
                match self.0.iter_mut().find(|(known, _)| *known == code) {
                    Some((_, so_far)) => so_far.extend_from_slice(value),
                    None => self.0.push((code, value.to_vec())),
                }
            }
            rest = after;
        }
    }

    fn take(&mut self, code: u8) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(known, _)| *known == code)?;
        Some(self.0.swap_remove(at).1)
    }

    fn number(&mut self, code: u8) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.take(code) else { return Ok(None) };
        let four = value.try_into().map_err(|_length| Refusal::Option(code))?;
        Ok(Some(u32::from_be_bytes(four)))
    }

    /// The first few addresses.
    fn addresses(&mut self, code: u8) -> Result<Vec<Ipv4Addr>, Refusal> {
        let Some(value) = self.take(code) else { return Ok(Vec::new()) };
        let (fours, rest) = value.as_chunks::<4>();
        if fours.is_empty() || !rest.is_empty() {
            return Err(Refusal::Option(code));
        }
        Ok(fours.iter().take(limit::DHCP_ADDRESSES_MAX).map(|four| Ipv4Addr::from(*four)).collect())
    }
}

/// Classless routes (RFC 3442): a prefix's length, the bytes of it that count, and a router.
fn routes(mut rest: &[u8]) -> Result<Vec<Route>, Refusal> {
    let mut routes = Vec::new();
    while let Some((prefix, after)) = rest.split_first() {
        if *prefix > 32 {
            return Err(Refusal::Option(ROUTES));
        }
        let count = usize::from(prefix.div_ceil(8));
        let (network, after) = after.split_at_checked(count).ok_or(Refusal::Option(ROUTES))?;
        let (via, after) = after.split_first_chunk::<4>().ok_or(Refusal::Option(ROUTES))?;
        let mut to = [0; 4];
        to.iter_mut().zip(network).for_each(|(place, byte)| *place = *byte);
        // Those past the last that is kept are read, since the whole has to be one.
        if routes.len() < limit::DHCP_ROUTES_MAX {
            routes.push(Route {
                to: Ipv4Addr::from(to),
                prefix: *prefix,
                via: Ipv4Addr::from(*via),
            });
        }
        rest = after;
    }
    Ok(routes)
}

/// Counts the names of a search list (RFC 3397), whose names may end in the middle of another (RFC 1035 §4.1.4).
fn search(list: &[u8]) -> Result<usize, Refusal> {
    let wrong = Refusal::Option(SEARCH);
    let (mut at, mut names, mut bytes) = (0_usize, 0_usize, 0_usize);
    while at < list.len() {
        let mut next = None;
        let mut reading = at;
        loop {
            let label = usize::from(*list.get(reading).ok_or(wrong)?);
            let after = reading.wrapping_add(1);
            if label == 0 {
                next = next.or(Some(after));
                break;
            }
            if label >= 0xc0 {
                let low = usize::from(*list.get(after).ok_or(wrong)?);
                let target = (label & 0x3f) << 8 | low;
                next = next.or_else(|| Some(after.wrapping_add(1)));
                // Only backwards, so that it ends.
                if target >= reading {
                    return Err(wrong);
                }
                reading = target;
                continue;
            }
            let end = after.wrapping_add(label);
            if label > 63 || list.get(after..end).is_none() {
                return Err(wrong);
            }
            bytes = bytes.wrapping_add(label).wrapping_add(1);
            if bytes > limit::DHCP_SEARCH_BYTES_MAX {
                return Err(wrong);
            }
            reading = end;
        }
        names = names.wrapping_add(1);
        at = next.ok_or(wrong)?;
    }
    Ok(names)
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Result<[u8; N], Refusal> {
    let found = message.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(Refusal::Short)
}

fn word(message: &[u8], at: usize) -> Result<u16, Refusal> {
    bytes(message, at).map(u16::from_be_bytes)
}

#[cfg(test)]
#[path = "dhcp_tests.rs"]
pub(crate) mod tests;
