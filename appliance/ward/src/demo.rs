//! `ward demo`: one spoken call through both servers, with nothing configured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use ward_policy::cell::Target;

use crate::call::{self, Plan, Report};
use crate::caller::packets::Packets;
use crate::caller::stream::{Outcome, Script};
use crate::caller::webhook::{self, Identifiers};
use crate::console::{Console, Failure};
use crate::conversation;
use crate::launch;
use crate::stage::{Cast, Stage};
use crate::wav;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What the caller says instead of the built-in sentence: WAV, 16-bit PCM or µ-law, any rate.
    #[arg(long, value_name = "FILE")]
    audio: Option<PathBuf>,
    /// Where to write what the caller hears; by default a file in the temporary folder.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where to log every message of the stream, audio included.
    #[arg(long, value_name = "FILE")]
    packets: Option<PathBuf>,
    /// The kind of machine, which decides the layers of the cells; by default what this looks like.
    #[arg(long, value_name = "KIND", value_parser = launch::parse_target)]
    target: Option<Target>,
    /// Who serves the conversation: `local` starts stand-ins with real speech on this machine. Without it, a recorded
    /// agent answers.
    #[arg(long, value_name = "WHO", value_parser = ["local"], conflicts_with_all = ["audio", "hold", "record"])]
    vendors: Option<String>,
    /// What the caller says first, with `--vendors local`.
    #[arg(long, value_name = "TEXT", requires = "vendors")]
    wish: Option<String>,
    /// Keep the servers up after the call and print how to reach them.
    #[arg(long)]
    hold: bool,
}

/// What the caller says unless told otherwise: synthetic speech.
const SPEECH: &[u8] = include_bytes!("../../../tests/corpus/appointment.wav");
/// The greeting is still playing then, so the first word interrupts it.
const SPEAK_AFTER: Duration = Duration::from_millis(1_500);
/// Pressed at the end: one key to hear it, and the one that hangs up.
const KEYS: &str = "5*";
/// The whole call takes about fifteen seconds.
const HANG_UP_AFTER: Duration = Duration::from_secs(45);

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    if arguments.vendors.is_some() {
        return converse(arguments, console);
    }
    let speech = match &arguments.audio {
        Some(path) => call::read_audio(path)?,
        None => wav::read(SPEECH).map_err(|error| Failure::Checked(error.to_string()))?,
    };
    let packets = Packets::to(arguments.packets.as_deref())?;
    if let Some(path) = &arguments.record {
        // An unusable path is found out now rather than after the call.
        call::write_recording(path, &[])?;
    }
    let mut stage = {
        let target = arguments.target.unwrap_or_else(launch::target);
        Stage::set(target, Cast::nobody(), console)?
    };
    let call = Identifiers::new(&stage.account_sid)?;
    let script = Script {
        speak_after: SPEAK_AFTER,
        speech,
        keys: KEYS.chars().collect(),
        hang_up_after: Some(HANG_UP_AFTER),
        ..Script::default()
    };
    let (unsigned_status, report) =
        call::block_on(perform(&stage, &call, script, packets, console))??;
    let ended = stage.call_ended()?;
    let recording =
        arguments.record.clone().unwrap_or_else(|| stage.folder.join("caller-hears.wav"));
    call::write_recording(&recording, &report.outcome.recording)?;
    let object = figures(unsigned_status, &report, &ended, &recording);
    console.result(&object, &call::summary(&object));
    if arguments.hold {
        stage.hold(console)?;
    }
    stage.clear();
    Ok(is_fine(&object))
}

/// The demo with stand-ins for the vendors.
fn converse(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let held = conversation::hold(
        conversation::Settings {
            target: arguments.target,
            wish: arguments.wish.clone(),
            packets: Packets::to(arguments.packets.as_deref())?,
            ..conversation::Settings::default()
        },
        console,
    )?;
    // Synthetic words, for whoever watches: they are in no file and no figure.
    console.progress(&conversation::transcript(&held));
    let object = held.to_json();
    console.result(&object, &call::summary(&object));
    Ok(object["is_booked"] == true && object["server_reason"] == "agent_finished")
}

async fn perform(
    stage: &Stage,
    call: &Identifiers,
    script: Script,
    packets: Packets,
    console: &Console,
) -> Result<(u16, Report), Failure> {
    let mut timeline = |at: Duration, what: &str| {
        console.progress(&format!("{:8.3} s  {what}", at.as_secs_f64()));
        for line in stage.lines.try_iter() {
            console.progress(&format!("            log  {}", line.said()));
        }
    };
    let unsigned = webhook::post(&stage.client, &stage.url, call, None).await?.status;
    timeline(Duration::ZERO, &format!("caller → twiml  unsigned webhook: {unsigned}"));
    let plan =
        Plan { client: &stage.client, url: &stage.url, call, token: &stage.token, script, packets };
    Ok((unsigned, call::place(plan, &mut timeline).await?))
}

/// The report's figures with those that only both sides together know.
fn figures(unsigned_status: u16, report: &Report, ended: &Value, recording: &Path) -> Value {
    let mut object = report.to_json(Some(recording));
    object["unsigned_status"] = json!(unsigned_status);
    object["frames_lost"] = json!(frames_lost(&report.outcome, &ended["counts"]));
    object["server_reason"] = ended["reason"].clone();
    object["server_counts"] = ended["counts"].clone();
    object
}

/// Frames that one side sent and the other did not get, both ways, by both sides' own counts.
///
/// What reaches the server while it waits for the answer to its Close frame is counted there as
/// `after_stop` and not lost; the caller sends nothing but frames then.
fn frames_lost(outcome: &Outcome, counts: &Value) -> u64 {
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    let arrived = count("frames_in").saturating_add(count("after_stop"));
    let lost_in = outcome.frames_sent.abs_diff(arrived);
    lost_in.saturating_add(count("frames_out").abs_diff(outcome.frames_received))
}

/// Whether the demo showed what it should.
fn is_fine(object: &Value) -> bool {
    object["unsigned_status"] == 403
        && object["signed_status"] == 200
        && object["frames_lost"] == 0
        && object["frames_received"].as_u64() > Some(0)
        && object["server_reason"] == "agent_finished"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames_sent: u64, frames_received: u64, counts: &Value) -> u64 {
        let outcome = Outcome { frames_sent, frames_received, ..Outcome::default() };
        frames_lost(&outcome, counts)
    }

    #[test]
    fn a_frame_that_is_missing_on_either_way_is_seen() {
        let counts = json!({ "frames_in": 99, "after_stop": 1, "frames_out": 50 });
        assert_eq!(check(100, 50, &counts), 0);
        assert_eq!(check(101, 50, &counts), 1);
        assert_eq!(check(99, 50, &counts), 1);
        assert_eq!(check(100, 49, &counts), 1);
        assert_eq!(check(100, 51, &counts), 1);
        assert_eq!(check(100, 50, &Value::Null), 150);
    }
}
