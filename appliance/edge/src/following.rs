//! A document that is replaced while a server runs: credentials, and what credentials are compared with.
//!
//! Each replacement follows the last on one descriptor and ends with an empty line. They are secrets, so nothing that
//! was read stays in a buffer once it has been taken. What a document means is for others to say.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use ward_policy::limit;
use ward_policy::phi::Secret;

use crate::start::StartError;
use crate::wiped::wiped_now;
use crate::worker;

/// Gives `take` the first document before this returns, then each replacement, on a thread of its own. `take` says
/// whether it could use what it got; a replacement that it could not use changes nothing.
///
/// # Errors
/// [`StartError::Settings`] when the first document is absent or cannot be used.
pub fn follow(
    source: OwnedFd,
    mut take: impl FnMut(&Secret<String>) -> bool + Send + 'static,
) -> Result<(), StartError> {
    // The start of the thread too: what registers still hold of the document is written to the stack by it.
    wiped_now(move || {
        let stream = UnixStream::from(source);
        let mut source = Source { stream, unread: Secret::new(Vec::new()) };
        let first = source.next().ok().flatten().ok_or(StartError::Settings)?;
        if !take(&first) {
            return Err(StartError::Settings);
        }
        drop(first);
        let mut follow = move || {
            let Ok(Some(document)) = source.next() else { return false };
            take(&document);
            true
        };
        let following = worker::start_beside("following", move || while wiped_now(&mut follow) {});
        following.map_err(StartError::from)
    })
}

struct Source {
    stream: UnixStream,
    unread: Secret<Vec<u8>>,
}

impl Source {
    /// One document: lines up to an empty one, or up to the end.
    fn next(&mut self) -> io::Result<Option<Secret<String>>> {
        loop {
            let unread = self.unread.expose();
            // A document of no lines is an empty line alone.
            let end = if unread.starts_with(b"\n") {
                Some(1)
            } else {
                let end = unread.windows(2).position(|two| two == b"\n\n");
                end.map(|at| at.saturating_add(2))
            };
            if let Some(end) = end {
                return Ok(Some(self.take(end)));
            }
            if unread.len() > limit::DOCUMENT_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut piece = Secret::new([0; 1_024]);
            let read = self.stream.read(piece.expose_mut())?;
            if read == 0 {
                let rest = self.unread.expose().len();
                return Ok((rest > 0).then(|| self.take(rest)));
            }
            let piece = piece.expose().get(..read).unwrap_or_default();
            // A new vector, so that growing leaves no copy behind.
            let mut joined = Vec::with_capacity(self.unread.expose().len().saturating_add(read));
            joined.extend_from_slice(self.unread.expose());
            joined.extend_from_slice(piece);
            self.unread = Secret::new(joined);
        }
    }

    /// Takes the first `end` bytes out; what is no text becomes a document that nobody can use.
    fn take(&mut self, end: usize) -> Secret<String> {
        let (document, rest) = self.unread.expose().split_at(end.min(self.unread.expose().len()));
        let text = std::str::from_utf8(document).unwrap_or("not text").to_owned();
        #[cfg(negative_control)]
        crate::log::leak::leak(text.as_bytes());
        self.unread = Secret::new(rest.to_vec());
        Secret::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn documents_end_with_an_empty_line_and_come_whole() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let mut source = Source { stream: reader, unread: Secret::new(Vec::new()) };
        writer.write_all(b"a=1\nb=2\n\nc=3\n\n\n\xff\n\nlast").unwrap();
        drop(writer);
        let mut all = Vec::new();
        while let Some(document) = source.next().unwrap() {
            all.push(document.expose().clone());
        }
        assert_eq!(all, ["a=1\nb=2\n\n", "c=3\n\n", "\n", "not text", "last"]);
    }

    #[test]
    fn a_document_without_an_end_is_an_error() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let mut source = Source { stream: reader, unread: Secret::new(Vec::new()) };
        let long = vec![b'x'; limit::DOCUMENT_BYTES_MAX + 2_048];
        let writing = std::thread::spawn(move || writer.write_all(&long));
        assert!(source.next().is_err());
        drop(source);
        drop(writing.join());
    }

    #[test]
    fn the_first_document_is_needed_and_later_ones_are_taken_as_they_come() {
        let (writer, reader) = UnixStream::pair().unwrap();
        drop(writer);
        assert_eq!(follow(reader.into(), |_| true), Err(StartError::Settings));
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(b"first\n\n").unwrap();
        let (sender, taken) = std::sync::mpsc::channel();
        let following = follow(reader.into(), move |document| {
            sender.send(document.expose().clone()).unwrap();
            document.expose() != "unusable\n\n"
        });
        assert_eq!(following, Ok(()));
        assert_eq!(taken.recv().unwrap(), "first\n\n");
        writer.write_all(b"unusable\n\nthird\n\n").unwrap();
        assert_eq!(
            (taken.recv().unwrap(), taken.recv().unwrap()),
            ("unusable\n\n".into(), "third\n\n".into())
        );
    }
}
