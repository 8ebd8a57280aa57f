//! Whether a value, or a piece of it, lies in the memory of a process.
//!
//! A scan stops the process, reads every readable mapping through `/proc/PID/mem`, and looks for pieces of the
//! values it was told: the bytes themselves, and their base64 wherever it may begin in a group of three. A piece
//! that is as long as the value's window is found wherever it begins, in the value and in memory.
//!
//! A scan does not see the registers of a thread, what the kernel holds (the buffers of sockets and pipes, a
//! stopped thread's saved registers), pages of `memfd_secret`, which nobody but their owner can read, or values
//! that are changed in any other way: encrypted, compressed, spread out. It never writes to a process.
//!
//! Reading another user's memory, or that of a process that is not dumpable, needs root. Without it a scan
//! panics and says so: what was not looked at is no proof.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustix::process::{Pid, Signal, kill_process};

/// A piece of a text counts from this many bytes on: shorter ones occur by chance.
pub const TEXT_WINDOW: usize = 12;
/// A piece of audio counts from this many bytes on: 8 ms, in which there is no word.
pub const AUDIO_WINDOW: usize = 64;

/// What is looked up first: eight bytes of a value. Memory is sampled every four, so a piece of eleven has
/// such a key at a sampled place, wherever it begins.
const KEY_BYTES: usize = 8;
/// See [`KEY_BYTES`].
const STRIDE: usize = 4;
/// Bits of the table that tells nearly all places in memory apart from keys at once.
const FILTER_BITS: u32 = 22;

const PAGE: usize = 4_096;

/// How a value was written where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Plain,
    /// In base64, after so many bytes of its first group of three.
    Base64(usize),
}

/// A value in one form, kept inverted: a scan of this very process must find the values, not the scanner.
struct Needle {
    name: String,
    form: Form,
    inverted: Vec<u8>,
    window: usize,
}

/// The values to look for.
#[derive(Default)]
pub struct Needles {
    needles: Vec<Needle>,
    /// Each eight bytes of each needle, with the needle's index and the place in it; sorted.
    keys: Vec<(u64, u32, u32)>,
    filter: Vec<u64>,
}

impl fmt::Debug for Needles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.needles.iter().map(|needle| needle.name.as_str()).collect();
        f.debug_tuple("Needles").field(&names).finish()
    }
}

fn filter_place(key: u64) -> (usize, u64) {
    let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS);
    (usize::try_from(hash / 64).unwrap(), 1 << (hash % 64))
}

fn key_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + KEY_BYTES].try_into().unwrap())
}

impl Needles {
    /// Text values, each under its name, of which [`TEXT_WINDOW`] bytes in a row count.
    #[must_use]
    pub fn texts(values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(name, value)| (*name, value.as_bytes(), TEXT_WINDOW));
        Self::of(values)
    }

    /// Values, each under its name and with how many bytes of it in a row count.
    #[must_use]
    pub fn of<'v>(values: impl IntoIterator<Item = (&'v str, &'v [u8], usize)>) -> Self {
        let mut all = Self::default();
        for (name, value, window) in values {
            assert!(window >= KEY_BYTES + STRIDE - 1, "{name}: such short pieces are not found");
            assert!(value.len() >= window, "{name} is shorter than its window");
            all.add(name, Form::Plain, value, window);
            for alignment in 0..3 {
                let base64 = inner_base64(value, alignment);
                all.add(name, Form::Base64(alignment), base64.as_bytes(), window);
            }
        }
        all.keys.sort_unstable();
        all.filter = vec![0; 1 << (FILTER_BITS - 6)];
        for (key, ..) in &all.keys {
            let (word, bit) = filter_place(*key);
            all.filter[word] |= bit;
        }
        all
    }

    fn add(&mut self, name: &str, form: Form, value: &[u8], window: usize) {
        let needle = u32::try_from(self.needles.len()).unwrap();
        for (place, key) in value.windows(KEY_BYTES).enumerate() {
            self.keys.push((key_at(key, 0), needle, u32::try_from(place).unwrap()));
        }
        let inverted = value.iter().map(|byte| !byte).collect();
        self.needles.push(Needle { name: name.to_owned(), form, inverted, window });
    }

    /// Every piece in `memory`, which begins at `address`.
    fn find(&self, memory: &[u8], address: u64, hits: &mut Vec<Hit>) {
        // Where each needle was last found: the next places there are the same piece.
        let mut last: BTreeMap<u32, Range<usize>> = BTreeMap::new();
        let mut at = 0;
        while at + KEY_BYTES <= memory.len() {
            let key = key_at(memory, at);
            let (word, bit) = filter_place(key);
            if self.filter[word] & bit != 0 {
                let first = self.keys.partition_point(|(known, ..)| *known < key);
                for (_, needle, place) in self.keys[first..].iter().take_while(|k| k.0 == key) {
                    if last.get(needle).is_some_and(|range| range.contains(&at)) {
                        continue;
                    }
                    let one = &self.needles[usize::try_from(*needle).unwrap()];
                    let range = one.extent(memory, at, usize::try_from(*place).unwrap());
                    if range.len() >= one.window {
                        hits.push(Hit {
                            name: one.name.clone(),
                            form: one.form,
                            address: address + u64::try_from(range.start).unwrap(),
                            length: range.len(),
                            mapping: String::new(),
                        });
                        last.insert(*needle, range);
                    }
                }
            }
            at += STRIDE;
        }
    }
}

impl Needle {
    /// How far memory and needle agree around `at`, where the needle's byte `place` lies.
    fn extent(&self, memory: &[u8], at: usize, place: usize) -> Range<usize> {
        let agree = |(one, other): &(&u8, &u8)| **one == !**other;
        let before = memory[..at].iter().rev().zip(self.inverted[..place].iter().rev());
        let after = memory[at..].iter().zip(&self.inverted[place..]);
        at - before.take_while(agree).count()..at + after.take_while(agree).count()
    }
}

/// The characters of `value` in base64 that no neighbour decides, if `before` bytes of its first group of three
/// belong to another.
#[must_use]
pub fn inner_base64(value: &[u8], before: usize) -> String {
    let text = STANDARD_NO_PAD.encode([&vec![0; before][..], value].concat());
    let (first, end) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
    text[first..end].to_owned()
}

/// A piece that was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit {
    /// The value's name.
    pub name: String,
    /// How it is written there.
    pub form: Form,
    /// Where it begins.
    pub address: u64,
    /// How many bytes lie there.
    pub length: usize,
    /// What the kernel calls the mapping, with its permissions.
    pub mapping: String,
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, form, address, length, mapping } = self;
        write!(f, "{length} bytes of {name} ({form:?}) at {address:x} in {mapping}")
    }
}

/// What one scan saw.
#[derive(Debug)]
pub struct Scan {
    /// Every piece.
    pub hits: Vec<Hit>,
    /// How many bytes were read.
    pub bytes: usize,
    /// For how long the process was stopped.
    pub took: Duration,
}

impl Scan {
    /// The pieces of one value.
    #[must_use]
    pub fn of(&self, name: &str) -> Vec<&Hit> {
        self.hits.iter().filter(|hit| hit.name == name).collect()
    }

    /// Whether a piece of this value was found.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.hits.iter().any(|hit| hit.name == name)
    }
}

/// Reads the memory of process `id`, which is stopped meanwhile unless it is this one.
///
/// # Panics
/// When the memory cannot be read. A server's needs root.
#[must_use]
pub fn scan(id: u32, needles: &Needles) -> Scan {
    let path = format!("/proc/{id}/mem");
    let memory = File::open(&path).unwrap_or_else(|error| {
        panic!("{path}: {error}. This test reads the memory of another process and needs root")
    });
    let begin = Instant::now();
    let stopped = (id != std::process::id()).then(|| Stopped::new(id));
    let (mut hits, mut bytes) = (Vec::new(), 0);
    for region in regions(id) {
        let (content, read) = region.read(&memory);
        bytes += read;
        let before = hits.len();
        needles.find(&content, region.from, &mut hits);
        for hit in &mut hits[before..] {
            hit.mapping = region.name_at(hit.address);
        }
    }
    drop(stopped);
    assert!(bytes > 64 * PAGE, "only {bytes} bytes of process {id} could be read");
    Scan { hits, bytes, took: begin.elapsed() }
}

/// Every piece in `memory`: that of a whole machine, for instance, as its hypervisor sees it. Addresses count from its first byte.
///
/// Pages that a process has in a row may lie anywhere: a piece that goes on over the end of a page counts as two.
#[must_use]
pub fn scan_bytes(memory: &[u8], needles: &Needles) -> Vec<Hit> {
    let mut hits = Vec::new();
    needles.find(memory, 0, &mut hits);
    hits
}

/// Scans until `is_wanted`; no scan begins after `patience`. The last scan, and when it began.
#[must_use]
pub fn scan_until(
    id: u32,
    needles: &Needles,
    patience: Duration,
    is_wanted: impl Fn(&Scan) -> bool,
) -> (Scan, Duration) {
    let begin = Instant::now();
    loop {
        let began = begin.elapsed();
        let last = scan(id, needles);
        // The process must have time for what it does between two scans.
        let pause = Duration::from_millis(10);
        if is_wanted(&last) || begin.elapsed() + pause > patience {
            return (last, began);
        }
        std::thread::sleep(pause);
    }
}

/// How much of process `id` is in memory, in bytes.
#[must_use]
pub fn resident_bytes(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it lives");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1_024
}

/// Readable mappings without a hole between them: a piece may lie across their border.
struct Region {
    from: u64,
    to: u64,
    names: Vec<(u64, String)>,
}

fn regions(id: u32) -> Vec<Region> {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let mut regions: Vec<Region> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, mode) = (words.next().unwrap(), words.next().unwrap());
        if !mode.starts_with('r') {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let name = format!("{} {mode}", words.nth(3).unwrap_or("anonymous"));
        match regions.last_mut() {
            Some(region) if region.to == from => {
                region.to = to;
                region.names.push((from, name));
            }
            _ => regions.push(Region { from, to, names: vec![(from, name)] }),
        }
    }
    regions
}

impl Region {
    /// Its content, zero where it cannot be read, and how much was.
    fn read(&self, memory: &File) -> (Vec<u8>, usize) {
        let mut content = vec![0; usize::try_from(self.to - self.from).unwrap()];
        let (mut at, mut read) = (0, 0);
        while at < content.len() {
            let address = self.from + u64::try_from(at).unwrap();
            match memory.read_at(&mut content[at..], address) {
                Ok(count) if count > 0 => {
                    at += count;
                    read += count;
                }
                // The kernel's own pages, and those of `memfd_secret`.
                _ => at = (at / PAGE + 1) * PAGE,
            }
        }
        (content, read)
    }

    fn name_at(&self, address: u64) -> String {
        let name = self.names.iter().rev().find(|(from, _)| *from <= address);
        name.map_or_else(String::new, |(_, name)| name.clone())
    }
}

/// A process that does nothing until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(id: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let stopped = Self(pid);
        let until = Instant::now() + Duration::from_secs(5);
        while !has_stopped(id) {
            assert!(Instant::now() < until, "process {id} does not stop");
            std::thread::yield_now();
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It can only be gone.
        kill_process(self.0, Signal::CONT).unwrap_or_default();
    }
}

/// Whether every thread has.
fn has_stopped(id: u32) -> bool {
    std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten().all(|thread| {
        let mut status = String::new();
        let file = File::open(thread.path().join("stat"));
        let read = file.and_then(|mut file| file.read_to_string(&mut status));
        // The state stands after the name, which may hold anything.
        read.is_err() || status.rsplit(") ").next().unwrap().starts_with(['T', 't', 'Z', 'X'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};

    use crate::random::fresh;

    /// `cat`: holds what it has last copied, and nothing else of ours.
    struct Holder(Child);

    impl Holder {
        fn new() -> Self {
            let mut command = Command::new("cat");
            Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
        }

        fn hold(&mut self, bytes: &[u8]) {
            self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
            let mut back = vec![0; bytes.len()];
            self.0.stdout.as_mut().unwrap().read_exact(&mut back).unwrap();
            assert_eq!(back, bytes);
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            drop((self.0.kill(), self.0.wait()));
        }
    }

    #[test]
    fn a_value_is_found_plain_and_in_base64_and_gone_once_overwritten() {
        let (text, audio) = (fresh::<40>(), fresh::<4_000>());
        let needles =
            Needles::of([("text", &text[..], TEXT_WINDOW), ("audio", &audio[..], AUDIO_WINDOW)]);
        let mut holder = Holder::new();
        let mut check = |content: &[u8], name: &str, expected: &[Form]| {
            let mut whole = vec![b'.'; 8_192];
            whole[1_001..1_001 + content.len()].copy_from_slice(content);
            holder.hold(&whole);
            let found = scan(holder.0.id(), &needles);
            let mut forms: Vec<Form> = found.of(name).iter().map(|hit| hit.form).collect();
            forms.sort();
            forms.dedup();
            assert_eq!(forms, expected, "{name}: {found:?}");
            assert_eq!(found.hits.len(), found.of(name).len(), "{found:?}");
        };
        for (name, value, window) in
            [("text", &text[..], TEXT_WINDOW), ("audio", &audio, AUDIO_WINDOW)]
        {
            check(value, name, &[Form::Plain]);
            for before in 0..3 {
                let base64 = STANDARD.encode([&b"abc"[..before], value, b"xyz"].concat());
                check(base64.as_bytes(), name, &[Form::Base64(before)]);
            }
            check(&[], name, &[]);
            // A piece of the window's length, wherever it is cut out and wherever it lies; never a shorter one.
            for from in 0..9 {
                check(&value[from..from + window], name, &[Form::Plain]);
                check(
                    &[b"x".repeat(from), value[9..9 + window].to_vec()].concat(),
                    name,
                    &[Form::Plain],
                );
                check(&value[from..from + window - 1], name, &[]);
            }
        }
    }

    #[test]
    fn this_process_holds_its_value_where_it_lies_and_the_scanner_does_not() {
        let mut value = Box::new(fresh::<64>());
        let needles = Needles::of([("value", &value[..], TEXT_WINDOW)]);
        let address = u64::try_from(value.as_ptr().expose_provenance()).unwrap();
        let at = |found: &Scan| {
            found.hits.iter().any(|hit| (hit.address, hit.length) == (address, value.len()))
        };
        assert!(at(&scan(std::process::id(), &needles)));
        value.fill(0);
        let found = scan(std::process::id(), &needles);
        assert!(!found.hits.iter().any(|hit| hit.address == address), "{found:?}");
        // Making the needles left copies where it worked; the needles themselves are none.
        for needle in &needles.needles {
            let lies = needle.inverted.as_ptr_range();
            let lies = [lies.start, lies.end].map(|at| at.expose_provenance() as u64);
            let is_inside = |hit: &Hit| (lies[0]..lies[1]).contains(&hit.address);
            assert!(!found.hits.iter().any(is_inside), "{found:?}");
        }
    }

    #[test]
    fn characters_that_a_neighbour_decides_are_left_out() {
        for before in 0..3 {
            let inner = inner_base64(b"one value of many", before);
            for (left, right) in [(b"abc", b"xyz"), (b"\0\xFF\x80", b"\xFF\0\x01")] {
                let whole = [&left[..before], b"one value of many", right].concat();
                assert!(STANDARD.encode(whole).contains(&inner), "{before}");
            }
            assert!(inner.len() >= 22, "{inner}");
        }
    }

    #[test]
    fn a_process_is_stopped_while_it_is_read_and_goes_on_after() {
        let mut holder = Holder::new();
        let stopped = Stopped::new(holder.0.id());
        assert!(has_stopped(holder.0.id()));
        drop(stopped);
        holder.hold(b"it goes on");
    }

    #[test]
    fn memory_that_may_not_be_read_is_a_failure_and_no_proof() {
        if !rustix::process::geteuid().is_root() {
            let needles = Needles::texts(&[("value", "in no process at all")]);
            let refused = std::panic::catch_unwind(|| scan(1, &needles)).unwrap_err();
            assert!(refused.downcast_ref::<String>().unwrap().contains("needs root"));
            return;
        }
        // Root may read anything, so this very test is asked again as somebody else.
        let name = "memory::tests::memory_that_may_not_be_read_is_a_failure_and_no_proof";
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(std::env::current_exe().unwrap()).args(["--exact", name]);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
