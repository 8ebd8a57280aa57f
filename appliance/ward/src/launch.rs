//! The launcher: opens listeners and documents, starts a server with them, reads its log.
//!
//! A server gets descriptors and their numbers on its command line, an empty environment and nothing
//! else. The launcher reads log lines as text and judges nothing in them.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_twilio::signature::Signature;

use crate::console::Failure;
use crate::development_ca::Identity;
use crate::log_lines::{Line, LogLines};

/// The first argument that makes this executable a server.
const SERVE_MEDIA: &str = "serve-media";
/// See [`SERVE_MEDIA`].
const SERVE_TWIML: &str = "serve-twiml";
/// See [`SERVE_MEDIA`].
const SERVE_SIGN: &str = "serve-sign";

/// Runs as a server if the command line says so; only [`launch`] writes such a command line.
#[must_use]
pub fn run_as_server(mut arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    let _program = arguments.next();
    let role = match arguments.next()?.as_str() {
        SERVE_MEDIA => Role::Media,
        SERVE_TWIML => Role::Twiml,
        SERVE_SIGN => Role::Sign,
        _ => return None,
    };
    Some(match role {
        Role::Media => ward_media::server::main(arguments),
        Role::Twiml => ward_twiml::server::main(arguments),
        Role::Sign => ward_init::sign::main(arguments),
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
    /// The kind of machine: which layers its cell must have.
    pub target: Target,
    /// Its own executable, with `ward-init` beside it; without one, this executable in the role.
    pub executable: Option<PathBuf>,
    /// One listener per worker.
    pub listeners: Vec<TcpListener>,
    /// The settings document.
    pub settings: Secret<String>,
    /// Certificate and key; none for plain HTTP.
    pub identity: Option<Identity>,
    /// The first set of expected handshake signatures, for the media server.
    pub handshake: Option<Vec<Signature>>,
}

/// A server that was started.
#[derive(Debug)]
pub struct Server {
    role: Role,
    child: Child,
    /// Holds the key for it.
    sign: Option<Sign>,
    handshake: Option<UnixStream>,
}

/// Starts a server and, if it has TLS of its own, the process that signs for it; the lines are both's, until
/// the server ends.
///
/// # Errors
/// [`Failure::Checked`] when the operating system refuses.
pub fn launch(plan: Plan) -> Result<(Server, LogLines), Failure> {
    let role = plan.role;
    let (log_reader, log_writer) = std::io::pipe().map_err(failure)?;
    let mut handed: Vec<(&str, OwnedFd)> = vec![
        ("settings", document("settings", plan.settings.expose())?),
        ("log", log_writer.into()),
    ];
    let mut pipes = vec![(role, log_reader)];
    let executable = plan.executable.as_deref();
    let mut sign = None;
    if let Some(identity) = plan.identity {
        handed.push(("tls-chain", document("tls-chain", &identity.chain)?));
        // A pipe of its own: nobody writes in another's name.
        let (sign_log_reader, sign_log_writer) = std::io::pipe().map_err(failure)?;
        let mut of_sign: Vec<(&str, OwnedFd)> = vec![
            ("tls-key", document("tls-key", identity.key.expose())?),
            ("log", sign_log_writer.into()),
        ];
        pipes.push((Role::Sign, sign_log_reader));
        // One channel a worker: nobody waits for another's signature.
        for _ in &plan.listeners {
            let (ours, theirs) = channel().map_err(failure)?;
            handed.push(("sign", ours));
            of_sign.push(("sign", theirs));
        }
        sign = Some(Sign(start(Role::Sign, plan.target, executable, &of_sign)?));
    }
    let mut handshake = None;
    if let Some(values) = plan.handshake {
        let (reader, mut writer) = UnixStream::pair().map_err(failure)?;
        writer.set_write_timeout(Some(limit::HANDSHAKE_SEND_DEADLINE)).map_err(failure)?;
        send_values(&mut writer, &values).map_err(failure)?;
        handed.push(("handshake", reader.into()));
        handshake = Some(writer);
    }
    handed.extend(plan.listeners.into_iter().map(|listener| ("listener", listener.into())));
    let child = start(role, plan.target, executable, &handed)?;
    Ok((Server { role, child, sign, handshake }, LogLines::of(pipes)))
}

fn start(
    role: Role,
    target: Target,
    executable: Option<&Path>,
    handed: &[(&str, OwnedFd)],
) -> Result<Child, Failure> {
    let (name, serve) = match role {
        Role::Media => ("ward-media", SERVE_MEDIA),
        Role::Twiml => ("ward-twiml", SERVE_TWIML),
        Role::Sign => ("ward-init", SERVE_SIGN),
    };
    let mut command = match executable {
        Some(path) if role == Role::Sign => {
            let mut command = Command::new(path.with_file_name(name));
            command.arg("sign");
            command
        }
        Some(path) => Command::new(path),
        None => {
            // The running file itself, even if its name has been given to another since.
            let mut command = Command::new("/proc/self/exe");
            command.arg(serve);
            command
        }
    };
    // A terminal's Ctrl-C reaches the launcher only, which passes one signal on.
    command.process_group(0);
    command.arg0(name).env_clear();
    // What is inherited could be a terminal or a file; a role has its log and nothing else to write to.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.arg(format!("launcher={}", std::process::id()));
    command.arg(format!("target={}", target.name()));
    for (name, descriptor) in handed {
        command.arg(format!("{name}={}", descriptor.as_raw_fd()));
        rustix::io::fcntl_setfd(descriptor.as_fd(), FdFlags::empty())
            .map_err(|error| failure(error.into()))?;
    }
    // The descriptors close here when `handed` is dropped by the caller: the child has its own.
    command.spawn().map_err(|error| Failure::Checked(format!("{name} cannot be started: {error}")))
}

/// The process that signs; ended when dropped.
#[derive(Debug)]
struct Sign(Child);

impl Drop for Sign {
    fn drop(&mut self) {
        // Both can only fail because the process is gone.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

impl Server {
    /// Asks the server to drain and end.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A server that has ended already is what was wanted.
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
    }

    /// Replaces the handshake signatures that the media server expects.
    ///
    /// # Errors
    /// [`Failure::Checked`] when the server is gone, or is not the media server.
    pub fn replace_handshake(&mut self, values: &[Signature]) -> Result<(), Failure> {
        let gone = || Failure::Checked("the media server does not take signatures".to_owned());
        let writer = self.handshake.as_mut().ok_or_else(gone)?;
        send_values(writer, values).map_err(failure)
    }

    /// The process that signs for it, unless it has no TLS of its own.
    #[must_use]
    pub fn sign_id(&self) -> Option<u32> {
        self.sign.as_ref().map(|sign| sign.0.id())
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; the exit status, if there is one.
    #[must_use]
    pub fn exit_status(&mut self) -> Option<i32> {
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Waits for the end and explains a status that is not zero.
    ///
    /// # Errors
    /// [`Failure::Checked`] with what the status means.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().map_err(failure)?;
        self.end_sign();
        if status.success() {
            return Ok(());
        }
        let meaning = match status.code() {
            Some(64) => "its descriptors are wrong",
            Some(65) => "its settings are wrong; `ward check-config` names each problem",
            Some(66) => "its certificate or key is unusable",
            Some(67) => "the operating system refused something",
            Some(68) => "a layer of its cell is missing; the event `cell_refused` names it",
            _ => "it ended unexpectedly",
        };
        Err(Failure::Checked(format!("ward-{}: {meaning} ({status})", self.role.name())))
    }

    /// Waits at most `patience`, then ends the process.
    pub fn stop(&mut self, patience: Duration) {
        self.terminate();
        let steps = patience.as_millis() / 10;
        for _ in 0..steps {
            if !matches!(self.child.try_wait(), Ok(None)) {
                self.end_sign();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Both can only fail because the process is gone.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        self.end_sign();
    }

    /// Nobody is left to sign for.
    fn end_sign(&mut self) {
        drop(self.sign.take());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::from_millis(500));
    }
}

/// Reads log lines until the server says `wanted`; what signs for it does not count.
///
/// # Errors
/// [`Failure::Checked`] when it ends first: what its status means, and what it said last.
pub fn await_event(
    server: &mut Server,
    log: &mut LogLines,
    wanted: &str,
) -> Result<Vec<Line>, Failure> {
    let mut lines: Vec<Line> = Vec::new();
    for line in log.by_ref() {
        let is_wanted = line.is_event(wanted) && line.role != Role::Sign;
        lines.push(line);
        if is_wanted {
            return Ok(lines);
        }
    }
    let role = server.role.name();
    let ended = server.wait().err().map_or_else(
        || format!("ward-{role} ended before it said {wanted}"),
        |failure| failure.to_string(),
    );
    let said: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    Err(Failure::Checked([vec![ended], said].concat().join("\n")))
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

/// Both ends of a channel that keeps messages apart and says when the other end is gone.
fn channel() -> std::io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// A document in memory, at its beginning.
fn document(name: &str, text: &str) -> Result<OwnedFd, Failure> {
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC);
    let mut file = File::from(memory.map_err(|error| failure(error.into()))?);
    file.write_all(text.as_bytes()).map_err(failure)?;
    file.rewind().map_err(failure)?;
    Ok(file.into())
}

fn send_values(writer: &mut UnixStream, values: &[Signature]) -> std::io::Result<()> {
    let mut document = Secret::new(String::new());
    for value in values {
        document.expose_mut().push_str(&value.to_base64());
        document.expose_mut().push('\n');
    }
    document.expose_mut().push('\n');
    writer.write_all(document.expose().as_bytes())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: std::io::Error) -> Failure {
    Failure::Checked(format!("the operating system refused: {error}"))
}
