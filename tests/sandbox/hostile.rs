//! A hostile build of the server tries everything from inside the cell; the same build without the layers
//! is the negative control.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

use ward_policy::audit::Role;
use ward_policy::cell::{Layer, Target};
use ward_policy::syscall::Profile;
use ward_tests::binaries::{hostile, library};

const RT_SIGRETURN: &str = "15";

/// Runs `command`, a hostile build and its arguments, with a log to write to; whether it ended well, and
/// what it wrote.
fn run(mut command: Command, target: Target) -> (bool, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer: OwnedFd = writer.into();
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
    command.arg(format!("target={}", target.name()));
    command.arg(format!("log={}", writer.as_raw_fd()));
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().success(), text)
}

/// Runs the hostile build; what it tried and what became of each.
pub(crate) fn tried(what: &str, layers: &str, role: Role) -> BTreeMap<String, String> {
    let mut command = Command::new(hostile());
    command.args([what, layers, role.name()]).env_clear();
    let (is_fine, text) = run(command, ward::launch::target());
    assert!(is_fine, "{what} {layers}: {text}");
    let lines = text.lines().filter(|line| !line.starts_with('{'));
    lines
        .map(|line| {
            let outcome = ["sigsys", "value ", "errno ", "signal ", "exited", "waiting"]
                .iter()
                .filter_map(|word| line.rfind(&format!(" {word}")))
                .max();
            let (name, outcome) = line.split_at(outcome.unwrap_or_else(|| panic!("{line}")));
            (name.to_owned(), outcome.trim().to_owned())
        })
        .collect()
}

#[test]
fn every_number_outside_the_table_is_fatal_and_every_one_in_it_is_not() {
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Init) {
        let rules = Profile::of(role, library()).unwrap().rules().unwrap();
        let allowed: Vec<String> = rules.iter().map(|rule| rule.number.to_string()).collect();
        let sealed = tried("calls", "sealed", role);
        assert_eq!(sealed.len(), 2_048);
        for (number, outcome) in &sealed {
            let is_allowed = allowed.contains(number);
            // Coming back from a signal that never came lands anywhere, in a fatal call too. That it is
            // allowed shows whenever a server ends in order.
            if *number == RT_SIGRETURN {
                assert_eq!(is_allowed, matches!(role, Role::Media | Role::Twiml));
                continue;
            }
            // The kernel answers these two before it asks any filter. They are its own, for probes that it
            // has put into a program: whoever else makes them gets SIGILL or ENXIO, and nothing.
            if [("335", "signal 4"), ("336", "errno 6")].contains(&(number, outcome)) {
                continue;
            }
            assert_eq!(outcome != "sigsys", is_allowed, "{} {number}: {outcome}", role.name());
        }
        let killed = sealed.values().filter(|outcome| *outcome == "sigsys").count();
        println!("{}: {killed} of {} numbers end in SIGSYS", role.name(), sealed.len());
        // The same build, in the same cell but for the filter: nothing ends in SIGSYS.
        let open = tried("calls", "open", role);
        assert_eq!(open.len(), 2_048);
        for (number, outcome) in &open {
            assert_ne!(outcome, "sigsys", "{number}");
        }
        let answered = open.values().filter(|o| o.starts_with("value") || o.starts_with("errno"));
        println!(
            "{}: without the filter {} get a value or an errno",
            role.name(),
            answered.count()
        );
    }
}

#[test]
fn arguments_that_are_off_by_one_are_fatal() {
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Init) {
        let (mut right, mut wrong) = (0, 0);
        for (name, outcome) in tried("rules", "sealed", role) {
            let is_right = name.ends_with("right");
            assert_eq!(outcome == "sigsys", !is_right, "{}: {name}: {outcome}", role.name());
            if is_right { right += 1 } else { wrong += 1 }
        }
        assert!(right >= 5 && wrong >= 5, "{right} {wrong}");
        for (name, outcome) in tried("rules", "open", role) {
            assert_ne!(outcome, "sigsys", "{name}");
        }
        println!(
            "{}: {right} right argument lists pass, {wrong} wrong ones are fatal",
            role.name()
        );
    }
}

#[test]
fn the_layers_beside_the_filter_hold_without_it() {
    let bare = tried("reach", "bare", Role::Media);
    let open = tried("reach", "open", Role::Media);
    let sealed = tried("reach", "sealed", Role::Media);
    assert_eq!(open.keys().collect::<Vec<_>>(), bare.keys().collect::<Vec<_>>());
    let demanded = |layer| {
        let demand = ward_policy::cell::demand(ward::launch::target(), layer);
        demand != ward_policy::cell::Demand::Absent
    };
    for (what, outcome) in &open {
        assert_eq!(sealed[what], "sigsys", "{what} in the sealed cell");
        // Only the filter keeps a process from making namespaces; whatever it makes is as empty as its own.
        let is_filters = what == "make a user namespace";
        assert_eq!(outcome.starts_with("value"), is_filters, "{what}: {outcome}");
    }
    assert!(demanded(Layer::Landlock));
    // The negative control: the same attempts outside the cell.
    for what in [
        "open /",
        "open /etc/passwd",
        "bind 127.0.0.1",
        "signal the launcher",
        "trace the launcher",
        "read the launcher's memory",
        "map writable and executable",
        "make written memory executable",
        "make a user namespace",
    ] {
        assert!(bare[what].starts_with("value"), "{what} outside the cell: {}", bare[what]);
    }
    println!("inside, without the filter: {open:#?}\noutside: {bare:#?}");
}

#[test]
fn a_target_that_demands_what_is_not_there_stops_the_start() {
    let start = |target: Target, as_nobody: bool| {
        let mut command = if as_nobody {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(hostile());
            command
        } else {
            Command::new(hostile())
        };
        command.args(["reach", "open", "media"]);
        run(command, target)
    };
    if rustix::process::geteuid().is_root() {
        let (is_started, log) = start(Target::LaptopRoot, true);
        assert!(!is_started && log.contains("\"event\":\"cell_refused\""), "{log}");
        assert!(log.contains("\"layer\":\"namespaces\""), "{log}");
        let (is_started, log) = start(Target::Laptop, true);
        assert!(is_started, "{log}");
    }
    let (is_started, log) = start(Target::RestrictedContainer, false);
    assert!(is_started, "{log}");
}
