//! `ward run --report`: what confines each role, read from `/proc` while it serves.
//!
//! It looks from outside and asks the kernel; of what a role says of itself it takes only the outcome of
//! each layer. What it may not see without root it says it has not seen.

use std::collections::BTreeMap;
use std::path::Path;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::syscall::{Library, Profile};
use ward_policy::tls::{GROUPS, MODULE, RSA_BITS_MIN, SUITES, VERSIONS, Version};
use ward_sys::seccomp::Filter;

use crate::console::{Console, Failure};
use crate::log_lines::Line;
use crate::stage::{Cast, Stage};

/// Starts both roles with settings made for this run, reports on them and ends them.
///
/// # Errors
/// [`Failure`] when they do not start.
pub fn run(target: Target, console: &Console) -> Result<bool, Failure> {
    let mut stage = Stage::set(target, Cast::nobody(), console)?;
    let mut reports = Vec::new();
    for (role, server) in [(Role::Twiml, &stage.twiml), (Role::Media, &stage.media)] {
        let lines: Vec<&Line> = stage
            .start_lines
            .iter()
            .filter(|(server, _)| *server == role)
            .map(|(_, line)| line)
            .collect();
        let processes =
            Role::ALL.into_iter().filter_map(|role| Some((role, server.process(role)?)));
        reports.extend(processes.map(|(one, id)| of(one, role, id, &lines)));
    }
    stage.clear();
    let reports = reports.into_iter().collect::<Result<Vec<_>, _>>()?;
    // The supervisor is in no cell, and so not among those that are.
    let is_init = |report: &&Value| report["role"] == Role::Init.name();
    let (supervisors, roles): (Vec<_>, Vec<_>) = reports.iter().partition(is_init);
    let object = json!({ "crypto": crypto(), "roles": roles, "supervisors": supervisors });
    let parts = std::iter::once(crypto_in_words()).chain(reports.iter().map(summary));
    console.result(&object, &parts.collect::<Vec<_>>().join("\n\n"));
    Ok(reports.iter().all(is_confined))
}

/// What does the arithmetic, and what TLS is spoken with: the policy's, which a test compares with what is done.
fn crypto() -> Value {
    let versions = VERSIONS.map(|version| match version {
        Version::Tls13 => "1.3",
        Version::Tls12 => "1.2",
    });
    json!({
        "module": MODULE.name,
        "version": MODULE.version,
        "fips_140_validated": MODULE.is_fips_validated,
        "tls": versions,
        "suites": SUITES.map(|suite| suite.name),
        "groups": GROUPS.map(|group| group.name),
        "rsa_bits_min": RSA_BITS_MIN,
    })
}

fn crypto_in_words() -> String {
    let not = if MODULE.is_fips_validated { "" } else { "not " };
    format!("crypto: {} {}, {not}validated to FIPS 140", MODULE.name, MODULE.version)
}

/// What is known of one role, whose process is `id`; it belongs to `server`, and `lines` are what all
/// logged as they started.
fn of(role: Role, server: Role, id: u32, lines: &[&Line]) -> Result<Value, Failure> {
    let folder = format!("/proc/{id}");
    let status = std::fs::read_to_string(format!("{folder}/status"))
        .map_err(|error| Failure::Checked(format!("{folder}/status: {error}")))?;
    let fields: BTreeMap<&str, &str> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let number = |name: &str| {
        field(name).split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok())
    };
    let uid = number("Uid");
    let capabilities = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .map(|set| (set, u64::from_str_radix(field(set), 16).map(bits).unwrap_or_default()));
    let mut held: Vec<String> = capabilities
        .iter()
        .filter(|(set, _)| *set != "CapBnd")
        .flat_map(|(_, list)| list.clone())
        .collect();
    held.sort();
    held.dedup();
    let layers = layers(role, lines);
    let (allowed, filter) = table(role)?;
    let mut not_seen = Vec::new();
    let mut seen = |name: &'static str, value: Option<Value>| {
        value.unwrap_or_else(|| {
            not_seen.push(name);
            Value::Null
        })
    };
    let descriptors = seen("descriptors", descriptors(&folder));
    let mappings = seen("writable_executable_mappings", writable_executable(&folder));
    let dumpable = seen("dumpable", is_dumpable(&folder, uid).map(Value::from));
    let interfaces = seen("network_interfaces", interfaces(&folder).map(Value::from));
    let own = seen("own_namespaces", own_namespaces(&folder));
    Ok(json!({
        "role": role.name(),
        "server": server.name(),
        "uid": uid,
        "gid": number("Gid"),
        "groups": field("Groups").split_ascii_whitespace().collect::<Vec<_>>(),
        "threads": number("Threads"),
        "capabilities": held,
        "capabilities_bounding": capabilities.iter().find(|(set, _)| *set == "CapBnd").map(|(_, list)| list),
        "seccomp_mode": number("Seccomp"),
        "seccomp_filters": number("Seccomp_filters"),
        "syscalls_allowed": (role != Role::Init).then_some(allowed.len()),
        "syscalls": allowed,
        "filter": filter,
        "no_new_privs": number("NoNewPrivs").map(|value| value == 1),
        "dumpable": dumpable,
        "own_namespaces": own,
        "network_interfaces": interfaces,
        "descriptors": descriptors,
        "writable_executable_mappings": mappings,
        "layers": layers,
        "not_seen": not_seen,
    }))
}

/// The names of the calls that the role's table lists, and the filter that is made of it; `init` has neither.
fn table(role: Role) -> Result<(Vec<String>, Value), Failure> {
    if role == Role::Init {
        return Ok((Vec::new(), Value::Null));
    }
    let unusable = |_error| Failure::Checked("the table of system calls is unusable".to_owned());
    let profile = Profile::of(role, Library::HERE).map_err(unusable)?;
    let rules = profile.rules().map_err(unusable)?;
    let filter = Filter::compile(&rules)
        .map_err(|error| Failure::Checked(format!("the table of system calls: {error}")))?;
    let sha256 = digest(&SHA256, &filter.bytes());
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let names = profile.calls.into_iter().map(|row| row.call).collect();
    Ok((names, json!({ "instructions": filter.instructions(), "sha256": sha256 })))
}

/// Numbers of the bits that are set: capabilities by number, as the kernel counts them.
fn bits(set: u64) -> Vec<String> {
    (0..64).filter(|bit| set >> bit & 1 == 1).map(|bit| format!("cap_{bit}")).collect()
}

/// What the role said of each layer as it entered its cell.
fn layers(role: Role, lines: &[&Line]) -> Value {
    let entered = lines.iter().filter(|line| line.role == role).find_map(|line| {
        let event: Value = serde_json::from_str(&line.text).ok()?;
        (event["event"] == "cell_entered").then_some(event)
    });
    let Some(Value::Object(mut fields)) = entered else {
        return Value::Null;
    };
    for name in ["boot", "seq", "prev", "at_ms", "role", "event"] {
        fields.remove(name);
    }
    Value::Object(fields)
}

/// The kernel gives the files of a process that cannot be dumped to root, whoever it runs as; not its
/// folder (proc(5), *ownership*).
fn is_dumpable(folder: &str, uid: Option<u64>) -> Option<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(format!("{folder}/stat")).ok()?.uid();
    // Of a process of root's this says nothing.
    uid.filter(|uid| *uid != 0).map(|uid| u64::from(owner) == uid)
}

/// Names of the network interfaces in the role's namespace.
fn interfaces(folder: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("{folder}/net/dev")).ok()?;
    let names = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    Some(names.map(|(name, _)| name.trim().to_owned()).collect())
}

/// Which namespaces are not the reporter's own.
fn own_namespaces(folder: &str) -> Option<Value> {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let mut own = Vec::new();
    for kind in kinds {
        let theirs = std::fs::read_link(format!("{folder}/ns/{kind}")).ok()?;
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
        if theirs != ours {
            own.push(kind);
        }
    }
    Some(json!(own))
}

/// Open descriptors by kind: the word before the colon of what `/proc` shows.
fn descriptors(folder: &str) -> Option<Value> {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for entry in std::fs::read_dir(format!("{folder}/fd")).ok()? {
        let shown = std::fs::read_link(entry.ok()?.path()).ok()?;
        let kind = kind(&shown);
        let count = kinds.entry(kind).or_default();
        *count = count.saturating_add(1);
    }
    Some(json!(kinds))
}

fn kind(shown: &Path) -> String {
    let shown = shown.to_string_lossy();
    match shown.split_once(':') {
        Some(("anon_inode", what)) => what.trim_matches(['[', ']']).to_owned(),
        Some((kind, _)) => kind.to_owned(),
        None if *shown == *"/dev/null" => "null".to_owned(),
        None => "file".to_owned(),
    }
}

/// How many mappings can be written and executed.
fn writable_executable(folder: &str) -> Option<Value> {
    let maps = std::fs::read_to_string(format!("{folder}/maps")).ok()?;
    let both = |line: &&str| {
        let rights = line.split_ascii_whitespace().nth(1).unwrap_or_default();
        rights.contains('w') && rights.contains('x')
    };
    // An empty list is one that the kernel does not show, not one of a process without memory.
    (!maps.is_empty()).then(|| json!(maps.lines().filter(both).count()))
}

/// Whether everything that was seen is as it should be. The supervisor starts processes that give up what it
/// has, and so keeps it; but it gains nothing, and nobody looks inside.
fn is_confined(report: &Value) -> bool {
    let is_clean = |name: &str, wanted: &Value| report[name].is_null() || report[name] == *wanted;
    let is_guarded = report["no_new_privs"] == true
        && is_clean("dumpable", &json!(false))
        && is_clean("writable_executable_mappings", &json!(0));
    if report["role"] == Role::Init.name() {
        return is_guarded;
    }
    is_guarded
        && report["seccomp_mode"] == 2
        && report["capabilities"] == json!([])
        && report["layers"].is_object()
        && has_few_kinds(&report["descriptors"])
}

/// Whether every descriptor is of a kind that a role needs: in particular no file.
fn has_few_kinds(kinds: &Value) -> bool {
    const KINDS: [&str; 5] = ["eventfd", "eventpoll", "null", "pipe", "socket"];
    kinds.as_object().is_none_or(|kinds| kinds.keys().all(|kind| KINDS.contains(&kind.as_str())))
}

/// One line a fact.
fn summary(report: &Value) -> String {
    let Some(fields) = report.as_object() else {
        return String::new();
    };
    let lines = fields.iter().map(|(name, value)| format!("{name:>30}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_words() {
        for (shown, expected) in [
            ("socket:[123]", "socket"),
            ("pipe:[9]", "pipe"),
            ("anon_inode:[eventpoll]", "eventpoll"),
            ("/dev/null", "null"),
            ("/etc/passwd", "file"),
        ] {
            assert_eq!(kind(Path::new(shown)), expected);
        }
    }

    #[test]
    fn a_role_that_is_not_confined_is_not_reported_as_fine() {
        let fine = json!({
            "seccomp_mode": 2, "no_new_privs": true, "capabilities": [], "dumpable": false,
            "writable_executable_mappings": 0, "layers": {},
        });
        assert!(is_confined(&fine));
        let init = json!({ "role": "init", "seccomp_mode": 0, "no_new_privs": true });
        assert!(is_confined(&init));
        assert!(!is_confined(&json!({ "role": "init", "no_new_privs": false })));
        for (name, wrong) in [
            ("seccomp_mode", json!(0)),
            ("no_new_privs", json!(false)),
            ("capabilities", json!(["cap_21"])),
            ("dumpable", json!(true)),
            ("writable_executable_mappings", json!(1)),
            ("layers", Value::Null),
            ("descriptors", json!({ "file": 1, "pipe": 1 })),
        ] {
            let mut report = fine.clone();
            report[name] = wrong;
            assert!(!is_confined(&report), "{name}");
        }
        assert_eq!(bits(0b1001), ["cap_0", "cap_3"]);
    }
}
