//! The EFI system partition, written: a FAT32 file system with the boot file and, if there is one, the configuration.
//!
//! Every time is the first day that FAT knows, the volume's number is made of the contents, and clusters are given
//! out in one order. It is ours because the crate `fatfs` writes directories that `fsck.fat` finds fault with
//! (its `.` and `..` have long names). It never changes a file system that is there.
//!
//! The format: Microsoft, *FAT32 File System Specification*, 1.03.

use ward_policy::limit;

use crate::bytes::{piece_mut, put};
use crate::digest::volume_id;
use crate::gpt::{FIRST, SECTOR};

/// What is on the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The boot file.
    pub uki: Vec<u8>,
    /// The configuration, as the operator wrote it.
    pub config: Option<Vec<u8>>,
}

/// Where firmware looks for something to boot when nobody tells it (UEFI specification §3.5.1.1).
pub const UKI_PATH: &str = "/EFI/BOOT/BOOTX64.EFI";
/// Where `init` looks for its configuration.
pub const CONFIG_PATH: &str = "/ward/ward.toml";

/// Why there is no file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EspError {
    /// The boot file is larger than it may be.
    #[error("the boot file is larger than {max} bytes", max = limit::UKI_BYTES_MAX)]
    UkiTooLarge,
    /// The configuration is larger than it may be.
    #[error("the configuration is larger than {max} bytes", max = limit::CONFIG_BYTES_MAX)]
    ConfigTooLarge,
    /// The partition has no room for it.
    #[error("the partition has no room for the files")]
    NoRoom,
}

/// The boot sector, its companion, and room for their copies: what every tool reserves.
const RESERVED: usize = 32;
const TABLES: usize = 2;
const COPY_AT: usize = 6;
const LABEL: &[u8; 11] = b"WARD       ";
const CHAIN_END: u32 = 0x0fff_ffff;
const DIRECTORY: u8 = 0x10;
const FILE: u8 = 0x20;
const VOLUME_LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
/// The first of January 1980: there is no earlier one, and zero is no day.
const DAY: u16 = 0x0021;
const ROOT: u32 = 2;

/// The file system, `bytes` long.
///
/// # Errors
/// Any [`EspError`].
pub fn write(files: &Files, bytes: usize) -> Result<Vec<u8>, EspError> {
    if files.uki.len() > limit::UKI_BYTES_MAX {
        return Err(EspError::UkiTooLarge);
    }
    if files.config.as_ref().is_some_and(|config| config.len() > limit::CONFIG_BYTES_MAX) {
        return Err(EspError::ConfigTooLarge);
    }
    let volume = Volume::new(bytes).and_then(|mut volume| {
        volume.fill(files)?;
        volume.finish(files)
    });
    volume.ok_or(EspError::NoRoom)
}

/// A file system in the making; clusters are a sector each, so that a small disk has enough of them.
struct Volume {
    bytes: Vec<u8>,
    table_sectors: usize,
    clusters: usize,
    next: u32,
}

impl Volume {
    fn new(bytes: usize) -> Option<Self> {
        let sectors = bytes.checked_div(SECTOR)?;
        let clusters =
            |table: usize| sectors.checked_sub(RESERVED)?.checked_sub(table.checked_mul(TABLES)?);
        // The table has four bytes a cluster, and two entries that are none.
        let holds =
            |table: usize| Some(table.checked_mul(SECTOR / 4)? >= clusters(table)?.checked_add(2)?);
        let table_sectors = (1..sectors).find(|table| holds(*table) == Some(true))?;
        let clusters = clusters(table_sectors)?;
        Some(Self { bytes: vec![0; bytes], table_sectors, clusters, next: ROOT })
    }

    fn fill(&mut self, files: &Files) -> Option<()> {
        let mut root = label_row();
        let (efi, boot) = (self.next.checked_add(1)?, self.next.checked_add(2)?);
        let ward = files.config.is_some().then(|| boot.checked_add(1)).flatten();
        let first = ward.unwrap_or(boot).checked_add(1)?;
        let mut in_boot = [dot(b".          ", boot), dot(b"..         ", efi)].concat();
        in_boot.extend(row(b"BOOTX64 EFI", FILE, first, files.uki.len())?);
        let mut in_efi = [dot(b".          ", efi), dot(b"..         ", 0)].concat();
        in_efi.extend(row(b"BOOT       ", DIRECTORY, boot, 0)?);
        root.extend(row(b"EFI        ", DIRECTORY, efi, 0)?);
        let mut in_ward = Vec::new();
        if let (Some(ward), Some(config)) = (ward, &files.config) {
            let at = first.checked_add(clusters_of(files.uki.len())?)?;
            let at = if config.is_empty() { 0 } else { at };
            in_ward = [dot(b".          ", ward), dot(b"..         ", 0)].concat();
            in_ward.extend(long_name("ward.toml", b"WARD~1  TOM")?);
            in_ward.extend(row(b"WARD~1  TOM", FILE, at, config.len())?);
            root.extend(long_name("ward", b"WARD       ")?);
            root.extend(row(b"WARD       ", DIRECTORY, ward, 0)?);
        }
        self.store(&root)?;
        self.store(&in_efi)?;
        self.store(&in_boot)?;
        self.store(&in_ward)?;
        self.store(&files.uki)?;
        self.store(files.config.as_deref().unwrap_or_default())
    }

    /// Puts `content` into the next clusters and chains them.
    fn store(&mut self, content: &[u8]) -> Option<()> {
        let data_at = self.table_sectors.checked_mul(TABLES)?.checked_add(RESERVED)?;
        let mut pieces = content.chunks(SECTOR).peekable();
        while let Some(piece) = pieces.next() {
            let number = usize::try_from(self.next.checked_sub(ROOT)?).ok()?;
            if number >= self.clusters {
                return None;
            }
            put(&mut self.bytes, data_at.checked_add(number)?.checked_mul(SECTOR)?, piece)?;
            let after = self.next.checked_add(1)?;
            self.chain(self.next, if pieces.peek().is_some() { after } else { CHAIN_END })?;
            self.next = after;
        }
        Some(())
    }

    /// Writes one entry into every table.
    fn chain(&mut self, cluster: u32, to: u32) -> Option<()> {
        for table in 0..TABLES {
            let sector = self.table_sectors.checked_mul(table)?.checked_add(RESERVED)?;
            let entry = usize::try_from(cluster).ok()?.checked_mul(4)?;
            let at = sector.checked_mul(SECTOR)?.checked_add(entry)?;
            put(&mut self.bytes, at, &to.to_le_bytes())?;
        }
        Some(())
    }

    /// The first two entries, the boot sector and its companion.
    fn finish(mut self, files: &Files) -> Option<Vec<u8>> {
        self.chain(0, 0x0fff_fff8)?;
        self.chain(1, CHAIN_END)?;
        let contents = [&files.uki[..], files.config.as_deref().unwrap_or_default()].concat();
        let boot = self.boot_sector(volume_id("esp", &contents))?;
        let mut info = vec![0; SECTOR];
        let used = self.next.checked_sub(ROOT)?;
        put(&mut info, 0, b"RRaA")?;
        put(&mut info, 484, b"rrAa")?;
        let free = u32::try_from(self.clusters).ok()?.checked_sub(used)?;
        put(&mut info, 488, &free.to_le_bytes())?;
        put(&mut info, 492, &self.next.to_le_bytes())?;
        put(&mut info, 510, &[0x55, 0xaa])?;
        for at in [0, COPY_AT * SECTOR] {
            put(&mut self.bytes, at, &boot)?;
            put(&mut self.bytes, at.checked_add(SECTOR)?, &info)?;
        }
        Some(self.bytes)
    }

    fn boot_sector(&self, volume_id: u32) -> Option<Vec<u8>> {
        let mut sector = Vec::with_capacity(SECTOR);
        let put16 = |value: usize| u16::try_from(value).ok().map(u16::to_le_bytes);
        let put32 = |value: usize| u32::try_from(value).ok().map(u32::to_le_bytes);
        sector.extend_from_slice(&[0xeb, 0x58, 0x90]);
        sector.extend_from_slice(b"WARD    ");
        sector.extend_from_slice(&put16(SECTOR)?);
        sector.push(1); // sectors a cluster
        sector.extend_from_slice(&put16(RESERVED)?);
        sector.push(u8::try_from(TABLES).ok()?);
        sector.extend_from_slice(&[0; 4]); // no root directory of fixed size, no small count of sectors
        sector.push(0xf8); // a disk that stays where it is
        sector.extend_from_slice(&[0; 2]);
        sector.extend_from_slice(&put16(63)?); // a geometry that nobody uses
        sector.extend_from_slice(&put16(255)?);
        sector.extend_from_slice(&put32(FIRST / SECTOR)?);
        sector.extend_from_slice(&put32(self.bytes.len().checked_div(SECTOR)?)?);
        sector.extend_from_slice(&put32(self.table_sectors)?);
        sector.extend_from_slice(&[0; 4]);
        sector.extend_from_slice(&ROOT.to_le_bytes());
        sector.extend_from_slice(&put16(1)?); // where the companion is
        sector.extend_from_slice(&put16(COPY_AT)?);
        sector.extend_from_slice(&[0; 12]);
        sector.extend_from_slice(&[0x80, 0, 0x29]);
        sector.extend_from_slice(&volume_id.to_le_bytes());
        sector.extend_from_slice(LABEL);
        sector.extend_from_slice(b"FAT32   ");
        sector.resize(SECTOR, 0);
        piece_mut(&mut sector, 510, 2)?.copy_from_slice(&[0x55, 0xaa]);
        Some(sector)
    }
}

fn clusters_of(bytes: usize) -> Option<u32> {
    u32::try_from(bytes.div_ceil(SECTOR)).ok()
}

/// A directory's entry: 32 bytes.
fn row(name: &[u8; 11], attributes: u8, first: u32, size: usize) -> Option<Vec<u8>> {
    let [low, lower, high, higher] = first.to_le_bytes();
    let mut row = name.to_vec();
    row.push(attributes);
    row.extend_from_slice(&[0; 4]);
    row.extend_from_slice(&DAY.to_le_bytes()); // made
    row.extend_from_slice(&DAY.to_le_bytes()); // looked at
    row.extend_from_slice(&[high, higher, 0, 0]);
    row.extend_from_slice(&DAY.to_le_bytes()); // changed
    row.extend_from_slice(&[low, lower]);
    row.extend_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
    Some(row)
}

fn label_row() -> Vec<u8> {
    row(LABEL, VOLUME_LABEL, 0, 0).unwrap_or_default()
}

fn dot(name: &[u8; 11], first: u32) -> Vec<u8> {
    row(name, DIRECTORY, first, 0).unwrap_or_default()
}

/// The checksum of a short name, which every piece of a long one carries.
pub(crate) fn sum(short: &[u8]) -> u8 {
    short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// The entry before a short one that has a longer name: thirteen letters at most, so there is one.
fn long_name(name: &str, short: &[u8; 11]) -> Option<Vec<u8>> {
    let mut letters: Vec<u16> = name.encode_utf16().collect();
    if letters.len() < 13 {
        letters.push(0);
    }
    letters.resize(13, 0xffff);
    let bytes: Vec<u8> = letters.iter().flat_map(|letter| letter.to_le_bytes()).collect();
    let mut row = vec![0x41];
    row.extend_from_slice(bytes.get(..10)?);
    row.extend_from_slice(&[LONG_NAME, 0, sum(short)]);
    row.extend_from_slice(bytes.get(10..22)?);
    row.extend_from_slice(&[0; 2]);
    row.extend_from_slice(bytes.get(22..)?);
    Some(row)
}
