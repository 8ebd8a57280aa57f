//! Everything that can be wrong with an image, as a closed list: each with a stable word and a class.
//!
//! It decides nothing: the class does, by its exit status.

use ward_policy::limit;

use crate::compress::CompressError;
use crate::cpio::CpioError;
use crate::fat::FatError;
use crate::gpt::GptError;
use crate::pe::PeError;
use crate::qcow2::Qcow2Error;

/// How grave it is; the order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What is in it is as it should be, and bytes around it, which decide nothing of what is booted, are not those that our tool writes.
    Form,
    /// Something is in it that may not be, or not in it that must; or it may be, because another reader could find something else in it.
    Contents,
    /// It cannot be read to the end.
    Damage,
}

impl Class {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Contents => "contents",
            Self::Damage => "damage",
        }
    }

    /// What a tool that found it ends with; 2 is for wrong usage.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Contents => 1,
            Self::Damage => 3,
            Self::Form => 4,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Damage: neither a disk nor a boot file.
    #[error("it is neither a disk with a partition table, nor qcow2, nor a boot file")]
    NotAnImage,
    /// Damage: not looked into.
    #[error("it is larger than {max} bytes, and not looked into", max = limit::INSPECTED_BYTES_MAX)]
    TooLarge,
    /// Damage: of the qcow2 file.
    #[error("qcow2: {0}")]
    Qcow2(Qcow2Error),
    /// Damage: of the partition table.
    #[error("partition table: {0}")]
    Gpt(GptError),
    /// Damage: of the file system.
    #[error("file system: {0}")]
    Fat(FatError),
    /// Damage: of the boot file.
    #[error("boot file: {0}")]
    Pe(PeError),
    /// Damage: of the packed initramfs.
    #[error("packed initramfs: {0}")]
    Packed(CompressError),
    /// Damage: of the initramfs.
    #[error("initramfs: {0}")]
    Cpio(CpioError),

    /// A disk of another size than ours.
    #[error("the disk is {0} bytes, and ours are {ours}", ours = limit::DISK_BYTES)]
    DiskSize(usize),
    /// A partition that is not the one.
    #[error("partition {0} is not the one EFI system partition")]
    Partition(usize),
    /// No EFI system partition.
    #[error("there is no EFI system partition")]
    NoEsp,
    /// A file on the partition that nobody knows.
    #[error("{0} is on the partition and should not be")]
    EspFile(String),
    /// No boot file.
    #[error("there is nothing to boot on the partition")]
    NoUki,
    /// A boot file that is too large.
    #[error("the boot file is {0} bytes, more than {max}", max = limit::UKI_BYTES_MAX)]
    UkiTooLarge(usize),
    /// Not for this kind of firmware.
    #[error("the boot file is not an application for UEFI")]
    NotForUefi,
    /// A section that is missing or there twice.
    #[error("the boot file has not one section {0}")]
    Section(&'static str),
    /// A section that nobody knows.
    #[error("the boot file has a section {0}, which nobody knows")]
    SectionUnknown(String),
    /// A text section that is no text.
    #[error("section {0} is no text")]
    NotText(&'static str),
    /// More executables than there may be.
    #[error("{0} files can be executed, more than {max}", max = limit::EXECUTABLES_MAX)]
    Executables(usize),
    /// Runs as somebody else.
    #[error("{0} runs as its owner or group, whoever starts it")]
    SetId(String),
    /// Writable by everybody.
    #[error("{0} can be written by others")]
    WritableByOthers(String),
    /// Not root's.
    #[error("{0} is not root's")]
    NotRoots(String),
    /// A shell or interpreter.
    #[error("{0} is a shell or an interpreter: {1}")]
    Interpreter(String, &'static str),
    /// A script.
    #[error("{0} is a script")]
    Script(String),
    /// An executable that is no program.
    #[error("{0} can be executed and is no program for this machine")]
    NotAProgram(String),
    /// A program that does not stand alone.
    #[error("{0} wants a loader, and so libraries")]
    WantsLoader(String),
    /// Memory that can be written and executed.
    #[error("{0} asks for memory that can be written and executed")]
    WritableAndExecutable(String),
    /// A path that is not in the list.
    #[error("{0} is in the initramfs and should not be")]
    Path(String),
    /// A path that is missing.
    #[error("{0} is not in the initramfs")]
    PathMissing(&'static str),
    /// Something else than it should be: a link, a socket, another device.
    #[error("{0} is not what it should be: {1}")]
    Kind(String, &'static str),

    /// A path of two entries: which of them counts is the reader's choice.
    #[error("{0} is there twice")]
    PathTwice(String),
    /// Bytes that are not made by what was read: firmware and kernel may read something else.
    #[error("{0} has other bytes than our tool writes for what is in it")]
    NotAsWritten(&'static str),

    /// Form: the boot file's checksum.
    #[error("the boot file's checksum is wrong")]
    Checksum,
    /// Form: bytes that no section has.
    #[error("the boot file has bytes that belong to no section")]
    OutsideOfSections,
    /// Form: the disk in it is looked at by itself.
    #[error("the qcow2 file has other bytes than our tool writes for the disk in it")]
    Qcow2NotAsWritten,
}

impl Finding {
    /// Its stable word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAnImage => "not_an_image",
            Self::TooLarge => "too_large",
            Self::Qcow2(_) => "qcow2_damaged",
            Self::Gpt(_) => "gpt_damaged",
            Self::Fat(_) => "fat_damaged",
            Self::Pe(_) => "pe_damaged",
            Self::Packed(_) => "packed_damaged",
            Self::Cpio(_) => "cpio_damaged",
            Self::DiskSize(_) => "disk_size",
            Self::Partition(_) => "partition_unknown",
            Self::NoEsp => "esp_missing",
            Self::EspFile(_) => "esp_file_unknown",
            Self::NoUki => "uki_missing",
            Self::UkiTooLarge(_) => "uki_too_large",
            Self::NotForUefi => "not_for_uefi",
            Self::Section(_) => "section_missing",
            Self::SectionUnknown(_) => "section_unknown",
            Self::NotText(_) => "not_text",
            Self::Executables(_) => "executables",
            Self::SetId(_) => "set_id",
            Self::WritableByOthers(_) => "writable_by_others",
            Self::NotRoots(_) => "not_roots",
            Self::Interpreter(..) => "interpreter",
            Self::Script(_) => "script",
            Self::NotAProgram(_) => "not_a_program",
            Self::WantsLoader(_) => "wants_loader",
            Self::WritableAndExecutable(_) => "writable_and_executable",
            Self::Path(_) => "path_unknown",
            Self::PathMissing(_) => "path_missing",
            Self::Kind(..) => "kind",
            Self::Checksum => "checksum",
            Self::OutsideOfSections => "outside_of_sections",
            Self::PathTwice(_) => "path_twice",
            Self::NotAsWritten(_) => "not_as_written",
            Self::Qcow2NotAsWritten => "qcow2_not_as_written",
        }
    }

    /// How grave it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::NotAnImage
            | Self::TooLarge
            | Self::Qcow2(_)
            | Self::Gpt(_)
            | Self::Fat(_)
            | Self::Pe(_)
            | Self::Packed(_)
            | Self::Cpio(_) => Class::Damage,
            Self::Checksum | Self::OutsideOfSections | Self::Qcow2NotAsWritten => Class::Form,
            Self::DiskSize(_)
            | Self::Partition(_)
            | Self::NoEsp
            | Self::EspFile(_)
            | Self::NoUki
            | Self::UkiTooLarge(_)
            | Self::NotForUefi
            | Self::Section(_)
            | Self::SectionUnknown(_)
            | Self::NotText(_)
            | Self::Executables(_)
            | Self::SetId(_)
            | Self::WritableByOthers(_)
            | Self::NotRoots(_)
            | Self::Interpreter(..)
            | Self::Script(_)
            | Self::NotAProgram(_)
            | Self::WantsLoader(_)
            | Self::WritableAndExecutable(_)
            | Self::Path(_)
            | Self::PathMissing(_)
            | Self::Kind(..)
            | Self::PathTwice(_)
            | Self::NotAsWritten(_) => Class::Contents,
        }
    }
}
