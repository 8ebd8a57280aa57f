//! Events as servers send them (WHATWG HTML, "Server-sent events"): lines in, the data of one event after the other out.
//!
//! However the bytes are split, the events are the same. It keeps one event and never more than
//! [`limit::MODEL_EVENT_BYTES_MAX`] of it; names, ids and comments are skipped.

use ward_policy::fault::ServiceFault;
use ward_policy::limit;
use ward_policy::phi::Phi;

/// The parser.
#[derive(Default)]
pub(super) struct Sse {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_return: bool,
}

impl Drop for Sse {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.line);
        zeroize::Zeroize::zeroize(&mut self.data);
    }
}

impl Sse {
    /// The data of the next event that ends in `bytes`, which is what has not been read yet; `None` when more is needed.
    ///
    /// # Errors
    /// [`ServiceFault::TooLong`].
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Phi<Vec<u8>>>, ServiceFault> {
        while let Some((first, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                *bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let length = self.line.len().saturating_add(self.data.len());
            if length.saturating_add(piece.len()) > limit::MODEL_EVENT_BYTES_MAX {
                return Err(ServiceFault::TooLong);
            }
            self.line.extend_from_slice(piece);
            let Some((ending, rest)) = rest.split_first() else {
                *bytes = rest;
                return Ok(None);
            };
            *bytes = rest;
            self.after_return = *ending == b'\r';
            if let Some(data) = self.line_ends() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    fn line_ends(&mut self) -> Option<Phi<Vec<u8>>> {
        if self.line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then(|| Phi::new(data));
        }
        let value = match self.line.strip_prefix(b"data") {
            Some([]) => Some(&[][..]),
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => Some(value),
            _ => None,
        };
        if let Some(value) = value {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
        self.line.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, ServiceFault> {
        let (mut events, mut found) = (Sse::default(), vec![]);
        for piece in pieces {
            let mut rest = *piece;
            while let Some(data) = events.next(&mut rest)? {
                found.push(String::from_utf8_lossy(data.expose()).into_owned());
            }
            found.extend((!rest.is_empty()).then(|| "unread".to_owned()));
        }
        Ok(found)
    }

    const TEXT: &str = "\
        : a comment\n\
        event: content_block_delta\r\ndata: {\"a\":1}\r\n\r\n\
        data:one\ndata: two\ndata\n\n\
        id: 7\rdata:  three\r\r\
        retry: 9\n\nevent: x\n\n\
        database: no\n\n\
        data: last\n\ndata: unfinished";

    #[test]
    fn events_are_read_as_the_standard_has_them_however_they_are_split() {
        let expected = ["{\"a\":1}", "one\ntwo\n", " three", "last"];
        let bytes = TEXT.as_bytes();
        assert_eq!(read(&[bytes]).unwrap(), expected);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(read(&pieces).unwrap(), expected, "{first} {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).unwrap(), expected);
    }

    #[test]
    fn an_event_is_no_longer_than_its_limit() {
        let most = limit::MODEL_EVENT_BYTES_MAX;
        let line = [b"data:".as_slice(), &vec![b'x'; most], b"\n\n"].concat();
        assert_eq!(read(&[&line]), Err(ServiceFault::TooLong));
        let fits = [b"data:".as_slice(), &vec![b'x'; most / 4], b"\n\n"].concat();
        assert_eq!(read(&[&fits, &fits, &fits, &fits, &fits]).unwrap().len(), 5);
        let lines = vec![b"data: 12345678\n".as_slice(); most / 8];
        assert_eq!(read(&lines), Err(ServiceFault::TooLong));
        let drips = vec![b"x".as_slice(); most + 1];
        assert_eq!(read(&drips), Err(ServiceFault::TooLong));
    }
}
