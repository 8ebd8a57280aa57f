//! What every test here begins with: a network, sources in it, a vendor that mints, and a server whose keys come from them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ward::vendors::Vendors;
use ward_policy::phi::Secret;
use ward_tests::binaries::root;
use ward_tests::network::{NAME_SERVER_PORT, enter_network, name_server};
use ward_tests::random::fresh_text;
use ward_tests::servers::{Running, ca_certificate, identity_of};
use ward_tests::vendor::{Vendor, entry, minted};
use ward_tests::websocket::Stream;

pub(crate) const VENDOR: &str = "93.184.216.34";
pub(crate) const MINTER: &str = "93.184.216.35";
pub(crate) const AWS: &str = "93.184.216.50";
/// In a network of the operator's own.
pub(crate) const VAULT: &str = "10.9.0.1";
pub(crate) const METADATA: &str = "169.254.169.254";

const AWS_HOST: &str = "secretsmanager.us-east-1.amazonaws.com";
const VAULT_HOST: &str = "vault.example.internal";
const VAULT_PORT: u16 = 8_200;
/// A role's id at the Vault.
const ROLE_ID: &str = "f7a1c2d0-0000-4000-8000-000000000001";

/// A program of this folder, with its packages.
pub(crate) fn python(script: &str) -> Command {
    ward_tests::python::python("credentials", script, "credentials-python", "moto")
}

/// Letters of keys: none that JSON, a header or base64 would write otherwise.
pub(crate) fn fresh_key() -> String {
    fresh_text(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 40)
}

/// The sources.
pub(crate) struct Sources {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Sources {
    pub(crate) fn start() -> Self {
        let folder =
            std::env::temp_dir().join(format!("ward-sources-{}", fresh_text(b"abcdef", 12)));
        std::fs::create_dir(&folder).unwrap();
        let identity = |host: &str| {
            let identity = identity_of(host);
            let (certificate, key) =
                (folder.join(format!("{host}.pem")), folder.join(format!("{host}.key")));
            std::fs::write(&certificate, &identity.chain).unwrap();
            std::fs::write(&key, identity.key.expose()).unwrap();
            json!({ "host": host, "certificate": certificate, "key": key })
        };
        let mut settings = json!({ "aws": identity(AWS_HOST), "vault": identity(VAULT_HOST) });
        settings["aws"]["address"] = AWS.into();
        settings["vault"]["address"] = VAULT.into();
        settings["vault"]["port"] = VAULT_PORT.into();
        let mut child = python("standin.py")
            .arg(settings.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "\"ready\"");
        Self { child, input, output, folder }
    }

    /// Tells `to` to do something; its answer.
    pub(crate) fn tell(&mut self, to: &str, what: &str, more: Value) -> Value {
        let mut command = more;
        command["to"] = to.into();
        command["do"] = what.into();
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_none| panic!("{to} cannot {what}: {command}"))
    }

    /// Keeps `key` under `name`, in the field `key`.
    pub(crate) fn keep(&mut self, to: &str, name: &str, key: &str) {
        let value = json!({ "key": key, "note": "another field" });
        let value = if to == "aws" { value.to_string().into() } else { value };
        self.tell(to, "secret", json!({ "name": name, "value": value }));
    }

    pub(crate) fn fault(&mut self, to: &str, fault: Option<&str>) {
        self.tell(to, "fault", json!({ "fault": fault }));
    }

    /// How often something was seen by it.
    pub(crate) fn seen(&mut self, by: &str, what: &str) -> u64 {
        self.tell(by, "seen", json!({}))[what].as_u64().unwrap_or(0)
    }

    /// The list that it answers with.
    pub(crate) fn list(&mut self, of: &str, what: &str) -> Vec<String> {
        serde_json::from_value(self.tell(of, what, json!({}))).unwrap()
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.input = None;
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// The network of these tests, and who is in it.
pub(crate) struct Bench {
    pub(crate) sources: Sources,
    _vendor: Vendor,
    /// Where tokens come from.
    pub(crate) minter: Vendor,
    _names: ward_tests::network::Running,
}

impl Bench {
    /// Everybody but a server; `key` is what the vendor takes.
    pub(crate) fn new(key: &str) -> Self {
        let addresses =
            [VENDOR, MINTER, AWS, VAULT, METADATA].map(|address| format!("{address}/32"));
        enter_network(&addresses.each_ref().map(String::as_str));
        let names = name_server(&[
            ("asr.vendor.test", VENDOR),
            ("token.vendor.test", MINTER),
            (AWS_HOST, AWS),
            (VAULT_HOST, VAULT),
            ("metadata.vendor.test", METADATA),
        ]);
        let vendor = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
        let minter = Vendor::mint("token.vendor.test", &format!("{MINTER}:443"), key);
        Self { sources: Sources::start(), _vendor: vendor, minter, _names: names }
    }

    /// A media server that asks for `wanted`, with the registry's `entries` and whatever logs in to the Vault.
    pub(crate) fn serve(
        &mut self,
        entries: Vec<(String, String)>,
        executable: Option<PathBuf>,
        wanted: &str,
    ) -> Running {
        let secret_id = self.sources.tell("vault", "secret_id", json!({}));
        let keys = format!("vault={}\n", secret_id.as_str().unwrap());
        self.serve_with(entries, &keys, executable, wanted)
    }

    pub(crate) fn serve_with(
        &mut self,
        entries: Vec<(String, String)>,
        keys: &str,
        executable: Option<PathBuf>,
        wanted: &str,
    ) -> Running {
        self.serve_with_settings(entries, keys, executable, &format!("MEDIA_VENDORS={wanted}\n"))
    }

    pub(crate) fn serve_with_settings(
        &mut self,
        entries: Vec<(String, String)>,
        keys: &str,
        executable: Option<PathBuf>,
        more: &str,
    ) -> Running {
        let settings = format!("BROKER_NAMESERVERS=127.0.0.1:{NAME_SERVER_PORT}\n");
        let keys = Secret::new(keys.to_owned());
        let vendors = Vendors { registry: entries, keys, settings };
        Running::media_with(vendors, executable, more)
    }
}

/// An entry of `policy/infrastructure`, let in, with `changes`.
pub(crate) fn infrastructure(name: &str, changes: &[(&str, &str)]) -> (String, String) {
    let path = root().join("policy/infrastructure").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    let roots = format!("roots_pem = \"\"\"\n{}\"\"\"\napproved_by", ca_certificate());
    let mut text = text
        .replace("approved_on = \"2026-11-22\"", "approved_on = \"2026-01-01\"")
        .replace("00000000-0000-0000-0000-000000000000", ROLE_ID);
    if name != "aws-metadata" {
        text = text.replace("approved_by", &roots);
    }
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    (format!("{name}.toml"), text)
}

/// The three of them as they are.
pub(crate) fn all_infrastructure() -> Vec<(String, String)> {
    ["aws-metadata", "aws-secrets", "vault"].map(|name| infrastructure(name, &[])).into()
}

/// A vendor whose tokens are minted with a key of `source`.
pub(crate) fn keyed(
    id: &str,
    source: &str,
    path: &str,
    field: &str,
    ttl_s: u32,
) -> (String, String) {
    keyed_at(id, source, path, field, ttl_s, "/grant")
}

pub(crate) fn keyed_at(
    id: &str,
    source: &str,
    path: &str,
    field: &str,
    ttl_s: u32,
    mint: &str,
) -> (String, String) {
    let (name, text) = minted(id, "asr.vendor.test", "token.vendor.test", mint);
    (name, with_key(&text, "[credential.mint]", source, path, field, ttl_s))
}

/// The same for one whose tokens are signed here.
pub(crate) fn signing(
    id: &str,
    source: &str,
    path: &str,
    field: &str,
    ttl_s: u32,
) -> (String, String) {
    let (name, text) = entry(id, "asr.vendor.test", &[]);
    (name, with_key(&text, "[source]", source, path, field, ttl_s))
}

fn with_key(text: &str, before: &str, source: &str, path: &str, field: &str, ttl_s: u32) -> String {
    assert!(text.contains(before));
    let key = format!(
        "[credential.key]\nsource = \"{source}\"\npath = \"{path}\"\nfield = \"{field}\"\n\
         max_ttl_s = {ttl_s}\n\n{before}"
    );
    text.replacen(before, &key, 1)
}

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for an event after the first `after` lines that is as `is_it` says; it, and how many lines there were.
pub(crate) fn await_event(
    server: &Running,
    after: usize,
    what: &str,
    is_it: impl Fn(&Value) -> bool,
) -> (Value, usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = server.logs.text();
        for (place, line) in text.lines().enumerate().skip(after) {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            if is_it(&line) {
                return (line, place + 1);
            }
        }
        assert!(Instant::now() < until, "no {what} after line {after} in:\n{text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many lines there are now.
pub(crate) fn lines(server: &Running) -> usize {
    server.logs.text().lines().count()
}

/// Waits for a failure of `source` for `reason`.
pub(crate) fn await_failure(
    server: &Running,
    after: usize,
    source: &str,
    reason: &str,
) -> (Value, usize) {
    let is_it = |line: &Value| {
        line["event"] == "source_failed" && line["source"] == source && line["reason"] == reason
    };
    await_event(server, after, &format!("source_failed of {source}: {reason}"), is_it)
}

/// Waits until a source gave a key.
pub(crate) fn await_fetch(server: &Running, after: usize, vendor: &str) -> (Value, usize) {
    let is_it = |line: &Value| line["event"] == "credential_fetched" && line["vendor"] == vendor;
    await_event(server, after, &format!("credential_fetched for {vendor}"), is_it)
}

/// A call, and what came of its vendor: `Ok`, or the reason for none.
pub(crate) fn call(server: &Running, number: u64) -> (Stream, Result<(), String>) {
    let after = lines(server);
    let stream = Stream::named(server, number);
    let is_it =
        |line: &Value| line["event"] == "vendor_connected" || line["event"] == "vendor_failed";
    let (line, _) = await_event(server, after, "outcome of a call", is_it);
    let outcome = match line["reason"].as_str() {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(()),
    };
    (stream, outcome)
}

/// How often a source had not answered when a key was over, by a server's log: what a machine that has no time for the stand-ins makes of keys
/// that live for two seconds. It has a name each time, and is rare; any other failure of a source is Ward's.
pub(crate) fn stalls(text: &str) -> usize {
    let of = |event: &str| {
        let event = format!("\"event\":\"{event}\"");
        text.lines().filter(|line| line.contains(&event)).collect::<Vec<_>>()
    };
    let (failed, over) = (of("source_failed"), of("credential_expired").len());
    for line in &failed {
        let reasons = ["source_late", "source_expired", "source_over"];
        assert!(reasons.iter().any(|reason| line.contains(reason)), "{line}\n{text}");
    }
    let (all, most) = (failed.len() + over, 6 + of("credential_fetched").len() / 10);
    assert!(all <= most, "{all} of at most {most}\n{text}");
    all
}
