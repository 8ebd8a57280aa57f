//! SHA-256, and the identifiers that are made of it: whoever knows the contents knows them.
//!
//! Nothing here is random and nothing is a secret.

use ring::digest::{SHA256, digest};
use uuid::Uuid;

/// The SHA-256 of something, in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A GUID that is the contents' own: a digest in the form that RFC 9562 §5.8 leaves to applications.
///
/// `purpose` keeps two of the same contents apart.
pub(crate) fn guid(purpose: &str, contents: &[u8]) -> Uuid {
    Uuid::new_v8(first(purpose, contents))
}

/// A FAT volume's number, made likewise.
pub(crate) fn volume_id(purpose: &str, contents: &[u8]) -> u32 {
    u32::from_be_bytes(first(purpose, contents))
}

fn first<const N: usize>(purpose: &str, contents: &[u8]) -> [u8; N] {
    let mut context = ring::digest::Context::new(&SHA256);
    context.update(purpose.as_bytes());
    context.update(&[0]);
    context.update(contents);
    let mut bytes = [0; N];
    for (byte, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *byte = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_published_ones() {
        // FIPS 180-4's example, as NIST publishes it.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }

    #[test]
    fn guids_are_of_version_8_and_tell_contents_and_purposes_apart() {
        let guid_text = |purpose, contents: &[u8]| guid(purpose, contents).simple().to_string();
        let one = guid_text("disk", b"a");
        assert_eq!(one.get(12..13), Some("8"), "{one}");
        assert!(matches!(one.get(16..17), Some("8" | "9" | "a" | "b")), "{one}");
        assert_eq!(one, guid_text("disk", b"a"));
        assert_ne!(one, guid_text("disk", b"b"));
        assert_ne!(one, guid_text("partition", b"a"));
        assert_ne!(volume_id("esp", b"a"), volume_id("esp", b"b"));
    }
}
