//! The list of every live credential: in the log, and as `ward run --credentials` shows it.

use std::process::Command;

use serde_json::{Value, json};
use ward_tests::binaries::release;
use ward_tests::network::NAME_SERVER_PORT;
use ward_tests::servers::{ACCOUNT, HANDSHAKE, TOKEN};

use crate::bench::{Bench, all_infrastructure, await_event, await_fetch, call, fresh_key, keyed};

#[test]
fn every_credential_of_the_broker_is_listed_and_none_of_their_values() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    let mut all = all_infrastructure();
    all.push(keyed("minted", "vault", "secret/data/ward/minted", "/data/key", 600));
    let server = bench.serve(all, None, "minted:audio");
    let (fetched, _) = await_fetch(&server, 0, "minted");
    let of_broker =
        |line: &Value| line["role"] == "broker" && line["event"] == "credentials_listed";
    let (end, at) = await_event(&server, 0, "credentials_listed", of_broker);
    let text = server.logs.text();
    let listed: Vec<Value> = text
        .lines()
        .take(at)
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["event"] == "credential_live" && line["role"] == "broker")
        .collect();
    assert_eq!(end["lines"], listed.len());
    let of = |class: &str, audience: &str| {
        let found =
            listed.iter().find(|line| line["class"] == class && line["audience"] == audience);
        found.unwrap_or_else(|| panic!("no {class} for {audience} in {listed:#?}")).clone()
    };
    // What is logged in with, of the document; the session that came of it; the key.
    assert!(of("source-secret", "vault")["expires_in_s"].is_null());
    assert!(of("source-session", "vault")["expires_in_s"].as_u64().unwrap() <= 60);
    let vendors = of("vendor-key", "minted");
    assert_eq!(vendors["credential"], fetched["credential"]);
    assert!((590..=600).contains(&vendors["expires_in_s"].as_u64().unwrap()), "{vendors}");
    assert_eq!((listed.len(), &vendors["count"]), (3, &1.into()));
    assert_eq!(call(&server, 1).1, Ok(()));
    assert!(!server.logs.text().contains(&key) && !server.logs.text().contains("hvs."));
}

#[expect(clippy::too_many_lines, reason = "one server's files, shown in each state of its source")]
#[test]
fn the_tool_shows_the_list_and_ends_the_server() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    let secret_id = bench.sources.tell("vault", "secret_id", json!({}));
    let secret_id = secret_id.as_str().unwrap();
    let mut all = all_infrastructure();
    all.push(keyed("minted", "vault", "secret/data/ward/minted", "/data/key", 600));
    let folder = std::env::temp_dir().join(format!("ward-inventory-{}", fresh_key()));
    std::fs::create_dir_all(folder.join("registry")).unwrap();
    for (name, text) in &all {
        std::fs::write(folder.join("registry").join(name), text).unwrap();
    }
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let settings = format!(
        "MEDIA_WSS_URL=wss://media.example.com\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
         TWILIO_ACCOUNT_SID={ACCOUNT}\nTWILIO_AUTH_TOKEN={TOKEN}\nMEDIA_AGENT=echo\n\
         BROKER_NAMESERVERS=127.0.0.1:{NAME_SERVER_PORT}\n"
    );
    let (settings, keys) =
        (file("settings", &settings), file("keys", &format!("vault={secret_id}\n")));
    let run = |more: &[&str], status: i32| {
        let mut command = Command::new(release("ward"));
        command.args(more).args(["run", "media", "--credentials", "--workers", "1"]);
        command.arg("--env-file").arg(&settings).arg("--vendor-keys").arg(&keys);
        command.arg("--vendors").arg(folder.join("registry"));
        command.arg("--development-ca").arg(folder.join("ca.pem"));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (shown, said) = (text(output.stdout), text(output.stderr));
        assert_eq!(output.status.code(), Some(status), "{shown}{said}");
        for value in [key.as_str(), secret_id, TOKEN, HANDSHAKE, "hvs."] {
            assert!(!shown.contains(value) && !said.contains(value), "{value} in {shown}{said}");
        }
        (shown, said)
    };
    let (shown, said) = run(&["--json"], 0);
    assert!(!said.contains("there is no key"), "{said}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let listed: Vec<&Value> = shown["credentials"].as_array().unwrap().iter().collect();
    let is_there = |held_by: &str, class: &str, audience: Option<&str>| {
        listed.iter().any(|one| {
            one["held_by"] == held_by
                && one["class"] == class
                && one["audience"].as_str() == audience
                && one["issued"].is_string()
        })
    };
    for (held_by, class, audience) in [
        ("broker", "source-secret", Some("vault")),
        ("broker", "source-session", Some("vault")),
        ("broker", "vendor-key", Some("minted")),
        ("media", "tls-key", None),
        ("media", "handshake-values", None),
    ] {
        assert!(is_there(held_by, class, audience), "{held_by} {class}: {listed:#?}");
    }
    assert_eq!(listed.len(), 5, "{listed:#?}");
    // A source that gives nothing is said, and what there is is shown; the list is not whole.
    bench.sources.fault("vault", Some("throttle"));
    let (shown, said) = run(&["--json"], 1);
    assert!(said.contains("vault gave nothing for minted: source_throttled"), "{said}");
    assert!(said.contains("there is no key of minted"), "{said}");
    // So is one that hangs, of which nothing is known yet.
    bench.sources.fault("vault", Some("hang"));
    let (_, said) = run(&["--json"], 1);
    assert!(said.contains("there is no key of minted"), "{said}");
    bench.sources.fault("vault", Some("throttle"));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["credentials"].as_array().unwrap().len(), 3, "{shown}");
    // For people: a line each.
    bench.sources.fault("vault", None);
    let (shown, _) = run(&[], 0);
    let rows = shown.lines().filter(|line| line.contains("Z  ")).count();
    assert_eq!(rows, 5, "{shown}");
    drop(std::fs::remove_dir_all(folder));
}
