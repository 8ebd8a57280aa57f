//! `ward check-config`: every problem of both servers' settings, or "ok". It shows no value and starts nothing.

use std::path::PathBuf;

use serde_json::json;

use crate::console::{Console, Failure};
use crate::settings::AllSettings;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Settings, one NAME=value a line; they win over the environment.
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] when the file cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let all = AllSettings::gather(arguments.env_file.as_deref())?;
    let problems: Vec<String> = all.problems().iter().map(ToString::to_string).collect();
    let findings = all.findings();
    for finding in &findings {
        console.line(&format!("finding: {finding}"));
    }
    let object = json!({
        "ok": problems.is_empty(),
        "problems": problems,
        "findings": findings,
    });
    let text = if problems.is_empty() { "ok".to_owned() } else { problems.join("\n") };
    console.result(&object, &text);
    Ok(problems.is_empty())
}
