//! A server's log, collected as it comes.

use std::io::BufRead;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use ward::log_lines::LogLines;
use ward_policy::line::judge_published;

use crate::digest::sha256;
use crate::edge_cases::note_seen;

/// Every line so far.
#[derive(Clone, Debug)]
pub struct Logs {
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    /// Whether others than us write there too.
    is_shared: bool,
}

/// Long enough for a loaded machine; a test that fails waits this long once.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether a line has the place in the chain that comes after `place`, which becomes its own.
fn follows(line: &str, place: &mut Option<(String, u64, String)>) -> bool {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (boot, number) = (text("boot"), value["seq"].as_u64().unwrap());
    let digest = sha256(line.as_bytes());
    let expected = match place.take().filter(|(before, _, _)| *before == boot) {
        Some((_, before, digest)) => (before + 1, digest),
        // A new life of the one that writes.
        None => (0, "0".repeat(64)),
    };
    *place = Some((boot, number, digest));
    expected == (number, text("prev"))
}

/// Whether a line is the event: one of the server's own, unless it is one that others alone write.
fn is_of(line: &Value, event: &str) -> bool {
    const OF_OTHERS: [&str; 21] = [
        "sink_connected",
        "sink_failed",
        "log_gap",
        "log_closed",
        "role_started",
        "role_ended",
        "line_refused",
        "scrubber_alarm",
        "vendor_minted",
        "vendor_dialled",
        "vendor_refused",
        "vendor_cut",
        "credential_fetched",
        "source_failed",
        "credential_expired",
        "credential_live",
        "credentials_listed",
        "acme_account_made",
        "certificate_issued",
        "certificate_failed",
        "renewal_advised",
    ];
    let is_servers = line["role"].as_str().is_none_or(|role| ["media", "twiml"].contains(&role));
    line["event"] == event && (is_servers || OF_OTHERS.contains(&event))
}

impl Logs {
    /// Collects from `reader` until it ends, on a thread.
    #[must_use]
    pub fn collect(reader: impl BufRead + Send + 'static) -> Self {
        Self::collect_lines(reader, false)
    }

    /// The same where a framework writes lines of its own, which are kept but are no events.
    #[must_use]
    pub fn collect_among_other_lines(reader: impl BufRead + Send + 'static) -> Self {
        Self::collect_lines(reader, true)
    }

    /// What a launched server logs. A line that is not as published becomes one that is no JSON, and fails
    /// whatever test reads it.
    #[must_use]
    pub fn of_server(lines: LogLines) -> Self {
        let logs = Self { lines: Arc::default(), is_shared: false };
        let shared = Arc::clone(&logs.lines);
        std::thread::spawn(move || {
            let mut place = None;
            for line in lines {
                let text = match judge_published(line.text.as_bytes()) {
                    Err(fault) => format!("{}: {}", fault.code(), line.text),
                    Ok(_) if !follows(&line.text, &mut place) => format!("chain: {}", line.text),
                    Ok(_) => line.text,
                };
                shared.0.lock().unwrap().push(text);
                shared.1.notify_all();
            }
        });
        logs
    }

    fn collect_lines(mut reader: impl BufRead + Send + 'static, is_shared: bool) -> Self {
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let logs = Self { lines, is_shared };
        let shared = Arc::clone(&logs.lines);
        std::thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                shared.0.lock().unwrap().push(line.trim_end().to_owned());
                shared.1.notify_all();
                line.clear();
            }
        });
        logs
    }

    /// Everything so far, as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.0.lock().unwrap().join("\n")
    }

    /// Waits for a line with `text` in it.
    pub fn wait_for(&self, text: &str) {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.0.lock().unwrap();
        while !lines.iter().any(|line| line.contains(text)) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text} in:\n{}", lines.join("\n"));
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for the `number`th event of this name, counted from 1.
    #[must_use]
    pub fn nth(&self, event: &str, number: usize) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.0.lock().unwrap();
        loop {
            let found = lines
                .iter()
                .filter(|line| !self.is_shared || line.starts_with('{'))
                .map(|line| serde_json::from_str::<Value>(line).expect("a log line is JSON"))
                .filter(|line| is_of(line, event))
                .nth(number - 1);
            if let Some(found) = found {
                if let Some(reason) = found["reason"].as_str() {
                    note_seen(&format!("{event}: {reason}"));
                }
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {event} number {number} in:\n{}", lines.join("\n"));
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// How many lines have `text` in them so far.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.lines.0.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until `number` lines have `text` in them.
    pub fn wait_for_count(&self, text: &str, number: usize) {
        let until = Instant::now() + PATIENCE;
        while self.count(text) < number {
            assert!(Instant::now() < until, "no {number} lines with {text} in:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the first event of this name.
    #[must_use]
    pub fn first(&self, event: &str) -> Value {
        self.nth(event, 1)
    }
}
