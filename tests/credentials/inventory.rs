//! The list of every live credential: in the log, and as `ward run --credentials` shows it.

use serde_json::Value;

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
    assert!(of("vendor-key", "vault")["expires_in_s"].is_null());
    assert!(of("source-session", "vault")["expires_in_s"].as_u64().unwrap() <= 60);
    let vendors = of("vendor-key", "minted");
    assert_eq!(vendors["credential"], fetched["credential"]);
    assert!((590..=600).contains(&vendors["expires_in_s"].as_u64().unwrap()), "{vendors}");
    assert_eq!((listed.len(), &vendors["count"]), (3, &1.into()));
    assert_eq!(call(&server, 1).1, Ok(()));
    assert!(!server.logs.text().contains(&key) && !server.logs.text().contains("hvs."));
}
