//! The only road from an identifier to something a log line may carry.
//!
//! A call appears in the log as a [`Pseudonym`]: the first eight bytes of HMAC(key of this boot,
//! `CallSid`). It links the lines of one call and dies with the process. Telephone numbers have no
//! pseudonym at all, not even a hashed one (45 CFR 164.514(c)).

/// Stands for one call in the log of one boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pseudonym([u8; 8]);

impl Pseudonym {
    /// Takes the first eight bytes of a keyed digest; `None` when it is shorter.
    ///
    /// The caller vouches that the digest is keyed with a random key of this boot.
    #[must_use]
    pub fn from_keyed_digest(digest: &[u8]) -> Option<Self> {
        digest.first_chunk().copied().map(Self)
    }

    /// The pseudonym as 16 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> [u8; 16] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 16];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                *high = DIGITS[usize::from(byte >> 4)];
                *low = DIGITS[usize::from(byte & 0x0f)];
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_sixteen_hexadecimal_digits() {
        let digest = [0x00, 0x1f, 0xa0, 0xff, 4, 5, 6, 7, 8, 9];
        let pseudonym = Pseudonym::from_keyed_digest(&digest).unwrap();
        assert_eq!(&pseudonym.hex(), b"001fa0ff04050607");
    }

    #[test]
    fn a_short_digest_makes_none() {
        assert!(Pseudonym::from_keyed_digest(&[1; 7]).is_none());
    }
}
