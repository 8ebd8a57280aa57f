//! `ward run --report`, against what this test reads from `/proc` of a server of its own.

use std::process::Command;

use serde_json::Value;
use ward_policy::audit::Role;
use ward_policy::cell::{Layer, user};
use ward_policy::syscall::{Library, Profile};
use ward_tests::binaries::release;
use ward_tests::servers::Running;

fn report(as_nobody: bool) -> (bool, Value) {
    let mut command = if as_nobody {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            // What old kernels let anyone lock: then there is room for fewer tokens.
            .args(["prlimit", "--memlock=65536:65536"])
            .arg(release("ward"));
        command
    } else {
        Command::new(release("ward"))
    };
    let output = command.args(["run", "--report", "--json"]).current_dir("/tmp").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim().lines().count(), 1, "one JSON object: {text}");
    (output.status.success(), serde_json::from_str(&text).unwrap())
}

fn role<'r>(report: &'r Value, name: &str) -> &'r Value {
    let roles = report["roles"].as_array().unwrap();
    roles.iter().find(|role| role["role"] == name).unwrap()
}

#[test]
fn the_report_says_what_confines_each_role() {
    let is_root = rustix::process::geteuid().is_root();
    let (is_fine, report) = report(false);
    assert!(is_fine, "{report:#}");
    for which in Role::ALL.into_iter().filter(|role| *role != Role::Init) {
        let name = which.name();
        let role = role(&report, name);
        let calls = Profile::of(which, Library::Gnu).unwrap().calls.len();
        assert_eq!(role["syscalls_allowed"], calls);
        assert!(calls <= 20 || which == Role::Broker);
        assert_eq!(role["seccomp_mode"], 2);
        assert_eq!(role["capabilities"], Value::Array(Vec::new()));
        assert_eq!((&role["no_new_privs"], &role["dumpable"]), (&true.into(), &false.into()));
        let interfaces = role["network_interfaces"].as_array().unwrap();
        let is_alone = *interfaces == ["lo"] && has_own(role, "net");
        assert_eq!(is_alone, which != Role::Broker, "{name}: {interfaces:?}");
        for layer in Layer::ALL {
            let outcome = &role["layers"][layer.name()];
            let demand = ward_policy::cell::demand(ward::launch::target(), layer);
            let expected = match demand {
                ward_policy::cell::Demand::Absent => "absent_by_design",
                _ => "applied",
            };
            assert_eq!(*outcome, expected, "{name} {}", layer.name());
        }
        if is_root {
            assert_eq!(role["uid"].as_u64(), user(which).map(u64::from));
            assert_eq!(role["groups"], Value::Array(Vec::new()));
            assert_eq!(role["writable_executable_mappings"], 0);
            let kinds: Vec<&String> = role["descriptors"].as_object().unwrap().keys().collect();
            let few: &[&str] = match which {
                Role::Log => &["null", "pipe"],
                Role::Sign => &["null", "pipe", "socket"],
                _ => &["eventfd", "eventpoll", "null", "pipe", "socket"],
            };
            assert_eq!(kinds, few, "no file");
            assert_eq!(role["not_seen"], Value::Array(Vec::new()));
        }
    }
    assert_ne!(role(&report, "media")["filter"], role(&report, "twiml")["filter"]);
    // The one that starts the others is in no cell, and does not look as if it were.
    let init = &report["supervisors"][0];
    assert_eq!((&init["seccomp_mode"], &init["syscalls_allowed"]), (&0.into(), &Value::Null));
    assert_eq!((&init["no_new_privs"], &init["layers"]), (&true.into(), &Value::Null));
}

fn has_own(role: &Value, namespace: &str) -> bool {
    // Without root nobody sees which ones.
    role["own_namespaces"].as_array().is_none_or(|all| all.contains(&namespace.into()))
}

#[test]
fn without_root_the_report_says_what_it_could_not_see() {
    let me = rustix::process::geteuid();
    let (is_fine, report) = report(me.is_root());
    assert!(is_fine, "{report:#}");
    let media = role(&report, "media");
    assert_eq!(media["uid"], if me.is_root() { 65_534 } else { me.as_raw() });
    assert_eq!(media["layers"]["identity"], "absent_by_design");
    assert_eq!(media["layers"]["namespaces"], "applied", "in a user namespace");
    let not_seen = media["not_seen"].as_array().unwrap();
    assert!(not_seen.contains(&"descriptors".into()), "{not_seen:?}");
    assert_eq!(media["descriptors"], Value::Null);
    assert_eq!((&media["dumpable"], &media["seccomp_mode"]), (&false.into(), &2.into()));
}

#[test]
fn a_serving_process_looks_as_the_report_says() {
    let server = Running::media("");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    for line in [
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        let is_rootless = line.starts_with("CapBnd") && !rustix::process::geteuid().is_root();
        assert!(is_rootless || status.contains(line), "{line} in\n{status}");
    }
    // Every thread of it, not only the first: most layers bind the thread that asked.
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().flatten();
    let mut count = 0;
    for thread in threads {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
        count += 1;
    }
    assert!(count >= 3, "{count}");
    // The negative control: this process is none of that.
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(ours.contains("Seccomp:\t0") && ours.contains("NoNewPrivs:\t0"), "{ours}");
}
