//! The partition table: one EFI system partition, written with identifiers made of its contents, and read from
//! disks that may be hostile.
//!
//! The crate `gpt` writes. It does not read here: it panics on a table with entries of another size. Ours refuses
//! one, bounds the count, and checks both copies.
//!
//! The format: UEFI specification 2.10, §5.3.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;

use ::gpt::disk::LogicalBlockSize;
use ::gpt::mbr::ProtectiveMBR;
use ::gpt::partition::Partition as Row;
use ::gpt::partition_types::EFI;
use ward_policy::limit;

use crate::bytes::{array, index, is_zero, piece, put, u16_le, u32_le, u64_le};
use crate::digest::guid;

/// A sector; the disks of every cloud say they have such.
pub const SECTOR: usize = 512;
/// Where the partition begins: a mebibyte, as every tool has it.
pub const FIRST: usize = 1024 * 1024;
/// What the second copy of the table needs at the end of the disk: its entries and its head.
const SECOND_COPY: usize = 33 * SECTOR;
const SIGNATURE: &[u8] = b"EFI PART";
const HEAD_BYTES: usize = 92;
const ENTRY_BYTES: u32 = 128;
/// The type of an EFI system partition as it is on the disk: C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Whether it is an EFI system partition.
    pub is_esp: bool,
    /// Its bytes' place on the disk.
    pub bytes: Range<usize>,
}

/// Why a table cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GptError {
    /// No table of this kind, or one that ends outside of the disk.
    #[error("there is no whole GUID partition table")]
    NotGpt,
    /// The first sector has something else than the protective record: a boot program, or partitions that firmware takes and the table does
    /// not have.
    #[error("the first sector is not a protective record and nothing else")]
    NotProtective,
    /// A checksum that is wrong, or copies that differ.
    #[error("the partition table's {0} is damaged")]
    Damaged(&'static str),
    /// A partition outside of the disk, or two on one place.
    #[error("partition {0} is not in a place of its own")]
    Place(usize),
    /// The library refused: a fault of ours.
    #[error("the partition table cannot be written")]
    Writing,
}

/// How much room there is for the partition on a disk of `disk` bytes, in whole mebibytes.
#[must_use]
pub const fn room(disk: usize) -> usize {
    let room = disk.saturating_sub(FIRST).saturating_sub(SECOND_COPY);
    room.saturating_sub(room % FIRST)
}

/// A disk of `size` bytes with `esp` as its only partition.
///
/// # Errors
/// [`GptError::Writing`] when it does not fit.
pub fn write(esp: &[u8], size: usize) -> Result<Vec<u8>, GptError> {
    let mut disk = vec![0; size];
    put(&mut disk, FIRST, esp).ok_or(GptError::Writing)?;
    partition(&mut disk, esp).ok_or(GptError::Writing)?;
    Ok(disk)
}

fn partition(disk: &mut [u8], esp: &[u8]) -> Option<()> {
    let sectors = |bytes: usize| u64::try_from(bytes.checked_div(SECTOR)?).ok();
    let in_mbr = u32::try_from(sectors(disk.len())?.checked_sub(1)?).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(in_mbr).overwrite_lba0(&mut Cursor::new(&mut *disk)).ok()?;
    let mut table = ::gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(Cursor::new(disk), Some(guid("disk", esp)))
        .ok()?;
    let row = Row {
        part_type_guid: EFI,
        part_guid: guid("partition", esp),
        first_lba: sectors(FIRST)?,
        last_lba: sectors(FIRST)?.checked_add(sectors(esp.len())?)?.checked_sub(1)?,
        flags: 0,
        name: "ward".to_owned(),
    };
    table.update_partitions(BTreeMap::from([(1, row)])).ok()?;
    table.write().ok().map(drop)
}

/// The partitions of `disk`, in the table's order, after the first sector and both copies were checked.
///
/// # Errors
/// Any [`GptError`] but [`GptError::Writing`].
pub fn read(disk: &[u8]) -> Result<Vec<Partition>, GptError> {
    let last = disk.len().checked_sub(SECTOR).filter(|last| last.is_multiple_of(SECTOR));
    let last = last.ok_or(GptError::NotGpt)?;
    if is_protective(disk) != Some(true) {
        return Err(GptError::NotProtective);
    }
    let (first, other, entries) = copy(disk, SECTOR, "first copy")?;
    let (second, _, second_entries) = copy(disk, last, "second copy")?;
    // Both say the same but where they are themselves.
    let common =
        |head: &[u8]| [head.get(40..72), head.get(80..92)].map(|part| part.map(<[u8]>::to_vec));
    if other != last || common(first) != common(second) || entries != second_entries {
        return Err(GptError::Damaged("second copy"));
    }
    let mut partitions: Vec<Partition> = Vec::new();
    for (number, entry) in
        entries.chunks_exact(usize::try_from(ENTRY_BYTES).unwrap_or(SECTOR)).enumerate()
    {
        let kind: [u8; 16] = array(entry, 0).unwrap_or_default();
        if kind == [0; 16] {
            continue;
        }
        let bytes =
            place(entry).filter(|place| place.start >= FIRST.min(34 * SECTOR) && place.end <= last);
        let bytes = bytes.ok_or(GptError::Place(number))?;
        let is_apart =
            |other: &Partition| other.bytes.end <= bytes.start || bytes.end <= other.bytes.start;
        if !partitions.iter().all(is_apart) {
            return Err(GptError::Place(number));
        }
        partitions.push(Partition { is_esp: kind == ESP, bytes });
    }
    Ok(partitions)
}

/// Whether the first sector says that the whole disk is the table's (UEFI specification 2.10, §5.2.3), and no more: there
/// is no program in it, and one row of four is used.
fn is_protective(disk: &[u8]) -> Option<bool> {
    const PROGRAM_BYTES: usize = 440;
    const ROWS: usize = 446;
    const ROW_BYTES: usize = 16;
    const WHOLE_DISK: u8 = 0xee;
    let rows = piece(disk, ROWS, 4_usize.checked_mul(ROW_BYTES)?)?;
    let (row, others) = rows.split_at_checked(ROW_BYTES)?;
    let sectors = u32_le(row, 12)?;
    let all = disk.len().checked_div(SECTOR)?.checked_sub(1)?;
    Some(
        is_zero(piece(disk, 0, PROGRAM_BYTES)?)
            && row.first() == Some(&0)
            && row.get(4) == Some(&WHOLE_DISK)
            && u32_le(row, 8)? == 1
            && (sectors == u32::MAX || index(sectors) == Some(all))
            && is_zero(others)
            && u16_le(disk, 510)? == 0xaa55,
    )
}

/// A copy's head, which has been checked, where it says that the other one is, and its entries.
fn copy<'a>(
    disk: &'a [u8],
    at: usize,
    name: &'static str,
) -> Result<(&'a [u8], usize, &'a [u8]), GptError> {
    let head = piece(disk, at, HEAD_BYTES).filter(|head| head.starts_with(SIGNATURE));
    let head = head.ok_or(GptError::NotGpt)?;
    let whole = || {
        let is_plain = index(u32_le(head, 12)?) == Some(HEAD_BYTES)
            && u32_le(head, 84)? == ENTRY_BYTES
            && u32_le(head, 80)? <= limit::GPT_ENTRIES_MAX
            && byte(head, 24)? == at;
        let mut blank = head.to_vec();
        put(&mut blank, 16, &[0; 4])?;
        let entries_bytes = ENTRY_BYTES.checked_mul(u32_le(head, 80)?)?;
        let entries = piece(disk, byte(head, 72)?, index(entries_bytes)?)?;
        let is_whole = crc32fast::hash(&blank) == u32_le(head, 16)?
            && crc32fast::hash(entries) == u32_le(head, 88)?;
        (is_plain && is_whole).then_some((head, byte(head, 32)?, entries))
    };
    whole().ok_or(GptError::Damaged(name))
}

/// The byte that a sector's number at `at` stands for.
fn byte(head: &[u8], at: usize) -> Option<usize> {
    index(u64_le(head, at)?).and_then(|sector: usize| sector.checked_mul(SECTOR))
}

/// Where an entry's partition is; its last sector is part of it.
fn place(entry: &[u8]) -> Option<Range<usize>> {
    let (first, last) = (byte(entry, 32)?, byte(entry, 40)?.checked_add(SECTOR)?);
    (first < last).then_some(first..last)
}
