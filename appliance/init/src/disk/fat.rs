//! FAT16 and FAT32 (Microsoft, "FAT: General Overview of On-Disk Format", 1.03; ECMA-107), as far as reading one file takes.

use ward_policy::limit;

use super::{DiskError, ReadAt};

/// A file system that begins somewhere on a disk.
#[derive(Debug)]
pub struct Volume<'d, D: ReadAt + ?Sized> {
    disk: &'d D,
    /// Where things begin on the disk, in bytes.
    tables: u64,
    data: u64,
    cluster: u64,
    clusters: u32,
    is_32: bool,
    root: Root,
}

#[derive(Debug, Clone, Copy)]
enum Root {
    /// FAT16: a place of its own, and how many entries it has.
    Place(u64, u32),
    /// FAT32: a chain like any other's.
    Chain(u32),
}

/// What an entry of a directory leads to.
#[derive(Debug, Clone, Copy)]
struct Found {
    first: u32,
    bytes: u32,
    is_folder: bool,
}

const ENTRY: usize = 32;
const LONG_NAME: u8 = 0x0f;
const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;

impl<'d, D: ReadAt + ?Sized> Volume<'d, D> {
    /// Reads the first sector.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn open(disk: &'d D, start: u64) -> Result<Self, DiskError> {
        let mut head = [0; 512];
        if !disk.read_at(start, &mut head) {
            return Err(DiskError::Short);
        }
        let wrong = DiskError::FileSystem;
        let sector = u64::from(word(&head, 11));
        let per_cluster = u64::from(byte(&head, 13));
        let (reserved, tables) = (u64::from(word(&head, 14)), u64::from(byte(&head, 16)));
        let root_entries = word(&head, 17);
        let small = u64::from(word(&head, 19));
        let sectors = if small == 0 { u64::from(number(&head, 32)) } else { small };
        let small = u64::from(word(&head, 22));
        let table = if small == 0 { u64::from(number(&head, 36)) } else { small };
        let is_right = head.get(510..) == Some(&[0x55, 0xaa])
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && (1..=2).contains(&tables)
            && reserved > 0
            && table > 0;
        if !is_right {
            return Err(wrong);
        }
        let root_sectors = (u64::from(root_entries).wrapping_mul(32)).div_ceil(sector);
        let before = reserved.wrapping_add(tables.wrapping_mul(table));
        let data = before.wrapping_add(root_sectors);
        let clusters = sectors.checked_sub(data).ok_or(wrong)?.checked_div(per_cluster);
        let clusters = clusters.and_then(|count| u32::try_from(count).ok()).ok_or(wrong)?;
        // The number of clusters alone says which kind it is; of twelve bits no EFI system partition is.
        let is_32 = clusters >= 65_525;
        if clusters < 4_085 {
            return Err(wrong);
        }
        let place = |sectors: u64| start.checked_add(sectors.checked_mul(sector)?);
        let root = if is_32 {
            Root::Chain(number(&head, 44))
        } else {
            Root::Place(place(before).ok_or(wrong)?, root_entries.into())
        };
        Ok(Self {
            disk,
            tables: place(reserved).ok_or(wrong)?,
            data: place(data).ok_or(wrong)?,
            cluster: per_cluster.wrapping_mul(sector),
            clusters,
            is_32,
            root,
        })
    }

    /// The file at `path`, folder by folder, at most `most` bytes. Names are compared without case.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn file(&self, path: &[&str], most: usize) -> Result<Vec<u8>, DiskError> {
        let found = self.walk(path)?;
        let length = usize::try_from(found.bytes).map_err(|_long| DiskError::Long)?;
        if length > most {
            return Err(DiskError::Long);
        }
        let mut content = vec![0; length];
        let mut cluster = found.first;
        let step = usize::try_from(self.cluster).map_err(|_size| DiskError::FileSystem)?;
        for piece in content.chunks_mut(step) {
            if !self.disk.read_at(self.place(cluster)?, piece) {
                return Err(DiskError::Short);
            }
            cluster = self.next(cluster)?;
        }
        Ok(content)
    }

    /// Whether there is a file at `path` that holds something.
    ///
    /// # Errors
    /// [`DiskError`], but [`DiskError::Absent`].
    pub fn has_file(&self, path: &[&str]) -> Result<bool, DiskError> {
        match self.walk(path) {
            Ok(found) => Ok(found.bytes > 0),
            Err(DiskError::Absent) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The way to a file.
    fn walk(&self, path: &[&str]) -> Result<Found, DiskError> {
        let (name, folders) = path.split_last().ok_or(DiskError::Absent)?;
        let mut place = self.root;
        for folder in folders {
            let found = self.find(place, folder)?;
            if !found.is_folder {
                return Err(DiskError::Absent);
            }
            place = Root::Chain(found.first);
        }
        let found = self.find(place, name)?;
        if found.is_folder { Err(DiskError::Absent) } else { Ok(found) }
    }

    /// Where a cluster is.
    fn place(&self, cluster: u32) -> Result<u64, DiskError> {
        let index = cluster.checked_sub(2).filter(|index| *index < self.clusters);
        let index = u64::from(index.ok_or(DiskError::Chain)?);
        let offset = index.checked_mul(self.cluster).ok_or(DiskError::Chain)?;
        self.data.checked_add(offset).ok_or(DiskError::Chain)
    }

    /// The cluster after this one; past the end of a chain, one that is none.
    fn next(&self, cluster: u32) -> Result<u32, DiskError> {
        let mut bytes = [0; 4];
        let width = if self.is_32 { 4 } else { 2 };
        let at = self.tables.checked_add(u64::from(cluster).wrapping_mul(width));
        let field = bytes.get_mut(..if self.is_32 { 4 } else { 2 }).unwrap_or_default();
        if !self.disk.read_at(at.ok_or(DiskError::Chain)?, field) {
            return Err(DiskError::Short);
        }
        // The upper four bits of FAT32's are reserved.
        Ok(u32::from_le_bytes(bytes) & 0x0fff_ffff)
    }

    /// Looks for a name in a folder.
    fn find(&self, folder: Root, name: &str) -> Result<Found, DiskError> {
        let mut long = LongName::default();
        for index in 0..limit::DIRECTORY_ENTRIES_MAX {
            let Some(entry) = self.entry(folder, index)? else { return Err(DiskError::Absent) };
            let (first, attributes) = (byte(&entry, 0), byte(&entry, 11));
            if first == 0 {
                return Err(DiskError::Absent);
            }
            if first == 0xe5 {
                long = LongName::default();
                continue;
            }
            if attributes & 0x3f == LONG_NAME {
                long.add(&entry);
                continue;
            }
            let is_it = attributes & LABEL == 0
                && (long.is(name, &entry) || short_name(&entry).eq_ignore_ascii_case(name));
            if is_it {
                let high = if self.is_32 { u32::from(word(&entry, 20)) << 16 } else { 0 };
                return Ok(Found {
                    first: high | u32::from(word(&entry, 26)),
                    bytes: number(&entry, 28),
                    is_folder: attributes & FOLDER != 0,
                });
            }
            long = LongName::default();
        }
        Err(DiskError::Absent)
    }

    /// Entry `index` of a folder; nothing behind its end.
    fn entry(&self, folder: Root, index: usize) -> Result<Option<[u8; ENTRY]>, DiskError> {
        let offset = u64::try_from(index.wrapping_mul(ENTRY)).map_err(|_far| DiskError::Chain)?;
        let at = match folder {
            Root::Place(start, entries) => {
                if offset / 32 >= u64::from(entries) {
                    return Ok(None);
                }
                start.saturating_add(offset)
            }
            Root::Chain(first) => {
                let mut cluster = first;
                // As many steps as there are entries before this one, at most.
                for _ in 0..offset / self.cluster {
                    cluster = self.next(cluster)?;
                    if cluster >= self.clusters.saturating_add(2) {
                        return Ok(None);
                    }
                }
                self.place(cluster)?.saturating_add(offset % self.cluster)
            }
        };
        let mut entry = [0; ENTRY];
        if self.disk.read_at(at, &mut entry) { Ok(Some(entry)) } else { Err(DiskError::Short) }
    }
}

/// A name in UTF-16, thirteen units an entry, last piece first.
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    sum: u8,
    /// Which piece comes next; 0 when it is whole.
    awaited: u8,
}

/// Pieces of the longest name.
const PIECES_MAX: u8 = 20;

impl LongName {
    fn add(&mut self, entry: &[u8; ENTRY]) {
        let order = byte(entry, 0);
        let piece = order & 0x3f;
        if order & 0x40 != 0 && (1..=PIECES_MAX).contains(&piece) {
            *self = Self { units: Vec::new(), sum: byte(entry, 13), awaited: piece };
        } else if piece == 0 || piece != self.awaited || byte(entry, 13) != self.sum {
            *self = Self::default();
            return;
        }
        self.awaited = piece.wrapping_sub(1);
        let places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
        let units = places.into_iter().map(|at| word(entry, at)).take_while(|unit| *unit != 0);
        let mut all: Vec<u16> = units.collect();
        all.append(&mut self.units);
        self.units = all;
    }

    /// Whether it is `name`, whole, and belongs to this entry.
    fn is(&self, name: &str, entry: &[u8; ENTRY]) -> bool {
        let short = entry.get(..11).unwrap_or_default();
        let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let text = String::from_utf16(&self.units).unwrap_or_default();
        !self.units.is_empty()
            && self.awaited == 0
            && self.sum == sum
            && text.eq_ignore_ascii_case(name)
    }
}

/// `NAME.EXT`, without the spaces that fill it up.
fn short_name(entry: &[u8; ENTRY]) -> String {
    let part = |from: usize, to: usize| {
        String::from_utf8_lossy(entry.get(from..to).unwrap_or_default()).trim_end().to_owned()
    };
    let (name, ending) = (part(0, 8), part(8, 11));
    if ending.is_empty() { name } else { format!("{name}.{ending}") }
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([byte(bytes, at), byte(bytes, at.saturating_add(1))])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) | u32::from(word(bytes, at.saturating_add(2))) << 16
}

#[cfg(test)]
#[path = "fat_tests.rs"]
mod tests;
