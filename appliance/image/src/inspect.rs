//! What is in an image, from the file down to each program, with a digest of everything, and what should not be.
//!
//! The image may be hostile: every reader is bounded, nothing in it is run or written, and whatever could be read is
//! told although something deeper is damaged. It says what is there, not who made it: that is a signature's to say.

mod boot;
mod finding;
mod initramfs;

use std::collections::BTreeSet;

use ward_policy::limit;

pub use boot::BootFile;
pub use finding::{Class, Finding};
pub use initramfs::{Kind, Node};

use crate::digest::sha256;
use crate::disk;
use crate::esp::{CONFIG_PATH, Files, UKI_PATH};
use crate::{fat, gpt, qcow2};

/// One thing with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is, from the outside in: `file`, `disk`, `partition 1`, a path, a section.
    pub what: String,
    /// How long.
    pub bytes: usize,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

impl Item {
    fn of(what: impl Into<String>, bytes: &[u8]) -> Self {
        Self { what: what.into(), bytes: bytes.len(), sha256: sha256(bytes) }
    }
}

/// What the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A disk as it is flashed.
    Raw,
    /// A disk as QEMU keeps it.
    Qcow2,
    /// A boot file by itself.
    Uki,
    /// None of these.
    Unknown,
}

impl Format {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Uki => "uki",
            Self::Unknown => "unknown",
        }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What the file is.
    pub format: Format,
    /// From the outside in.
    pub items: Vec<Item>,
    /// What the boot file says of itself, if one could be read.
    pub boot: Option<BootFile>,
    /// The initramfs, in its order.
    pub nodes: Vec<Node>,
    /// The configuration on the disk; it is no secret, and what it says is `init`'s to judge.
    pub config: Option<Vec<u8>>,
    /// What is wrong, in the order in which it was seen.
    pub findings: Vec<Finding>,
}

impl Inspection {
    /// How many files can be executed.
    #[must_use]
    pub fn executables(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_executable()).count()
    }

    /// The gravest class of what is wrong; none when nothing is.
    #[must_use]
    pub fn verdict(&self) -> Option<Class> {
        self.findings.iter().map(Finding::class).max()
    }
}

/// Looks into `file`.
#[must_use]
pub fn inspect(file: &[u8]) -> Inspection {
    let mut inspection = Inspection {
        format: format(file),
        items: vec![Item::of("file", file)],
        boot: None,
        nodes: Vec::new(),
        config: None,
        findings: Vec::new(),
    };
    if file.len() > limit::INSPECTED_BYTES_MAX {
        inspection.findings.push(Finding::TooLarge);
        return inspection;
    }
    match inspection.format {
        Format::Raw => inspection.disk(file),
        Format::Uki => inspection.uki(file),
        Format::Qcow2 => inspection.qcow2(file),
        Format::Unknown => inspection.findings.push(Finding::NotAnImage),
    }
    inspection
}

fn format(file: &[u8]) -> Format {
    let table = file.get(gpt::SECTOR..).unwrap_or_default();
    match file {
        _ if file.starts_with(qcow2::MAGIC) => Format::Qcow2,
        _ if table.starts_with(b"EFI PART") => Format::Raw,
        _ if file.starts_with(b"MZ") => Format::Uki,
        _ => Format::Unknown,
    }
}

impl Inspection {
    fn qcow2(&mut self, file: &[u8]) {
        match qcow2::read(file) {
            Ok(disk) => {
                self.items.push(Item::of("disk", &disk));
                self.disk(&disk);
                if qcow2::write(&disk).as_deref() != Ok(file) {
                    self.findings.push(Finding::Qcow2NotAsWritten);
                }
            }
            Err(error) => self.findings.push(Finding::Qcow2(error)),
        }
    }

    fn disk(&mut self, disk: &[u8]) {
        if disk.len() != limit::DISK_BYTES {
            self.findings.push(Finding::DiskSize(disk.len()));
        }
        let partitions = match gpt::read(disk) {
            Ok(partitions) => partitions,
            Err(error) => return self.findings.push(Finding::Gpt(error)),
        };
        let mut esp = None;
        for (number, partition) in (1_usize..).zip(partitions) {
            let bytes = disk.get(partition.bytes).unwrap_or_default();
            self.items.push(Item::of(format!("partition {number}"), bytes));
            if partition.is_esp && esp.is_none() {
                esp = Some(bytes);
            } else {
                self.findings.push(Finding::Partition(number));
            }
        }
        let Some(esp) = esp else { return self.findings.push(Finding::NoEsp) };
        match fat::read(esp) {
            Ok(files) => self.files(files, disk),
            Err(error) => self.findings.push(Finding::Fat(error)),
        }
    }

    fn files(&mut self, files: Vec<fat::File>, disk: &[u8]) {
        let mut uki = None;
        let mut paths = BTreeSet::new();
        for file in files {
            self.items.push(Item::of(file.path.clone(), &file.content));
            // Names of this file system have no small letters to those who look for one.
            if !paths.insert(file.path.to_ascii_lowercase()) {
                self.findings.push(Finding::PathTwice(file.path.clone()));
            }
            match file.path.as_str() {
                UKI_PATH => uki = uki.or(Some(file.content)),
                CONFIG_PATH => self.config = self.config.take().or(Some(file.content)),
                _ => self.findings.push(Finding::EspFile(file.path)),
            }
        }
        let Some(uki) = uki else { return self.findings.push(Finding::NoUki) };
        self.uki(&uki);
        // A disk is a function of these two files, so there is no other place to hide anything.
        let again = disk::write(&Files { uki, config: self.config.clone() });
        if again.as_deref() != Ok(disk) {
            self.findings.push(Finding::NotAsWritten("the disk"));
        }
    }
}
