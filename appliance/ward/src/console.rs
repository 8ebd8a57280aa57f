//! What the operator sees: text on a terminal, plain lines elsewhere, one JSON object with `--json`.
//!
//! The tool's only writer to the standard streams.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};

use serde_json::Value;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or a file it names is unusable; exit status 2.
    #[error("{0}")]
    Usage(String),
    /// What was checked, called or started failed; exit status 1.
    #[error("{0}")]
    Checked(String),
}

impl Failure {
    /// A usage failure about the file `path`.
    #[must_use]
    pub fn file(path: &std::path::Path, what: impl std::fmt::Display) -> Self {
        Self::Usage(format!("{}: {what}", path.display()))
    }

    /// The process's exit status.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Checked(_) => 1,
        }
    }
}

/// Where output goes.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    is_json: bool,
    is_terminal: bool,
}

impl Console {
    /// A console that prints JSON or text.
    #[must_use]
    pub fn new(is_json: bool) -> Self {
        Self { is_json, is_terminal: stdout().is_terminal() }
    }

    /// Prints one line of text, unless JSON was asked for.
    pub fn line(&self, text: &str) {
        if !self.is_json {
            // A reader that has gone away is no reason to stop.
            writeln!(stdout().lock(), "{text}").unwrap_or_default();
        }
    }

    /// Prints one line of progress: on standard error when standard output carries JSON.
    pub fn progress(&self, text: &str) {
        if self.is_json {
            writeln!(stderr().lock(), "{text}").unwrap_or_default();
        } else if self.is_terminal {
            writeln!(stdout().lock(), "\x1b[2m{text}\x1b[0m").unwrap_or_default();
        } else {
            writeln!(stdout().lock(), "{text}").unwrap_or_default();
        }
    }

    /// Prints one line about what is being done to this machine: on standard error, always.
    pub fn notice(&self, text: &str) {
        writeln!(stderr().lock(), "ward: {text}").unwrap_or_default();
    }

    /// Prints the result: the object with `--json`, else `text`.
    pub fn result(&self, object: &Value, text: &str) {
        let printed = if self.is_json { object.to_string() } else { text.to_owned() };
        writeln!(stdout().lock(), "{printed}").unwrap_or_default();
    }

    /// Prints a document as it is, with or without `--json`.
    pub fn document(&self, text: &str) {
        write!(stdout().lock(), "{text}").unwrap_or_default();
    }

    /// Prints the object with `--json`, else a text that has its own line ends.
    pub fn either(&self, object: &Value, text: &str) {
        if self.is_json {
            self.result(object, "");
        } else {
            self.document(text);
        }
    }

    /// Prints why the command failed.
    pub fn failure(&self, text: &str) {
        if self.is_json {
            let object = serde_json::json!({ "error": text });
            writeln!(stdout().lock(), "{object}").unwrap_or_default();
        }
        writeln!(stderr().lock(), "ward: {text}").unwrap_or_default();
    }
}
