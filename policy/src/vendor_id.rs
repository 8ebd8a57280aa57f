//! The name under which a vendor stands in the registry, as settings and log lines carry it.
//!
//! It comes from the operator's files, never from a caller: a lower-case word of at most 32 characters.

use std::fmt;

/// 1 to 32 lower-case letters, digits and hyphens, a letter first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VendorId {
    text: [u8; Self::CHARS_MAX],
    length: u8,
}

/// Not the name of a vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not 1 to 32 lower-case letters, digits and hyphens, a letter first")]
pub struct VendorIdError;

impl VendorId {
    /// The longest, in characters.
    pub const CHARS_MAX: usize = crate::limit::VENDOR_ID_CHARS_MAX;

    /// Takes a name.
    ///
    /// # Errors
    /// [`VendorIdError`].
    pub fn parse(text: &str) -> Result<Self, VendorIdError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.len() <= Self::CHARS_MAX
            && text.bytes().all(plain);
        let length = u8::try_from(text.len()).map_err(|_long| VendorIdError)?;
        let mut bytes = [0; Self::CHARS_MAX];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        if is_name { Ok(Self { text: bytes, length }) } else { Err(VendorIdError) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.text.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for VendorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_plain_word() {
        let longest = "a".repeat(VendorId::CHARS_MAX);
        for text in ["a", "deepgram", "asr-2", &longest] {
            assert_eq!(VendorId::parse(text).unwrap().as_str(), text);
        }
        let longer = "a".repeat(VendorId::CHARS_MAX + 1);
        for text in ["", "-a", "2a", "A", "a b", "a_b", "a\"", "ä", &longer] {
            assert_eq!(VendorId::parse(text), Err(VendorIdError), "{text}");
        }
    }
}
