//! What a drill has in the image beside what ships: a program that the kernel starts as PID 1, leaves a child of its own behind that takes
//! orders on the second serial port, and then executes the shipped PID 1 in its place.
//!
//! The image has no shell, so nobody can kill a process in it or look around. Here somebody can, and everything else the machine runs is what
//! ships: the same kernel and stub, the same bytes of each program, started in the same order; PID 1 is the shipped one from its first
//! instruction on, with the arguments and the environment that the kernel gives. The child stays in the root that PID 1 leaves behind, on
//! mounts of its own, so that no process of the machine's finds anything of it but a process more.
//!
//! An order is a line, an answer some lines and one with a full stop. It decides nothing, and is in no image but a test's.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

unsafe extern "C" {
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        bytes: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn tcgetattr(file: c_int, to: *mut c_void) -> c_int;
    fn cfmakeraw(at: *mut c_void);
    fn tcsetattr(file: c_int, when: c_int, from: *const c_void) -> c_int;
}

const SIGKILL: c_int = 9;
const READ_WRITE: c_int = 3;
const READ_WRITE_EXECUTE: c_int = 7;
/// `MAP_PRIVATE | MAP_ANONYMOUS`.
const ANONYMOUS: c_int = 0x22;
/// `O_NOCTTY`.
const NO_TERMINAL: i32 = 0o400;
const PAGE: usize = 4_096;
/// Of memory, in bytes.
const BITE: usize = 1 << 20;

fn main() {
    if std::process::id() == 1 {
        become_ward();
    }
    if std::env::args().nth(1).as_deref() == Some("gorge") {
        gorge();
    }
    take_orders();
}

fn become_ward() {
    for (kind, place) in [(c"proc", c"/proc"), (c"devtmpfs", c"/dev")] {
        // SAFETY: three strings and no data.
        let done = unsafe {
            mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, std::ptr::null())
        };
        assert_eq!(done, 0, "{place:?}");
    }
    let mut child = Command::new("/init");
    child.arg("orders").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    child.spawn().expect("a child");
    let error = Command::new("/ward-init").arg0("/init").exec();
    panic!("{error}");
}

fn take_orders() {
    // It causes what it looks at, and is not to be what ends.
    fs::write("/proc/self/oom_score_adj", "-1000").expect("a place past the last");
    let port = OpenOptions::new().read(true).write(true).custom_flags(NO_TERMINAL).open("/dev/ttyS1");
    let mut port = port.expect("a second serial port");
    let mut settings = [0_u64; 32];
    // SAFETY: `struct termios` has 60 bytes.
    unsafe {
        tcgetattr(port.as_raw_fd(), settings.as_mut_ptr().cast());
        cfmakeraw(settings.as_mut_ptr().cast());
        tcsetattr(port.as_raw_fd(), 0, settings.as_ptr().cast());
    }
    let mut orders = BufReader::new(port.try_clone().expect("a serial port"));
    let mut line = String::new();
    loop {
        line.clear();
        if orders.read_line(&mut line).unwrap_or(0) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let answer = match words[..] {
            ["ps"] => processes(),
            ["kill", name] => end(name),
            ["gorge"] => gorged(),
            ["look"] => look(),
            ["plant"] => plant(),
            _ => "what?\n".to_owned(),
        };
        port.write_all(answer.as_bytes()).unwrap_or_default();
        port.write_all(b".\n").unwrap_or_default();
    }
}

/// Every process with a program: number and command line.
fn all() -> Vec<(c_int, Vec<String>)> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let words = |pid: c_int| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = numbers.map(|pid| (pid, words(pid))).collect();
    all.retain(|(_, words)| !words[0].is_empty());
    all
}

/// What a role's process is called: `media`, `broker`, `supervise`, `net`, …; PID 1 is `init`, and this one `drill`.
fn name_of(pid: c_int, words: &[String]) -> &str {
    match (pid, words[0].as_str()) {
        (1, _) => "init",
        (_, "ward-init") => words.get(1).map_or("", String::as_str),
        (_, "/init") => "drill",
        (_, program) => program.strip_prefix("ward-").unwrap_or(program),
    }
}

fn end(name: &str) -> String {
    let mut answer = String::new();
    for (pid, words) in all() {
        if name_of(pid, &words) == name {
            // SAFETY: two numbers.
            let done = unsafe { kill(pid, SIGKILL) };
            answer += &format!("{pid} {done}\n");
        }
    }
    answer
}

/// Name, KiB resident, the kernel's score and what was added to it.
fn processes() -> String {
    let mut answer = String::new();
    for (pid, words) in all() {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()).unwrap_or("0");
        let (score, added) = (read("oom_score"), read("oom_score_adj"));
        let (name, score, added) = (name_of(pid, &words), score.trim(), added.trim());
        answer += &format!("{name} {resident} {score} {added}\n");
    }
    answer
}

/// Takes memory until it is ended for it. With all of the machine's it stands between media's place and the broker's.
fn gorge() -> ! {
    fs::write("/proc/self/oom_score_adj", "-300").expect("a place in the middle");
    loop {
        // SAFETY: memory that nobody has.
        let at = unsafe { mmap(std::ptr::null_mut(), BITE, READ_WRITE, ANONYMOUS, -1, 0) } as usize;
        for page in (at..at + BITE).step_by(PAGE).filter(|_| at != usize::MAX) {
            // SAFETY: in the memory above.
            unsafe { (page as *mut u8).write_volatile(1) };
        }
    }
}

/// A child that does; its number, and what ended it.
fn gorged() -> String {
    let child = Command::new("/proc/self/exe").arg("gorge").spawn();
    let ended = child.and_then(|mut child| Ok((child.id(), child.wait()?)));
    ended.map_or_else(|error| format!("{error}\n"), |(pid, status)| format!("{pid} {}\n", status.signal().unwrap_or(0)))
}

/// What the shipped PID 1 has for a root, mounts and processes' mappings.
fn look() -> String {
    let mut answer = String::new();
    walk("", &mut answer);
    for line in fs::read_to_string("/proc/1/mounts").unwrap_or_default().lines() {
        answer += &format!("mount {line}\n");
    }
    let written = File::create("/proc/1/root/written").err().and_then(|error| error.raw_os_error());
    answer += &format!("write {}\n", written.unwrap_or(0));
    let (mut processes, mut mappings) = (0, 0);
    for (pid, words) in all() {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        processes += 1;
        for line in maps.lines() {
            mappings += 1;
            let rights = line.split(' ').nth(1).unwrap_or_default();
            if rights.contains('w') && rights.contains('x') {
                answer += &format!("mapping {} {line}\n", name_of(pid, &words));
            }
        }
        if maps.is_empty() {
            answer += &format!("unread {}\n", name_of(pid, &words));
        }
    }
    answer += &format!("looked {processes} {mappings}\n");
    answer
}

/// Every name below PID 1's root: kind, mode, owner, size, how it begins, name. What the kernel makes up is named and not entered.
fn walk(folder: &str, answer: &mut String) {
    let entries = fs::read_dir(format!("/proc/1/root/{folder}"));
    let mut names: Vec<_> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    names.sort();
    for path in names {
        let name = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let Ok(about) = fs::symlink_metadata(&path) else {
            *answer += &format!("unread {name}\n");
            continue;
        };
        let kind = about.file_type();
        let letter = if kind.is_dir() {
            'd'
        } else if kind.is_symlink() {
            'l'
        } else if kind.is_char_device() {
            'c'
        } else if kind.is_block_device() {
            'b'
        } else if kind.is_file() {
            '-'
        } else {
            '?'
        };
        let begins = if kind.is_file() { beginning(&path) } else { "-" };
        let (mode, owner, size) = (about.permissions().mode() & 0o7777, about.uid(), about.len());
        *answer += &format!("file {letter} {mode:04o} {owner} {size} {begins} {name}\n");
        if kind.is_dir() && !["/proc", "/sys"].contains(&name.as_str()) {
            walk(&name, answer);
        }
    }
}

fn beginning(path: &Path) -> &'static str {
    let mut first = [0; 4];
    match File::open(path).and_then(|mut file| file.read(&mut first)) {
        Ok(_) if first == *b"\x7fELF" => "elf",
        Ok(_) if first.starts_with(b"#!") => "script",
        Ok(_) => "other",
        Err(_) => "unread",
    }
}

/// What may not be there, for the look to find: a file of root's that gives its rights away and is a script, and a page that is written
/// and executed.
fn plant() -> String {
    let path = "/planted";
    let planted = fs::write(path, "#!/bin/sh\n")
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o4755)));
    // SAFETY: memory that nobody has.
    let at = unsafe { mmap(std::ptr::null_mut(), PAGE, READ_WRITE_EXECUTE, ANONYMOUS, -1, 0) };
    format!("{} {}\n", planted.is_ok(), at as usize != usize::MAX)
}
