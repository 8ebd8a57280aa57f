//! The initramfs as an archive: cpio's *newc* format, written and read.
//!
//! What is written has no times, no owners but root, and one order, so the same files are the same bytes. What is
//! read may be hostile: everything is counted. It never follows a link, and never writes a file.
//!
//! The format: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::collections::BTreeSet;

use ward_policy::limit;

use crate::bytes::{is_zero, pad, piece};

/// One thing in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where, from the root: `/init`. Never empty.
    pub path: String,
    /// Type and permission bits, as `stat` has them.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Major and minor number of a device node, otherwise zeros.
    pub device: (u32, u32),
    /// A file's bytes or a link's target.
    pub content: Vec<u8>,
}

/// The bits of a mode that say what it is.
pub const TYPE: u32 = 0o170_000;
/// A directory.
pub const DIRECTORY: u32 = 0o040_000;
/// A file.
pub const FILE: u32 = 0o100_000;
/// A character device.
pub const CHARACTER_DEVICE: u32 = 0o020_000;

/// Why an archive cannot be read, or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// It ends inside an entry, or there is no last entry.
    #[error("the archive ends too early")]
    Truncated,
    /// An entry does not begin as the format wants.
    #[error("entry {0} is not of the newc format")]
    NotNewc(usize),
    /// A path that is empty, not below the root, too long, or not of plain characters.
    #[error("entry {0} has an unusable path")]
    Path(usize),
    /// More entries or bytes than [`limit`] allows.
    #[error("the archive is larger than an initramfs may be")]
    TooLarge,
    /// Two entries of one path, or one whose directory is not in the archive.
    #[error("{0} is there twice, or its directory is not")]
    Tree(String),
    /// A file of several names, or of another's number: the kernel makes one file of them and writes the last contents into it.
    #[error("entry {0} shares its file with another")]
    Shared(usize),
    /// Something follows the last entry.
    #[error("something follows the archive's end")]
    AfterTheEnd,
}

const MAGIC: &[u8] = b"070701";
const HEAD_BYTES: usize = 110;
const TRAILER: &str = "TRAILER!!!";

/// The archive of `entries`, which are put into order.
///
/// # Errors
/// [`CpioError::Path`], [`CpioError::Tree`] and [`CpioError::TooLarge`].
pub fn write(mut entries: Vec<Entry>) -> Result<Vec<u8>, CpioError> {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    check_tree(&entries)?;
    if entries.len() > limit::INITRAMFS_ENTRIES_MAX {
        return Err(CpioError::TooLarge);
    }
    let mut archive = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let name = relative(&entry.path).filter(|name| is_plain(name));
        append(&mut archive, number, name.ok_or(CpioError::Path(number))?, Some(entry))?;
    }
    append(&mut archive, entries.len(), TRAILER, None)?;
    Ok(archive)
}

/// Appends one entry, or the last one, which stands for nothing.
fn append(
    archive: &mut Vec<u8>,
    number: usize,
    name: &str,
    entry: Option<&Entry>,
) -> Result<(), CpioError> {
    let number_of = |value: usize| u32::try_from(value).map_err(|_error| CpioError::TooLarge);
    let content = entry.map_or(&[][..], |entry| &entry.content);
    let (mode, (user, group), (major, minor)) =
        entry.map_or((0, (0, 0), (0, 0)), |entry| (entry.mode, entry.owner, entry.device));
    let is_directory = mode & TYPE == DIRECTORY;
    let fields = [
        // The trailer has no number; the kernel takes files of one number and several links for one.
        entry.map_or(Ok(0), |_| number_of(number.saturating_add(1)))?,
        mode,
        user,
        group,
        if is_directory { 2 } else { 1 },
        0, // No time.
        number_of(content.len())?,
        0,
        0,
        major,
        minor,
        number_of(name.len().saturating_add(1))?,
        0,
    ];
    archive.extend_from_slice(MAGIC);
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive, 4);
    archive.extend_from_slice(content);
    pad(archive, 4);
    if archive.len() > limit::INITRAMFS_BYTES_MAX {
        return Err(CpioError::TooLarge);
    }
    Ok(())
}

/// Every entry of `archive`, in its order.
///
/// # Errors
/// Any [`CpioError`].
pub fn read(archive: &[u8]) -> Result<Vec<Entry>, CpioError> {
    if archive.len() > limit::INITRAMFS_BYTES_MAX {
        return Err(CpioError::TooLarge);
    }
    let mut entries = Vec::new();
    let mut numbers = BTreeSet::new();
    let mut at = 0_usize;
    loop {
        let number = entries.len();
        let head = piece(archive, at, HEAD_BYTES).ok_or(CpioError::Truncated)?;
        let fields = fields(head).ok_or(CpioError::NotNewc(number))?;
        let [file, mode, user, group, names, _, size, _, _, major, minor, name_bytes, _] = fields;
        let usable = |value: u32| usize::try_from(value).map_err(|_error| CpioError::TooLarge);
        let name_bytes = usable(name_bytes)?;
        if name_bytes > limit::IMAGE_PATH_BYTES_MAX {
            return Err(CpioError::Path(number));
        }
        let name_at = at.saturating_add(HEAD_BYTES);
        let name = piece(archive, name_at, name_bytes).ok_or(CpioError::Truncated)?;
        let name = name.strip_suffix(&[0]).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or(CpioError::Path(number))?;
        let content_at = name_at.saturating_add(name_bytes).next_multiple_of(4);
        let size = usable(size)?;
        let content = piece(archive, content_at, size).ok_or(CpioError::Truncated)?;
        at = content_at.saturating_add(size).next_multiple_of(4);
        if name == TRAILER {
            let rest = archive.get(at..).unwrap_or_default();
            return if is_zero(rest) { Ok(entries) } else { Err(CpioError::AfterTheEnd) };
        }
        if !is_plain(name) {
            return Err(CpioError::Path(number));
        }
        if number >= limit::INITRAMFS_ENTRIES_MAX {
            return Err(CpioError::TooLarge);
        }
        if mode & TYPE != DIRECTORY && (names != 1 || !numbers.insert(file)) {
            return Err(CpioError::Shared(number));
        }
        entries.push(Entry {
            path: format!("/{name}"),
            mode,
            owner: (user, group),
            device: (major, minor),
            content: content.to_vec(),
        });
    }
}

/// The thirteen numbers of a head; `None` when it is none.
fn fields(head: &[u8]) -> Option<[u32; 13]> {
    let mut fields = [0; 13];
    let digits = head.strip_prefix(MAGIC)?.chunks_exact(8);
    for (field, digits) in fields.iter_mut().zip(digits) {
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *field = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(fields)
}

fn relative(path: &str) -> Option<&str> {
    path.strip_prefix('/')
}

/// Whether a path from the root goes down only, and can be printed.
fn is_plain(name: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    name.len() < limit::IMAGE_PATH_BYTES_MAX
        && name.split('/').all(is_part)
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && name != TRAILER
}

/// Whether every entry of an ordered list is there once, in a directory that is.
fn check_tree(entries: &[Entry]) -> Result<(), CpioError> {
    let mut before: Option<&Entry> = None;
    let mut directories = vec![String::new()];
    for entry in entries {
        let parent = entry.path.rsplit_once('/').map(|(parent, _)| parent);
        let is_twice = before.is_some_and(|before| before.path == entry.path);
        if is_twice || !parent.is_some_and(|parent| directories.iter().any(|one| one == parent)) {
            return Err(CpioError::Tree(entry.path.clone()));
        }
        if entry.mode & TYPE == DIRECTORY {
            directories.push(entry.path.clone());
        }
        before = Some(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, mode: u32, content: &[u8]) -> Entry {
        let path = path.to_owned();
        Entry { path, mode, owner: (0, 0), device: (0, 0), content: content.to_vec() }
    }

    fn sample() -> Vec<Entry> {
        let mut console = entry("/dev/console", CHARACTER_DEVICE | 0o600, b"");
        console.device = (5, 1);
        vec![
            entry("/init", FILE | 0o555, b"one"),
            entry("/dev", DIRECTORY | 0o755, b""),
            console,
            entry("/bin", DIRECTORY | 0o755, b""),
            entry("/bin/x", FILE | 0o555, b"four"),
        ]
    }

    #[test]
    fn what_is_written_is_read_in_one_order() {
        let archive = write(sample()).unwrap();
        let mut backwards = sample();
        backwards.reverse();
        assert_eq!(write(backwards).unwrap(), archive);
        let read = read(&archive).unwrap();
        let paths: Vec<&str> = read.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, ["/bin", "/bin/x", "/dev", "/dev/console", "/init"]);
        assert_eq!(write(read).unwrap(), archive);
    }

    #[test]
    fn every_cut_and_every_changed_byte_of_a_head_is_refused_or_is_another_archive() {
        let archive = write(sample()).unwrap();
        let whole = read(&archive).unwrap();
        for length in 0..archive.len() - 4 {
            if let Ok(entries) = read(&archive[..length]) {
                assert_eq!(entries, whole, "{length}");
            }
        }
        let mut unnoticed = 0;
        for at in 0..archive.len() {
            let mut changed = archive.clone();
            changed[at] ^= 1;
            match read(&changed) {
                Ok(entries) if entries == whole => {
                    // Numbers that decide nothing: writing again shows the difference.
                    assert_ne!(write(entries).unwrap(), changed);
                    unnoticed += 1;
                }
                Ok(_) | Err(_) => {}
            }
        }
        assert!(unnoticed > 0);
    }

    #[test]
    fn hostile_archives_are_refused() {
        let archive = write(sample()).unwrap();
        let check = |archive: &[u8], expected: CpioError| {
            assert_eq!(read(archive).unwrap_err(), expected);
        };
        check(b"", CpioError::Truncated);
        check(&[b'0'; 200], CpioError::NotNewc(0));
        let mut more = archive.clone();
        more.extend_from_slice(b"070701");
        check(&more, CpioError::AfterTheEnd);
        let mut long = archive.clone();
        long[54..62].copy_from_slice(b"FFFFFFFF");
        check(&long, CpioError::Truncated);
        let mut signed = archive;
        signed[6..14].copy_from_slice(b"+0000001");
        check(&signed, CpioError::NotNewc(0));
        let mut up = write(vec![entry("/aa", FILE, b"")]).unwrap();
        up[110..112].copy_from_slice(b"..");
        check(&up, CpioError::Path(0));
    }

    #[test]
    fn only_a_tree_is_written() {
        let twice = vec![entry("/init", FILE, b""), entry("/init", FILE, b"")];
        assert!(matches!(write(twice), Err(CpioError::Tree(_))));
        let orphan = vec![entry("/bin/x", FILE, b"")];
        assert!(matches!(write(orphan), Err(CpioError::Tree(_))));
        assert_eq!(write(vec![entry("/a b", FILE, b"")]), Err(CpioError::Path(0)));
        assert!(write(vec![entry("init", FILE, b"")]).is_err());
    }
}
