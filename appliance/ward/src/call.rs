//! `ward call`: the Twilio stand-in against any deployment. It never holds a real call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use ward_twilio::sid::AccountSid;
use ward_twilio::signature::AuthToken;

use crate::caller::packets::Packets;
use crate::caller::stream::{self, Outcome, Script, Timeline};
use crate::caller::webhook::{self, Identifiers, StreamTarget, WebhookAnswer, WebhookUrl};
use crate::client::Client;
use crate::console::{Console, Failure};
use crate::settings::auth_token;
use crate::wav;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The webhook's public URL, as configured at Twilio.
    #[arg(long, value_name = "URL")]
    webhook: String,
    /// The account whose call this is.
    #[arg(long, value_name = "SID")]
    account_sid: String,
    /// File that holds the auth token.
    #[arg(long, value_name = "FILE")]
    auth_token_file: PathBuf,
    /// What the caller says: WAV, 16-bit PCM or µ-law, any rate.
    #[arg(long, value_name = "FILE")]
    audio: PathBuf,
    /// Where to write what the caller hears.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Keys to press after the speech, for instance 5*.
    #[arg(long, value_name = "KEYS", default_value = "")]
    dtmf: String,
    /// Hang up after this many seconds.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    hangup_after: Option<f64>,
    /// Seconds of silence before the speech.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5, allow_negative_numbers = true)]
    speak_after: f64,
    /// CA certificate to trust instead of the machine's own store.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Where to log every message of the stream, audio included.
    #[arg(long, value_name = "FILE")]
    packets: Option<PathBuf>,
}

/// One call to place.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whom to trust.
    pub client: &'a Client,
    /// Where Twilio would post.
    pub url: &'a WebhookUrl,
    /// The call.
    pub call: &'a Identifiers,
    /// What signs webhook and handshake.
    pub token: &'a AuthToken,
    /// What the caller does.
    pub script: Script,
    /// Where messages are logged.
    pub packets: Packets,
}

/// What came of a call.
#[derive(Debug)]
pub struct Report {
    /// The answer to the signed webhook.
    pub answer: WebhookAnswer,
    /// Where the TwiML sent the stream.
    pub stream_url: String,
    /// The stream.
    pub outcome: Outcome,
}

impl Report {
    /// The figures as JSON.
    #[must_use]
    pub fn to_json(&self, recording: Option<&Path>) -> Value {
        let outcome = &self.outcome;
        json!({
            "signed_status": self.answer.status,
            "twiml": self.answer.body,
            "stream_url": self.stream_url,
            "frames_sent": outcome.frames_sent,
            "frames_received": outcome.frames_received,
            "audio_received_ms": outcome.audio_bytes_received / 8,
            "first_audio_ms": outcome.first_audio.map(millis),
            "barge_in_to_silence_ms": outcome.barge_in_to_silence.map(millis),
            "clears": outcome.clears,
            "marks_echoed": outcome.marks_echoed,
            "close_code": outcome.close_code,
            "recording": recording.map(|path| path.display().to_string()),
        })
    }
}

/// Milliseconds to three places.
#[must_use]
pub fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

/// Places the call: webhook, TwiML, stream.
///
/// # Errors
/// [`Failure::Checked`] with the step that failed.
pub async fn place(plan: Plan<'_>, timeline: &mut Timeline<'_>) -> Result<Report, Failure> {
    let answer = webhook::post(plan.client, plan.url, plan.call, Some(plan.token)).await?;
    timeline(Duration::ZERO, &format!("caller → twiml  signed webhook: {}", answer.status));
    if answer.status != 200 {
        let hint =
            if answer.status == 403 { "; `ward signature` shows what was signed" } else { "" };
        return Err(Failure::Checked(format!("the webhook answered {}{hint}", answer.status)));
    }
    let StreamTarget { url: stream_url, parameters } = webhook::stream_target(&answer.body)?;
    timeline(Duration::ZERO, &format!("twiml → caller  connect {stream_url}"));
    let socket = stream::dial(plan.client, &stream_url, plan.token).await?;
    let script = Script { parameters, ..plan.script };
    let outcome = stream::run(socket, plan.call, script, plan.packets, timeline).await?;
    Ok(Report { answer, stream_url, outcome })
}

/// Reads a WAV file as telephone audio.
///
/// # Errors
/// [`Failure::Usage`].
pub fn read_audio(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    wav::read(&file).map_err(|error| Failure::file(path, error))
}

/// Writes what was heard.
///
/// # Errors
/// [`Failure::Usage`].
pub fn write_recording(path: &Path, audio: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, wav::write(audio)).map_err(|error| Failure::file(path, error))
}

fn seconds(value: f64, name: &str) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(value).map_err(|error| Failure::Usage(format!("{name}: {error}")))
}

fn keys(text: &str) -> Result<std::collections::VecDeque<char>, Failure> {
    if text.chars().all(|key| "0123456789*#ABCD".contains(key)) {
        return Ok(text.chars().collect());
    }
    Err(Failure::Usage("--dtmf takes the keys 0-9 * # A-D".to_owned()))
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    AccountSid::parse(&arguments.account_sid)
        .map_err(|error| Failure::Usage(format!("--account-sid: {error}")))?;
    let token = auth_token(&arguments.auth_token_file)?;
    let client = Client::new(arguments.ca.as_deref())?;
    let url = WebhookUrl::parse(&arguments.webhook)?;
    let call = Identifiers::new(&arguments.account_sid)?;
    let script = Script {
        speak_after: seconds(arguments.speak_after, "--speak-after")?,
        speech: read_audio(&arguments.audio)?,
        keys: keys(&arguments.dtmf)?,
        hang_up_after: match arguments.hangup_after {
            Some(value) => Some(seconds(value, "--hangup-after")?),
            None => None,
        },
        ..Script::default()
    };
    let packets = Packets::to(arguments.packets.as_deref())?;
    if let Some(path) = &arguments.record {
        // An unusable path is found out now rather than after the call.
        write_recording(path, &[])?;
    }
    let plan = Plan { client: &client, url: &url, call: &call, token: &token, script, packets };
    let mut timeline = |at: Duration, what: &str| {
        console.progress(&format!("{:8.3} s  {what}", at.as_secs_f64()));
    };
    let report = block_on(place(plan, &mut timeline))??;
    if let Some(path) = &arguments.record {
        write_recording(path, &report.outcome.recording)?;
    }
    let object = report.to_json(arguments.record.as_deref());
    console.result(&object, &summary(&object));
    // Any other close than 1000 is a call that was cut.
    Ok(report.outcome.close_code == Some(1000) && report.outcome.frames_received > 0)
}

/// One line per figure.
#[must_use]
pub fn summary(object: &Value) -> String {
    let Some(fields) = object.as_object() else {
        return String::new();
    };
    let lines = fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name:>24}  {text}"),
        other => format!("{name:>24}  {other}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs a future to its end on this thread.
///
/// # Errors
/// [`Failure::Checked`] when the operating system gives no runtime.
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Checked(error.to_string()))?;
    Ok(runtime.block_on(future))
}
