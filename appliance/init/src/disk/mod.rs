//! The configuration file on a disk that a machine can start from: GPT, its EFI system partition, FAT, one file beside a boot file. Read-only.
//!
//! Which disk the firmware started from nobody says: it is the first by name that could have been. Whoever can attach another disk that
//! firmware would start from can configure the machine, and can as well start it with something else.
//!
//! A disk is somebody else's bytes. Everything here is over [`ReadAt`], reads a bounded number of sectors, and never writes.

pub mod fat;
pub mod gpt;

/// Something that can be read from anywhere in it.
pub trait ReadAt {
    /// Fills `buffer` with what is at `offset`; `false` when that much is not there.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset).is_ok()
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(buffer.len()).and_then(|end| self.get(start..end));
        found.is_some_and(|found| {
            buffer.copy_from_slice(found);
            true
        })
    }
}

/// Why there is no file to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The disk ends before what it speaks of.
    #[error("short")]
    Short,
    /// There is no partition table, or one whose sum is wrong.
    #[error("table")]
    Table,
    /// There is no EFI system partition.
    #[error("partition")]
    Partition,
    /// What is in it is not FAT.
    #[error("file_system")]
    FileSystem,
    /// A chain of clusters leads nowhere, or round in a circle.
    #[error("chain")]
    Chain,
    /// Firmware would not start from this partition: it has no boot file.
    #[error("boot_file")]
    BootFile,
    /// There is no such file.
    #[error("absent")]
    Absent,
    /// The file is longer than a configuration can be.
    #[error("long")]
    Long,
}

/// What firmware starts from a disk without being told of a file (UEFI 2.10 §3.5.1.1), on this kind of processor.
const BOOT_FILE: [&str; 3] = ["EFI", "BOOT", "BOOTX64.EFI"];

/// The file at `path` on the EFI system partition of a disk that firmware starts from, at most `most` bytes.
///
/// # Errors
/// [`DiskError`].
pub fn file<D: ReadAt + ?Sized>(
    disk: &D,
    path: &[&str],
    most: usize,
) -> Result<Vec<u8>, DiskError> {
    let start = gpt::system_partition(disk)?;
    let volume = fat::Volume::open(disk, start)?;
    if !volume.has_file(&BOOT_FILE)? {
        return Err(DiskError::BootFile);
    }
    volume.file(path, most)
}
