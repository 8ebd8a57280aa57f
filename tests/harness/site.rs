//! Whoever answers the webhook: Ward's responder, or the Next.js host behind a platform's TLS.
//!
//! Both are started as they ship and reached in the same way, so that one test can ask both.

use std::fmt;
use std::io::{BufReader, PipeReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use ward_policy::audit::Role;

use crate::binaries::root;
use crate::logs::Logs;
use crate::servers::{ACCOUNT, Running, TOKEN};
use crate::tls_front;

/// The two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ward-twiml`.
    Responder,
    /// `apps/web` under `next start`.
    Web,
}

impl Kind {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Responder, Self::Web];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Responder => "ward-twiml",
            Self::Web => "apps/web",
        })
    }
}

/// A running one.
#[derive(Debug)]
pub struct Site {
    /// Which it is.
    pub kind: Kind,
    /// Its TLS port on 127.0.0.1.
    pub port: u16,
    /// What it has logged.
    pub logs: Logs,
    /// How many webhooks it has refused, by its log.
    refusals: AtomicUsize,
    process: Process,
}

#[derive(Debug)]
enum Process {
    Responder { running: Running },
    Web { next: Next },
}

/// `next start`; ended with its group when dropped.
#[derive(Debug)]
struct Next(Child);

impl Drop for Next {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Site {
    /// Starts it with the settings of every test and `more`, in which `{port}` stands for its own port.
    #[must_use]
    pub fn start(kind: Kind, more: &str) -> Self {
        match kind {
            Kind::Responder => {
                let running = Running::twiml(more);
                let (port, logs) = (running.port, running.logs.clone());
                Self {
                    kind,
                    port,
                    logs,
                    refusals: AtomicUsize::new(0),
                    process: Process::Responder { running },
                }
            }
            Kind::Web => {
                let (front, port) = tls_front::listen();
                let inside = free_port();
                let (child, output) = next(inside, &more.replace("{port}", &port.to_string()));
                let logs = Logs::collect_among_other_lines(BufReader::new(output));
                let next = Next(child);
                drop(logs.first("started"));
                await_listener(inside);
                tls_front::serve(front, inside);
                Self {
                    kind,
                    port,
                    logs,
                    refusals: AtomicUsize::new(0),
                    process: Process::Web { next },
                }
            }
        }
    }

    /// Waits for the line about a webhook that it has just refused; the reason.
    ///
    /// Every refusal must be waited for, or the next is taken for it.
    #[must_use]
    pub fn refused_because(&self) -> String {
        let number = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
        self.logs.nth("refused", number)["reason"].as_str().unwrap().to_owned()
    }

    /// How many descriptors the process has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let id = match &self.process {
            Process::Responder { running } => running.id(),
            Process::Web { next } => next.0.id(),
        };
        std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
    }

    /// The exit status of one that is to refuse its settings, and what it logged.
    #[must_use]
    pub fn refused(kind: Kind, more: &str) -> (Option<i32>, String) {
        if kind == Kind::Responder {
            return (Running::refused_status(Role::Twiml, more), String::new());
        }
        let (child, mut output) = next(free_port(), more);
        let mut next = Next(child);
        let until = Instant::now() + Duration::from_secs(20);
        let mut status = None;
        while status.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
            status = next.0.try_wait().unwrap();
        }
        // One that started after all must end before its log does.
        drop(next);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        (status.and_then(|status| status.code()), text)
    }
}

fn next(port: u16, more: &str) -> (Child, PipeReader) {
    let folder = built();
    let mut command = Command::new("node");
    command.current_dir(&folder).arg("node_modules/next/dist/bin/next");
    command.args(["start", "--hostname", "127.0.0.1", "--port", &port.to_string()]);
    // Nothing of this process's environment decides a test.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("NODE_ENV", "production").env("NEXT_TELEMETRY_DISABLED", "1");
    for (name, value) in [
        ("MEDIA_WSS_URL", "wss://media.example.com"),
        ("NEXT_PUBLIC_SITE_URL", "https://www.example.com"),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
    ] {
        command.env(name, value);
    }
    for (name, value) in more.lines().filter_map(|line| line.split_once('=')) {
        command.env(name, value);
    }
    // What it writes as an error is a log as well.
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    (command.spawn().expect("node runs"), reader)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn await_listener(port: u16) {
    let until = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "next start does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `apps/web`, built from the sources as they are now.
fn built() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let folder = root().join("apps/web");
    BUILT.get_or_init(|| {
        let stamp = folder.join(".next/sources.sha256");
        let digest = digest_of_sources();
        if std::fs::read_to_string(&stamp).is_ok_and(|known| known == digest) {
            return;
        }
        for arguments in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
            let mut npm = Command::new("npm");
            npm.args(arguments).current_dir(&folder).env("NEXT_TELEMETRY_DISABLED", "1");
            let output = npm.output().expect("npm runs");
            let is_fine = output.status.success();
            let text =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(is_fine, "npm {arguments:?} failed:\n{text}");
        }
        std::fs::write(&stamp, digest).unwrap();
    });
    folder
}

fn digest_of_sources() -> String {
    let mut files = Vec::new();
    let mut folders = vec![root().join("apps/web")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Neither what is installed, nor what is built, nor what the build writes anew.
            let is_source = !matches!(&*name, "node_modules" | ".next" | ".out" | "next-env.d.ts")
                && !name.ends_with(".tsbuildinfo");
            if is_source && entry.path().is_dir() {
                folders.push(entry.path());
            } else if is_source {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let mut context = Context::new(&SHA256);
    for file in files {
        context.update(file.as_os_str().as_encoded_bytes());
        context.update(&std::fs::read(&file).unwrap());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
