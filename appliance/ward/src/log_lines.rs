//! The log as the launcher reads it: line by line, in the order in which `log` wrote it.
//!
//! It judges nothing: `log` has. What it keeps of a line is whose it is, and which processes there are.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use ward_policy::audit::Role;
use ward_policy::limit;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Who said it.
    pub role: Role,
    /// The line as it was written.
    pub text: String,
}

impl Line {
    /// Whether it is an event called `name`.
    #[must_use]
    pub fn is_event(&self, name: &str) -> bool {
        self.text.contains(&format!("\"event\":\"{name}\""))
    }

    /// What the role itself said, without the line's place in the chain.
    #[must_use]
    pub fn said(&self) -> String {
        let rest = self.text.split_once("\",\"at_ms\":").map(|(_place, rest)| rest);
        rest.map_or_else(|| self.text.clone(), |rest| format!("{{\"at_ms\":{rest}"))
    }
}

/// Which processes there are, by what the supervisor says of them.
#[derive(Debug, Clone, Default)]
pub struct Processes(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Processes {
    /// The process that plays `role` now.
    #[must_use]
    pub fn get(&self, role: Role) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(role.name()).copied()
    }

    fn note(&self, line: &Line) {
        if line.role != Role::Init {
            return;
        }
        let event: Value = serde_json::from_str(&line.text).unwrap_or_default();
        let Some(role) = event["which"].as_str().and_then(Role::from_name) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event["event"].as_str() {
            Some("role_started") => {
                let pid = event["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                pid.map(|pid| all.insert(role.name(), pid));
            }
            Some("role_ended") => {
                all.remove(role.name());
            }
            _ => {}
        }
    }
}

/// The lines of the log, until its last writer has ended.
#[derive(Debug)]
pub struct LogLines(Receiver<Line>);

impl LogLines {
    /// Reads `pipe` on a thread of its own.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> (Self, Processes) {
        let (sender, lines) = sync_channel(limit::LOG_LINES_WAITING_MAX);
        let processes = Processes::default();
        let noted = processes.clone();
        std::thread::spawn(move || read(pipe, &sender, &noted));
        (Self(lines), processes)
    }
}

impl Iterator for LogLines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        self.0.recv().ok()
    }
}

/// Splits what comes at line ends; of a line that is too long the end is lost.
fn read(mut pipe: impl Read, sender: &SyncSender<Line>, processes: &Processes) {
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
                if line.len() < limit::LOG_LINE_BYTES_MAX.saturating_add(limit::LOG_CHAIN_BYTES_MAX)
                {
                    line.push(*byte);
                }
                continue;
            }
            if let Some(line) = parse(&line) {
                processes.note(&line);
                // Nobody listens any more; the pipe is read to its end all the same, so that nobody blocks.
                sender.send(line).unwrap_or_default();
            }
            line.clear();
        }
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?.to_owned();
    let (_, rest) = text.split_once(",\"role\":\"")?;
    let role = Role::from_name(rest.split('"').next()?)?;
    Some(Line { role, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = r#"{"boot":"0123456789abcdef","seq":1,"prev":"00","#;

    fn lines(bytes: &[u8]) -> (Vec<Line>, Processes) {
        let (lines, processes) = LogLines::of(std::io::Cursor::new(bytes.to_vec()));
        (lines.collect(), processes)
    }

    #[test]
    fn a_line_says_whose_it_is_and_what_was_said() {
        let text = format!("{PLACE}{}", r#""at_ms":7,"role":"media","event":"stopped"}"#);
        let (found, _) = lines(format!("{text}\n").as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].role, &found[0].text), (Role::Media, &text));
        assert!(found[0].is_event("stopped") && !found[0].is_event("started"));
        assert_eq!(found[0].said(), r#"{"at_ms":7,"role":"media","event":"stopped"}"#);
    }

    #[test]
    fn processes_are_known_while_they_are_there() {
        let started =
            r#""at_ms":1,"role":"init","event":"role_started","which":"sign","pid":9,"starts":1}"#;
        let ended =
            r#""at_ms":2,"role":"init","event":"role_ended","which":"sign","status":0,"signal":9}"#;
        let (_, processes) = lines(format!("{PLACE}{started}\n").as_bytes());
        assert_eq!((processes.get(Role::Sign), processes.get(Role::Log)), (Some(9), None));
        let both = format!("{PLACE}{started}\n{PLACE}{ended}\n");
        assert_eq!(lines(both.as_bytes()).1.get(Role::Sign), None);
        // Only the supervisor says which processes there are.
        let foreign = started.replace("init", "media");
        assert_eq!(lines(format!("{PLACE}{foreign}\n").as_bytes()).1.get(Role::Sign), None);
    }
}
