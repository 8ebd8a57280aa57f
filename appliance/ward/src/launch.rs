//! The launcher: opens listeners and documents, starts the supervisor with them, reads the log.
//!
//! What it opens goes on as open descriptors, their numbers on a command line, with an empty environment and
//! nothing else: `appliance/init/src/launch.rs` is that part, which PID 1 of the image has too. It judges nothing of what it
//! reads in the log.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use ward_edge::control::{HANDSHAKE, TLS_CHAIN, TLS_KEY};
use ward_init::acme::{Acme, AcmeError};
use ward_init::launch::{Start, Supervisor};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::phi::Secret;

use crate::console::Failure;
use crate::development_ca::Identity;
use crate::log_lines::{Line, LogLines, Processes};
use crate::vendors::Vendors;

/// What the first argument begins with when this executable is to play a role.
const SERVE: &str = "serve-";

/// Plays a role if the command line says so; only [`launch`] and the supervisor write such a command line.
#[must_use]
pub fn run_as_server(mut arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    let _program = arguments.next();
    let role = Role::from_name(arguments.next()?.strip_prefix(SERVE)?)?;
    Some(match role {
        Role::Init => ward_init::supervise::main(arguments),
        Role::Net => ward_init::net::main(arguments),
        Role::Log => ward_init::log::main(arguments),
        Role::Sign => ward_init::sign::main(arguments),
        Role::Broker => ward_broker::server::main(arguments),
        Role::Media => ward_media::server::main(arguments),
        Role::Twiml => ward_twiml::server::main(arguments),
    })
}

/// The kind of machine that this is, as far as can be seen: who we are, what we may do, and where.
#[must_use]
pub fn target() -> Target {
    let may_make_namespaces = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN));
    if rustix::process::geteuid().is_root() {
        let is_container =
            ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
        return match (may_make_namespaces, is_container) {
            (false, _) => Target::RestrictedContainer,
            (true, true) => Target::Container,
            (true, false) => Target::LaptopRoot,
        };
    }
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // Absent: the kernel has no such switch, which is the ordinary case for the second and third.
    let has_namespaces = number("/proc/sys/user/max_user_namespaces").is_some_and(|most| most > 0)
        && number("/proc/sys/kernel/unprivileged_userns_clone") != Some(0)
        && number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").unwrap_or(0) == 0;
    if has_namespaces { Target::Laptop } else { Target::RestrictedContainer }
}

/// The kind of machine called `text`.
///
/// # Errors
/// The names there are.
pub fn parse_target(text: &str) -> Result<Target, String> {
    let names: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
    Target::from_name(text).ok_or_else(|| format!("one of {}", names.join(", ")))
}

/// What a server is started with.
#[expect(missing_debug_implementations, reason = "its settings must never be printed")]
pub struct Plan {
    /// Which server.
    pub role: Role,
    /// The kind of machine: which layers each cell must have.
    pub target: Target,
    /// The server's own executable, with those of the other roles beside it; without one, this executable in
    /// every role.
    pub executable: Option<PathBuf>,
    /// One listener per worker.
    pub listeners: Vec<TcpListener>,
    /// The settings document.
    pub settings: Secret<String>,
    /// Certificate and key; none for plain HTTP, and none where an authority is asked for them.
    pub identity: Option<Identity>,
    /// How an authority is asked for a certificate, where none is there.
    pub acme: Option<Acme>,
    /// What may be replaced while the server runs: [`crate::settings::AllSettings::followed`].
    pub followed: Secret<String>,
    /// Whom the media server may reach, and how.
    pub vendors: Option<Vendors>,
}

impl Plan {
    /// Every role that the supervisor starts for it.
    fn roles(&self) -> Vec<Role> {
        let has_certificate = self.identity.is_some() || self.acme.is_some();
        let sign = has_certificate.then_some(Role::Sign);
        let broker = self.vendors.is_some().then_some(Role::Broker);
        [Some(Role::Log), sign, broker, Some(self.role)].into_iter().flatten().collect()
    }
}

/// A server that was started, with everything around it.
#[derive(Debug)]
pub struct Server {
    role: Role,
    roles: Vec<Role>,
    supervisor: Child,
    control: OwnedFd,
    processes: Processes,
}

/// The way to replace what a running server follows.
#[derive(Debug)]
pub struct Replacer(OwnedFd);

impl Replacer {
    /// See [`Server::replace`].
    ///
    /// # Errors
    /// [`Failure::Checked`] when the supervisor is gone.
    pub fn replace(&self, followed: &Secret<String>) -> Result<(), Failure> {
        self.send(HANDSHAKE, followed_document(followed.expose())?)
    }

    /// Replaces certificate and key. They must belong together.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn replace_identity(&self, identity: &Identity) -> Result<(), Failure> {
        let chain = followed_document(&identity.chain)?;
        // The key first: a server shows a certificate once `sign` says that it has its key.
        self.send(TLS_KEY, followed_document(identity.key.expose())?)?;
        self.send(TLS_CHAIN, chain)
    }

    fn send(&self, kind: u8, document: OwnedFd) -> Result<(), Failure> {
        let document = [document];
        let document = document.each_ref().map(AsFd::as_fd);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&document));
        let flags = SendFlags::NOSIGNAL;
        let sent = sendmsg(&self.0, &[IoSlice::new(&[kind])], &mut ancillary, flags);
        sent.map(drop).map_err(|error| failure(error.into()))
    }
}

/// Starts the supervisor, which starts the server and every other role; the lines are everyone's, until the
/// last of them has ended.
///
/// # Errors
/// [`Failure::Checked`] when the operating system refuses.
pub fn launch(plan: Plan) -> Result<(Server, LogLines), Failure> {
    let (role, roles) = (plan.role, plan.roles());
    let (reader, sink) = std::io::pipe().map_err(failure)?;
    let (control, theirs) = ward_init::launch::control().map_err(failure)?;
    let mut handed: Vec<(&'static str, OwnedFd)> = vec![
        ("settings", document("settings", plan.settings.expose())?),
        ("sink", sink.into()),
        ("control", theirs),
    ];
    let certificate = match (&plan.identity, &plan.acme) {
        (Some(identity), _) => Some(identity.source),
        (None, Some(_)) => Some(CertificateSource::Acme),
        (None, None) => None,
    };
    if let Some(identity) = plan.identity {
        handed.push(("tls-chain", followed_document(&identity.chain)?));
        handed.push(("tls-key", followed_document(identity.key.expose())?));
    }
    if let Some(acme) = plan.acme.filter(|_acme| certificate == Some(CertificateSource::Acme)) {
        handed.extend(acme.handed().map_err(acme_failure)?);
    }
    if let Some(vendors) = plan.vendors {
        if let Some(plan) = vendors.sink_plan()? {
            handed.push(("log-sink", document("log-sink", &plan.to_document())?));
        }
        handed.push(("registry", document("registry", &vendors.registry_document())?));
        let keys = document("vendor-keys", vendors.keys.expose())?;
        handed.push(("vendor-keys", keys));
        handed.push(("broker-settings", document("broker-settings", &vendors.settings)?));
    }
    handed.push(("handshake", followed_document(plan.followed.expose())?));
    handed.extend(plan.listeners.into_iter().map(|listener| ("listener", listener.into())));
    let supervisor = supervisor(plan.executable.as_deref())?;
    let start = Start { role, target: plan.target, supervisor, certificate, handed };
    let supervisor = start
        .spawn()
        .map_err(|error| Failure::Checked(format!("ward-init cannot be started: {error}")))?;
    let (lines, processes) = LogLines::of(reader);
    Ok((Server { role, roles, supervisor, control, processes }, lines))
}

/// The supervisor's program: beside the server's, from wherever it runs, or this one.
fn supervisor(server: Option<&Path>) -> Result<Supervisor, Failure> {
    let Some(path) = server else {
        return Ok(Supervisor::Itself(format!("{SERVE}{}", Role::Init.name())));
    };
    let server = path.canonicalize().map_err(|error| Failure::file(path, error))?;
    Ok(Supervisor::Files { init: server.with_file_name("ward-init"), server })
}

impl Server {
    /// Asks the server to drain and end.
    pub fn terminate(&self) {
        signal(self.supervisor.id(), Signal::TERM);
    }

    /// What replaces the followed document from now on, also beside this.
    ///
    /// # Errors
    /// [`Failure::Checked`] when the operating system refuses.
    pub fn replacer(&self) -> Result<Replacer, Failure> {
        self.control.try_clone().map(Replacer).map_err(failure)
    }

    /// Replaces what was followed: a server that cannot use it keeps the last and says so in its log.
    ///
    /// # Errors
    /// [`Failure::Checked`] when the supervisor is gone.
    pub fn replace(&self, followed: &Secret<String>) -> Result<(), Failure> {
        self.replacer()?.replace(followed)
    }

    /// The process that plays `role` now, if there is one.
    #[must_use]
    pub fn process(&self, role: Role) -> Option<u32> {
        if role == Role::Init { Some(self.supervisor.id()) } else { self.processes.get(role) }
    }

    /// The supervisor's process.
    #[must_use]
    pub fn supervisor(&self) -> u32 {
        self.supervisor.id()
    }

    /// Waits for the end; the exit status, if there is one.
    #[must_use]
    pub fn exit_status(&mut self) -> Option<i32> {
        self.supervisor.wait().ok().and_then(|status| status.code())
    }

    /// Waits for the end and explains a status that is not zero.
    ///
    /// # Errors
    /// [`Failure::Checked`] with what the status means.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let status = self.supervisor.wait().map_err(failure)?;
        if status.success() {
            return Ok(());
        }
        let meaning = match status.code() {
            Some(64) => "descriptors are wrong",
            Some(65) => {
                "settings are wrong; `ward check-config` and `ward vendors` name each problem"
            }
            Some(66) => "the certificate or key is unusable",
            Some(67) => "the operating system refused something",
            Some(68) => "a layer of a cell is missing; the event `cell_refused` names it",
            _ => "it ended unexpectedly",
        };
        Err(Failure::Checked(format!("ward-{}: {meaning} ({status})", self.role.name())))
    }

    /// Waits at most `patience`, then ends every process.
    pub fn stop(&mut self, patience: Duration) {
        // Its number may be another's already.
        if !matches!(self.supervisor.try_wait(), Ok(None)) {
            return;
        }
        self.terminate();
        let steps = patience.as_millis() / 10;
        for _ in 0..steps {
            if !matches!(self.supervisor.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // The supervisor first, so that it starts nobody again. Both can only fail because it is gone.
        self.supervisor.kill().unwrap_or_default();
        self.supervisor.wait().map(drop).unwrap_or_default();
        for role in self.roles.iter().filter(|role| **role != Role::Log) {
            if let Some(id) = self.processes.get(*role) {
                signal(id, Signal::KILL);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::from_millis(500));
    }
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // A process that has ended already is what was wanted.
        kill_process(pid, signal).unwrap_or_default();
    }
}

/// Reads log lines until every role has said that it has started.
///
/// # Errors
/// [`Failure::Checked`] when the log ends first: what the exit status means, and what was said last.
pub fn await_start(server: &mut Server, log: &mut LogLines) -> Result<Vec<Line>, Failure> {
    let mut lines: Vec<Line> = Vec::new();
    let mut awaited = server.roles.clone();
    for line in log.by_ref() {
        if line.is_event("started") {
            awaited.retain(|role| *role != line.role);
        }
        lines.push(line);
        if awaited.is_empty() {
            return Ok(lines);
        }
    }
    let role = server.role.name();
    let ended = server.wait().err().map_or_else(
        || format!("ward-{role} ended before it had started"),
        |failure| failure.to_string(),
    );
    let said = lines.iter().map(Line::said);
    Err(Failure::Checked(std::iter::once(ended).chain(said).collect::<Vec<_>>().join("\n")))
}

/// Opens `count` listeners on one address that share it; port 0 is chosen once.
///
/// # Errors
/// [`Failure::Usage`] when the address cannot be listened on.
pub fn listen(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, Failure> {
    let listeners = ward_init::launch::listen(address, count);
    listeners.map_err(|error| Failure::Usage(format!("cannot listen on {address}: {error}")))
}

fn document(name: &str, text: &str) -> Result<OwnedFd, Failure> {
    ward_init::launch::document(name, text).map_err(failure)
}

fn followed_document(followed: &str) -> Result<OwnedFd, Failure> {
    ward_init::launch::followed_document(followed).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => Failure::Usage(error.to_string()),
        _ => failure(error),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn acme_failure(error: AcmeError) -> Failure {
    match error {
        AcmeError::File { .. } => Failure::Usage(error.to_string()),
        AcmeError::System(_) | AcmeError::Key => Failure::Checked(error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: std::io::Error) -> Failure {
    Failure::Checked(format!("the operating system refused: {error}"))
}
