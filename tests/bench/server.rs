//! Starts one server at a time on its own core and reads what the kernel says of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use ward::development_ca::{DevelopmentCa, Identity};
use ward::launch::{self, await_start, launch, listen};
use ward::settings::AllSettings;
use ward::vendors::Vendors;
use ward_policy::audit::Role;

use crate::generator::Load;
use crate::line::Target;
use crate::report::Row;
use crate::vendors::Vendors as VendorsOfLoad;

/// Whom to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ServerKind {
    WardMedia,
    TokioTungstenite,
    TokioTungsteniteTuned,
    NodeWs,
    PythonWebsockets,
}

impl ServerKind {
    pub(crate) const ALL: &[Self] = &[
        Self::WardMedia,
        Self::TokioTungstenite,
        Self::TokioTungsteniteTuned,
        Self::NodeWs,
        Self::PythonWebsockets,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WardMedia => "ward-media",
            Self::TokioTungstenite => "tokio-tungstenite",
            Self::TokioTungsteniteTuned => "tokio-tungstenite-tuned",
            Self::NodeWs => "node-ws",
            Self::PythonWebsockets => "python-websockets",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Python is overloaded beyond this; a saturated server's figures compare with nothing.
    pub(crate) const fn calls_max(self) -> usize {
        match self {
            Self::PythonWebsockets => 250,
            _ => usize::MAX,
        }
    }
}

/// Certificates, programs and cores.
pub(crate) struct Bench {
    folder: PathBuf,
    ca: DevelopmentCa,
    root: PathBuf,
    server_core: usize,
    generator_core: usize,
    vendors_core: usize,
}

/// A server that runs.
pub(crate) enum Running {
    Ward(Box<launch::Server>, std::thread::JoinHandle<()>),
    Peer(Child),
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Ward(server, _) => server.process(Role::Media).unwrap_or_default(),
            Self::Peer(child) => child.id(),
        }
    }

    pub(crate) fn stop(self) {
        match self {
            Self::Ward(mut server, log) => {
                server.stop(Duration::from_secs(2));
                drop(log.join());
            }
            Self::Peer(mut child) => {
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

impl Bench {
    pub(crate) fn prepare() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace")?.to_owned();
        let folder = std::env::temp_dir().join(format!("ward-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let ca = DevelopmentCa::new().map_err(|error| error.to_string())?;
        let identity = ca.issue(&["localhost"]).map_err(|error| error.to_string())?;
        fs::write(folder.join("chain.pem"), &identity.chain).map_err(|error| error.to_string())?;
        fs::write(folder.join("key.pem"), identity.key.expose()).map_err(|e| e.to_string())?;
        let cores = sched_getaffinity(None).map_err(|error| error.to_string())?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect();
        let [.., server_core, generator_core] = cores.as_slice() else {
            return Err("two cores are needed".to_owned());
        };
        let (server_core, generator_core) = (*server_core, *generator_core);
        // Beside the generator where there is no third one.
        let vendors_core = cores.iter().rev().nth(2).copied().unwrap_or(generator_core);
        let bench = Self { folder, ca, root, server_core, generator_core, vendors_core };
        bench.pin(bench.generator_core)?;
        Ok(bench)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Who vouches for every certificate of the run.
    pub(crate) fn certificate(&self) -> String {
        self.ca.certificate()
    }

    fn pin(&self, core: usize) -> Result<(), String> {
        pin_to(core).map_err(|error| error.to_string())
    }

    /// Scripted vendors, on a core that is not the server's.
    pub(crate) fn start_vendors(&self) -> Result<VendorsOfLoad, String> {
        let core = self.vendors_core;
        VendorsOfLoad::start(&self.ca, move || pin_to(core).unwrap_or_default())
    }

    /// The media server with `vendors` and `more` settings, on the server's core.
    pub(crate) fn start_conversation(
        &self,
        vendors: Vendors,
        more: &str,
    ) -> Result<(u16, Running), String> {
        self.pin(self.server_core)?;
        let started = self.start_ward(vendors, more);
        self.pin(self.generator_core)?;
        started
    }

    /// Starts `kind`, loads it with `calls` calls for `window`, and says what was seen.
    pub(crate) fn measure(
        &self,
        kind: ServerKind,
        calls: usize,
        window: Duration,
    ) -> Result<Row, String> {
        // Children inherit the core of whoever starts them.
        self.pin(self.server_core)?;
        let (port, running) = self.start(kind)?;
        self.pin(self.generator_core)?;
        let id = running.id();
        let row = self.load(kind, port, id, calls, window);
        running.stop();
        row
    }

    fn load(
        &self,
        kind: ServerKind,
        port: u16,
        id: u32,
        calls: usize,
        window: Duration,
    ) -> Result<Row, String> {
        let target = Target { port, ca: self.ca.certificate() };
        // One call warms up allocators, code and caches before the empty size is read.
        drop(Load::connect(&target, 1)?);
        std::thread::sleep(Duration::from_millis(300));
        let empty_kib = resident_kib(id)?;
        let mut load = Load::connect(&target, calls)?;
        std::thread::sleep(Duration::from_millis(500));
        let idle_kib = resident_kib(id)?;
        load.run(Duration::from_secs(2));
        let before = cpu_time(id)?;
        let mut seen = load.run(window);
        let cpu = cpu_time(id)?.saturating_sub(before);
        let loaded_kib = resident_kib(id)?;
        let lost = load.settle();
        let per_call = |kib: u64| kib.saturating_sub(empty_kib) as f64 / calls as f64;
        Ok(Row {
            kind,
            calls,
            cpu_us_per_frame: cpu.as_secs_f64() * 1e6 / seen.echoed.max(1) as f64,
            p50_ms: seen.percentile_ms(50.0),
            p99_ms: seen.percentile_ms(99.0),
            rss_kib_per_call: per_call(loaded_kib),
            idle_rss_kib_per_call: per_call(idle_kib),
            late_ticks: seen.late_ticks,
            echoed: seen.echoed,
            lost,
            crossed: seen.crossed,
            cipher: load.cipher(),
        })
    }

    fn start(&self, kind: ServerKind) -> Result<(u16, Running), String> {
        let chain = self.folder.join("chain.pem");
        let key = self.folder.join("key.pem");
        let peers = self.root.join("tests/bench/peers");
        let port = free_port()?;
        let mut command = match kind {
            ServerKind::WardMedia => {
                return self.start_ward(Vendors::built_in(), "MEDIA_AGENT=echo\n");
            }
            ServerKind::TokioTungstenite | ServerKind::TokioTungsteniteTuned => {
                let mut command = Command::new(peers.join("target/release/peer-tokio-tungstenite"));
                let is_tuned = kind == ServerKind::TokioTungsteniteTuned;
                command.arg(if is_tuned { "tuned" } else { "plain" });
                command
            }
            ServerKind::NodeWs => {
                let mut command = Command::new("node");
                command.arg(peers.join("node-ws/server.js"));
                command
            }
            ServerKind::PythonWebsockets => {
                let mut command = Command::new("python3");
                command.arg(peers.join("python-websockets/server.py"));
                command.env("PYTHONPATH", self.root.join("tests/.cache/python-websockets"));
                command
            }
        };
        command.arg(port.to_string()).arg(chain).arg(key).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{}: {error}", kind.name()))?;
        await_port(port)?;
        Ok((port, Running::Peer(child)))
    }

    fn start_ward(&self, vendors: Vendors, more: &str) -> Result<(u16, Running), String> {
        let read = |name: &str| {
            fs::read_to_string(self.folder.join(name)).map_err(|error| error.to_string())
        };
        let listeners = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1)
            .map_err(|error| error.to_string())?;
        let port = listeners[0].local_addr().map_err(|error| error.to_string())?.port();
        let settings = AllSettings::from_document(&format!(
            "MEDIA_WSS_URL=wss://localhost\nNEXT_PUBLIC_SITE_URL=https://localhost\n\
             TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\nTWILIO_AUTH_TOKEN=12345\n\
             {more}"
        ));
        let followed =
            settings.followed(Role::Media).map_err(|problems| format!("{problems:?}"))?;
        let executable = std::env::var("WARD_MEDIA")
            .map_or_else(|_| self.root.join("target/release/ward-media"), PathBuf::from);
        let plan = launch::Plan {
            role: Role::Media,
            target: launch::target(),
            executable: Some(executable),
            listeners,
            settings: settings.media_document(),
            identity: Some(Identity {
                chain: read("chain.pem")?,
                key: ward_policy::phi::Secret::new(read("key.pem")?),
                source: ward_policy::certificate::CertificateSource::Files,
            }),
            acme: None,
            followed,
            vendors: Some(vendors),
        };
        let (mut server, mut log) = launch(plan).map_err(|error| error.to_string())?;
        await_start(&mut server, &mut log).map_err(|error| error.to_string())?;
        // The log is read, as it would be in production, and thrown away.
        let reader = std::thread::spawn(move || {
            let is_wanted = std::env::var_os("WARD_BENCH_LOG").is_some();
            log.for_each(|line| {
                if is_wanted {
                    eprintln!("{}", line.text);
                }
            });
        });
        Ok((port, Running::Ward(Box::new(server), reader)))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn pin_to(core: usize) -> Result<(), rustix::io::Errno> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

fn free_port() -> Result<u16, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn await_port(port: u16) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("nothing listens on port {port}"))
}

/// Time on a processor of every thread, in nanoseconds: the first number of `schedstat`.
pub(crate) fn cpu_time(id: u32) -> Result<Duration, String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).map_err(|error| error.to_string())?;
    let mut total = 0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        total += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}

pub(crate) fn resident_kib(id: u32) -> Result<u64, String> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().map_err(|_| "no number in VmRSS".to_owned())
}
