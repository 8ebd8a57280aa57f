//! SHA-256 as text: what data of a test is known by.

use ring::digest::{SHA256, digest};

/// The digest in lower-case hexadecimal digits.
#[must_use]
pub fn sha256(data: &[u8]) -> String {
    digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
