//! What goes into the initramfs, one line each: `path mode source`, as in the kernel's `gen_init_cpio` but plainer.
//!
//! `source` is `dir`, `char:MAJOR:MINOR`, or the name of a file. Empty lines and lines that begin with `#` are
//! nothing. It opens no file: whoever asks does.

use crate::cpio::{CHARACTER_DEVICE, DIRECTORY, Entry, FILE};

/// Where an entry's contents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory has none.
    Directory,
    /// Nor does a device: major and minor number.
    CharacterDevice(u32, u32),
    /// The file of this name.
    File(String),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where in the initramfs.
    pub path: String,
    /// Permission bits: `0o777` at most, so nothing of it runs as somebody else.
    pub permissions: u32,
    /// What is there.
    pub source: Source,
}

/// A line that is not `path mode source`, by its number from one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not `path mode source` with a mode of 0777 at most")]
pub struct ListError(pub usize);

/// Every line of a list.
///
/// # Errors
/// [`ListError`] names the first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<Line>, ListError> {
    let lines = text.lines().enumerate();
    let meant = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meant.map(|(at, text)| line(text).ok_or_else(|| ListError(at.saturating_add(1)))).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut words = text.split_ascii_whitespace();
    let (path, mode, source) = (words.next()?, words.next()?, words.next()?);
    let permissions = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777)?;
    let source = match source.strip_prefix("char:") {
        Some(numbers) => {
            let (major, minor) = numbers.split_once(':')?;
            Source::CharacterDevice(major.parse().ok()?, minor.parse().ok()?)
        }
        None if source == "dir" => Source::Directory,
        None => Source::File(source.to_owned()),
    };
    words.next().is_none().then(|| Line { path: path.to_owned(), permissions, source })
}

impl Line {
    /// The entry, with `content` if it is a file.
    #[must_use]
    pub fn entry(self, content: Vec<u8>) -> Entry {
        let (kind, device) = match self.source {
            Source::Directory => (DIRECTORY, (0, 0)),
            Source::CharacterDevice(major, minor) => (CHARACTER_DEVICE, (major, minor)),
            Source::File(_) => (FILE, (0, 0)),
        };
        Entry { path: self.path, mode: kind | self.permissions, owner: (0, 0), device, content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_it_says() {
        let lines = parse(
            "# comment\n\n/dev 0755 dir\n/dev/console 0600 char:5:1\n/init 0555 out/ward-init\n",
        );
        let lines = lines.unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].source, Source::CharacterDevice(5, 1));
        let entry = lines[2].clone().entry(b"x".to_vec());
        assert_eq!((entry.path.as_str(), entry.mode), ("/init", 0o100_555));
        assert_eq!(lines[1].clone().entry(Vec::new()).device, (5, 1));
    }

    #[test]
    fn other_lines_are_refused_by_number() {
        for wrong in
            ["/init 0555", "/init 4755 x", "/init rwx x", "/a 0600 char:5", "/init 0555 x y"]
        {
            assert_eq!(parse(&format!("\n{wrong}\n")), Err(ListError(2)), "{wrong}");
        }
    }
}
