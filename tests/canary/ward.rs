//! One run of `ward run`, as an operator starts it, and everything that it lets out.
//!
//! Where it runs is a folder of its own, with its temporary files in it; core dumps are allowed as far as its parent can.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use ward_tests::servers::identity;
use ward_tests::wire::Wire;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which programs.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// The operator's tool.
    pub(crate) tool: PathBuf,
    /// Where the roles' programs are.
    pub(crate) folder: PathBuf,
}

/// Where something could come out, and what did.
#[derive(Debug, Default)]
pub(crate) struct Sinks(pub(crate) BTreeMap<&'static str, Vec<u8>>);

impl Sinks {
    /// Every place that is looked at.
    pub(crate) const ALL: [&'static str; 16] = [
        "log",
        "stderr",
        "answers",
        "frames",
        "vendor",
        "tokens",
        "recogniser",
        "model",
        "voice",
        "tool",
        "metrics",
        "report",
        "processes",
        "core dumps",
        "files",
        "kernel log",
    ];

    pub(crate) fn new() -> Self {
        Self(Self::ALL.into_iter().map(|name| (name, Vec::new())).collect())
    }

    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        let sink = self.0.get_mut(name).unwrap_or_else(|| panic!("no sink {name}"));
        sink.extend_from_slice(bytes);
        sink.push(b'\n');
    }
}

/// Bytes that a thread collects.
#[derive(Debug, Clone, Default)]
struct Collected(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Collected {
    fn from(mut source: impl Read + Send + 'static) -> Self {
        let collected = Self::default();
        let shared = collected.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 64 * 1024];
            while let Ok(count @ 1..) = source.read(&mut chunk) {
                shared.0.0.lock().unwrap().extend_from_slice(&chunk[..count]);
                shared.0.1.notify_all();
            }
        });
        collected
    }

    /// Waits until there is something in it for `find`.
    fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut bytes = self.0.0.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some(found) = find(&text) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in:\n{text}");
            drop(text);
            bytes = self.0.1.wait_timeout(bytes, left).unwrap().0;
        }
    }
}

/// A running server.
pub(crate) struct Ward {
    child: Child,
    role: &'static str,
    folder: PathBuf,
    stdout: Collected,
    stderr: Collected,
    pub(crate) port: u16,
}

/// A folder of this run's own, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = ward_tests::binaries::root().join("target/canary").join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Allows core dumps to this process and what it starts.
pub(crate) fn allow_core_dumps() {
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None }).unwrap();
}

impl Ward {
    /// Starts `program` as the server `role` ("media" or "twiml"), in a folder called `name`, with `settings`
    /// and `more` arguments.
    pub(crate) fn start(
        build: &Build,
        (role, program): (&'static str, &str),
        name: &str,
        settings: &str,
        more: &[&str],
    ) -> Self {
        let (inputs, folder) = (folder(&format!("{name}-inputs")), folder(name));
        let file = |file: &str, text: &str| {
            let path = inputs.join(file);
            std::fs::write(&path, text).unwrap();
            path
        };
        let identity = identity();
        let mut command = Command::new(&build.tool);
        command.args(["run", role, "--workers", "1", "--exec"]).arg(build.folder.join(program));
        command.arg("--env-file").arg(file("env", settings));
        command.arg("--tls-chain").arg(file("chain.pem", &identity.chain));
        command.arg("--tls-key").arg(file("key.pem", identity.key.expose()));
        command.args(more).env_clear().env("TMPDIR", &folder).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = Collected::from(child.stderr.take().unwrap());
        let port = stdout.wait("port", |text| {
            let rest = text.split("listening on 127.0.0.1:").nth(1)?;
            rest.split_once('\n')?.0.parse().ok()
        });
        let ward = Self { child, role, folder, stdout, stderr, port };
        ward.await_event(role, "started", 1);
        ward
    }

    /// Waits for the `number`th line of `role` with this event.
    pub(crate) fn await_event(&self, role: &str, event: &str, number: usize) {
        let part = format!("\"role\":\"{role}\",\"event\":\"{event}\"");
        self.stdout.wait(&format!("{part} number {number}"), |text| {
            (text.matches(&part).count() >= number).then_some(())
        });
    }

    pub(crate) fn count(&self, part: &str) -> usize {
        self.stdout.wait("text", |text| Some(text.matches(part).count()))
    }

    /// Its processes, by what the supervisor says of them, and its own.
    fn processes(&self) -> Vec<(String, u32)> {
        let mut all = BTreeMap::new();
        self.stdout
            .wait("processes", |text| {
                let mut all = Vec::new();
                for line in text.lines().filter(|line| line.contains("\"event\":\"role_started\""))
                {
                    let part = |name: &str, end: char| {
                        let rest = line.split(name).nth(1)?;
                        Some(rest.split(end).next()?.to_owned())
                    };
                    let pid = part("\"pid\":", ',')?.parse().ok()?;
                    all.push((part("\"which\":\"", '"')?, pid));
                }
                Some(all)
            })
            .into_iter()
            .for_each(|(role, pid)| {
                all.insert(role, pid);
            });
        all.insert("launcher".to_owned(), self.child.id());
        all.into_iter().collect()
    }

    fn process(&self) -> u32 {
        self.processes().into_iter().find(|(role, _)| role == self.role).unwrap().1
    }

    /// What anybody may read of its processes: environment, command line, title and messages of each.
    pub(crate) fn look_at_processes(&self, sinks: &mut Sinks) {
        let all = self.processes();
        assert!(all.len() >= 4, "{all:?}");
        for (_, id) in all {
            look_at_process(id, sinks);
        }
    }

    /// Ends the server's process by `signal`, and looks where it could have left a core dump.
    pub(crate) fn abort(&self, signal: Signal, number: usize, sinks: &mut Sinks) {
        let id = self.process();
        // What it calls its root is in nobody else's sight: held open, it outlives the process.
        let places: Vec<File> =
            ["root", "cwd"].map(|what| File::open(format!("/proc/{id}/{what}")).unwrap()).into();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
        self.await_event("init", "role_ended", number);
        for place in places {
            let path = format!("/proc/self/fd/{}/", place.as_raw_fd());
            for (_, bytes) in files_in(Path::new(&path), 1, |name| name.contains("core")) {
                sinks.add("core dumps", &bytes);
            }
        }
        self.await_event(self.role, "started", number + 1);
    }

    /// Ends everything and takes what has come out.
    pub(crate) fn finish(mut self, tool: &Path, sinks: &mut Sinks) -> Vec<u8> {
        self.look_at_processes(sinks);
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{} does not end", self.role);
            std::thread::sleep(Duration::from_millis(5));
        }
        // Its last metrics are its last line.
        self.await_event(self.role, "metrics", 1);
        let log = self.stdout.0.0.lock().unwrap().clone();
        sinks.add("log", &log);
        sinks.add("stderr", &self.stderr.0.0.lock().unwrap());
        for (_, bytes) in files_in(&self.folder, 8, |_| true) {
            sinks.add("files", &bytes);
        }
        let saved = folder("metrics").join("log");
        std::fs::write(&saved, &log).unwrap();
        for more in [&[][..], &["--json"]] {
            let metrics =
                Command::new(tool).arg("metrics").arg(&saved).args(more).output().unwrap();
            assert!(metrics.status.success());
            sinks.add("metrics", &metrics.stdout);
            sinks.add("metrics", &metrics.stderr);
        }
        log
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

pub(crate) fn look_at_process(id: u32, sinks: &mut Sinks) {
    for what in ["environ", "cmdline", "comm", "status"] {
        let path = format!("/proc/{id}/{what}");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        sinks.add("processes", &bytes);
    }
}

/// Every file below `folder`, `deep` folders down, whose name `is_wanted`.
pub(crate) fn files_in(
    folder: &Path,
    deep: usize,
    is_wanted: fn(&str) -> bool,
) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && deep > 1 {
            found.extend(files_in(&path, deep - 1, is_wanted));
        } else if kind.is_file() {
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if is_wanted(&name) {
                found.push((name, std::fs::read(&path).unwrap_or_default()));
            }
        }
    }
    found
}

/// Where the machine keeps core dumps, and what is there since `since`.
pub(crate) fn core_dumps(since: std::time::SystemTime, sinks: &mut Sinks) {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let own = Path::new(pattern.trim()).parent().filter(|path| path.is_absolute());
    let places = ["/var/lib/systemd/coredump", "/var/crash", "/", "/tmp"].map(Path::new);
    for place in places.into_iter().chain(own) {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let is_core = entry.file_name().to_string_lossy().contains("core");
            let is_new = entry.metadata().is_ok_and(|data| {
                data.is_file() && data.modified().is_ok_and(|modified| modified >= since)
            });
            if is_core && is_new {
                sinks.add("core dumps", &std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
}

/// What the kernel has said since it had said `before` bytes.
pub(crate) fn kernel_log() -> Vec<u8> {
    let output = Command::new("dmesg").output().unwrap();
    assert!(output.status.success(), "dmesg needs root");
    output.stdout
}

/// Sends `request` and takes everything that comes back until the end, or until nothing does.
pub(crate) fn ask(port: u16, request: &[u8], sinks: &mut Sinks) {
    let mut wire = Wire::open(port);
    wire.set_patience(Duration::from_secs(7));
    wire.send(request);
    let mut all = Vec::new();
    while let Some(bytes) = wire.receive().filter(|bytes| !bytes.is_empty()) {
        all.extend(bytes);
    }
    sinks.add("answers", &all);
}
