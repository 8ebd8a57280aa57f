//! Both servers on free loopback ports, with settings made for one run. Nothing needs to be configured.
//!
//! The certificate authority, account and auth token die with the run.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::phi::Secret;
use ward_twilio::signature::AuthToken;

use crate::call;
use crate::caller::webhook::WebhookUrl;
use crate::client::Client;
use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;
use crate::launch::{self, Server, await_start, listen};
use crate::log_lines::{Line, LogLines};
use crate::settings::AllSettings;
use crate::vendors::Vendors;

/// Both servers, and what is needed to call them.
pub(crate) struct Stage {
    pub(crate) twiml: Server,
    pub(crate) media: Server,
    /// Log lines of both servers, as they come.
    pub(crate) lines: Receiver<Line>,
    /// What both logged as they started.
    pub(crate) start_lines: Vec<(Role, Line)>,
    pub(crate) folder: PathBuf,
    pub(crate) account_sid: String,
    token_text: Secret<String>,
    ca: String,
    pub(crate) token: AuthToken,
    pub(crate) client: Client,
    pub(crate) url: WebhookUrl,
}

/// Who plays with the media server.
pub(crate) struct Cast {
    pub(crate) vendors: Vendors,
    /// More of the media server's settings, line by line.
    pub(crate) media: String,
    /// The folder of the servers as they ship, if this program is not to play them.
    pub(crate) servers: Option<PathBuf>,
}

impl Cast {
    /// Nobody.
    pub(crate) fn nobody() -> Self {
        Self { vendors: Vendors::built_in(), media: String::new(), servers: None }
    }
}

impl Stage {
    pub(crate) fn set(target: Target, cast: Cast, console: &Console) -> Result<Self, Failure> {
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
             TWILIO_AUTH_TOKEN={}\n{}",
            token_text.expose(),
            cast.media
        ));
        let ca = DevelopmentCa::new()?;
        let twiml = launch::Plan {
            role: Role::Twiml,
            target,
            executable: cast.servers.as_ref().map(|folder| folder.join("ward-twiml")),
            listeners: site,
            settings: settings.twiml_document(),
            identity: Some(ca.issue(&["localhost"])?),
            acme: None,
            followed: settings.checked(Role::Twiml)?,
            vendors: None,
        };
        let media = launch::Plan {
            role: Role::Media,
            target,
            executable: cast.servers.as_ref().map(|folder| folder.join("ward-media")),
            listeners: media_host,
            settings: settings.media_document(),
            identity: Some(ca.issue(&["localhost"])?),
            acme: None,
            followed: settings.checked(Role::Media)?,
            vendors: Some(cast.vendors),
        };
        let (sender, lines) = channel();
        let mut start_lines = Vec::new();
        let mut start = |plan| start(plan, console, &sender, &mut start_lines);
        let (twiml, media) = (start(twiml)?, start(media)?);
        let token =
            AuthToken::new(&token_text).map_err(|error| Failure::Checked(error.to_string()))?;
        let client = Client::trusting(&ca.certificate())?;
        let url = WebhookUrl::parse(&format!("https://localhost:{site_port}/api/voice/incoming"))?;
        let ca = ca.certificate();
        Ok(Self {
            twiml,
            media,
            lines,
            start_lines,
            folder,
            account_sid,
            token_text,
            ca,
            token,
            client,
            url,
        })
    }

    /// The media server's own account of the call.
    pub(crate) fn call_ended(&self) -> Result<Value, Failure> {
        let patience = Duration::from_secs(5);
        loop {
            let line = self.lines.recv_timeout(patience).map_err(|_late| {
                Failure::Checked("the media server did not record the end of the call".to_owned())
            })?;
            let event: Value = serde_json::from_str(&line.said()).unwrap_or_default();
            if event["event"] == "call_ended" {
                return Ok(event);
            }
        }
    }

    /// Waits for a stop signal with both servers up; what a caller needs lies in files until then.
    pub(crate) fn hold(&self, console: &Console) -> Result<(), Failure> {
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
    pub(crate) fn clear(&mut self) {
        self.twiml.stop(Duration::from_secs(3));
        self.media.stop(Duration::from_secs(3));
        // Only an empty folder goes: the recording may lie in it.
        std::fs::remove_dir(&self.folder).unwrap_or_default();
    }
}

/// Starts one server; what it says as it starts is kept, what it says later is sent.
fn start(
    plan: launch::Plan,
    console: &Console,
    sender: &Sender<Line>,
    start_lines: &mut Vec<(Role, Line)>,
) -> Result<Server, Failure> {
    let role = plan.role;
    let (mut server, mut log) = launch::launch(plan)?;
    for line in await_start(&mut server, &mut log)? {
        console.progress(&format!("            log  {}", line.said()));
        start_lines.push((role, line));
    }
    let sender = sender.clone();
    std::thread::spawn(move || copy_lines(log, &sender));
    Ok(server)
}

/// Writes a new file that nobody else may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::file(path, error))
}

fn port(listeners: &[std::net::TcpListener]) -> Result<u16, Failure> {
    let address = listeners.first().and_then(|listener| listener.local_addr().ok());
    let address = address.ok_or_else(|| Failure::Checked("no listener".to_owned()))?;
    Ok(address.port())
}

fn copy_lines(log: LogLines, lines: &Sender<Line>) {
    for line in log {
        // Whoever listened may have all it needs; the log is read to its end all the same.
        lines.send(line).unwrap_or_default();
    }
}

/// 32 random hexadecimal digits.
pub(crate) fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_random| Failure::Checked("no random bytes".to_owned()))?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    Ok(digits.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect())
}
