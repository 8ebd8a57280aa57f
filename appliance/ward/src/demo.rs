//! `ward demo`: both servers on free loopback ports, and one spoken call through them.
//!
//! Nothing needs to be configured. The certificate authority, account and auth token are made for this
//! run and die with it.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_twilio::signature::AuthToken;

use crate::call::{self, Plan, Report};
use crate::caller::packets::Packets;
use crate::caller::stream::{Outcome, Script};
use crate::caller::webhook::{self, Identifiers, WebhookUrl};
use crate::client::Client;
use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;
use crate::launch::{self, Server, await_event, listen};
use crate::settings::AllSettings;
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

/// Both servers, and what is needed to call them.
struct Stage {
    twiml: Server,
    media: Server,
    /// Log lines of both servers, as they come.
    lines: Receiver<String>,
    folder: PathBuf,
    account_sid: String,
    token_text: Secret<String>,
    ca: String,
    token: AuthToken,
    client: Client,
    url: WebhookUrl,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let speech = match &arguments.audio {
        Some(path) => call::read_audio(path)?,
        None => wav::read(SPEECH).map_err(|error| Failure::Checked(error.to_string()))?,
    };
    let packets = Packets::to(arguments.packets.as_deref())?;
    if let Some(path) = &arguments.record {
        // An unusable path is found out now rather than after the call.
        call::write_recording(path, &[])?;
    }
    let mut stage = Stage::set(console)?;
    let call = Identifiers::new(&stage.account_sid)?;
    let script = Script {
        speak_after: SPEAK_AFTER,
        speech,
        keys: KEYS.chars().collect(),
        hang_up_after: Some(HANG_UP_AFTER),
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
            console.progress(&format!("            log  {line}"));
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

impl Stage {
    fn set(console: &Console) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("ward-demo-{}", random_hex()?));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Failure::file(&folder, error))?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (site, media_host) = (listen(loopback, 1)?, listen(loopback, 2)?);
        let (site_port, media_port) = (port(&site)?, port(&media_host)?);
        let (account_sid, token_text) =
            (format!("AC{}", random_hex()?), Secret::new(random_hex()?));
        let settings = AllSettings::from_document(&format!(
            "MEDIA_WSS_URL=wss://localhost:{media_port}\n\
             NEXT_PUBLIC_SITE_URL=https://localhost:{site_port}\n\
             TWILIO_ACCOUNT_SID={account_sid}\n\
             TWILIO_AUTH_TOKEN={}\n",
            token_text.expose()
        ));
        let ca = DevelopmentCa::new()?;
        let twiml = launch::Plan {
            role: Role::Twiml,
            target: launch::target(),
            executable: None,
            listeners: site,
            settings: settings.twiml_document(),
            identity: Some(ca.issue(&["localhost"])?),
            handshake: None,
        };
        let values = settings.handshake_values();
        let media = launch::Plan {
            role: Role::Media,
            target: launch::target(),
            executable: None,
            listeners: media_host,
            settings: settings.media_document(),
            identity: Some(ca.issue(&["localhost"])?),
            handshake: Some(values.map_err(|_all| Failure::Checked("no signatures".to_owned()))?),
        };
        let (sender, lines) = channel();
        let mut servers = Vec::new();
        for plan in [twiml, media] {
            let (server, mut log) = launch::launch(plan)?;
            for line in await_event(&mut log, "started")? {
                console.progress(&format!("            log  {line}"));
            }
            let sender = sender.clone();
            std::thread::spawn(move || copy_lines(log, &sender));
            servers.push(server);
        }
        let (Some(media), Some(twiml)) = (servers.pop(), servers.pop()) else {
            return Err(Failure::Checked("the servers did not start".to_owned()));
        };
        let token =
            AuthToken::new(&token_text).map_err(|error| Failure::Checked(error.to_string()))?;
        let client = Client::trusting(&ca.certificate())?;
        let url = WebhookUrl::parse(&format!("https://localhost:{site_port}/api/voice/incoming"))?;
        let ca = ca.certificate();
        Ok(Self { twiml, media, lines, folder, account_sid, token_text, ca, token, client, url })
    }

    /// The media server's own account of the call.
    fn call_ended(&self) -> Result<Value, Failure> {
        let patience = Duration::from_secs(5);
        loop {
            let line = self.lines.recv_timeout(patience).map_err(|_late| {
                Failure::Checked("the media server did not record the end of the call".to_owned())
            })?;
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "call_ended" {
                return Ok(event);
            }
        }
    }

    /// Waits for a stop signal with both servers up; what a caller needs lies in files until then.
    fn hold(&self, console: &Console) -> Result<(), Failure> {
        let (ca, token) = (self.folder.join("ca.pem"), self.folder.join("auth-token"));
        write_private(&ca, &self.ca)?;
        write_private(&token, self.token_text.expose())?;
        console.progress("both servers stay up; stop with Ctrl-C. From another terminal:");
        console.progress(&format!(
            "ward call --webhook {} --account-sid {} --auth-token-file {} --ca {} \
             --audio YOUR.wav --record heard.wav",
            self.url.signed(),
            self.account_sid,
            token.display(),
            ca.display(),
        ));
        let waited = call::block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = terminate.recv() => Ok(()),
                stopped = tokio::signal::ctrl_c() => stopped,
            }
        })?;
        for path in [&ca, &token] {
            std::fs::remove_file(path).map_err(|error| Failure::file(path, error))?;
        }
        waited.map_err(|error: std::io::Error| Failure::Checked(error.to_string()))
    }

    /// Ends both servers.
    fn clear(&mut self) {
        self.twiml.stop(Duration::from_secs(3));
        self.media.stop(Duration::from_secs(3));
        // Only an empty folder goes: the recording may lie in it.
        std::fs::remove_dir(&self.folder).unwrap_or_default();
    }
}

/// Writes a new file that nobody else may read.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::file(path, error))
}

fn port(listeners: &[std::net::TcpListener]) -> Result<u16, Failure> {
    let address = listeners.first().and_then(|listener| listener.local_addr().ok());
    let address = address.ok_or_else(|| Failure::Checked("no listener".to_owned()))?;
    Ok(address.port())
}

fn copy_lines(mut log: BufReader<PipeReader>, lines: &std::sync::mpsc::Sender<String>) {
    let mut line = String::new();
    while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        // Whoever listened may have all it needs; the pipe is read to its end all the same.
        lines.send(line.trim_end().to_owned()).unwrap_or_default();
        line.clear();
    }
}

/// 32 random hexadecimal digits.
fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_random| Failure::Checked("no random bytes".to_owned()))?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    Ok(digits.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect())
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
