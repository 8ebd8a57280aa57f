//! What every launcher does: makes documents and listeners, and starts the supervisor with them.
//!
//! The launcher is the operator's tool on a machine with an operating system, and PID 1 on the image: there is one way to
//! start a cell. What is opened goes on as open descriptors, their numbers on a command line, with an empty environment and
//! nothing else. It judges nothing in them.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::MemfdFlags;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as listen_on, socket_with};
use rustix::net::{socketpair, sockopt};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::limit;
use ward_policy::phi::Secret;

/// Where the supervisor's program is.
#[derive(Debug, Clone)]
pub enum Supervisor {
    /// The running file, which plays every role; its first argument says so.
    Itself(String),
    /// A file of its own, and the server's; the broker's is beside the server's.
    Files {
        /// `ward-init`.
        init: PathBuf,
        /// `ward-media` or `ward-twiml`.
        server: PathBuf,
    },
}

/// What the supervisor is started with.
#[derive(Debug)]
pub struct Start {
    /// Which server.
    pub role: Role,
    /// The kind of machine: which layers each cell must have.
    pub target: Target,
    /// Where the supervisor's program is.
    pub supervisor: Supervisor,
    /// Where the certificate comes from, if there is one.
    pub certificate: Option<CertificateSource>,
    /// Every descriptor, by the name that [`ward_edge::handed::Handed`] knows it by.
    pub handed: Vec<(&'static str, OwnedFd)>,
}

impl Start {
    /// Starts the supervisor, which starts everyone else. Nothing of what was handed down stays open here.
    ///
    /// # Errors
    /// The operating system's.
    pub fn spawn(self) -> io::Result<Child> {
        let mut command = match &self.supervisor {
            Supervisor::Itself(first) => {
                // The running file itself, even if its name has been given to another since.
                let mut command = Command::new("/proc/self/exe");
                command.arg(first);
                command
            }
            Supervisor::Files { init, server } => {
                let mut command = Command::new(init);
                command.arg("supervise").arg(format!("server={}", server.display()));
                command
            }
        };
        command.arg(format!("role={}", self.role.name()));
        // A terminal's Ctrl-C reaches the launcher only, which passes one signal on.
        command.process_group(0);
        command.arg0("ward-init").env_clear();
        // What is inherited could be a terminal or a file; nobody has anything but the log to write to.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.arg(format!("launcher={}", std::process::id()));
        command.arg(format!("target={}", self.target.name()));
        if let Some(certificate) = self.certificate {
            command.arg(format!("certificate={}", certificate.name()));
        }
        for (name, descriptor) in &self.handed {
            command.arg(format!("{name}={}", descriptor.as_raw_fd()));
            rustix::io::fcntl_setfd(descriptor.as_fd(), FdFlags::empty())?;
        }
        command.spawn()
    }
}

/// Opens `count` listeners on one address that share it; port 0 is chosen once.
///
/// # Errors
/// The operating system's.
pub fn listen(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let listener = listen_shared(address)?;
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Connections the kernel completes and holds until they are accepted.
const BACKLOG: i32 = 1_024;

fn listen_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen_on(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// A document in memory, at its beginning.
///
/// # Errors
/// The operating system's.
pub fn document(name: &str, text: &str) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// A document as a process follows it: lines up to an empty one, which therefore cannot stand in it.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`] over [`limit::DOCUMENT_BYTES_MAX`], and the operating system's.
pub fn followed_document(followed: &str) -> io::Result<OwnedFd> {
    let mut text = Secret::new(String::with_capacity(followed.len().saturating_add(2)));
    for line in followed.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        text.expose_mut().push_str(line);
        text.expose_mut().push('\n');
    }
    if text.expose().len() >= limit::DOCUMENT_BYTES_MAX {
        let most = limit::DOCUMENT_BYTES_MAX;
        let what = format!("what is handed over is longer than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    text.expose_mut().push('\n');
    document("followed", text.expose())
}

/// The launcher's and the supervisor's end of the channel on which what is followed is replaced.
///
/// # Errors
/// The operating system's.
pub fn control() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
