//! Ways into the operator's tool: settings with wrong values, token files, keys, the environment.
//!
//! What it says names the setting and the problem, and never the value.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ward_tests::binaries::root;
use ward_tests::servers::ca_certificate;

use crate::class::{Canaries, Encoding, Sent};
use crate::edge::{each_batch, joined};
use crate::ward::{Build, Sinks, folder};

const SETTINGS: [&str; 20] = [
    "MEDIA_WSS_URL",
    "MEDIA_PATH",
    "NEXT_PUBLIC_SITE_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_NEXT",
    "TWILIO_AUTH_TOKEN_FILE",
    "TWILIO_TWIML_APP_SID",
    "TWIML_PLAIN_HTTP",
    "STREAM_TICKET",
    "STREAM_TICKET_KEY",
    "STREAM_TICKET_KEY_FILE",
    "STREAM_TICKET_PUBLIC_KEYS",
    "MEDIA_AGENT",
    "MEDIA_HANDSHAKE",
    "CALL_DURATION_MAX_S",
    "CALLS_PER_WORKER_MAX",
    "MEDIA_VENDORS",
    "BROKER_NAMESERVERS",
    "BROKER_HOSTS",
];

/// Settings of two documents at most: a setting stands once.
fn documents(batch: &[Sent]) -> Vec<String> {
    let write = |part: &[Sent]| {
        // Another order every time, so that each class meets every setting in some encoding.
        let shift = batch.first().map_or(0, |(_, sent)| sent.len());
        let names = SETTINGS.iter().cycle().skip(shift % SETTINGS.len());
        part.iter().zip(names).map(|((_, sent), name)| format!("{name}={sent}\n")).collect()
    };
    batch.chunks(SETTINGS.len()).map(write).collect()
}

struct Tool<'t> {
    build: &'t Build,
    folder: PathBuf,
}

impl Tool<'_> {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)], sinks: &mut Sinks) -> Output {
        let mut command = Command::new(&self.build.tool);
        command.args(arguments).env_clear().envs(environment.iter().copied());
        let output = command.current_dir(&self.folder).output().unwrap();
        sinks.add("tool", &output.stdout);
        sinks.add("tool", &output.stderr);
        output
    }

    /// Has every command that reads settings refuse these.
    fn refuses(&self, settings: &str, sinks: &mut Sinks) {
        let path = self.file("env", settings);
        let path = path.to_str().unwrap();
        let check = ["check-config", "--env-file", path];
        for arguments in [
            &check[..],
            &[&check[..], &["--json"]].concat(),
            &["run", "media", "--env-file", path],
            &["run", "twiml", "--env-file", path],
        ] {
            let output = self.run(arguments, &[], sinks);
            assert!(!output.status.success(), "{arguments:?} {settings}");
            // It is the settings that are refused, and it says which.
            let said = [output.stdout, output.stderr].concat();
            assert!(String::from_utf8_lossy(&said).contains("MEDIA_WSS_URL"));
        }
    }
}

pub(crate) fn deliver(build: &Build, canaries: &mut Canaries, sinks: &mut Sinks) {
    let tool = Tool { build, folder: folder("tool") };
    each_batch(canaries, "tool: settings with wrong values", |_, batch| {
        documents(batch).iter().for_each(|document| tool.refuses(document, sinks));
    });
    each_batch(canaries, "tool: lines that are no setting", |_, batch| {
        tool.refuses(&joined(batch, "\n"), sinks);
        tool.refuses(&joined(batch, "\nx="), sinks);
        // As the end of a secret in base32 is padded.
        tool.refuses(&format!("{}==\n", joined(batch, "=\n")), sinks);
    });
    each_batch(canaries, "tool: settings in the environment", |_, batch| {
        for document in documents(batch) {
            let pairs: Vec<(&str, &str)> =
                document.lines().filter_map(|line| line.split_once('=')).collect();
            tool.run(&["check-config"], &pairs, sinks);
            tool.run(&["run", "twiml"], &pairs, sinks);
        }
    });
    let audio = root().join("tests/corpus/appointment.wav");
    let ca = tool.file("ca.pem", &ca_certificate());
    for encoding in Encoding::ALL {
        for (_, sent) in canaries.batch("tool: file of an auth token", encoding) {
            call(&tool, &tool.file("token", &sent), &audio, &ca, sinks);
            let name = tool.file("token", &sent);
            let setting = format!("TWILIO_AUTH_TOKEN_FILE={}\n", name.display());
            let path = tool.file("env", &setting);
            tool.run(&["check-config", "--env-file", path.to_str().unwrap()], &[], sinks);
        }
    }
    keys(&tool, canaries, sinks);
    let arguments = ["run", "--report", "--json"];
    let report = Command::new(&build.tool).args(arguments).current_dir(&tool.folder).output();
    let report = report.unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    sinks.add("report", &report.stdout);
    sinks.add("report", &report.stderr);
}

/// A call to nobody: it comes as far as the connection, with the token in hand.
fn call(tool: &Tool<'_>, token: &Path, audio: &Path, ca: &Path, sinks: &mut Sinks) {
    let [token, audio, ca] = [token, audio, ca].map(|path| path.to_str().unwrap());
    let arguments = [
        "call",
        "--webhook",
        "https://127.0.0.1:9/api/voice/incoming",
        "--account-sid",
        "AC00000000000000000000000000000000",
        "--auth-token-file",
        token,
        "--audio",
        audio,
        "--ca",
        ca,
    ];
    let output = tool.run(&arguments, &[], sinks);
    assert!(!output.status.success());
}

/// Vendors' keys in a file that is none: the broker ends, and everything with it.
fn keys(tool: &Tool<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut all = Vec::new();
    each_batch(canaries, "tool: vendors' keys that are none", |_, batch| {
        all.push(joined(batch, "\n"));
    });
    let keys = tool.file("keys", &all.join("\n"));
    let identity = ward_tests::servers::identity();
    let [env, chain, key] = [
        tool.file(
            "env",
            "MEDIA_WSS_URL=wss://media.example.com\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
             TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\n",
        ),
        tool.file("chain", &identity.chain),
        tool.file("key", identity.key.expose()),
    ];
    let mut arguments = vec!["run", "media", "--workers", "1"];
    let exec = tool.build.folder.join("ward-media");
    for (name, path) in [
        ("--exec", &exec),
        ("--env-file", &env),
        ("--tls-chain", &chain),
        ("--tls-key", &key),
        ("--vendor-keys", &keys),
    ] {
        arguments.extend([name, path.to_str().unwrap()]);
    }
    let output = tool.run(&arguments, &[], sinks);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
