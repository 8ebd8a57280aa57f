//! The boot file's part of an inspection: its sections, its checksum, what it says of itself.

use ward_policy::limit;

use super::{Finding, Inspection, Item};
use crate::bytes::{index, is_zero};
use crate::pe::{self, Boot};
use crate::uki::SECTIONS;

/// What a boot file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// The kernel's command line.
    pub cmdline: String,
    /// The kernel's release.
    pub uname: String,
    /// The `os-release` text.
    pub os_release: String,
    /// Whether there is a signature; whose, and whether it holds, is not looked at.
    pub is_signed: bool,
}

/// Sections that stubs have of their own; the format keeps eight letters of a name.
const OF_A_STUB: [&str; 15] = [
    ".text", ".rodata", ".data", ".bss", ".reloc", ".dynamic", ".dynsym", ".dynstr", ".rela",
    ".rel", ".hash", ".gnu.has", ".eh_fram", ".sbat", ".sdmagic",
];

impl Inspection {
    pub(super) fn uki(&mut self, file: &[u8]) {
        if file.len() > limit::UKI_BYTES_MAX {
            self.findings.push(Finding::UkiTooLarge(file.len()));
        }
        let boot = match pe::read(file) {
            Ok(boot) => boot,
            Err(error) => return self.findings.push(Finding::Pe(error)),
        };
        for section in &boot.sections {
            self.items.push(Item::of(section.name.clone(), section.bytes(file)));
            let name = section.name.as_str();
            if !SECTIONS.contains(&name) && !OF_A_STUB.contains(&name) {
                self.findings.push(Finding::SectionUnknown(section.name.clone()));
            }
        }
        if !boot.is_efi_application {
            self.findings.push(Finding::NotForUefi);
        }
        if pe::checksum(file) != Some(boot.checksum) {
            self.findings.push(Finding::Checksum);
        }
        if !is_all_in_sections(file, &boot) {
            self.findings.push(Finding::OutsideOfSections);
        }
        let [osrel, cmdline, uname, initrd, linux] = SECTIONS;
        if let Some(section) = self.one(file, &boot, linux) {
            self.items.push(Item::of("kernel", kernel(section)));
        }
        self.boot = Some(BootFile {
            cmdline: self.text(file, &boot, cmdline),
            uname: self.text(file, &boot, uname),
            os_release: self.text(file, &boot, osrel),
            is_signed: boot.signature.1 != 0,
        });
        if let Some(packed) = self.one(file, &boot, initrd) {
            self.initramfs(packed);
        }
    }

    /// The bytes of the one section of this name.
    fn one<'a>(&mut self, file: &'a [u8], boot: &Boot, name: &'static str) -> Option<&'a [u8]> {
        let mut sections = boot.sections.iter().filter(|section| section.name == name);
        match (sections.next(), sections.next()) {
            (Some(section), None) => Some(section.bytes(file)),
            _ => {
                self.findings.push(Finding::Section(name));
                None
            }
        }
    }

    fn text(&mut self, file: &[u8], boot: &Boot, name: &'static str) -> String {
        let bytes = self.one(file, boot, name).unwrap_or_default();
        let is_letter = |byte: &u8| matches!(byte, b' ' | b'\n') || byte.is_ascii_graphic();
        if bytes.len() > limit::CONFIGURATION_BYTES_MAX || !bytes.iter().all(is_letter) {
            self.findings.push(Finding::NotText(name));
            return String::new();
        }
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// The kernel without what fills its section up, so that its digest is that of the file it was.
fn kernel(section: &[u8]) -> &[u8] {
    let end = pe::read(section).map(|kernel| kernel.end()).unwrap_or_default();
    match section.split_at_checked(end) {
        Some((kernel, rest)) if end > 0 && is_zero(rest) => kernel,
        _ => section,
    }
}

/// Whether every byte is the header's, a section's or the signature's, and what fills up is zeros.
fn is_all_in_sections(file: &[u8], boot: &Boot) -> bool {
    let mut sections: Vec<_> = boot.sections.iter().collect();
    sections.sort_by_key(|section| section.at);
    let mut end = boot.headers;
    for section in sections {
        let (at, size) = (section.at, section.size);
        let is_filled = || {
            let unused = section.virtual_size.min(size);
            let from: usize = index(at.checked_add(unused)?)?;
            let to: usize = index(at.checked_add(size)?)?;
            file.get(from..to).map(is_zero)
        };
        if size != 0 && (at != end || is_filled() != Some(true)) {
            return false;
        }
        end = end.max(at.saturating_add(size));
    }
    let (signature, bytes) = boot.signature;
    let is_next = bytes == 0 || end.checked_next_multiple_of(8) == Some(signature);
    let end = if bytes == 0 { end } else { signature.saturating_add(bytes) };
    boot.is_header_plain && is_next && index(end) == Some(file.len())
}
