//! How the broker asks `sign` for what an authority wants to see: the messages of their channel.
//!
//! A request for a certificate names nothing: `sign` knows the names, and makes the key. A challenge's certificate is for one of those
//! names and the digest that the authority expects. No key is ever in a message, and an answer without bytes is a refusal.

use std::time::Duration;

use ward_policy::limit;

use crate::signing::KeyId;

/// What the broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A new key, and a request for a certificate for it (RFC 2986): the answer is [`Made`].
    Request,
    /// A certificate that shows an authority that a name is ours (RFC 8737): the answer is [`Made`] too.
    Challenge {
        /// SHA-256 of what the authority expects (RFC 8737 §3).
        digest: [u8; 32],
        /// Which of the names.
        name: String,
    },
    /// The certificate for this key is about to be used: it and the one before are kept, all others go.
    Keep(KeyId),
}

/// What `sign` made: a request, or a challenge's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The key that it is for.
    pub key: KeyId,
    /// Itself in DER.
    pub der: Vec<u8>,
}

/// What `sign` answers to [`Order::Keep`].
pub const KEPT: &[u8] = b"kept";

/// From asking to having it: keys are made meanwhile.
pub const DEADLINE: Duration = limit::ORDER_DEADLINE;

const REQUEST: u8 = 1;
const CHALLENGE: u8 = 2;
const KEEP: u8 = 3;

impl Order {
    /// Eight bytes of number, one of kind, then what the kind takes.
    #[must_use]
    pub fn to_bytes(&self, number: u64) -> Vec<u8> {
        let number = number.to_be_bytes();
        match self {
            Self::Request => [&number[..], &[REQUEST]].concat(),
            Self::Challenge { digest, name } => {
                [&number[..], &[CHALLENGE], digest, name.as_bytes()].concat()
            }
            Self::Keep(key) => [&number[..], &[KEEP], &key.0].concat(),
        }
    }

    /// Parses what [`Self::to_bytes`] makes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(u64, Self)> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (kind, rest) = rest.split_first()?;
        let order = match *kind {
            REQUEST if rest.is_empty() => Self::Request,
            CHALLENGE => {
                let (digest, name) = rest.split_first_chunk::<32>()?;
                let name = std::str::from_utf8(name).ok()?;
                Self::Challenge { digest: *digest, name: name.to_owned() }
            }
            KEEP => Self::Keep(KeyId(rest.try_into().ok()?)),
            _ => return None,
        };
        Some((u64::from_be_bytes(*number), order))
    }
}

impl Made {
    /// The key's id, then the rest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.key.0[..], &self.der].concat()
    }

    /// Parses what [`Self::to_bytes`] makes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (key, der) = bytes.split_first_chunk::<8>()?;
        (!der.is_empty()).then(|| Self { key: KeyId(*key), der: der.to_vec() })
    }
}

/// Whether `name` may stand in a certificate that is asked for here: a whole name in lower case, no wildcard, no address.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.')
        && name.len() <= limit::HOST_CHARS_MAX
        && name.split('.').all(is_label)
        && !last.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_whole_or_not_at_all() {
        for order in [
            Order::Request,
            Order::Challenge { digest: [7; 32], name: "media.example.com".to_owned() },
            Order::Keep(KeyId([1, 2, 3, 4, 5, 6, 7, 8])),
        ] {
            assert_eq!(Order::parse(&order.to_bytes(9)), Some((9, order)));
        }
        let short = [&9_u64.to_be_bytes()[..], &[CHALLENGE], &[7; 31]].concat();
        for wrong in [
            &b""[..],
            &9_u64.to_be_bytes(),
            &[Order::Request.to_bytes(9), vec![0]].concat(),
            &Order::Keep(KeyId([0; 8])).to_bytes(9)[..16],
            &short,
            &[&9_u64.to_be_bytes()[..], &[4]].concat(),
        ] {
            assert_eq!(Order::parse(wrong), None, "{wrong:?}");
        }
        let made = Made { key: KeyId([9; 8]), der: vec![0x30] };
        assert_eq!(Made::parse(&made.to_bytes()), Some(made));
        assert_eq!(Made::parse(&[0; 8]), None);
    }

    #[test]
    fn names_are_whole_and_plain() {
        for name in ["media.example.com", "a.b", "xn--bcher-kva.example", "1.example.com"] {
            assert!(is_name(name), "{name}");
        }
        let long = format!("{}.com", "a.".repeat(130));
        for name in [
            "",
            "localhost",
            "*.example.com",
            "Media.example.com",
            "a..b",
            ".a.b",
            "a.b.",
            "-a.b",
            "a_b.c",
            "10.0.0.1",
            "a.b/c",
            "é.example.com",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
