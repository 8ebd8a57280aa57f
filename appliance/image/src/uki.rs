//! The boot file: systemd's stub with kernel, initramfs and what describes them as further sections.
//!
//! The stub's own sections stay as they are, byte for byte; only its header learns of the new ones. There is no
//! time in it: the stub's is the one its packager put there. It never signs.
//!
//! Names and order: the *UAPI Group Specifications, UKI*; `.linux` is last and takes the memory that the kernel
//! says it needs, because the stub may run it where it lies (systemd's `ukify`).

use ward_policy::limit;

use crate::bytes::{index, pad, put, u16_le, u32_le};
use crate::pe::{self, Boot, PeError};

/// What goes into a boot file.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// systemd-stub for this machine, as its package has it.
    pub stub: &'a [u8],
    /// The `os-release` text.
    pub os_release: &'a [u8],
    /// The kernel's command line; ours ignores it, and it is measured.
    pub cmdline: &'a str,
    /// The kernel's release.
    pub uname: &'a str,
    /// The kernel, which is a PE file itself.
    pub linux: &'a [u8],
    /// The initramfs, packed.
    pub initrd: &'a [u8],
}

/// The sections that are added to the stub's, in their order.
pub const SECTIONS: [&str; 5] = [".osrel", ".cmdline", ".uname", ".initrd", ".linux"];

/// Why no boot file can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UkiError {
    /// The stub or the kernel cannot be read.
    #[error("the {0}: {1}")]
    Unreadable(&'static str, PeError),
    /// The stub has such a section already.
    #[error("the stub has a section {0} already")]
    NotAStub(&'static str),
    /// The stub's header has no room for the new sections.
    #[error("the stub's header has no room for more sections")]
    NoRoom,
    /// A text that is empty, too long, or not one line.
    #[error("{0} is not one line of text, or too long")]
    Text(&'static str),
    /// Larger than it may be, in bytes.
    #[error("the boot file would be {0} bytes, more than {max}", max = limit::UKI_BYTES_MAX)]
    TooLarge(usize),
}

const ROW_BYTES: usize = 40;
/// Pages: what firmware gives memory in.
const PAGE: u32 = 4096;
/// Initialised data that can be read: `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`.
const READABLE_DATA: u32 = 0x4000_0040;

/// Makes the boot file.
///
/// # Errors
/// Any [`UkiError`].
pub fn write(parts: &Parts<'_>) -> Result<Vec<u8>, UkiError> {
    for (name, text) in [("the command line", parts.cmdline), ("the release", parts.uname)] {
        let is_line = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !is_line || text.is_empty() || text.len() > limit::CMDLINE_BYTES_MAX {
            return Err(UkiError::Text(name));
        }
    }
    let stub = pe::read(parts.stub).map_err(|error| UkiError::Unreadable("stub", error))?;
    let linux = pe::read(parts.linux).map_err(|error| UkiError::Unreadable("kernel", error))?;
    if let Some(taken) = SECTIONS.into_iter().find(|name| stub.section(name).is_some()) {
        return Err(UkiError::NotAStub(taken));
    }
    let [osrel, cmdline, uname, initrd, kernel] = SECTIONS;
    let added = [
        (osrel, parts.os_release, 0),
        (cmdline, parts.cmdline.as_bytes(), 0),
        (uname, parts.uname.as_bytes(), 0),
        (initrd, parts.initrd, 0),
        (kernel, parts.linux, linux.image_size),
    ];
    let file = assemble(parts.stub, &stub, &added).ok_or(UkiError::NoRoom)?;
    if file.len() > limit::UKI_BYTES_MAX {
        return Err(UkiError::TooLarge(file.len()));
    }
    Ok(file)
}

/// The stub with sections added: name, bytes, and how much memory each takes at least.
fn assemble(stub: &[u8], boot: &Boot, added: &[(&str, &[u8], u32)]) -> Option<Vec<u8>> {
    let (in_memory, in_file) = boot.alignment;
    if !in_memory.is_power_of_two() || !in_file.is_power_of_two() || in_file > PAGE {
        return None;
    }
    // What follows the last section is for debuggers, and measured all the same: it stays out.
    let mut file = stub.get(..boot.end())?.to_vec();
    let pe_at: usize = index(u32_le(stub, 0x3c)?)?;
    let field = |offset: usize| pe_at.checked_add(offset);
    let optional_bytes = usize::from(u16_le(stub, field(20)?)?);
    let mut row_at = field(24)?
        .checked_add(optional_bytes)?
        .checked_add(boot.sections.len().checked_mul(ROW_BYTES)?)?;
    let first = boot.sections.iter().map(|section| section.at).min()?;
    let rows_end = row_at.checked_add(added.len().checked_mul(ROW_BYTES)?)?;
    if rows_end > index(first.min(boot.headers))? {
        return None;
    }
    let mut data_bytes = u32_le(stub, field(24 + 8)?)?;
    let mut address = boot.sections.iter().try_fold(0_u32, |end, section| {
        Some(end.max(section.address.checked_add(section.virtual_size.max(section.size))?))
    })?;
    for (name, bytes, memory) in added {
        address = address.checked_next_multiple_of(in_memory.max(PAGE))?;
        pad(&mut file, index(in_file)?);
        let at = u32::try_from(file.len()).ok()?;
        file.extend_from_slice(bytes);
        pad(&mut file, index(in_file)?);
        let size = u32::try_from(file.len()).ok()?.checked_sub(at)?;
        let virtual_size = u32::try_from(bytes.len()).ok()?.max(*memory);
        let mut row = Vec::with_capacity(ROW_BYTES);
        row.extend_from_slice(name.as_bytes());
        row.resize(8, 0);
        for value in [virtual_size, address, size, at, 0, 0, 0, READABLE_DATA] {
            row.extend_from_slice(&value.to_le_bytes());
        }
        put(&mut file, row_at, &row)?;
        row_at = row_at.checked_add(ROW_BYTES)?;
        address = address.checked_add(virtual_size.max(size))?;
        data_bytes = data_bytes.checked_add(size)?;
    }
    let sections = u16::try_from(boot.sections.len().checked_add(added.len())?).ok()?;
    put(&mut file, field(6)?, &sections.to_le_bytes())?;
    // The table of symbols went with what followed the last section.
    put(&mut file, field(12)?, &[0; 8])?;
    put(&mut file, field(24 + 8)?, &data_bytes.to_le_bytes())?;
    let image_size = address.checked_next_multiple_of(in_memory)?;
    put(&mut file, field(24 + 56)?, &image_size.to_le_bytes())?;
    let checksum = pe::checksum(&file)?;
    let at = pe::checksum_at(&file)?;
    put(&mut file, at, &checksum.to_le_bytes())?;
    Some(file)
}
