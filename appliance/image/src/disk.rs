//! The disk that is flashed: a partition table, one EFI system partition, the boot file and the configuration.
//!
//! A disk is a function of these two files. To configure a disk that exists is to make it again of its boot file and
//! another configuration, so nothing of the old one is left in a free cluster.

use ward_policy::limit;

use crate::esp::{self, CONFIG_PATH, EspError, Files, UKI_PATH};
use crate::fat::{self, FatError};
use crate::gpt::{self, GptError};

/// Why there is no disk, or none that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// The file system cannot be made.
    #[error("{0}")]
    Esp(#[from] EspError),
    /// The partition table cannot be made or read.
    #[error("{0}")]
    Gpt(#[from] GptError),
    /// The file system cannot be read.
    #[error("{0}")]
    Fat(#[from] FatError),
    /// Not one EFI system partition and nothing else.
    #[error("it has not one EFI system partition and nothing else")]
    Partitions,
    /// A file that is neither the boot file nor the configuration.
    #[error("it has a file that is not known here: {0}")]
    OtherFile(String),
    /// A file of two entries: firmware may take the other one.
    #[error("it has {0} twice")]
    Twice(String),
    /// There is nothing to boot.
    #[error("it has no {UKI_PATH}")]
    NoUki,
}

/// The disk with these files.
///
/// # Errors
/// [`DiskError::Esp`] and [`DiskError::Gpt`].
pub fn write(files: &Files) -> Result<Vec<u8>, DiskError> {
    let esp = esp::write(files, gpt::room(limit::DISK_BYTES))?;
    Ok(gpt::write(&esp, limit::DISK_BYTES)?)
}

/// The files of a disk.
///
/// # Errors
/// Any [`DiskError`] but [`DiskError::Esp`].
pub fn read(disk: &[u8]) -> Result<Files, DiskError> {
    let partitions = gpt::read(disk)?;
    let [esp] = &partitions[..] else { return Err(DiskError::Partitions) };
    if !esp.is_esp {
        return Err(DiskError::Partitions);
    }
    let (mut uki, mut config) = (None, None);
    for file in fat::read(disk.get(esp.bytes.clone()).unwrap_or_default())? {
        let before = match file.path.as_str() {
            UKI_PATH => uki.replace(file.content),
            CONFIG_PATH => config.replace(file.content),
            _ => return Err(DiskError::OtherFile(file.path)),
        };
        if before.is_some() {
            return Err(DiskError::Twice(file.path));
        }
    }
    Ok(Files { uki: uki.ok_or(DiskError::NoUki)?, config })
}

/// The same disk with another configuration, or without one.
///
/// # Errors
/// Any [`DiskError`].
pub fn configure(disk: &[u8], config: Option<Vec<u8>>) -> Result<Vec<u8>, DiskError> {
    write(&Files { config, ..read(disk)? })
}
