//! What a server and the process that signs for it log, line by line, as the launcher reads it.
//!
//! A role that was taken over can write anything into its pipe. Nothing it writes stops the reader, grows
//! without bound, reaches a terminal as a control character, or passes for another role's words. What is
//! in a line is not judged.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ward_policy::audit::Role;
use ward_policy::limit;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose pipe it came from.
    pub role: Role,
    /// The line, or the launcher's own word about one that it does not pass on.
    pub text: String,
}

impl Line {
    /// Whether it is an event called `name`.
    #[must_use]
    pub fn is_event(&self, name: &str) -> bool {
        self.text.contains(&format!("\"event\":\"{name}\""))
    }
}

/// The lines of all its pipes, until the server's own ends.
#[derive(Debug)]
pub struct LogLines(Receiver<Option<Line>>);

impl LogLines {
    /// Reads every pipe on a thread of its own; the end of the first is the end.
    pub(crate) fn of<R: Read + Send + 'static>(pipes: Vec<(Role, R)>) -> Self {
        let (sender, lines) = sync_channel(limit::LOG_LINES_WAITING_MAX);
        for (index, (role, pipe)) in pipes.into_iter().enumerate() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                read(role, pipe, &sender);
                if index == 0 {
                    sender.send(None).unwrap_or_default();
                }
            });
        }
        Self(lines)
    }
}

impl Iterator for LogLines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        self.0.recv().ok().flatten()
    }
}

/// Splits what comes at line ends; of a line that is too long only its beginning is kept, to be refused.
fn read(role: Role, mut pipe: impl Read, sender: &SyncSender<Option<Line>>) {
    let mut line = Vec::with_capacity(limit::LOG_LINE_BYTES_MAX);
    let mut chunk = [0; 4_096];
    loop {
        let count = match pipe.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        for byte in chunk.iter().take(count) {
            if *byte != b'\n' {
                if line.len() <= limit::LOG_LINE_BYTES_MAX {
                    line.push(*byte);
                }
                continue;
            }
            let text = judged(role, &line);
            line.clear();
            // Nobody listens any more; the pipe is read to its end all the same, so that nobody blocks.
            sender.send(Some(Line { role, text })).unwrap_or_default();
        }
    }
}

/// The line as text, if it is one that `role` could have written by the book.
fn judged(role: Role, line: &[u8]) -> String {
    let is_printable = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = std::str::from_utf8(line).ok().filter(|_text| is_printable);
    let after_time = text
        .and_then(|text| text.strip_prefix("{\"at_ms\":"))
        .map(|rest| rest.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    let start = format!(",\"role\":\"{}\",\"event\":\"", role.name());
    let is_fine = line.len() <= limit::LOG_LINE_BYTES_MAX
        && after_time.is_some_and(|rest| rest.starts_with(&start) && rest.ends_with('}'));
    match text.filter(|_text| is_fine) {
        Some(text) => text.to_owned(),
        None => format!(
            "{{\"role\":\"launcher\",\"event\":\"line_refused\",\"from\":\"{}\"}}",
            role.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = r#"{"at_ms":7,"role":"media","event":"stopped"}"#;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let pipe = std::io::Cursor::new(bytes.to_vec());
        LogLines::of(vec![(Role::Media, pipe)]).map(|line| line.text).collect()
    }

    #[test]
    fn what_a_role_writes_by_the_book_is_passed_on() {
        let two = format!("{FINE}\n{FINE}\n");
        assert_eq!(lines(two.as_bytes()), [FINE, FINE]);
        let line = Line { role: Role::Media, text: FINE.to_owned() };
        assert!(line.is_event("stopped") && !line.is_event("started"));
    }

    #[test]
    fn everything_else_is_one_word_of_the_launchers_and_reading_goes_on() {
        let refused = r#"{"role":"launcher","event":"line_refused","from":"media"}"#;
        let long = format!("{}{}\n", FINE.trim_end_matches('}'), "x".repeat(1_000_000));
        for wrong in [
            &b"\xff\n"[..],
            b"\n",
            b"free text\n",
            b"{\"at_ms\":7,\"role\":\"sign\",\"event\":\"started\"}\n",
            b"{\"at_ms\":7,\"role\":\"media\",\"event\":\"\x1b[2J\"}\n",
            b"{\"at_ms\":x,\"role\":\"media\",\"event\":\"stopped\"}\n",
            long.as_bytes(),
        ] {
            let all = [wrong, FINE.as_bytes(), b"\n"].concat();
            assert_eq!(
                lines(&all),
                [refused, FINE],
                "{:?}",
                wrong.escape_ascii().to_string().get(..40)
            );
        }
    }
}
