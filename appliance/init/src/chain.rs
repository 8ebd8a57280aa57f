//! The chain of log lines: each carries the number of its place and the digest of the line before it.
//!
//! It finds what was taken out, changed or moved; it does not keep the last lines from being cut off, which
//! only a reader elsewhere can notice. It judges nothing.

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ward_edge::random::RandomError;

/// Where the chain stands.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Names this chain: a new life of the process begins a new one, at 0.
    boot: [u8; 8],
    sequence: u64,
    previous: [u8; 32],
    line: Vec<u8>,
}

impl Chain {
    /// A chain under a random name. The first line's predecessor is 32 bytes of zero.
    pub(crate) fn new() -> Result<Self, RandomError> {
        let mut boot = [0; 8];
        SystemRandom::new().fill(&mut boot).map_err(|_random| RandomError)?;
        Ok(Self { boot, sequence: 0, previous: [0; 32], line: Vec::new() })
    }

    /// The number that the next line will have, and the digest of the one before it.
    pub(crate) const fn next(&self) -> (u64, [u8; 32]) {
        (self.sequence, self.previous)
    }

    /// The line as it is written, with its place in front and a line feed behind. `line` is a JSON object.
    ///
    /// The digest is SHA-256 of everything from the brace to the brace.
    pub(crate) fn link(&mut self, line: &[u8]) -> &[u8] {
        self.line.clear();
        self.line.extend_from_slice(b"{\"boot\":\"");
        hexadecimal(&self.boot, &mut self.line);
        self.line.extend_from_slice(format!("\",\"seq\":{},\"prev\":\"", self.sequence).as_bytes());
        hexadecimal(&self.previous, &mut self.line);
        self.line.extend_from_slice(b"\",");
        self.line.extend_from_slice(line.strip_prefix(b"{").unwrap_or(line));
        let whole = digest(&SHA256, &self.line);
        self.previous = whole.as_ref().try_into().unwrap_or_default();
        self.sequence = self.sequence.saturating_add(1);
        self.line.push(b'\n');
        &self.line
    }
}

fn hexadecimal(bytes: &[u8], text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 0x0f)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_names_the_one_before() {
        let mut chain = Chain::new().unwrap();
        let first = chain.link(br#"{"at_ms":1}"#).to_vec();
        let second = String::from_utf8(chain.link(br#"{"at_ms":2}"#).to_vec()).unwrap();
        let text = String::from_utf8(first.clone()).unwrap();
        let zeros = "0".repeat(64);
        assert!(
            text.contains(&format!("\"seq\":0,\"prev\":\"{zeros}\",\"at_ms\":1}}\n")),
            "{text}"
        );
        let whole = digest(&SHA256, first.trim_ascii_end());
        let mut expected = Vec::new();
        hexadecimal(whole.as_ref(), &mut expected);
        let expected = String::from_utf8(expected).unwrap();
        assert!(second.contains(&format!("\"seq\":1,\"prev\":\"{expected}\",")), "{second}");
        let boot = |line: &str| line.get(..26).unwrap().to_owned();
        assert_eq!(boot(&text), boot(&second));
        let mut other = Chain::new().unwrap();
        assert_ne!(boot(&text), boot(std::str::from_utf8(other.link(b"{}")).unwrap()));
    }
}
