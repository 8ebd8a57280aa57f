//! What the vendors were given, as they saw it: protected connections, every flag, good tokens, and no word too much.
//!
//! The stand-ins tell what came; here it is judged. Keys are looked for in requests, in the log and in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use ward::deployment::{Deployment, Setup};
use ward::local_vendors::{Event, Message};
use ward::log_lines::Line;
use ward_policy::audit::Role;
use ward_policy::service::Service;
use ward_tests::memory::{Needles, scan};

use super::{BORN, NAME, alone, converse, more, privacy, setup, start};

const PATIENCE: Duration = Duration::from_secs(90);

/// What stands for the name that the caller gives, and for their date of birth.
const PLACEHOLDERS: [&str; 2] = ["[NAME_1]", "[BIRTH_DATE_1]"];

/// The one path of each service for data, and the headers without which a request is none or is refused.
fn path(part: Service) -> (&'static str, &'static [&'static str]) {
    const UPGRADE: [&str; 7] = [
        "authorization",
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
    ];
    const POST: [&str; 6] =
        ["accept", "authorization", "content-length", "content-type", "host", "user-agent"];
    match part {
        Service::Recogniser => ("/v1/listen", &UPGRADE),
        Service::Model => ("/v1/chat/completions", &POST),
        Service::Voice => ("/v1/speak", &POST),
    }
}

/// The flags of every request for data, by service.
fn flags(part: Service) -> &'static [(&'static str, &'static str)] {
    match part {
        Service::Recogniser | Service::Voice => {
            &[("mip_opt_out", "true"), ("encoding", "mulaw"), ("sample_rate", "8000")]
        }
        Service::Model => &[],
    }
}

/// What came, counted, and what is wrong with it.
#[derive(Default, Debug)]
struct Seen {
    connections: BTreeMap<Service, usize>,
    requests: BTreeMap<Service, usize>,
    problems: BTreeSet<String>,
}

impl Seen {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.insert(text.into());
    }
}

fn judge(events: &[Event]) -> Seen {
    let mut seen = Seen::default();
    let replies: Vec<String> = events.iter().filter_map(reply).collect();
    for event in events {
        match event {
            Event::Connection { part, tls, name } => {
                *seen.connections.entry(*part).or_default() += 1;
                let host = format!("{}.vendor.test", part.name());
                if !["TLSv1.2", "TLSv1.3"].contains(&tls.as_str()) {
                    seen.problem(format!("{}: {tls}", part.name()));
                }
                if name.as_deref() != Some(&host) {
                    seen.problem(format!("{}: asked for {name:?}", part.name()));
                }
            }
            Event::Request { part, path, .. } if path == "/v1/auth/grant" => {
                if *part == Service::Model {
                    seen.problem("a token was asked for that is made here");
                }
            }
            Event::Request { .. } => judge_request(event, &mut seen),
            Event::Refused { part, status, why } => {
                seen.problem(format!("{} refused: {status} {why}", part.name()));
            }
            Event::Chat { messages, members, .. } => judge_chat(messages, members, &mut seen),
            Event::Synthesis { text } => judge_speech(text, &replies, &mut seen),
            Event::Other(line) => judge_other(line, &mut seen),
            Event::Granted { .. }
            | Event::Utterance { .. }
            | Event::Reply { .. }
            | Event::Booking { .. }
            | Event::Fault { .. }
            | Event::FaultSet => {}
        }
    }
    for part in Service::ALL {
        if !seen.requests.contains_key(&part) || !seen.connections.contains_key(&part) {
            seen.problem(format!("{}: nothing came", part.name()));
        }
    }
    seen
}

fn judge_request(event: &Event, seen: &mut Seen) {
    let Event::Request { part, path, flags: sent, headers, token, shows_key, .. } = event else {
        return;
    };
    *seen.requests.entry(*part).or_default() += 1;
    let name = part.name();
    let (expected, needed) = self::path(*part);
    if path != expected {
        seen.problem(format!("{name}: {path}"));
    }
    if token != "good" {
        seen.problem(format!("{name}: token {token}"));
    }
    if *shows_key {
        seen.problem(format!("{name}: the key itself was sent"));
    }
    for header in headers.iter().filter(|header| !needed.contains(&header.as_str())) {
        seen.problem(format!("{name}: header {header}"));
    }
    for (flag, value) in flags(*part) {
        if !sent.contains(&((*flag).to_owned(), (*value).to_owned())) {
            seen.problem(format!("{name}: not {flag}={value}"));
        }
    }
    for (flag, value) in sent {
        for word in identifiers().filter(|word| value.to_lowercase().contains(word)) {
            seen.problem(format!("{name}: {word} in the flag {flag}"));
        }
    }
}

/// The model is given what was said, with placeholders for who said it, and no member beyond the question.
fn judge_chat(messages: &[Message], members: &serde_json::Map<String, Value>, seen: &mut Seen) {
    const MEMBERS: [&str; 6] =
        ["max_completion_tokens", "max_tokens", "model", "store", "stream", "temperature"];
    if members.get("store") != Some(&json!(false)) {
        seen.problem("llm: not store=false");
    }
    for member in members.keys().filter(|member| !MEMBERS.contains(&member.as_str())) {
        seen.problem(format!("llm: member {member}"));
    }
    for message in messages {
        let text = message.content.to_lowercase();
        for word in identifiers().filter(|word| text.contains(word)) {
            seen.problem(format!("llm: {word} in what the {} says", message.role));
        }
    }
}

/// The voice is given sentences of the reply, filled in, and nothing else.
fn judge_speech(text: &str, replies: &[String], seen: &mut Seen) {
    let plain = text.to_lowercase().replace(NAME, &PLACEHOLDERS[0].to_lowercase());
    if !replies.iter().any(|reply| reply.contains(&plain)) {
        seen.problem(format!("tts: {plain} is of no reply"));
    }
    if text.to_lowercase().contains(BORN) {
        seen.problem("tts: the date of birth is not to be said");
    }
}

/// On the stream to the recogniser there is audio, and the words of its protocol.
fn judge_other(line: &Value, seen: &mut Seen) {
    const CONTROLS: [&str; 3] = ["CloseStream", "Finalize", "KeepAlive"];
    let kind = line["type"].as_str().unwrap_or_default();
    if line["event"] == "control" && !CONTROLS.contains(&kind) {
        seen.problem(format!("asr: a text message, {kind}"));
    }
    for wrong in ["bad_request", "tls_failed", "audio_too_fast", "audio_dropped"] {
        if line["event"] == wrong {
            seen.problem(format!("{}: {wrong}", line["service"]));
        }
    }
}

fn reply(event: &Event) -> Option<String> {
    match event {
        Event::Reply { text } => Some(text.to_lowercase()),
        _ => None,
    }
}

/// What only the caller's own words are.
fn identifiers() -> impl Iterator<Item = &'static str> {
    NAME.split(' ').chain([BORN, "nineteen eighty", "march"])
}

fn keys(deployment: &Deployment) -> Vec<(&'static str, String)> {
    deployment.keys().iter().map(|(part, key)| (part.name(), key.expose().clone())).collect()
}

/// Which keys are in the memory of a process.
fn keys_in(process: u32, keys: &[(&str, String)]) -> Vec<String> {
    let texts: Vec<(&str, &str)> = keys.iter().map(|(name, key)| (*name, key.as_str())).collect();
    let found = scan(process, &Needles::texts(&texts));
    keys.iter().filter(|(name, _)| found.has(name)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Stand-ins that take no long-lived key where a token belongs.
fn strict() -> Setup {
    let settings = |part| {
        let mut settings = json!({ "takes_keys": false });
        if part == Service::Recogniser {
            settings["ready"] = json!(2);
        }
        (part, more(&settings))
    };
    Setup { more: Service::ALL.map(settings).into(), ..setup() }
}

#[test]
fn every_vendor_gets_what_it_needs_protected_and_nothing_else() {
    let _alone = alone();
    let deployment = start(strict());
    let keys = keys(&deployment);
    let media = deployment.process(Role::Media).unwrap();
    let (conversations, lines) = std::thread::scope(|scope| {
        let desk = deployment.desk();
        let ears = [deployment.ear(), deployment.ear()];
        let calls = ears.map(|ear| scope.spawn(move || super::one_call(&desk, ear, PATIENCE)));
        // While calls are live: their tokens have been granted, and they have been asked something.
        let mut lines: Vec<Line> = Vec::new();
        while lines.iter().filter(|line| line.is_event("turn_answered")).count() < 2 {
            lines.push(deployment.next_line(PATIENCE).unwrap());
        }
        assert!(!lines.iter().any(|line| line.is_event("call_ended")), "a call is over already");
        assert_eq!(keys_in(media, &keys), Vec::<String>::new(), "keys in the media server");
        for role in [Role::Init, Role::Log, Role::Sign] {
            let process = deployment.process(role).unwrap();
            assert_eq!(keys_in(process, &keys), Vec::<String>::new(), "{}", role.name());
        }
        // The control: here they are.
        assert_eq!(keys_in(std::process::id(), &keys).len(), 3);
        (calls.map(|call| call.join().unwrap()), lines)
    });
    let mut lines = lines;
    super::await_ends(&deployment, &mut lines, conversations.len());
    lines.extend(deployment.lines());
    privacy::check(&deployment, &lines, conversations.len());

    let events = deployment.events(Duration::ZERO);
    assert!(conversations.iter().all(|one| one.is_booked), "a conversation did not book");
    let seen = judge(&events);
    println!("connections {:?}, requests for data {:?}", seen.connections, seen.requests);
    assert!(seen.problems.is_empty(), "{:#?}", seen.problems);
    // Both placeholders went to the model: it is asked about somebody, and does not know about whom.
    let asked = format!("{events:?}");
    assert!(PLACEHOLDERS.iter().all(|placeholder| asked.contains(placeholder)));

    controls(&events);
}

/// Something wrong, and how it gets into events.
type Planted<'p> = (&'p str, &'p dyn Fn(&mut Event));

/// The same events with one thing wrong each: every one is noticed.
fn controls(events: &[Event]) {
    let spoil = |change: &dyn Fn(&mut Event)| {
        let mut events = events.to_vec();
        events.iter_mut().for_each(change);
        judge(&events).problems
    };
    let cases: [Planted<'_>; 8] = [
        ("TLSv1.1", &|event| {
            if let Event::Connection { tls, .. } = event {
                *tls = "TLSv1.1".to_owned();
            }
        }),
        ("asked for None", &|event| {
            if let Event::Connection { name, .. } = event {
                *name = None;
            }
        }),
        ("not mip_opt_out=true", &|event| {
            if let Event::Request { flags, .. } = event {
                flags.retain(|(name, _)| name != "mip_opt_out");
            }
        }),
        ("not store=false", &|event| {
            if let Event::Chat { members, .. } = event {
                members.insert("store".to_owned(), json!(true));
            }
        }),
        ("the key itself", &|event| {
            if let Event::Request { shows_key, .. } = event {
                *shows_key = true;
            }
        }),
        ("header x-caller", &|event| {
            if let Event::Request { headers, .. } = event {
                headers.push("x-caller".to_owned());
            }
        }),
        ("smith in what the user says", &|event| {
            if let Event::Chat { messages, .. } = event {
                messages
                    .push(Message { role: "user".to_owned(), content: "John Smith".to_owned() });
            }
        }),
        ("is of no reply", &|event| {
            if let Event::Synthesis { text } = event {
                text.push_str(" Their number is five five five.");
            }
        }),
    ];
    for (expected, change) in cases {
        let problems = spoil(change);
        assert!(problems.iter().any(|one| one.contains(expected)), "{expected}: {problems:?}");
    }
}

#[test]
fn an_entry_without_its_flag_is_noticed_by_the_stand_in_and_by_the_check() {
    let _alone = alone();
    let flag = "[[request_must]]\nwhere = \"query\"\nname = \"mip_opt_out\"\nvalue = \"true\"\n";
    let terms = vec![(Service::Voice, flag, String::new())];
    let deployment = start(Setup { terms, ..setup() });
    let conversations = converse(&deployment, 1, PATIENCE);
    assert_eq!(conversations.len(), 1);
    let problems = judge(&deployment.events(Duration::ZERO)).problems;
    for expected in ["tts: not mip_opt_out=true", "tts refused: 400"] {
        assert!(problems.iter().any(|one| one.contains(expected)), "{expected}: {problems:?}");
    }
}
