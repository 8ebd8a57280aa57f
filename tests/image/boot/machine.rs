//! A virtual machine without help of the processor: QEMU with OVMF, its disk, its console line by line.
//!
//! It ends with the test. It is asked and ordered about through QMP, QEMU's own socket. It never has a way to another
//! machine but the network that a test gives it, and never writes to the image: the disk is a snapshot.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How the machine sees the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// The raw file behind virtio, as KVM clouds do.
    Virtio,
    /// The raw file behind `NVMe`, as AWS does.
    Nvme,
    /// The qcow2 file behind virtio.
    Qcow2,
}

/// What the machine is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) disk: Disk,
    pub(crate) image: PathBuf,
    /// MiB.
    pub(crate) memory: u32,
    /// `opt/…` names and the files behind them.
    pub(crate) fw_cfg: Vec<(String, PathBuf)>,
    /// A tap device of this thread's network.
    pub(crate) tap: Option<String>,
    /// Whether it has a second serial port, on which a drill's program takes orders.
    pub(crate) takes_orders: bool,
    /// Whatever else QEMU is told.
    pub(crate) more: Vec<String>,
}

impl Plan {
    pub(crate) fn new(disk: Disk, image: &Path) -> Self {
        Self {
            disk,
            image: image.to_owned(),
            memory: 256,
            fw_cfg: Vec::new(),
            tap: None,
            takes_orders: false,
            more: Vec::new(),
        }
    }
}

/// A line of the console and when it was complete, since the machine started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) text: String,
}

/// A line that PID 1 wrote: `ward 12.345678 INIT-0103 name=value …`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Seconds since the kernel began.
    pub(crate) seconds: f64,
    pub(crate) code: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Event {
    /// `None` for what PID 1 did not write.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("ward ")?.split(' ');
        let seconds = words.next()?.parse().ok()?;
        let code = words.next()?;
        let (letters, number) = code.split_once('-')?;
        let legal = letters.bytes().all(|b| b.is_ascii_uppercase())
            && number.bytes().all(|b| b.is_ascii_digit());
        let fields =
            words.map(|word| word.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())));
        Some(Self {
            seconds,
            code: legal.then(|| code.to_owned())?,
            fields: fields.collect::<Option<_>>()?,
        })
    }
}

#[derive(Debug, Default)]
struct Console {
    lines: Mutex<(Vec<Line>, bool)>,
    news: Condvar,
}

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    console: Arc<Console>,
    folder: PathBuf,
}

/// Firmware, as Debian's package `ovmf` has it.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The second serial port's socket, in the machine's folder.
const ORDERS: &str = "orders";

impl Machine {
    /// Starts one. `folder` is empty and its own.
    pub(crate) fn start(plan: &Plan, folder: &Path) -> Self {
        let variables = folder.join("variables");
        std::fs::copy(OVMF_VARIABLES, &variables).expect("package ovmf");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "q35,accel=tcg", "-cpu", "max", "-m", &plan.memory.to_string()]);
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        qemu.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={OVMF_CODE}")]);
        qemu.args(["-drive", &format!("if=pflash,format=raw,file={}", variables.display())]);
        let format = if plan.disk == Disk::Qcow2 { "qcow2" } else { "raw" };
        let image = plan.image.display();
        qemu.args(["-drive", &format!("if=none,id=disk,snapshot=on,format={format},file={image}")]);
        let device = if plan.disk == Disk::Nvme { "nvme,serial=ward" } else { "virtio-blk-pci" };
        qemu.args([
            "-device",
            &format!("{device},drive=disk,bootindex=0"),
            "-device",
            "virtio-rng-pci",
        ]);
        if let Some(tap) = &plan.tap {
            qemu.args(["-netdev", &format!("tap,id=net,ifname={tap},script=no,downscript=no")]);
            qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        }
        for (name, file) in &plan.fw_cfg {
            qemu.args(["-fw_cfg", &format!("name={name},file={}", file.display())]);
        }
        let socket = |name| format!("unix:{},server=on,wait=off", folder.join(name).display());
        qemu.args(["-qmp", &socket("qmp")]);
        if plan.takes_orders {
            qemu.args(["-serial", &socket(ORDERS)]);
        }
        qemu.args(&plan.more);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = qemu.spawn().expect("package qemu-system-x86");
        let console = Arc::new(Console::default());
        let (output, filled, started) =
            (child.stdout.take().expect("piped"), Arc::clone(&console), Instant::now());
        std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut raw = Vec::new();
            while reader
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut raw)
                .is_ok_and(|n| n > 0)
            {
                let line = Line { at: started.elapsed(), text: plain(&raw) };
                raw.clear();
                filled.lines.lock().expect("console").0.push(line);
                filled.news.notify_all();
            }
            filled.lines.lock().expect("console").1 = true;
            filled.news.notify_all();
        });
        Self { child, console, folder: folder.to_owned() }
    }

    /// The first line that `wanted` likes, if it comes within `limit` of the machine's start.
    ///
    /// # Panics
    /// With the whole console, if it does not.
    pub(crate) fn wait(&self, what: &str, limit: Duration, wanted: impl Fn(&str) -> bool) -> Line {
        self.wait_past(0, what, limit, wanted)
    }

    /// The same among the lines after the first `past`: what [`Self::lines`] counted before.
    ///
    /// # Panics
    /// As there.
    pub(crate) fn wait_past(
        &self,
        past: usize,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Line {
        let begun = Instant::now();
        let mut state = self.console.lines.lock().expect("console");
        loop {
            if let Some(line) = state.0.iter().skip(past).find(|line| wanted(&line.text)) {
                return line.clone();
            }
            let left = limit.checked_sub(begun.elapsed());
            let Some(left) = left.filter(|_| !state.1) else {
                let all: Vec<_> =
                    state.0.iter().map(|line| format!("{:>9.3?} {}", line.at, line.text)).collect();
                panic!(
                    "{what}: not on the console{}\n{}",
                    if state.1 { ", which ended" } else { "" },
                    all.join("\n")
                );
            };
            state = self.console.news.wait_timeout(state, left).expect("console").0;
        }
    }

    /// Everything that the console has said.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.console.lines.lock().expect("console").0.clone()
    }

    /// Waits for PID 1 to say `code`, among the lines after the first `past`.
    ///
    /// # Panics
    /// As [`Self::wait`].
    pub(crate) fn event_past(&self, past: usize, code: &str, limit: Duration) -> Event {
        let is_it = |text: &str| Event::parse(text).is_some_and(|event| event.code == code);
        Event::parse(&self.wait_past(past, code, limit, is_it).text).expect("an event")
    }

    /// Whether any line after the first `past` has all of these in it.
    pub(crate) fn has_said(&self, past: usize, words: &[&str]) -> bool {
        let lines = self.lines();
        lines.iter().skip(past).any(|line| words.iter().all(|word| line.text.contains(word)))
    }

    /// Has the drill's program do something, which it may not live to answer. The order is on its way while what is given back lives.
    pub(crate) fn tell(&self, order: &str) -> UnixStream {
        let mut socket =
            UnixStream::connect(self.folder.join(ORDERS)).expect("a second serial port");
        writeln!(socket, "{order}").expect("an order");
        socket
    }

    /// The same; its answer, line by line.
    ///
    /// # Panics
    /// When it does not answer.
    pub(crate) fn obey(&self, order: &str) -> Vec<String> {
        let socket = self.tell(order);
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let (mut answer, mut lines) = (Vec::new(), BufReader::new(socket).lines());
        loop {
            match lines.next() {
                Some(Ok(line)) if line.trim_end() == "." => return answer,
                Some(Ok(line)) => answer.push(line.trim_end().to_owned()),
                other => panic!("{order}: {other:?} after {answer:?}\n{}", self.told()),
            }
        }
    }

    /// Everything that the console has said, with its times.
    pub(crate) fn told(&self) -> String {
        let lines = self.lines();
        let lines = lines.iter().map(|line| format!("{:>9.3?} {}\n", line.at, line.text));
        lines.collect()
    }

    /// How QEMU ended, if it did within `limit`.
    pub(crate) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("QEMU") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// One order to QEMU and what it says to it: `system_powerdown`, `pmemsave`, `set_link`.
    pub(crate) fn order(&self, command: &str, arguments: &Value) -> Value {
        let mut socket = UnixStream::connect(self.folder.join("qmp")).expect("QMP");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let mut answers = BufReader::new(socket.try_clone().expect("a socket")).lines();
        let mut answer = || -> Value {
            loop {
                let line = answers.next().expect("an answer").expect("an answer");
                let value: Value = serde_json::from_str(&line).expect("JSON");
                // What happens meanwhile is told in between.
                if value.get("event").is_none() {
                    return value;
                }
            }
        };
        assert!(answer().get("QMP").is_some(), "a greeting");
        for order in [
            json!({ "execute": "qmp_capabilities" }),
            json!({ "execute": command, "arguments": arguments }),
        ] {
            writeln!(socket, "{order}").expect("QMP");
            let said = answer();
            assert!(said.get("error").is_none(), "{command}: {said}");
            if order["execute"] == command {
                return said["return"].clone();
            }
        }
        Value::Null
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// No line of ours is this long; firmware's drawings are cut.
const LINE_BYTES_MAX: u64 = 8_192;

/// A line without what a terminal would make of it.
fn plain(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            // Up to the letter that ends the order.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[test]
fn lines_are_read_without_orders_and_events_by_their_form() {
    assert_eq!(plain(b"\x1b[2J\x1b[01;01Hward 1.5 INIT-0001\r\n"), "ward 1.5 INIT-0001");
    let event = Event::parse("ward 12.345678 INIT-0103 address=10.0.2.15 mtu=1500").unwrap();
    assert_eq!((event.seconds, event.code.as_str()), (12.345_678, "INIT-0103"));
    assert_eq!(event.fields[1], ("mtu".to_owned(), "1500".to_owned()));
    for wrong in
        ["ward", "ward x INIT-0001", "ward 1.0 init-1", "ward 1.0 INIT-0001 word", "[    1.0] ward"]
    {
        assert_eq!(Event::parse(wrong), None, "{wrong}");
    }
}
