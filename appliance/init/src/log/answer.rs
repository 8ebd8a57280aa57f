//! What the log sink answers to one request, piece by piece: is it an acknowledgement?
//!
//! Whoever answers may lie or be another. It keeps a bounded head, reads past a bounded body, and repeats nothing of them.

use std::time::Duration;

use ward_policy::fault::SinkFault;
use ward_policy::limit;

/// An answer that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct Answer {
    head: Vec<u8>,
    body: Option<Body>,
}

/// What the head has said.
#[derive(Debug, Clone, Copy)]
struct Body {
    verdict: Verdict,
    /// Bytes of the body that are still to come.
    left: u64,
}

/// What a whole answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The records are taken, or why not.
    pub(super) outcome: Result<(), SinkFault>,
    /// Whether another request can go over the same connection.
    pub(super) is_kept: bool,
    /// How long the sink wants to be left alone.
    pub(super) pause: Option<Duration>,
    /// Whether the request was too long for it.
    pub(super) is_too_long: bool,
}

impl Answer {
    /// Takes the next bytes; the verdict once the answer is whole, [`SinkFault::Garbage`] as soon as it is none.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<Verdict>, SinkFault> {
        if self.body.is_none() {
            let begun = self.head.len();
            let room = limit::SINK_ANSWER_BYTES_MAX.saturating_sub(begun);
            self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            match parse(&self.head)? {
                Some((length, body)) => {
                    self.body = Some(body);
                    bytes = bytes.get(length.saturating_sub(begun)..).unwrap_or_default();
                }
                None if self.head.len() >= limit::SINK_ANSWER_BYTES_MAX => {
                    return Err(SinkFault::Garbage);
                }
                None => return Ok(None),
            }
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let came = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // More than it said: what that is, nobody knows, so nothing else goes over the connection.
        body.verdict.is_kept &= came <= body.left;
        body.left = body.left.saturating_sub(came);
        Ok((body.left == 0).then_some(body.verdict))
    }
}

/// The length of the head and what it says, once it is whole.
fn parse(head: &[u8]) -> Result<Option<(usize, Body)>, SinkFault> {
    let mut fields = [httparse::EMPTY_HEADER; limit::SINK_ANSWER_FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let garbage = SinkFault::Garbage;
    let parsed = answer.parse(head).map_err(|_shape| garbage)?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = answer.code.ok_or(garbage)?;
    let outcome = outcome(status)?;
    let value = |name: &str| {
        let mut all = answer.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let first = all.next().map(|field| field.value.trim_ascii());
        // Whoever says it twice means neither.
        if all.next().is_some() { Err(garbage) } else { Ok(first) }
    };
    let number = |text: &[u8]| -> Option<u64> {
        let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(text).ok().filter(|_text| is_plain)?.parse().ok()
    };
    let length_said = value("content-length")?;
    let length_said = length_said.map(|text| number(text).ok_or(garbage)).transpose()?;
    let is_coded = value("transfer-encoding")?.is_some();
    let says_close = value("connection")?.is_some_and(|text| text.eq_ignore_ascii_case(b"close"));
    // RFC 9112 §6.3: without a length the answer ends with the connection, which we end.
    let left = if status == 204 || is_coded { 0 } else { length_said.unwrap_or(0) };
    let is_framed = status == 204 || (!is_coded && length_said.is_some());
    if left > limit::SINK_ANSWER_BODY_BYTES_MAX {
        return Err(garbage);
    }
    let is_kept = is_framed && !says_close && answer.version == Some(1) && outcome.is_ok();
    let pause = value("retry-after")?.and_then(number).map(Duration::from_secs);
    // RFC 9110 §15.5.14: content too large.
    let is_too_long = status == 413;
    Ok(Some((length, Body { verdict: Verdict { outcome, is_kept, pause, is_too_long }, left })))
}

/// What a status means. Only 2xx is an acknowledgement; an interim one is no answer to what we send.
fn outcome(status: u16) -> Result<Result<(), SinkFault>, SinkFault> {
    Ok(match status {
        200..=299 => Ok(()),
        401 | 403 => Err(SinkFault::Unauthorized),
        408 | 429 | 500..=599 => Err(SinkFault::Busy),
        300..=499 => Err(SinkFault::Rejected),
        _ => return Err(SinkFault::Garbage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `text`, fed whole and byte by byte.
    #[expect(clippy::panic_in_result_fn, reason = "a helper of tests: both ways must agree")]
    fn check(text: &str) -> Result<Option<Verdict>, SinkFault> {
        let whole = Answer::default().feed(text.as_bytes());
        let mut answer = Answer::default();
        let mut piecewise = Ok(None);
        for byte in text.as_bytes() {
            piecewise = answer.feed(std::slice::from_ref(byte));
            if !matches!(piecewise, Ok(None)) {
                break;
            }
        }
        if let (Ok(Some(whole)), Ok(Some(piecewise))) = (whole, piecewise) {
            // What comes behind the end is not seen when pieces are small.
            assert_eq!(whole.outcome, piecewise.outcome, "{text}");
        } else {
            assert_eq!(whole, piecewise, "{text}");
        }
        whole
    }

    fn verdict(
        outcome: Result<(), SinkFault>,
        is_kept: bool,
    ) -> Result<Option<Verdict>, SinkFault> {
        Ok(Some(Verdict { outcome, is_kept, pause: None, is_too_long: false }))
    }

    #[test]
    fn only_a_whole_2xx_is_an_acknowledgement() {
        let kept = verdict(Ok(()), true);
        assert_eq!(check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), kept);
        assert_eq!(check("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"), kept);
        assert_eq!(check("HTTP/1.1 204 No Content\r\n\r\n"), kept);
        let once = verdict(Ok(()), false);
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(check(text), once, "{text}");
        }
        for text in [
            "",
            "HTTP/1.1 20",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfour",
        ] {
            assert_eq!(check(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn other_statuses_say_who_can_mend_it() {
        for (status, fault) in [
            (301, SinkFault::Rejected),
            (400, SinkFault::Rejected),
            (413, SinkFault::Rejected),
            (401, SinkFault::Unauthorized),
            (403, SinkFault::Unauthorized),
            (408, SinkFault::Busy),
            (429, SinkFault::Busy),
            (503, SinkFault::Busy),
        ] {
            let text = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            let found = check(&text).unwrap().unwrap();
            let is_too_long = status == 413;
            let expected =
                Verdict { outcome: Err(fault), is_kept: false, pause: None, is_too_long };
            assert_eq!(found, expected, "{status}");
        }
        let text = "HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
        let pause = check(text).unwrap().unwrap().pause;
        assert_eq!(pause, Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_is_no_answer_is_garbage() {
        let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(10_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(65));
        let large = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            limit::SINK_ANSWER_BODY_BYTES_MAX + 1
        );
        for text in [
            "220 mail.example.com ESMTP\r\n",
            "\u{16}\u{3}\u{1}",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 000 Odd\r\ncontent-length: 0\r\n\r\n",
            long.as_str(),
            many.as_str(),
            large.as_str(),
        ] {
            assert_eq!(check(text), Err(SinkFault::Garbage), "{:?}", text.get(..40));
        }
    }
}
