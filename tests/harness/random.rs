//! Random choices that are the same every time: xorshift64 from a fixed seed. And bytes that never are.

use ring::rand::{SecureRandom as _, SystemRandom};

/// A sequence of choices.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    /// One of `list`.
    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// Bytes of the operating system: in no program, and in no other run.
#[must_use]
pub fn fresh<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

/// `length` of `letters`, chosen by the operating system.
#[must_use]
pub fn fresh_text(letters: &[u8], length: usize) -> String {
    let pick = |_| char::from(letters[usize::from(u16::from_be_bytes(fresh())) % letters.len()]);
    (0..length).map(pick).collect()
}
