//! Every sink is really looked at: something is put into each kind, by others than Ward, and found there.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::class::{Canaries, Class};
use crate::detector::Detector;
use crate::ward::{
    Sinks, allow_core_dumps, core_dumps, files_in, folder, kernel_log, look_at_process,
};

#[test]
fn what_others_put_there_is_found_in_each_sink_that_no_server_writes() {
    allow_core_dumps();
    let (mut canaries, mut sinks) = (Canaries::default(), Sinks::new());
    let folder = folder("planted");
    // A process that has one in its environment, and one on its command line.
    let environment = canaries.one("processes", Class::AuthToken);
    let argument = canaries.one("processes", Class::From);
    let mut process = Command::new("sleep");
    let mut process = process.arg("60").arg0(&argument).env("TOKEN", environment).spawn().unwrap();
    // A program that has just begun has nothing to show yet.
    let environ = format!("/proc/{}/environ", process.id());
    while std::fs::read(&environ).unwrap().is_empty() {}
    look_at_process(process.id(), &mut sinks);
    process.kill().unwrap();
    process.wait().unwrap();
    // One that dies of a signal with one in its memory.
    let since = SystemTime::now();
    let held = canaries.one("core dumps", Class::Speech);
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -SEGV $$"]).env("HELD", held).current_dir(&folder);
    assert!(!shell.status().unwrap().success());
    for (_, bytes) in files_in(&folder, 1, |name| name.contains("core")) {
        sinks.add("core dumps", &bytes);
    }
    core_dumps(since, &mut sinks);
    // A file that somebody leaves behind, some folders down.
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    std::fs::write(folder.join("a/b/left"), canaries.one("files", Class::Email)).unwrap();
    for (_, bytes) in files_in(&folder, 8, |name| name.contains("left")) {
        sinks.add("files", &bytes);
    }
    // A word to the kernel's log.
    let mut kernel = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    writeln!(kernel, "<7>a test: {}", canaries.one("kernel log", Class::RecordNumber)).unwrap();
    sinks.add("kernel log", &kernel_log());
    // Something that is printed.
    let said = canaries.one("tool", Class::Bearer);
    let echo = Command::new("echo").arg(said).stdin(Stdio::null()).output().unwrap();
    sinks.add("tool", &echo.stdout);

    let detector = Detector::new(&canaries.0);
    for (number, canary) in canaries.0.iter().enumerate() {
        let found = detector.find(&sinks.0[canary.path.as_str()]);
        assert!(found.contains_key(&number), "{} is not looked at", canary.path);
    }
}
