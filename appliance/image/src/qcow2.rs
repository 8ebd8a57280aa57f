//! The disk as QEMU keeps it: clusters that have something in them, and a table that says where each is.
//!
//! What is written has every used cluster once, in order, and nothing of the program that wrote it. What is read may
//! be hostile: no other file is ever opened, whatever it names, and nothing in it is unpacked.
//!
//! The format: QEMU's `docs/interop/qcow2.rst`.

use ward_policy::limit;

use crate::bytes::{index, is_zero, piece, put, u32_be, u64_be};

/// Why a file cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Qcow2Error {
    /// Not the format, or damaged.
    #[error("it is not a whole qcow2 file")]
    NotQcow2,
    /// It wants another file beside it.
    #[error("it names another file, which is not looked at")]
    NamesAFile,
    /// It is encrypted, compressed or otherwise more than clusters in a table.
    #[error("it uses a feature that no image of ours has: {0}")]
    Feature(&'static str),
    /// The disk in it would be larger than one that is looked into, or not of whole sectors.
    #[error("the disk in it is not one of whole sectors, or too large")]
    Size,
}

/// "QFI" and 0xfb.
pub const MAGIC: &[u8] = b"QFI\xfb";
const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
const HEAD_BYTES: u32 = 104;
/// The bits of an entry that are a place in the file.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The cluster is this table's alone.
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// It reads as zeros, whatever is there.
const ZEROS: u64 = 1;

/// The clusters that come before the disk's own, by their number.
const REFERENCE_TABLE: usize = 1;
const REFERENCES: usize = 2;
const FIRST_LEVEL: usize = 3;
const SECOND_LEVEL: usize = 4;
const TABLES: usize = 5;

/// The file that holds `disk`.
///
/// # Errors
/// [`Qcow2Error::Size`].
pub fn write(disk: &[u8]) -> Result<Vec<u8>, Qcow2Error> {
    if disk.is_empty() || !disk.len().is_multiple_of(512) || disk.len() > limit::INSPECTED_BYTES_MAX
    {
        return Err(Qcow2Error::Size);
    }
    assemble(disk).ok_or(Qcow2Error::Size)
}

fn assemble(disk: &[u8]) -> Option<Vec<u8>> {
    let offset = |number: usize| u64::try_from(number.checked_mul(CLUSTER)?).ok();
    let mut file = vec![0; TABLES.checked_mul(CLUSTER)?];
    let mut at = SECOND_LEVEL.checked_mul(CLUSTER)?;
    for cluster in disk.chunks(CLUSTER) {
        if !is_zero(cluster) {
            let entry = u64::try_from(file.len()).ok()? | COPIED;
            put(&mut file, at, &entry.to_be_bytes())?;
            file.extend_from_slice(cluster);
            crate::bytes::pad(&mut file, CLUSTER);
        }
        at = at.checked_add(8)?;
    }
    // A table of the second level is one cluster: 8,192 entries, which are 512 MiB.
    if disk.len().div_ceil(CLUSTER) > CLUSTER / 8 {
        return None;
    }
    let first = FIRST_LEVEL.checked_mul(CLUSTER)?;
    put(&mut file, first, &(offset(SECOND_LEVEL)? | COPIED).to_be_bytes())?;
    let reference_table = REFERENCE_TABLE.checked_mul(CLUSTER)?;
    put(&mut file, reference_table, &offset(REFERENCES)?.to_be_bytes())?;
    // Sixteen bits a cluster: each is used once.
    let mut at = REFERENCES.checked_mul(CLUSTER)?;
    for _ in 0..file.len().checked_div(CLUSTER)? {
        put(&mut file, at, &1_u16.to_be_bytes())?;
        at = at.checked_add(2)?;
    }
    let mut head = Vec::new();
    let words = |head: &mut Vec<u8>, words: &[u32]| {
        words.iter().for_each(|word| head.extend_from_slice(&word.to_be_bytes()));
    };
    head.extend_from_slice(MAGIC);
    words(&mut head, &[3, 0, 0, 0, CLUSTER_BITS]);
    head.extend_from_slice(&u64::try_from(disk.len()).ok()?.to_be_bytes());
    words(&mut head, &[0, 1]); // not encrypted; entries of the first level
    head.extend_from_slice(&offset(FIRST_LEVEL)?.to_be_bytes());
    head.extend_from_slice(&offset(REFERENCE_TABLE)?.to_be_bytes());
    words(&mut head, &[1, 0, 0, 0]); // clusters of the reference table; no snapshots
    head.extend_from_slice(&[0; 24]); // no features
    words(&mut head, &[4, HEAD_BYTES]); // 16 bits a reference
    put(&mut file, 0, &head)?;
    Some(file)
}

/// The disk in `file`.
///
/// # Errors
/// Any [`Qcow2Error`].
pub fn read(file: &[u8]) -> Result<Vec<u8>, Qcow2Error> {
    let word = |at| u32_be(file, at).ok_or(Qcow2Error::NotQcow2);
    let long = |at| u64_be(file, at).ok_or(Qcow2Error::NotQcow2);
    if !file.starts_with(MAGIC) || !matches!(word(4)?, 2 | 3) {
        return Err(Qcow2Error::NotQcow2);
    }
    if long(8)? != 0 {
        return Err(Qcow2Error::NamesAFile);
    }
    // Version 2 has no such fields, and other bytes in their place.
    let features = if word(4)? == 3 { long(72)? } else { 0 };
    match (word(32)?, word(60)?, features) {
        (0, 0, 0) => {}
        (0, 0, features) if features & 4 != 0 => return Err(Qcow2Error::NamesAFile),
        (0, 0, _) => return Err(Qcow2Error::Feature("an incompatible one")),
        (0, ..) => return Err(Qcow2Error::Feature("snapshots")),
        _ => return Err(Qcow2Error::Feature("encryption")),
    }
    let size: usize = index(long(24)?).ok_or(Qcow2Error::Size)?;
    if size == 0 || !size.is_multiple_of(512) || size > limit::INSPECTED_BYTES_MAX {
        return Err(Qcow2Error::Size);
    }
    let cluster = match word(20)? {
        bits @ 9..=21 => 1_usize << bits,
        _ => return Err(Qcow2Error::NotQcow2),
    };
    let mut disk = vec![0; size];
    let first: usize = index(long(40)?).ok_or(Qcow2Error::NotQcow2)?;
    let entries = cluster / 8;
    for (number, target) in disk.chunks_mut(cluster).enumerate() {
        let in_first = number.checked_div(entries).unwrap_or_default();
        if index(word(36)?).is_none_or(|count: usize| in_first >= count) {
            return Err(Qcow2Error::NotQcow2);
        }
        let Some(second) = entry(file, first, in_first)? else { continue };
        let in_second = number.checked_rem(entries).unwrap_or_default();
        let Some(at) = entry(file, second, in_second)? else { continue };
        // The last cluster may be cut where the disk ends.
        let data = piece(file, at, target.len()).ok_or(Qcow2Error::NotQcow2)?;
        target.copy_from_slice(data);
    }
    Ok(disk)
}

/// Where the `number`th entry of the table at `table` leads; nowhere where there are zeros.
fn entry(file: &[u8], table: usize, number: usize) -> Result<Option<usize>, Qcow2Error> {
    let at = number.checked_mul(8).and_then(|from| from.checked_add(table));
    let entry = at.and_then(|at| u64_be(file, at)).ok_or(Qcow2Error::NotQcow2)?;
    if entry & COMPRESSED != 0 {
        return Err(Qcow2Error::Feature("compression"));
    }
    let offset: Option<usize> = index(entry & OFFSET);
    let offset = offset.ok_or(Qcow2Error::NotQcow2)?;
    Ok((offset != 0 && entry & ZEROS == 0).then_some(offset))
}
