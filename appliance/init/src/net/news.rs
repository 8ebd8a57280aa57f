//! What the network role tells PID 1: records of one length and a closed list of kinds.
//!
//! It is the one thing that PID 1 reads of another process, so it is fixed, small and has no text in it: whoever takes the network role
//! over can lie about addresses, and nothing else.

use std::net::Ipv4Addr;

use ward_policy::limit;

use super::refusal::Refusal;

/// A record, in bytes.
pub const BYTES: usize = 48;

/// Up to three addresses; unspecified where there is none.
pub type Addresses = [Ipv4Addr; limit::DHCP_ADDRESSES_MAX];

/// Where a time is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The hypervisor's clock.
    Hypervisor,
    /// A server.
    Server(Ipv4Addr),
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The role is in its cell and asks.
    Asking,
    /// Something is at the other end of the link, or not any more.
    Link {
        /// Which of the two.
        is_running: bool,
    },
    /// The machine has an address, or has it for longer.
    Address {
        /// Ours.
        address: Ipv4Addr,
        /// How many of its bits the link shares.
        prefix: u8,
        /// How many routes there are.
        routes: u8,
        /// The largest packet, 0 for the link's own.
        mtu: u16,
        /// How long it is ours, in seconds.
        lease_s: u32,
        /// Who is asked for names.
        name_servers: Addresses,
    },
    /// The address is given up.
    Lost,
    /// An answer of a DHCP server's was not followed.
    AnswerRefused(Refusal),
    /// The kernel did not take an order, with this error.
    OrderRefused {
        /// Its number.
        errno: u16,
    },
    /// The clock was looked at, and moved.
    Clock {
        /// Where the time is from.
        source: Source,
        /// By how much it was moved, in milliseconds.
        moved_ms: i64,
        /// What it can be wrong by, in microseconds.
        unsure_us: u32,
    },
    /// What a clock said was not followed.
    ClockRefused {
        /// Whose.
        source: Source,
        /// Why.
        refusal: Refusal,
    },
    /// There is nobody to ask for the time, or nobody has said anything usable yet.
    ClockUnknown,
    /// A layer of the cell is not there.
    Refused,
}

struct Writer([u8; BYTES], usize);

impl Writer {
    fn put(mut self, bytes: &[u8]) -> Self {
        let end = self.1.saturating_add(bytes.len());
        if let Some(place) = self.0.get_mut(self.1..end) {
            place.copy_from_slice(bytes);
        }
        self.1 = end;
        self
    }

    fn source(self, source: Source) -> Self {
        match source {
            Source::Hypervisor => self.put(&[0; 4]),
            Source::Server(server) => self.put(&server.octets()),
        }
    }
}

/// Takes one field after the other; nothing is left over that is not zero.
struct Reader<'r>(&'r [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn address(&mut self) -> Option<Ipv4Addr> {
        self.take::<4>().map(Ipv4Addr::from)
    }

    fn source(&mut self) -> Option<Source> {
        let address = self.address()?;
        Some(if address.is_unspecified() { Source::Hypervisor } else { Source::Server(address) })
    }

    fn refusal(&mut self) -> Option<Refusal> {
        Refusal::from_code(self.take()?)
    }
}

impl News {
    /// The record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BYTES] {
        let of = |kind: u8| Writer([0; BYTES], 0).put(&[kind]);
        let written = match self {
            Self::Asking => of(1),
            Self::Link { is_running } => of(2).put(&[is_running.into()]),
            Self::Address { address, prefix, routes, mtu, lease_s, name_servers } => {
                let fixed = of(3).put(&address.octets()).put(&[prefix, routes]);
                let fixed = fixed.put(&mtu.to_be_bytes()).put(&lease_s.to_be_bytes());
                name_servers.iter().fold(fixed, |all, server| all.put(&server.octets()))
            }
            Self::Lost => of(4),
            Self::AnswerRefused(refusal) => of(5).put(&refusal.code()),
            Self::OrderRefused { errno } => of(6).put(&errno.to_be_bytes()),
            Self::Clock { source, moved_ms, unsure_us } => {
                of(7).source(source).put(&moved_ms.to_be_bytes()).put(&unsure_us.to_be_bytes())
            }
            Self::ClockRefused { source, refusal } => of(8).source(source).put(&refusal.code()),
            Self::ClockUnknown => of(9),
            Self::Refused => of(10),
        };
        written.0
    }

    /// The news in a record; nothing when it is none, down to its last byte.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let mut fields = Reader(bytes);
        let [kind] = fields.take()?;
        let news = match kind {
            1 => Self::Asking,
            2 => Self::Link { is_running: fields.take()? == [1] },
            3 => Self::Address {
                address: fields.address()?,
                prefix: fields.take::<1>()?[0],
                routes: fields.take::<1>()?[0],
                mtu: u16::from_be_bytes(fields.take()?),
                lease_s: u32::from_be_bytes(fields.take()?),
                name_servers: [fields.address()?, fields.address()?, fields.address()?],
            },
            4 => Self::Lost,
            5 => Self::AnswerRefused(fields.refusal()?),
            6 => Self::OrderRefused { errno: u16::from_be_bytes(fields.take()?) },
            7 => Self::Clock {
                source: fields.source()?,
                moved_ms: i64::from_be_bytes(fields.take()?),
                unsure_us: u32::from_be_bytes(fields.take()?),
            },
            8 => Self::ClockRefused { source: fields.source()?, refusal: fields.refusal()? },
            9 => Self::ClockUnknown,
            10 => Self::Refused,
            _ => return None,
        };
        // One spelling each: what was not written by `to_bytes` is not read.
        (news.to_bytes() == *bytes).then_some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_come_back_and_nothing_else_does() {
        let one = Ipv4Addr::new(10, 0, 0, 1);
        let all = [
            News::Asking,
            News::Link { is_running: true },
            News::Link { is_running: false },
            News::Address {
                address: one,
                prefix: 24,
                routes: 2,
                mtu: 1_460,
                lease_s: 3_600,
                name_servers: [one, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED],
            },
            News::Lost,
            News::AnswerRefused(Refusal::Option(121)),
            News::OrderRefused { errno: 17 },
            News::Clock { source: Source::Server(one), moved_ms: -5, unsure_us: 7 },
            News::ClockRefused { source: Source::Hypervisor, refusal: Refusal::BeforeBuild },
            News::ClockUnknown,
            News::Refused,
        ];
        for news in all {
            let bytes = news.to_bytes();
            assert_eq!(News::from_bytes(&bytes), Some(news));
            assert_eq!(News::from_bytes(&bytes[1..]), None);
            let mut other = bytes;
            other[BYTES - 1] = 1;
            assert_eq!(News::from_bytes(&other), None, "{news:?}");
        }
        for kind in [0, 11, 255] {
            let mut bytes = [0; BYTES];
            bytes[0] = kind;
            assert_eq!(News::from_bytes(&bytes), None);
        }
    }
}
