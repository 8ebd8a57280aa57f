//! Zstandard, which the kernel unpacks the initramfs with: one thread, one level, nothing about when or where.
//!
//! It is packed by the reference library, whose version is in the lock file, and unpacked by another one in safe
//! Rust: what is unpacked may be hostile. It never unpacks more than a limit.

use std::io::{Read as _, Write as _};

/// How hard it tries. The last levels want more memory of a guest that has little: this one needs 8 MiB.
const LEVEL: i32 = 19;
/// How far back it may look, as a power of two: 8 MiB, which the kernel sets aside while it unpacks.
const WINDOW_LOG: u32 = 23;
/// RFC 8878 §3.1.1.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why something cannot be packed or unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// The library gave up: it had no memory.
    #[error("it cannot be packed")]
    Packing,
    /// Not Zstandard, or damaged.
    #[error("it is not whole Zstandard data")]
    Damaged,
    /// More than the limit comes out of it.
    #[error("it unpacks to more than it may")]
    TooLarge,
    /// Something follows what was packed.
    #[error("something follows the packed data")]
    AfterTheEnd,
}

/// Whether it says that it is Zstandard.
#[must_use]
pub fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Packs, with a checksum that the kernel checks.
///
/// # Errors
/// [`CompressError::Packing`].
pub fn pack(bytes: &[u8]) -> Result<Vec<u8>, CompressError> {
    let pack = || {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.window_log(WINDOW_LOG)?;
        encoder.set_pledged_src_size(u64::try_from(bytes.len()).ok())?;
        encoder.write_all(bytes)?;
        encoder.finish()
    };
    pack().map_err(|_error: std::io::Error| CompressError::Packing)
}

/// Unpacks one frame that is all there is, to `max` bytes at most. It must say how long it is and have a checksum,
/// as ours do.
///
/// # Errors
/// Any [`CompressError`] but the first.
pub fn unpack(bytes: &[u8], max: usize) -> Result<Vec<u8>, CompressError> {
    let mut rest = bytes;
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest)
        .map_err(|_error| CompressError::Damaged)?;
    let allowed = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut unpacked = Vec::new();
    (&mut decoder)
        .take(allowed)
        .read_to_end(&mut unpacked)
        .map_err(|_error| CompressError::Damaged)?;
    if unpacked.len() > max {
        return Err(CompressError::TooLarge);
    }
    let frame = decoder.into_frame_decoder();
    let is_long = u64::try_from(unpacked.len()).is_ok_and(|length| length == frame.content_size());
    let said = frame.get_checksum_from_data();
    if !is_long || said.is_none() || said != frame.get_calculated_checksum() {
        return Err(CompressError::Damaged);
    }
    drop(frame);
    if rest.is_empty() { Ok(unpacked) } else { Err(CompressError::AfterTheEnd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_is_the_same_twice() {
        let text = b"the same words again, ".repeat(1000);
        let packed = pack(&text).unwrap();
        assert!(is_packed(&packed) && packed.len() < 200);
        assert_eq!(pack(&text).unwrap(), packed);
        assert_eq!(unpack(&packed, text.len()).unwrap(), text);
        assert_eq!(unpack(&packed, text.len() - 1), Err(CompressError::TooLarge));
        let longer = [&packed[..], b"x"].concat();
        assert_eq!(unpack(&longer, text.len()), Err(CompressError::AfterTheEnd));
        assert_eq!(unpack(b"nothing", 1), Err(CompressError::Damaged));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text: Vec<u8> = (0..=255).collect();
        let packed = pack(&text).unwrap();
        for at in 0..packed.len() {
            let mut changed = packed.clone();
            changed[at] ^= 1;
            assert_ne!(unpack(&changed, 4096).ok(), Some(text.clone()), "{at}");
        }
    }
}
