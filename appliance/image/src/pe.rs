//! Boot files as firmware reads them: the PE format's sections, its checksum, and what lies outside of both.
//!
//! Reading is `object`'s, which is made for hostile input. It never says whether what a section holds is good.

use object::LittleEndian as LE;
use object::pe::{ImageNtHeaders64, ImageOptionalHeader64};
use object::read::pe::{ImageNtHeaders as _, ImageOptionalHeader as _, PeFile64};
use ward_policy::limit;

use crate::bytes::{index, is_zero, u16_le, u32_le};

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// With its dot, for instance `.linux`.
    pub name: String,
    /// Where it is in memory.
    pub address: u32,
    /// How much memory it takes; it may be less or more than there is in the file.
    pub virtual_size: u32,
    /// Where its bytes begin in the file.
    pub at: u32,
    /// How many bytes of the file are its.
    pub size: u32,
}

/// A boot file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// In the order of its table.
    pub sections: Vec<Section>,
    /// The checksum that it has.
    pub checksum: u32,
    /// How much memory it takes when it is loaded.
    pub image_size: u32,
    /// Alignment of sections in memory and in the file.
    pub alignment: (u32, u32),
    /// Where its headers end in the file.
    pub headers: u32,
    /// Whether its headers have nothing but headers: no room between them, and zeros from the table of sections to the end.
    pub is_header_plain: bool,
    /// Whether it is for firmware: an application of UEFI's.
    pub is_efi_application: bool,
    /// Where the signature begins in the file and how long it is; zeros without one.
    pub signature: (u32, u32),
}

/// Why a boot file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// Not the 64-bit form of the format, or damaged.
    #[error("it is not a whole PE file for 64-bit machines")]
    NotPe,
    /// A section that goes past the end of the file, or has no plain name.
    #[error("section {0} is not inside the file")]
    Section(usize),
    /// More sections than [`limit::PE_SECTIONS_MAX`].
    #[error("it has more sections than it may")]
    TooMany,
}

/// Takes `file` apart.
///
/// # Errors
/// Any [`PeError`].
pub fn read(file: &[u8]) -> Result<Boot, PeError> {
    let pe = PeFile64::parse(file).map_err(|_error| PeError::NotPe)?;
    let head: &ImageNtHeaders64 = pe.nt_headers();
    let optional = head.optional_header();
    let table = pe.section_table();
    if table.len() > limit::PE_SECTIONS_MAX {
        return Err(PeError::TooMany);
    }
    let mut sections = Vec::new();
    for (number, row) in table.iter().enumerate() {
        let name = row.raw_name();
        let is_plain = name.starts_with(b".") && name.iter().all(u8::is_ascii_graphic);
        let (at, size) = (row.pointer_to_raw_data.get(LE), row.size_of_raw_data.get(LE));
        let end = at.checked_add(size).and_then(index);
        if !is_plain || end.is_none_or(|end: usize| end > file.len()) {
            return Err(PeError::Section(number));
        }
        sections.push(Section {
            name: String::from_utf8_lossy(name).into_owned(),
            address: row.virtual_address.get(LE),
            virtual_size: row.virtual_size.get(LE),
            at,
            size,
        });
    }
    // The certificate table's place is one in the file, not in memory.
    let signature = pe.data_directory(object::pe::IMAGE_DIRECTORY_ENTRY_SECURITY);
    Ok(Boot {
        sections,
        checksum: optional.check_sum(),
        image_size: optional.size_of_image(),
        alignment: (optional.section_alignment(), optional.file_alignment()),
        headers: optional.size_of_headers(),
        is_header_plain: is_header_plain(file, optional) == Some(true),
        is_efi_application: optional.subsystem() == object::pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        signature: signature
            .map_or((0, 0), |entry| (entry.virtual_address.get(LE), entry.size.get(LE))),
    })
}

/// See [`Boot::is_header_plain`]. How much room the zeros take is the linker's choice, so only their being zeros counts.
fn is_header_plain(file: &[u8], optional: &ImageOptionalHeader64) -> Option<bool> {
    const FILE_HEADER_BYTES: usize = 24;
    const OPTIONAL_BYTES: usize = 112;
    const DIRECTORY_BYTES: usize = 8;
    const ROW_BYTES: usize = 40;
    let header: usize = index(u32_le(file, 0x3c)?)?;
    let sections = usize::from(u16_le(file, header.checked_add(6)?)?);
    let optional_bytes = usize::from(u16_le(file, header.checked_add(20)?)?);
    let directories: usize = index(optional.number_of_rva_and_sizes())?;
    let wanted = directories.checked_mul(DIRECTORY_BYTES)?.checked_add(OPTIONAL_BYTES)?;
    let table = header.checked_add(FILE_HEADER_BYTES)?.checked_add(optional_bytes)?;
    let end = table.checked_add(sections.checked_mul(ROW_BYTES)?)?;
    let rest = file.get(end..index(optional.size_of_headers())?)?;
    Some(header <= limit::PE_DOS_BYTES_MAX && optional_bytes == wanted && is_zero(rest))
}

impl Section {
    /// Its bytes as they come to be in memory: what the stub and a measurement see.
    #[must_use]
    pub fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let length = self.size.min(self.virtual_size);
        let range = index(self.at).zip(self.at.checked_add(length).and_then(index));
        range.and_then(|(from, to)| file.get(from..to)).unwrap_or_default()
    }
}

impl Boot {
    /// The section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Where the last section ends in the file: what is behind it is in no section.
    #[must_use]
    pub fn end(&self) -> usize {
        let end = |section: &Section| section.at.checked_add(section.size).and_then(index);
        self.sections.iter().filter_map(end).max().unwrap_or_default()
    }
}

/// Where the checksum is in `file`: 64 bytes into the optional header (Microsoft, *PE Format*, "Optional Header
/// Windows-Specific Fields").
pub(crate) fn checksum_at(file: &[u8]) -> Option<usize> {
    index(u32_le(file, 0x3c)?).and_then(|at: usize| at.checked_add(24 + 64))
}

/// What the checksum ought to be: the 16-bit sum of everything but itself, with the carries, and the length.
#[must_use]
pub fn checksum(file: &[u8]) -> Option<u32> {
    let own = checksum_at(file)?;
    let mut sum = 0_u32;
    let mut at = 0_usize;
    while at < file.len() {
        let is_own = at == own || at == own.checked_add(2)?;
        let last = || file.get(at).copied().map(u16::from);
        let word = if is_own { 0 } else { u16_le(file, at).or_else(last)? };
        sum = sum.checked_add(u32::from(word))?;
        sum = (sum & 0xffff).checked_add(sum >> 16)?;
        at = at.checked_add(2)?;
    }
    sum.checked_add(u32::try_from(file.len()).ok()?)
}
