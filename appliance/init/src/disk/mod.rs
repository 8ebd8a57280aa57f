//! The configuration file on the disk that the machine started from: GPT, its EFI system partition, FAT, one file. Read-only.
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
    /// There is no such file.
    #[error("absent")]
    Absent,
    /// The file is longer than a configuration can be.
    #[error("long")]
    Long,
}

/// The file at `path` on the EFI system partition, at most `most` bytes.
///
/// # Errors
/// [`DiskError`].
pub fn file<D: ReadAt + ?Sized>(
    disk: &D,
    path: &[&str],
    most: usize,
) -> Result<Vec<u8>, DiskError> {
    let start = gpt::system_partition(disk)?;
    fat::Volume::open(disk, start)?.file(path, most)
}
