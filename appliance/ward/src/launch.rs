//! The launcher: opens listeners and documents, starts the supervisor with them, reads the log.
//!
//! What it opens goes on as open descriptors, their numbers on a command line, with an empty environment and
//! nothing else. It judges nothing of what it reads in the log.

use std::fs::File;
use std::io::{IoSlice, Seek as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
};
use rustix::process::{Pid, Signal, kill_process};
use ward_edge::control::{HANDSHAKE, TLS_CHAIN, TLS_KEY};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::limit;
use ward_policy::phi::Secret;

use crate::acme::Acme;
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
    let (control, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| failure(error.into()))?;
    let mut handed: Vec<(&str, OwnedFd)> = vec![
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
        handed.extend(acme.handed()?);
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
    let supervisor = start(role, plan.target, plan.executable.as_deref(), certificate, &handed)?;
    let (lines, processes) = LogLines::of(reader);
    Ok((Server { role, roles, supervisor, control, processes }, lines))
}

fn start(
    role: Role,
    target: Target,
    server: Option<&Path>,
    certificate: Option<CertificateSource>,
    handed: &[(&str, OwnedFd)],
) -> Result<Child, Failure> {
    let mut command = if let Some(path) = server {
        // It looks for the others beside this one, from wherever it runs.
        let path = path.canonicalize().map_err(|error| Failure::file(path, error))?;
        let mut command = Command::new(path.with_file_name("ward-init"));
        command.arg("supervise").arg(format!("server={}", path.display()));
        command
    } else {
        // The running file itself, even if its name has been given to another since.
        let mut command = Command::new("/proc/self/exe");
        command.arg(format!("{SERVE}{}", Role::Init.name()));
        command
    };
    command.arg(format!("role={}", role.name()));
    // A terminal's Ctrl-C reaches the launcher only, which passes one signal on.
    command.process_group(0);
    command.arg0("ward-init").env_clear();
    // What is inherited could be a terminal or a file; nobody has anything but the log to write to.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.arg(format!("launcher={}", std::process::id()));
    command.arg(format!("target={}", target.name()));
    if let Some(certificate) = certificate {
        command.arg(format!("certificate={}", certificate.name()));
    }
    for (name, descriptor) in handed {
        command.arg(format!("{name}={}", descriptor.as_raw_fd()));
        rustix::io::fcntl_setfd(descriptor.as_fd(), FdFlags::empty())
            .map_err(|error| failure(error.into()))?;
    }
    // The descriptors close here when `handed` is dropped by the caller: the child has its own.
    let started = command.spawn();
    started.map_err(|error| Failure::Checked(format!("ward-init cannot be started: {error}")))
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
    let refused = |error| Failure::Usage(format!("cannot listen on {address}: {error}"));
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let listener = listen_shared(address).map_err(refused)?;
        address = listener.local_addr().map_err(refused)?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Connections the kernel completes and holds until they are accepted.
const BACKLOG: i32 = 1_024;

fn listen_shared(address: SocketAddr) -> std::io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// A document in memory, at its beginning.
pub(crate) fn document(name: &str, text: &str) -> Result<OwnedFd, Failure> {
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.map_err(|error| failure(error.into()))?);
    file.write_all(text.as_bytes()).map_err(failure)?;
    file.rewind().map_err(failure)?;
    Ok(file.into())
}

/// A document as a process follows it: lines up to an empty one, which therefore cannot stand in it.
fn followed_document(followed: &str) -> Result<OwnedFd, Failure> {
    let mut text = Secret::new(String::with_capacity(followed.len().saturating_add(2)));
    for line in followed.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        text.expose_mut().push_str(line);
        text.expose_mut().push('\n');
    }
    if text.expose().len() >= limit::DOCUMENT_BYTES_MAX {
        let most = limit::DOCUMENT_BYTES_MAX;
        return Err(Failure::Usage(format!("what is handed over is longer than {most} bytes")));
    }
    text.expose_mut().push('\n');
    document("followed", text.expose())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: std::io::Error) -> Failure {
    Failure::Checked(format!("the operating system refused: {error}"))
}
