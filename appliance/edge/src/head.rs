//! The request head, judged before hyper sees a byte of it.
//!
//! hyper answers malformed heads itself, without our headers, and lets some ambiguous ones through.
//! So the head is read here, up to its limits, and must be plain: HTTP/1.1, CRLF line ends, no
//! folding, one `Host`, one unambiguous body length. This module reads bytes and decides; it writes
//! nothing and knows no route.

use ward_policy::fault::Refusal;
use ward_policy::limit;

/// What a prefix of a connection's bytes amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// No blank line yet, and nothing wrong so far.
    Incomplete,
    /// A plain head that ends before this index.
    Plain {
        /// Index of the first byte after the blank line.
        end: usize,
    },
    /// Not to be served.
    Refused(Refusal),
}

/// Judges what has arrived so far.
#[must_use]
pub fn judge(bytes: &[u8]) -> Judgement {
    judge_from(bytes, 0)
}

/// The same, where the first `known` bytes were incomplete before: they are not searched again, so a
/// head that comes byte by byte costs no more than one that comes whole.
#[must_use]
pub fn judge_from(bytes: &[u8], known: usize) -> Judgement {
    let window = bytes.get(..limit::HEAD_BYTES_MAX).unwrap_or(bytes);
    // A blank line may begin in the last three bytes of the known part.
    let from = known.saturating_sub(3).min(window.len());
    let fresh = window.get(from..).unwrap_or_default();
    let end = fresh.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.map(|at| at.saturating_add(from));
    let (head, end) = match end {
        Some(at) => (window.get(..at.saturating_add(2)).unwrap_or(window), at.saturating_add(4)),
        None if has_bare_line_feed(window.get(..from).unwrap_or_default().last(), fresh) => {
            return Judgement::Refused(Refusal::HeadMalformed);
        }
        None if bytes.len() >= limit::HEAD_BYTES_MAX => {
            return Judgement::Refused(Refusal::HeadLong);
        }
        None => return Judgement::Incomplete,
    };
    match check(head) {
        Ok(()) => Judgement::Plain { end },
        Err(refusal) => Judgement::Refused(refusal),
    }
}

/// A line feed that no carriage return precedes can hide a second request from a proxy.
fn has_bare_line_feed(before: Option<&u8>, bytes: &[u8]) -> bool {
    let mut previous = before.copied().unwrap_or_default();
    bytes.iter().any(|byte| {
        let bare = *byte == b'\n' && previous != b'\r';
        previous = *byte;
        bare
    })
}

/// `head` holds every line with its CRLF, without the blank one.
fn check(head: &[u8]) -> Result<(), Refusal> {
    if has_bare_line_feed(None, head) {
        return Err(Refusal::HeadMalformed);
    }
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
    check_request_line(lines.next().unwrap_or_default())?;
    let mut seen = Seen::default();
    for (index, line) in lines.enumerate() {
        if index >= limit::HEAD_FIELDS_MAX {
            return Err(Refusal::HeadFields);
        }
        seen.field(line)?;
    }
    seen.finish()
}

fn check_request_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(Refusal::HeadMalformed);
    };
    // Anything else hyper would refuse by itself, without our headers.
    if !is_token(method) || target.is_empty() || !target.iter().copied().all(is_target_byte) {
        return Err(Refusal::HeadMalformed);
    }
    if version != b"HTTP/1.1" {
        let is_version = version.starts_with(b"HTTP/");
        return Err(if is_version { Refusal::HttpVersion } else { Refusal::HeadMalformed });
    }
    // Absolute and asterisk forms are for proxies; every route here begins with a slash.
    if target.first() == Some(&b'/') { Ok(()) } else { Err(Refusal::Route) }
}

/// What the fields said that bears on where the body ends.
#[derive(Default)]
struct Seen {
    hosts: usize,
    lengths: usize,
    encodings: usize,
}

impl Seen {
    fn field(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Refusal::HeadMalformed)?;
        let (name, rest) = line.split_at_checked(colon).ok_or(Refusal::HeadMalformed)?;
        let value = rest.get(1..).unwrap_or_default();
        // A line that begins with a space is folded; a space before the colon hides a name. Judged
        // before trimming: a carriage return at the end of a value is white space to `trim_ascii`.
        if !is_token(name) || !value.iter().copied().all(is_field_byte) {
            return Err(Refusal::HeadMalformed);
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts = self.hosts.saturating_add(1);
            if !is_host(value) {
                return Err(Refusal::HostHeader);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths = self.lengths.saturating_add(1);
            let digits = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            if !digits {
                return Err(Refusal::BodyFraming);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encodings = self.encodings.saturating_add(1);
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::BodyFraming);
            }
        } else if name.eq_ignore_ascii_case(b"expect") {
            // hyper would answer 100 Continue by itself, without our headers.
            return Err(Refusal::Expect);
        }
        Ok(())
    }

    const fn finish(&self) -> Result<(), Refusal> {
        if self.hosts != 1 {
            return Err(Refusal::HostHeader);
        }
        if self.lengths.saturating_add(self.encodings) > 1 {
            return Err(Refusal::BodyFraming);
        }
        Ok(())
    }
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// RFC 3986 §3.3 and §3.4: what a path and a query are made of.
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte)
}

/// RFC 9110 §5.5: visible characters, spaces, tabs and bytes above ASCII.
const fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7F)
}

/// Enough of RFC 3986 §3.2 to know that it is one authority; no decision rests on it.
fn is_host(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "GET /rtm/voice HTTP/1.1\r\nHost: media.example.com\r\n\r\n";

    fn check(head: &str, expected: Result<(), Refusal>) {
        let got = match judge(head.as_bytes()) {
            Judgement::Plain { .. } => Ok(()),
            Judgement::Refused(refusal) => Err(refusal),
            Judgement::Incomplete => panic!("incomplete: {head:.60}"),
        };
        assert_eq!(got, expected, "{head:.80}");
    }

    fn with(field: &str) -> String {
        PLAIN.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
    }

    #[test]
    fn a_plain_head_ends_at_its_blank_line() {
        let bytes = format!("{PLAIN}body");
        assert_eq!(judge(bytes.as_bytes()), Judgement::Plain { end: PLAIN.len() });
        for length in 0..PLAIN.len() - 1 {
            assert_eq!(judge(&PLAIN.as_bytes()[..length]), Judgement::Incomplete);
        }
        for known in 0..PLAIN.len() {
            assert_eq!(judge_from(bytes.as_bytes(), known), judge(bytes.as_bytes()), "{known}");
        }
        check(&with("Content-Length: 5"), Ok(()));
        check(&with("Transfer-Encoding: chunked"), Ok(()));
        check(&with("X-Twilio-Signature: caf\u{e9}"), Ok(()));
        check(&with("X-Empty:"), Ok(()));
    }

    #[test]
    fn request_lines_that_are_not_plain_are_refused() {
        for (line, refusal) in [
            ("GET /", Refusal::HeadMalformed),
            ("GET  / HTTP/1.1", Refusal::HeadMalformed),
            ("GET / HTTP/1.1 ", Refusal::HeadMalformed),
            (" GET / HTTP/1.1", Refusal::HeadMalformed),
            ("G@T / HTTP/1.1", Refusal::HeadMalformed),
            ("GET /\u{7f} HTTP/1.1", Refusal::HeadMalformed),
            ("GET /a< HTTP/1.1", Refusal::HeadMalformed),
            ("GET /?a\" HTTP/1.1", Refusal::HeadMalformed),
            ("GET /#a HTTP/1.1", Refusal::HeadMalformed),
            ("GET /\u{e9} HTTP/1.1", Refusal::HeadMalformed),
            ("GET / http/1.1", Refusal::HeadMalformed),
            ("GET / HTTP/1.0", Refusal::HttpVersion),
            ("GET / HTTP/2.0", Refusal::HttpVersion),
            ("PRI * HTTP/2.0", Refusal::HttpVersion),
            ("GET http://media.example.com/rtm/voice HTTP/1.1", Refusal::Route),
            ("OPTIONS * HTTP/1.1", Refusal::Route),
            ("CONNECT a:443 HTTP/1.1", Refusal::Route),
        ] {
            check(&PLAIN.replace("GET /rtm/voice HTTP/1.1", line), Err(refusal));
        }
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(Refusal::HeadMalformed));
    }

    #[test]
    fn smuggling_shapes_are_refused() {
        for (field, refusal) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Refusal::BodyFraming),
            ("Content-Length: 5\r\nContent-Length: 5", Refusal::BodyFraming),
            ("Content-Length: 5, 5", Refusal::BodyFraming),
            ("Content-Length: +5", Refusal::BodyFraming),
            ("Content-Length:", Refusal::BodyFraming),
            ("Content-Length: 99999999999999999999", Refusal::BodyFraming),
            ("Transfer-Encoding: gzip, chunked", Refusal::BodyFraming),
            ("Transfer-Encoding: xchunked", Refusal::BodyFraming),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refusal::BodyFraming),
            ("Transfer-Encoding : chunked", Refusal::HeadMalformed),
            ("X: a\r\n b", Refusal::HeadMalformed),
            ("X: a\r\n\tb", Refusal::HeadMalformed),
            ("X: a\rb", Refusal::HeadMalformed),
            ("X: a\r", Refusal::HeadMalformed),
            ("X: a\0b", Refusal::HeadMalformed),
            ("X\u{e9}: a", Refusal::HeadMalformed),
            ("no colon", Refusal::HeadMalformed),
            (": no name", Refusal::HeadMalformed),
            ("Host: second.example.com", Refusal::HostHeader),
            ("Expect: 100-continue", Refusal::Expect),
        ] {
            check(&with(field), Err(refusal));
        }
        check(&PLAIN.replace("Host: media.example.com\r\n", ""), Err(Refusal::HostHeader));
        check(&PLAIN.replace("media.example.com", ""), Err(Refusal::HostHeader));
        check(&PLAIN.replace("media.example.com", "a b"), Err(Refusal::HostHeader));
    }

    #[test]
    fn bare_line_feeds_are_refused_at_once() {
        check("GET / HTTP/1.1\nHost: a\n\n", Err(Refusal::HeadMalformed));
        check("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Err(Refusal::HeadMalformed));
        check("\n", Err(Refusal::HeadMalformed));
    }

    #[test]
    fn limits_are_kept() {
        let fields = "X: y\r\n".repeat(limit::HEAD_FIELDS_MAX);
        check(&with(fields.trim_end()), Err(Refusal::HeadFields));
        check(&with(&format!("X: {}", "y".repeat(limit::HEAD_BYTES_MAX))), Err(Refusal::HeadLong));
    }
}
