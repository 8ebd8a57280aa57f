//! `ward run`: one server in the foreground, its log on standard output. It changes no line of it.
//!
//! On SIGHUP it hands over what may be replaced while the server runs: `reload.rs`.

use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use ward_policy::audit::Role;
use ward_policy::cell::Target;

use crate::console::{Console, Failure};
use crate::credentials;
use crate::development_ca::{DevelopmentCa, Identity};
use crate::launch::{self, Plan, launch, listen};
use crate::reload::{Files, Reload};
use crate::report;
use crate::settings::AllSettings;
use crate::vendors::Vendors;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServerName {
    /// The media server.
    Media,
    /// The TwiML-only responder.
    Twiml,
}

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which server.
    #[arg(required_unless_present = "report")]
    server: Option<ServerName>,
    /// Start both with settings made for this run, report what confines each, and end them.
    #[arg(long, conflicts_with = "server")]
    report: bool,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Settings, one NAME=value a line; they win over the environment.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Certificate chain in PEM, leaf first.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_chain: Option<PathBuf>,
    /// Private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_chain")]
    tls_key: Option<PathBuf>,
    /// Write the certificate of the development CA to FILE, which is made for this run where there is no other certificate.
    #[arg(long, value_name = "FILE", conflicts_with = "tls_chain")]
    development_ca: Option<PathBuf>,
    /// Threads, each with a runtime and a listener of its own; by default one per core.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// The kind of machine, which decides the layers of the cell; by default what this looks like.
    #[arg(long, value_name = "KIND", value_parser = launch::parse_target)]
    target: Option<Target>,
    /// Folder with one file a vendor; by default the registry that comes with the program.
    #[arg(long, value_name = "FOLDER")]
    vendors: Option<PathBuf>,
    /// The vendors' keys, one ID=KEY a line.
    #[arg(long, value_name = "FILE")]
    vendor_keys: Option<PathBuf>,
    /// Start it, list every live credential of its processes (names and times, never a value), and end it.
    #[arg(long, conflicts_with = "report")]
    credentials: bool,
    /// The server's own executable, with the other roles' beside it, instead of this one in every role.
    #[arg(long, value_name = "FILE")]
    exec: Option<PathBuf>,
}

impl Arguments {
    /// The operator's certificate, if there is one.
    fn files(&self) -> Option<Files> {
        let files = self.tls_chain.clone().zip(self.tls_key.clone());
        files.map(|(chain, key)| Files { chain, key })
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when the server cannot be started or ends badly.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let Some(server) = arguments.server else {
        return report::run(arguments.target.unwrap_or_else(launch::target), console);
    };
    let all = AllSettings::gather(arguments.env_file.as_deref())?;
    for finding in all.findings() {
        console.progress(&format!("finding: {finding}"));
    }
    let role = match server {
        ServerName::Media => Role::Media,
        ServerName::Twiml => Role::Twiml,
    };
    let followed = all.checked(role)?;
    let is_plain = all.is_plain_http() && server == ServerName::Twiml;
    if is_plain && !arguments.listen.ip().is_loopback() {
        let what = "--listen: TWIML_PLAIN_HTTP=loopback goes with a loopback address only";
        return Err(Failure::Usage(what.to_owned()));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = arguments.workers.map_or(cores, usize::from);
    let listeners = listen(arguments.listen, workers)?;
    if let Some(address) = listeners.first().and_then(|listener| listener.local_addr().ok()) {
        console.progress(&format!("listening on {address}"));
    }
    let target = arguments.target.unwrap_or_else(launch::target);
    let acme = if arguments.tls_chain.is_some() || is_plain { None } else { all.acme() };
    let vendors = {
        let settings = all.broker_document().expose().clone();
        let (folder, keys) = (arguments.vendors.as_deref(), arguments.vendor_keys.as_deref());
        Vendors::read(folder, keys, settings)?
    };
    let (settings, vendors) = match server {
        // The responder calls nobody: its broker has what its log and its certificates take.
        ServerName::Twiml => (all.twiml_document(), vendors.infrastructure_alone(acme.is_some())?),
        ServerName::Media => (all.media_document(), Some(vendors)),
    };
    let needs_identity = acme.is_none() && !is_plain;
    let identity = if needs_identity { Some(identity(arguments, target, console)?) } else { None };
    let executable = arguments.exec.clone();
    let plan =
        Plan { role, target, executable, listeners, settings, identity, acme, followed, vendors };
    // Where plain HTTP is spoken, nobody would be shown it.
    let files = if is_plain { None } else { arguments.files() };
    let reload = Reload::new(role, arguments.env_file.clone(), files, &all);
    drop(all);
    if arguments.credentials {
        return credentials::run(plan, console);
    }
    relay(plan, reload, *console)
}

/// The operator's certificate, or one that nobody but this machine trusts.
fn identity(arguments: &Arguments, target: Target, console: &Console) -> Result<Identity, Failure> {
    if let Some(files) = arguments.files() {
        return files.read();
    }
    if target == Target::Image {
        let what = "the image needs a certificate: --tls-chain and --tls-key, or ACME_CA and what goes with it";
        return Err(Failure::Usage(what.to_owned()));
    }
    console
        .progress("finding: a certificate of a development CA, which no telephone network trusts");
    let ca = DevelopmentCa::new()?;
    if let Some(path) = &arguments.development_ca {
        std::fs::write(path, ca.certificate()).map_err(|error| Failure::file(path, error))?;
    }
    ca.issue(&["localhost", "127.0.0.1", "::1"])
}

/// Starts the server, passes signals on, and copies its log until it ends.
fn relay(plan: Plan, mut reload: Reload, console: Console) -> Result<bool, Failure> {
    let role = plan.role;
    let (mut server, log) = launch(plan)?;
    let (id, replacer) = (server.supervisor(), server.replacer()?);
    let mut reload = move || match reload.run(&replacer) {
        Ok(()) => console.progress("read again: what may be replaced was handed over"),
        Err(failure) => console.progress(&format!("nothing was replaced: {failure}")),
    };
    let watch = std::thread::spawn(move || pass_signals_to(id, &mut reload));
    let mut has_started = false;
    for line in log {
        has_started |= line.is_event("started") && line.role == role;
        writeln!(stdout().lock(), "{}", line.text).unwrap_or_default();
    }
    let ended = server.wait();
    // The watcher waits for signals for as long as the process lives.
    drop(watch);
    ended.map(|()| has_started)
}

fn pass_signals_to(id: u32, reload: &mut dyn FnMut()) {
    use rustix::process::{Pid, Signal, kill_process};
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
        ) else {
            return;
        };
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {
                    reload();
                    continue;
                }
            }
            if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM).unwrap_or_default();
            }
        }
    });
}
