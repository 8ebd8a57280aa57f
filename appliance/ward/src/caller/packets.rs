//! A log of every WebSocket message as it passed, so that a call's figures can be computed again.
//!
//! One JSON object a line: `t_us` since the stream began, `direction` as the caller sees it, and the
//! message itself. It holds the call's audio, so it is written only when asked for.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::console::Failure;

/// Where messages are logged, if anywhere.
#[derive(Debug, Default)]
pub struct Packets(Option<BufWriter<File>>);

impl Packets {
    /// Logs to `path`, or nowhere.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the file cannot be made.
    pub fn to(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = File::create(path).map_err(|error| Failure::file(path, error))?;
        Ok(Self(Some(BufWriter::new(file))))
    }

    /// Logs one message.
    pub fn record(&mut self, at: Duration, direction: &str, message: &str) {
        if let Some(file) = &mut self.0 {
            let t_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            let line = json!({ "t_us": t_us, "direction": direction, "message": message });
            // The log is a by-product; a full disk does not end the call.
            writeln!(file, "{line}").unwrap_or_default();
        }
    }
}
