//! FAT32 file systems, read: every file with its path and its bytes.
//!
//! The file system may be hostile: entries, depth and clusters are counted, and a chain of clusters that comes back
//! to itself ends.
//!
//! The format: Microsoft, *FAT32 File System Specification*, 1.03.

use ward_policy::limit;

use crate::bytes::{array, index, piece, u16_le, u32_le};
use crate::esp::sum;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// From the root, with slashes.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Why a file system cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// Not FAT32 with sectors of 512 bytes, or not whole.
    #[error("it is not a whole FAT32 file system")]
    NotFat,
    /// A chain of clusters that leaves the file system, is too short, or comes back to itself.
    #[error("the clusters of {0} are not a chain")]
    Chain(String),
    /// More entries, or directories inside one another, than there may be.
    #[error("it has more entries than it may")]
    TooMany,
    /// A name that is not of plain characters.
    #[error("an entry of {0} has an unusable name")]
    Name(String),
}

const SECTOR: usize = 512;
const ENTRY: usize = 32;
/// Below this many clusters it is FAT16, whatever it says of itself.
const CLUSTERS_MIN: usize = 65_525;
/// Four bits of an entry of the table are not the cluster's number.
const CLUSTER_MASK: u32 = 0x0fff_ffff;
/// From here on an entry of the table is the end of a chain.
const CHAIN_END: u32 = 0x0fff_fff8;
const IS_LONG_NAME: u8 = 0x0f;
const IS_VOLUME_LABEL: u8 = 0x08;
const IS_DIRECTORY: u8 = 0x10;

struct Volume<'a> {
    bytes: &'a [u8],
    table: &'a [u8],
    data_at: usize,
    cluster_bytes: usize,
    clusters: usize,
    /// How many clusters and entries may still be looked at, whatever chains and directories say.
    clusters_left: usize,
    entries_left: usize,
}

/// A directory's entry.
struct Entry {
    name: String,
    is_directory: bool,
    first: u32,
    size: u32,
}

/// Every file of the file system in `bytes`, in the order in which it is found.
///
/// # Errors
/// Any [`FatError`].
pub fn read(bytes: &[u8]) -> Result<Vec<File>, FatError> {
    let (mut volume, root) = open(bytes).ok_or(FatError::NotFat)?;
    let mut files = Vec::new();
    let mut waiting = vec![(String::new(), root)];
    while let Some((path, first)) = waiting.pop() {
        if path.matches('/').count() > limit::FAT_DEPTH_MAX {
            return Err(FatError::TooMany);
        }
        let directory = volume.chain(first, None).ok_or_else(|| FatError::Chain(path.clone()))?;
        for entry in volume.entries(&directory, &path)? {
            let path = format!("{path}/{}", entry.name);
            if path.len() > limit::IMAGE_PATH_BYTES_MAX {
                return Err(FatError::Name(path));
            }
            if entry.is_directory {
                waiting.push((path, entry.first));
                continue;
            }
            let content = index(entry.size).and_then(|size| volume.chain(entry.first, Some(size)));
            let Some(content) = content else { return Err(FatError::Chain(path)) };
            files.push(File { path, content });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn open(bytes: &[u8]) -> Option<(Volume<'_>, u32)> {
    let is_fat32 = u16_le(bytes, 510)? == 0xaa55
        && usize::from(u16_le(bytes, 11)?) == SECTOR
        && u16_le(bytes, 17)? == 0 // no root directory of fixed size
        && u16_le(bytes, 22)? == 0; // no small table
    let cluster_sectors = usize::from(*bytes.get(13)?);
    let tables = usize::from(*bytes.get(16)?);
    if !is_fat32 || !cluster_sectors.is_power_of_two() || !matches!(tables, 1 | 2) {
        return None;
    }
    let sectors: usize = index(u32_le(bytes, 32)?)?;
    let table_sectors: usize = index(u32_le(bytes, 36)?)?;
    let reserved = usize::from(u16_le(bytes, 14)?);
    let data_sector = table_sectors.checked_mul(tables)?.checked_add(reserved)?;
    let bytes = bytes.get(..sectors.checked_mul(SECTOR)?)?;
    let clusters = sectors.checked_sub(data_sector)?.checked_div(cluster_sectors)?;
    let table_bytes = clusters.checked_add(2)?.checked_mul(4)?;
    let table = piece(bytes, reserved.checked_mul(SECTOR)?, table_sectors.checked_mul(SECTOR)?)?;
    if clusters < CLUSTERS_MIN {
        return None;
    }
    let volume = Volume {
        bytes,
        table: table.get(..table_bytes)?,
        data_at: data_sector.checked_mul(SECTOR)?,
        cluster_bytes: cluster_sectors.checked_mul(SECTOR)?,
        clusters,
        clusters_left: clusters,
        entries_left: limit::FAT_ENTRIES_MAX,
    };
    Some((volume, u32_le(bytes, 44)?))
}

impl Volume<'_> {
    /// The bytes of a chain: `size` of them for a file, all for a directory.
    fn chain(&mut self, first: u32, size: Option<usize>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut next = first & CLUSTER_MASK;
        // An empty file has no chain.
        while !(next >= CHAIN_END || next == 0 && size == Some(0) && bytes.is_empty()) {
            let number: usize = index(next.checked_sub(2)?)?;
            if number >= self.clusters || size.is_some_and(|size| bytes.len() >= size) {
                return None;
            }
            // No cluster belongs to two chains, so there are never more than there are in all.
            self.clusters_left = self.clusters_left.checked_sub(1)?;
            let at = number.checked_mul(self.cluster_bytes)?.checked_add(self.data_at)?;
            bytes.extend_from_slice(piece(self.bytes, at, self.cluster_bytes)?);
            next = u32_le(self.table, index(next).and_then(|next: usize| next.checked_mul(4))?)?
                & CLUSTER_MASK;
        }
        if let Some(size) = size {
            if bytes.len() < size {
                return None;
            }
            bytes.truncate(size);
        }
        Some(bytes)
    }

    fn entries(&mut self, directory: &[u8], path: &str) -> Result<Vec<Entry>, FatError> {
        let unusable = || FatError::Name(format!("{path}/"));
        let mut entries = Vec::new();
        // The pieces of a long name stand before its entry, the last one first.
        let mut long: Vec<[u8; ENTRY]> = Vec::new();
        for at in (0..directory.len()).step_by(ENTRY) {
            let row: [u8; ENTRY] = array(directory, at).ok_or_else(unusable)?;
            let [start, ..] = row;
            let attributes = row.get(11).copied().unwrap_or_default();
            match start {
                0 => break,
                0xe5 => {
                    long.clear();
                    continue;
                }
                _ => {}
            }
            self.entries_left = self.entries_left.checked_sub(1).ok_or(FatError::TooMany)?;
            if attributes == IS_LONG_NAME {
                long.push(row);
                continue;
            }
            let pieces = std::mem::take(&mut long);
            if attributes & IS_VOLUME_LABEL != 0 {
                continue;
            }
            let name = match long_name(&pieces, &row) {
                Some(name) => name,
                None => short_name(&row).ok_or_else(unusable)?,
            };
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            entries.push(entry(name, attributes, &row).ok_or_else(unusable)?);
        }
        Ok(entries)
    }
}

fn entry(name: String, attributes: u8, row: &[u8]) -> Option<Entry> {
    let first = u32::from(u16_le(row, 20)?) << 16 | u32::from(u16_le(row, 26)?);
    let is_directory = attributes & IS_DIRECTORY != 0;
    Some(Entry { name, is_directory, first, size: u32_le(row, 28)? })
}

/// The long name of the pieces, if they are one, whole and of the entry `row`.
fn long_name(pieces: &[[u8; ENTRY]], row: &[u8]) -> Option<String> {
    const IS_LAST: u8 = 0x40;
    /// Where the thirteen letters of a piece are.
    const LETTERS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    let count = u8::try_from(pieces.len()).ok().filter(|count| *count > 0)?;
    let mut name = String::new();
    let mut is_over = false;
    for (number, one) in (1..=count).zip(pieces.iter().rev()) {
        let expected = if number == count { number | IS_LAST } else { number };
        if *one.first()? != expected || *one.get(13)? != sum(piece(row, 0, 11)?) {
            return None;
        }
        for at in LETTERS {
            match u16_le(one, at)? {
                0 => is_over = true,
                0xffff if is_over => {}
                letter if !is_over => name.push(plain(u8::try_from(letter).ok()?)?),
                _ => return None,
            }
        }
    }
    (!name.is_empty()).then_some(name)
}

fn short_name(row: &[u8]) -> Option<String> {
    let part = |from: usize, length: usize| -> Option<String> {
        let letters = piece(row, from, length)?.trim_ascii_end();
        letters.iter().map(|letter| plain(*letter)).collect()
    };
    let (base, ending) = (part(0, 8)?, part(8, 3)?);
    match (base.is_empty(), ending.is_empty()) {
        (true, _) => None,
        (false, true) => Some(base),
        (false, false) => Some(format!("{base}.{ending}")),
    }
}

/// A letter that can be printed and is not a slash.
fn plain(letter: u8) -> Option<char> {
    let is_plain = letter == b' ' || letter.is_ascii_graphic();
    (is_plain && !matches!(letter, b'/' | b'\\')).then(|| char::from(letter))
}
