//! The stand-ins for vendors, from outside: what they refuse and say, their faults, the vendors' own clients, what
//! they hear; and the tool that starts them.
//!
//! Nothing leaves this machine, and nobody's voice is in it: flite speaks.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use ward::console::Console;
use ward::development_ca::DevelopmentCa;
use ward::local_vendors::{Event, LocalVendors, Plan, StandIn};
use ward_policy::phi::Secret;
use ward_policy::service::Service;
use ward_tests::binaries::root;
use ward_tests::python::python;
use ward_tests::servers::{ca_certificate, identity_of_all};

mod report;

/// One sentence as it was heard.
struct Row {
    set: String,
    voice: String,
    model: String,
    said: String,
    heard: String,
    books: bool,
}

/// Checks go by the clock, and the measurement takes every core: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn script(name: &str) -> Command {
    python("vendors", name, "vendors-python", "websockets")
}

/// Certificates for the three, also under the one name that leads here without a name server.
fn identities() -> Value {
    let mut all = Map::new();
    all.insert("ca".to_owned(), json!(ca_certificate()));
    for name in ["asr", "llm", "tts"] {
        let host = format!("{name}.local.example");
        let identity = identity_of_all(&[&host, "localhost"]);
        let (chain, key) = (identity.chain, identity.key.expose().clone());
        all.insert(
            name.to_owned(),
            json!({ "host": host, "also": ["localhost"], "chain": chain, "key": key }),
        );
    }
    Value::Object(all)
}

/// Runs a part of `check.py`: every check must hold, and at least `least` must have been made.
fn check(mut command: Command, part: &str, least: usize) {
    let mut child =
        command.args([part]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(identities().to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut held = 0;
    let mut failed = Vec::new();
    for line in lines.lines() {
        let check: Value = serde_json::from_str(line).unwrap();
        println!("{part}: {}", check["check"].as_str().unwrap());
        if check["ok"] == true {
            held += 1;
        } else {
            failed.push(check["why"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(held >= least, "{held} checks");
    assert!(output.status.success());
}

#[test]
fn they_refuse_and_answer_as_their_vendors_do() {
    check(script("check.py"), "services", 14);
}

#[test]
fn each_fault_does_what_it_says() {
    check(script("check.py"), "faults", 12);
}

#[test]
fn the_vendors_own_clients_understand_them() {
    // These packages, and in the same path those that every check needs.
    let oracles = python("vendors/oracles", "", "vendors-oracles-python", "deepgram");
    let mut command = script("check.py");
    let path = |command: &Command| {
        let mut all = command.get_envs().filter(|(name, _)| *name == "PYTHONPATH");
        all.next().and_then(|(_, value)| value).unwrap().to_owned()
    };
    let both = std::env::join_paths([path(&oracles), path(&command)]).unwrap();
    command.env("PYTHONPATH", both);
    check(command, "sdks", 4);
}

#[test]
fn recognition_is_what_the_document_says() {
    let measuring = alone();
    let output = script("measure.py").output().unwrap();
    drop(measuring);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Row> = String::from_utf8(output.stdout).unwrap().lines().map(row).collect();
    let text = report::document(&rows);
    std::fs::create_dir_all(root().join("target")).unwrap();
    std::fs::write(root().join("target/recognition.md"), &text).unwrap();

    let of = |set: &str, model: &str| -> Vec<&Row> {
        rows.iter().filter(|row| row.set.starts_with(set) && row.model == model).collect()
    };
    let distinct = |rows: &[&Row]| rows.iter().map(|row| &row.said).collect::<BTreeSet<_>>().len();
    assert!(
        distinct(&of("clinic", "grammar")) >= 20 && distinct(&of("unrelated", "grammar")) >= 10
    );
    for ((set, model, voice), tally) in report::tallies(&rows) {
        if set.starts_with("unrelated") {
            assert_eq!(tally.booked, 0, "{set} {model} {voice}");
        } else if model == "grammar" {
            assert!(tally.error_rate() < 0.15, "{set} {voice}: {:.2}", tally.error_rate());
            // The other side of it: a real yes does book.
            assert!(tally.booked > 0, "{set} {voice}");
        }
    }
    let committed = std::fs::read_to_string(root().join("docs/recognition.md")).unwrap_or_default();
    assert!(
        committed == text,
        "docs/recognition.md is not what was measured: {}",
        report::REGENERATE
    );
}

fn row(line: &str) -> Row {
    let value: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| value[key].as_str().unwrap().to_owned();
    Row {
        set: text("set"),
        voice: text("voice"),
        model: text("model"),
        said: text("said"),
        heard: text("heard"),
        books: value["books"].as_bool().unwrap(),
    }
}

#[test]
fn words_are_counted_as_put_in_left_out_or_replaced() {
    for (said, heard, expected) in [
        ("at ten", "at ten", 0),
        ("at ten", "", 2),
        ("", "at ten", 2),
        ("my name is jane", "my name is james", 1),
        ("at ten please", "ten", 2),
        ("a b c d", "b c d e", 2),
    ] {
        assert_eq!(report::errors(said, heard), expected, "{said} {heard}");
        assert_eq!(report::errors(heard, said), expected, "{heard} {said}");
    }
}

fn services() -> Vec<StandIn> {
    let of = |part: Service| StandIn {
        part,
        host: format!("{}.local.example", part.name()),
        port: 0,
        key: Secret::new(format!("{} key 0123456789 0123456789 0123456789", part.name())),
        more: Map::new(),
    };
    Service::ALL.map(of).into()
}

fn wait(events: &Receiver<Event>, what: &str, is_it: impl Fn(&Event) -> bool) {
    loop {
        let event = events.recv_timeout(Duration::from_secs(10));
        if is_it(&event.unwrap_or_else(|error| panic!("{what}: {error}"))) {
            return;
        }
    }
}

#[test]
fn the_tool_starts_hears_spoils_and_ends_them() {
    let _alone = alone();
    // Their packages are put there first, by the one way that waits for others.
    drop(script("serve.py"));
    let ca = DevelopmentCa::new().unwrap();
    let plan = Plan { folder: None, address: [127, 0, 0, 1].into(), ca: &ca, services: services() };
    let (mut vendors, events) = LocalVendors::start(&plan, &Console::new(true)).unwrap();
    let ports: BTreeSet<u16> = Service::ALL.map(|part| vendors.port(part).unwrap()).into();
    assert_eq!(ports.len(), 3);
    let process = format!("/proc/{}", vendors.id());
    assert!(std::fs::exists(&process).unwrap());

    let port = vendors.port(Service::Model).unwrap();
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    wait(
        &events,
        "a connection without TLS",
        |event| matches!(event, Event::Other(line) if line["event"] == "tls_failed"),
    );
    vendors.set_fault(Service::Model, Some(&json!({ "kind": "refuse" }))).unwrap();
    wait(&events, "the change", |event| *event == Event::FaultSet);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
    wait(
        &events,
        "the fault",
        |event| matches!(event, Event::Fault { part: Service::Model, kind } if kind == "refuse"),
    );

    assert!(vendors.stop(), "they end well by themselves");
    assert!(!std::fs::exists(&process).unwrap());
    vendors.set_fault(Service::Model, None).unwrap_err();

    // What cannot be served is said at once, and not waited for.
    let mut services = services();
    services[0].more.insert("model".to_owned(), json!("none"));
    let wrong = Plan { services, ..plan };
    let error = LocalVendors::start(&wrong, &Console::new(true)).unwrap_err();
    assert!(error.to_string().contains("ended at once"), "{error}");
}
