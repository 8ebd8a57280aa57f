//! The vendors' keys, in memory for secrets: read from a document once, never copied out as a whole.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use ward_edge::start::StartError;
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::secret::{Protection, SecretPlace, SecretPool};

/// Every key there is; lines of `ID=KEY`.
#[derive(Debug)]
pub(crate) struct Keys {
    place: SecretPlace,
    length: usize,
    is_secret: bool,
}

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeysError {
    /// The document is too long, unreadable, or not lines of `ID=KEY`.
    Document,
    /// There is no memory for secrets, now.
    Memory,
}

impl From<KeysError> for StartError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Document => Self::Settings,
            KeysError::Memory => Self::System,
        }
    }
}

impl Keys {
    /// Reads a document to its end and closes it.
    pub(crate) fn read(document: OwnedFd) -> Result<Self, KeysError> {
        let pool =
            SecretPool::new(1, limit::VENDOR_KEYS_BYTES_MAX).map_err(|_none| KeysError::Memory)?;
        let is_secret = pool.protection() == Protection::Secret;
        let mut keys = Self { place: pool.place().ok_or(KeysError::Memory)?, length: 0, is_secret };
        let mut file = File::from(document);
        loop {
            let rest = keys.place.bytes_mut().get_mut(keys.length..).unwrap_or_default();
            // A place that is full to the brim may have more to come.
            if rest.is_empty() {
                return Err(KeysError::Document);
            }
            match file.read(rest) {
                Ok(0) => break,
                Ok(count) => keys.length = keys.length.saturating_add(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(KeysError::Document),
            }
        }
        if are_keys(keys.all()) { Ok(keys) } else { Err(KeysError::Document) }
    }

    /// Whether nobody else can read them, root included.
    pub(crate) const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// The key of `vendor`.
    pub(crate) fn of(&self, vendor: VendorId) -> Option<&[u8]> {
        lines(self.all()).find_map(|line| {
            let rest = line.strip_prefix(vendor.as_str().as_bytes())?;
            rest.strip_prefix(b"=")
        })
    }

    /// Every one, with whose it is.
    pub(crate) fn all_ids(&self) -> impl Iterator<Item = (VendorId, &[u8])> {
        lines(self.all()).filter_map(|line| {
            let end = line.iter().position(|byte| *byte == b'=')?;
            let (id, key) = line.split_at_checked(end)?;
            let id = VendorId::parse(std::str::from_utf8(id).ok()?).ok()?;
            Some((id, key.get(1..)?))
        })
    }

    fn all(&self) -> &[u8] {
        self.place.bytes().get(..self.length).unwrap_or_default()
    }
}

fn lines(all: &[u8]) -> impl Iterator<Item = &[u8]> {
    all.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// Whether a document is lines of `ID=KEY`, and not too long: what the broker takes.
#[must_use]
pub fn are_keys(document: &[u8]) -> bool {
    document.len() < limit::VENDOR_KEYS_BYTES_MAX && lines(document).all(is_entry)
}

fn is_entry(line: &[u8]) -> bool {
    let end = line.iter().position(|byte| *byte == b'=');
    let parts = end.map(|end| line.split_at(end));
    parts.is_some_and(|(id, key)| {
        let is_id = std::str::from_utf8(id).is_ok_and(|id| VendorId::parse(id).is_ok());
        is_id && key.len() > 1 && key.is_ascii()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn check(text: &[u8]) -> Result<Keys, KeysError> {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let text = text.to_vec();
        let writing = std::thread::spawn(move || writer.write_all(&text).unwrap_or_default());
        let keys = Keys::read(reader.into());
        writing.join().unwrap();
        keys
    }

    #[test]
    fn keys_are_found_by_the_whole_id() {
        let keys = check(b"asr=one\n\n asr-2=two==\n").unwrap();
        let of = |id| keys.of(VendorId::parse(id).unwrap());
        assert_eq!(of("asr"), Some(&b"one"[..]));
        assert_eq!(of("asr-2"), Some(&b"two=="[..]));
        assert_eq!((of("as"), of("tts")), (None, None));
        assert!(check(b"").unwrap().of(VendorId::parse("asr").unwrap()).is_none());
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused() {
        let long = vec![b'x'; limit::VENDOR_KEYS_BYTES_MAX + 1];
        for text in [&b"asr"[..], b"asr=", b"=key", b"A S R=key", b"asr=\xff", &long] {
            assert!(check(text).is_err(), "{}", text.escape_ascii().take(20).count());
        }
    }
}
