//! The metrics of a server that really runs, as Prometheus's own parser reads what `ward metrics` prints.
//!
//! They agree with what the log's lines say when they are counted one by one, and stay exact when lines are
//! dropped. Nothing but closed lists becomes a label.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use ward_policy::audit::Role;
use ward_policy::count::Count;
use ward_policy::line::{judge_published, sample, table};
use ward_policy::metric::Metrics;
use ward_policy::proof::Proof;
use ward_tests::binaries::{release, root};
use ward_tests::python::python;
use ward_tests::servers::Running;
use ward_tests::websocket::{Stream, connected, media, start, stop, upgrade_request};
use ward_tests::wire::{exchange, status};

/// Runs `command` with `input`.
fn piped(mut command: Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // Whoever refuses what it reads need not read to the end.
    drop(writer.join().unwrap());
    output
}

fn exposition(log: &str) -> String {
    let mut command = Command::new(release("ward"));
    command.arg("metrics");
    let output = piped(command, log);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What the official parser makes of an exposition, or `None` when it refuses it.
fn parsed(exposition: &str) -> Option<Vec<Value>> {
    let command = python("metrics", "parse.py", "prometheus-parser-python", "prometheus_client");
    let output = piped(command, exposition);
    let families = output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap());
    families.map(|families: Value| families.as_array().unwrap().clone())
}

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

fn samples(families: &[Value]) -> Samples {
    let mut all = Samples::new();
    for sample in families.iter().flat_map(|family| family["samples"].as_array().unwrap()) {
        let labels = sample["labels"].as_object().unwrap();
        let labels =
            labels.iter().map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned()));
        let name = sample["name"].as_str().unwrap().to_owned();
        let key = (name, labels.collect());
        let is_new = all.insert(key.clone(), sample["value"].as_f64().unwrap()).is_none();
        assert!(is_new, "{key:?} twice");
    }
    all
}

fn of(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels =
        labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    samples.get(&(name.to_owned(), labels)).copied().unwrap_or_default()
}

fn key(name: &str, labels: &[(&str, &str)]) -> (String, BTreeMap<String, String>) {
    let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    (name.to_owned(), labels.collect())
}

/// The same samples, counted from the lines about single events.
fn counted(log: &str) -> Samples {
    let mut all = Samples::new();
    let mut add = |name: &str, labels: &[(&str, &str)], amount: f64| {
        *all.entry(key(name, labels)).or_default() += amount;
    };
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["role"] != "media" || line["event"] == "metrics" {
            continue;
        }
        let role = ("role", "media");
        let event = ("event", line["event"].as_str().unwrap());
        match line["reason"].as_str().filter(|_| line["fault"].is_string()) {
            Some(reason) => add("ward_events_total", &[role, event, ("reason", reason)], 1.0),
            None => add("ward_events_total", &[role, event], 1.0),
        }
        if let Some(proof) = line["proof"].as_str() {
            add("ward_upgrades_total", &[role, ("proof", proof)], 1.0);
        }
        let Some(counts) = line["counts"].as_object() else { continue };
        for (count, value) in counts {
            let value = value.as_f64().unwrap();
            match count.strip_suffix("_ms") {
                Some(count) => {
                    add(
                        "ward_call_audio_seconds_total",
                        &[role, ("count", count)],
                        value / 1_000.0,
                    );
                }
                None => add("ward_call_counts_total", &[role, ("count", count)], value),
            }
        }
        let duration = line["duration_ms"].as_f64().unwrap() / 1_000.0;
        add("ward_call_duration_seconds_sum", &[role], duration);
        add("ward_call_duration_seconds_count", &[role], 1.0);
        for end in ["5", "15", "30", "60", "120", "300", "600", "1200", "1800", "3600", "+Inf"] {
            let is_within = end.parse().map_or(true, |end: f64| duration <= end);
            let amount = if is_within { 1.0 } else { 0.0 };
            add("ward_call_duration_seconds_bucket", &[role, ("le", end)], amount);
        }
    }
    all
}

/// Everything that a server can be made to log in a second or two.
fn exercise(server: &Running) {
    for number in 0..3 {
        let mut stream = Stream::started(server);
        for frame in 2..12 + 5 * number {
            stream.send(&media(frame, &[0xFF; 160]));
        }
        stream.send_text("no JSON");
        stream.send(&stop(12 + 5 * number));
        assert_eq!(stream.close_code(), 1000);
    }
    let mut foreign = Stream::open(server);
    let mut begin = start();
    begin["start"]["accountSid"] = "AC11111111111111111111111111111111".into();
    foreign.send(&connected());
    foreign.send(&begin);
    assert_eq!(foreign.close_code(), 1008);
    let requests = [
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404),
        ("POST /health HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (upgrade_request("/rtm/voice", &[("X-Twilio-Signature", "")]), 403),
        (upgrade_request("/rtm/voice", &[("X-Twilio-Signature", "x")]), 403),
    ];
    for (request, expected) in requests {
        assert_eq!(status(&exchange(server.port, request.as_bytes())), expected);
    }
    speak_no_tls(server.port);
}

/// A connection that fails its TLS handshake, read to its end.
fn speak_no_tls(port: u16) {
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    drop(peer.read_to_end(&mut answer));
}

/// Ends a server in order; everything that it has logged.
fn ended(server: &mut Running) -> String {
    server.terminate();
    drop(server.logs.first("metrics"));
    assert_eq!(server.server().exit_status(), Some(0));
    server.logs.text()
}

#[test]
fn the_last_metrics_of_a_server_agree_with_its_log_line_by_line() {
    let mut server = Running::media("");
    exercise(&server);
    let log = ended(&mut server);
    for line in log.lines() {
        assert!(judge_published(line.as_bytes()).is_ok(), "{line}");
    }
    let last = log.lines().rfind(|line| line.contains("\"role\":\"media\"")).unwrap();
    assert!(last.contains("\"event\":\"metrics\""), "{log}");
    let text = exposition(&log);
    let found = samples(&parsed(&text).unwrap());
    let expected = counted(&log);
    for (key, value) in &expected {
        let metric = found.get(key).copied().unwrap_or_default();
        assert!((metric - value).abs() < 1e-9, "{key:?}: {metric} is not {value}\n{text}");
    }
    // Nothing is there beside them but the gauge and the log's own two.
    let others: BTreeSet<&str> = found
        .keys()
        .filter(|key| !expected.contains_key(*key))
        .map(|(name, _)| name.as_str())
        .collect();
    let known =
        ["ward_calls_live", "ward_log_lines_refused_total", "ward_log_lines_suppressed_total"];
    assert_eq!(others, known.into_iter().collect(), "{text}");
    assert!(others.iter().all(|name| {
        found.iter().filter(|((known, _), _)| known == name).all(|(_, value)| *value == 0.0)
    }));
    let role = ("role", "media");
    let total = |event: &str, reason: &str| {
        of(&found, "ward_events_total", &[role, ("event", event), ("reason", reason)])
    };
    assert_eq!(total("refused", "route"), 2.0);
    assert_eq!(total("refused", "method"), 1.0);
    assert_eq!(total("connection_ended", "tls_failed"), 1.0);
    assert_eq!(total("call_ended", "foreign_account"), 1.0);
    assert_eq!(of(&found, "ward_call_counts_total", &[role, ("count", "bad_json")]), 3.0);
    assert!(of(&found, "ward_call_counts_total", &[role, ("count", "frames_in")]) >= 30.0);
    assert_eq!(of(&found, "ward_call_duration_seconds_count", &[role]), 4.0);
    println!(
        "{} samples, {} of them counted from {} lines",
        found.len(),
        expected.len(),
        log.lines().count()
    );
}

#[test]
fn counts_stay_exact_when_strangers_cause_more_lines_than_are_written() {
    const STRANGERS: usize = 600;
    let mut server = Running::twiml("");
    for _ in 0..STRANGERS {
        speak_no_tls(server.port);
    }
    // Served by the same worker, so those before it are over.
    assert_eq!(status(&exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")), 200);
    let log = ended(&mut server);
    let written = log.lines().filter(|line| line.contains("\"reason\":\"tls_failed\"")).count();
    let found = samples(&parsed(&exposition(&log)).unwrap());
    let role = ("role", "twiml");
    let labels = [role, ("event", "connection_ended"), ("reason", "tls_failed")];
    assert_eq!(of(&found, "ward_events_total", &labels), STRANGERS as f64);
    let suppressed = of(&found, "ward_log_lines_suppressed_total", &[role]);
    assert!(written < STRANGERS, "nothing was suppressed");
    assert_eq!(suppressed, (STRANGERS - written) as f64);
    println!("{STRANGERS} connections, {written} lines, {suppressed} suppressed");
}

/// What the log's writer puts in front.
fn kept(line: &str, number: usize) -> String {
    let chain = format!(
        "{{\"boot\":\"00000000deadbeef\",\"seq\":{number},\"prev\":\"{}\",",
        "0123456789abcdef".repeat(4)
    );
    line.replacen('{', &chain, 1)
}

#[test]
fn the_longest_metrics_of_all_roles_are_read_by_the_official_parser() {
    let mut lines = Vec::new();
    for role in Role::ALL {
        let mut text = String::new();
        Metrics::full().render(role, 7, &mut text);
        lines.extend(text.lines().map(str::to_owned));
    }
    let kept: Vec<String> =
        lines.iter().enumerate().map(|(number, line)| kept(line, number)).collect();
    let text = exposition(&lines.join("\n"));
    assert_eq!(exposition(&kept.join("\n")), text, "with or without what is put in front");
    let families = parsed(&text).unwrap();
    let words: BTreeSet<String> = {
        // Everything that may be a label's value: the words of the book, the roles and the buckets.
        let mut all: BTreeSet<String> =
            table::shapes().map(|shape| shape.code.to_owned()).collect();
        all.extend(Role::ALL.map(|role| role.name().to_owned()));
        for event in sample::events() {
            let mut line = String::new();
            event.render(sample::writer(&event), 0, &mut line);
            let line: Value = serde_json::from_str(&line).unwrap();
            all.extend(line["reason"].as_str().map(str::to_owned));
        }
        all.extend(Proof::WORDS.iter().map(|word| (*word).to_owned()));
        all.extend(Count::ALL.iter().map(|count| count.name().trim_end_matches("_ms").to_owned()));
        all
    };
    let mut series = 0;
    for family in &families {
        let (name, kind) = (family["name"].as_str().unwrap(), family["type"].as_str().unwrap());
        assert!(
            !family["help"].as_str().unwrap().is_empty() && name.starts_with("ward_"),
            "{name}"
        );
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} {kind}");
        for sample in family["samples"].as_array().unwrap() {
            let of = sample["name"].as_str().unwrap();
            assert_eq!(of.ends_with("_total"), kind == "counter", "{of}");
            for (label, value) in sample["labels"].as_object().unwrap() {
                let value = value.as_str().unwrap();
                assert!(label == "le" || words.contains(value), "{of} {label}={value}");
            }
            series += 1;
        }
    }
    // Cumulative, and the last bucket is the count.
    let found = samples(&families);
    for role in Role::ALL.map(Role::name) {
        let bucket =
            |end| of(&found, "ward_call_duration_seconds_bucket", &[("role", role), ("le", end)]);
        assert!(bucket("5") <= bucket("3600") && bucket("3600") <= bucket("+Inf"));
        assert_eq!(
            bucket("+Inf"),
            of(&found, "ward_call_duration_seconds_count", &[("role", role)])
        );
    }
    println!(
        "{} families with at most {series} series for {} roles",
        families.len(),
        Role::ALL.len()
    );
    // The parser can refuse: without a quote there is no label.
    assert!(parsed(&text.replacen("role=\"media\"", "role=media", 1)).is_none());
}

#[test]
fn lines_that_are_not_by_the_book_are_counted_and_never_printed() {
    let mut log = String::new();
    Metrics::full().render(Role::Media, 7, &mut log);
    let fine = exposition(&log);
    let strange = ["hunter2", "{\"role\":\"media\",\"event\":\"hunter2\"}", "", "\x1b[2J", "{}"];
    let mixed = format!("{}\n{log}{}", strange.join("\n"), strange.join("\n"));
    let text = exposition(&mixed);
    // The last line ends without a line feed; it is a line all the same.
    let expected = fine.replace("lines_refused_total 0\n", "lines_refused_total 10\n");
    assert_eq!(text, expected);
    assert!(!text.contains("hunter") && !text.contains('\x1b'));
    // The same from a file, and as JSON.
    let file = root().join("target/tmp/metrics.log");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &mixed).unwrap();
    let ward = |arguments: &[&str]| {
        Command::new(release("ward")).arg("metrics").args(arguments).output().unwrap()
    };
    let file = file.to_str().unwrap();
    assert_eq!(ward(&[file]).stdout, text.as_bytes());
    let object: Value = serde_json::from_slice(&ward(&[file, "--json"]).stdout).unwrap();
    assert_eq!(object["lines_refused"], 10);
    assert_eq!(object["roles"]["media"]["call_counts"]["frames_in"], u64::MAX);
    assert_eq!(ward(&["/nowhere"]).status.code(), Some(2));
}
