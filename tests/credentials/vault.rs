//! `Vault` and `OpenBao`: `AppRole` and JWT, KV 2 and leases, and everything that can go wrong.

use serde_json::json;

use crate::bench::{
    Bench, all_infrastructure, await_event, await_failure, await_fetch, call, fresh_key,
    infrastructure, keyed, lines, signing,
};

const PATH: &str = "secret/data/ward/minted";
const FIELD: &str = "/data/key";

fn entries(ttl_s: u32) -> Vec<(String, String)> {
    let mut entries = all_infrastructure();
    entries.push(keyed("minted", "vault", PATH, FIELD, ttl_s));
    entries
}

#[test]
fn a_key_of_kv_2_comes_by_approle_and_a_source_that_fails_keeps_the_old_one_to_its_end() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    let server = bench.serve(entries(6), None, "minted:audio");
    let (fetched, mut at) = await_fetch(&server, 0, "minted");
    assert_eq!((&fetched["source"], &fetched["ttl_s"]), (&"vault".into(), &6.into()));
    let mut number = 0;
    let mut is_served = |expected: Result<(), &str>| {
        number += 1;
        let (mut stream, outcome) = call(&server, number);
        assert_eq!(outcome, expected.map_err(str::to_owned), "{}", server.logs.text());
        stream.proves_alive(1);
    };
    is_served(Ok(()));
    for (fault, reason) in [
        ("throttle", "source_throttled"),
        ("broken", "source_broken"),
        ("garbage", "source_garbage"),
    ] {
        bench.sources.fault("vault", Some(fault));
        let (failed, after) = await_failure(&server, at, "vault", reason);
        assert!(failed["left_s"].as_u64().unwrap() <= 6, "{failed}");
        is_served(Ok(()));
        bench.sources.fault("vault", None);
        (_, at) = await_fetch(&server, after, "minted");
    }
    // Sealed, as after a restart of it.
    bench.sources.tell("vault", "set", json!({ "sealed": true }));
    let (_, after) = await_failure(&server, at, "vault", "source_broken");
    bench.sources.tell("vault", "set", json!({ "sealed": false }));
    let (_, after) = await_fetch(&server, after, "minted");
    // The token is revoked: another is asked for, at the same try.
    let logins = bench.sources.seen("vault", "logins");
    bench.sources.tell("vault", "expire", json!({}));
    let (_, after) = await_failure(&server, after, "vault", "source_expired");
    let (_, after) = await_fetch(&server, after, "minted");
    assert_eq!(bench.sources.seen("vault", "logins"), logins + 1);
    // It vanishes.
    bench.sources.tell("vault", "vanish", json!({}));
    let (_, after) = await_failure(&server, after, "vault", "source_unreachable");
    is_served(Ok(()));
    let is_over = |line: &serde_json::Value| {
        line["event"] == "credential_expired" && line["vendor"] == "minted"
    };
    let (_, after) = await_event(&server, after, "credential_expired", is_over);
    is_served(Err("no_credential"));
    bench.sources.tell("vault", "return", json!({}));
    let (_, after) = await_fetch(&server, after, "minted");
    is_served(Ok(()));
    bench.sources.tell("vault", "delete", json!({ "name": "ward/minted" }));
    await_failure(&server, after, "vault", "source_absent");
    assert_eq!(bench.minter.refused(), 0);
    let log = server.logs.text();
    assert!(!log.contains(&key) && !log.contains("hvs.") && !log.contains("role_ended"), "{log}");
}

#[test]
fn a_token_is_renewed_while_it_can_be_and_asked_for_anew_when_not() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    bench.sources.tell("vault", "set", json!({ "token_ttl_s": 4, "token_max_s": 9 }));
    let server = bench.serve(entries(2), None, "minted:audio");
    let (_, mut at) = await_fetch(&server, 0, "minted");
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 14 {
        (_, at) = await_fetch(&server, at, "minted");
    }
    let (logins, renewals) =
        (bench.sources.seen("vault", "logins"), bench.sources.seen("vault", "renewals"));
    assert!((2..=4).contains(&logins) && renewals >= 2, "{logins} and {renewals}");
    assert!(!server.logs.text().contains("source_failed"), "{}", server.logs.text());
    assert_eq!(bench.sources.seen("vault", "403"), 0, "never asked with what is over");
}

#[test]
fn a_lease_is_honoured_and_given_back_when_it_was_replaced() {
    let mut bench = Bench::new("nothing");
    bench.sources.tell("vault", "set", json!({ "lease_ttl_s": 5 }));
    let mut all = all_infrastructure();
    all.push(signing("leased", "vault", "speech/creds/ward", "/key", 3_600));
    let server = bench.serve(all, None, "leased:audio");
    let (first, at) = await_fetch(&server, 0, "leased");
    assert_eq!(first["ttl_s"], 5, "the lease's, not the entry's hour");
    let (mut stream, outcome) = call(&server, 1);
    assert_eq!(outcome, Ok(()));
    let (second, at) = await_fetch(&server, at, "leased");
    assert_ne!(first["credential"], second["credential"], "each lease is a key of its own");
    let (_, _) = await_fetch(&server, at, "leased");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(3);
    while bench.sources.seen("vault", "revoked") < 2 {
        assert!(std::time::Instant::now() < until, "nothing is given back");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(bench.sources.list("vault", "leases").len() <= 2);
    // No lease outlives the token that it was given to.
    bench.sources.tell(
        "vault",
        "set",
        json!({ "lease_ttl_s": 3_000, "token_ttl_s": 6, "renewable": false }),
    );
    bench.sources.tell("vault", "expire", json!({}));
    let after = lines(&server);
    let (_, after) = await_failure(&server, after, "vault", "source_expired");
    let (fetched, _) = await_fetch(&server, after, "leased");
    assert!(fetched["ttl_s"].as_u64().unwrap() <= 6, "{fetched}");
    stream.proves_alive(1);
}

#[test]
fn a_json_web_token_logs_in_and_a_wrong_or_late_secret_does_not() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    bench.sources.tell("vault", "set", json!({ "namespace": "clinic/one" }));
    let jwt = [
        ("auth = \"approle\"", "auth = \"jwt\""),
        ("mount = \"approle\"", "mount = \"jwt\"\nnamespace = \"clinic/one\""),
        ("role = \"f7a1c2d0-0000-4000-8000-000000000001\"", "role = \"ward\""),
    ];
    let all = || {
        let mut all = vec![infrastructure("vault", &jwt)];
        all.push(keyed("minted", "vault", PATH, FIELD, 4));
        all
    };
    let good = bench.sources.tell("vault", "jwt", json!({ "life_s": 600 }));
    let server = bench.serve_with(
        all(),
        &format!("vault={}\n", good.as_str().unwrap()),
        None,
        "minted:audio",
    );
    await_fetch(&server, 0, "minted");
    assert_eq!(call(&server, 1).1, Ok(()));
    drop(server);
    // Signed by the right one, and over.
    let over = bench.sources.tell("vault", "jwt", json!({ "life_s": -60 }));
    let server = bench.serve_with(
        all(),
        &format!("vault={}\n", over.as_str().unwrap()),
        None,
        "minted:audio",
    );
    await_failure(&server, 0, "vault", "source_refused");
    assert_eq!(call(&server, 2).1, Err("no_credential".to_owned()));
    drop(server);
    // No secret for it at all: nobody is asked.
    let before = bench.sources.seen("vault", "POST /v1/auth/jwt/login");
    let server = bench.serve_with(all(), "other=x\n", None, "minted:audio");
    await_failure(&server, 0, "vault", "source_refused");
    assert_eq!(bench.sources.seen("vault", "POST /v1/auth/jwt/login"), before);
}

#[test]
fn a_lease_that_cannot_be_given_back_holds_up_no_key() {
    let mut bench = Bench::new("nothing");
    bench.sources.tell("vault", "set", json!({ "lease_ttl_s": 3 }));
    bench.sources.tell("vault", "set", json!({ "hangs_at": "/v1/sys/leases/revoke" }));
    let mut all = all_infrastructure();
    all.push(signing("leased", "vault", "speech/creds/ward", "/key", 3_600));
    let server = bench.serve(all, None, "leased:audio");
    let (_, mut at) = await_fetch(&server, 0, "leased");
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 9 {
        (_, at) = await_fetch(&server, at, "leased");
    }
    assert!(bench.sources.seen("vault", "hung") >= 2);
    let log = server.logs.text();
    assert!(!log.contains("credential_expired") && !log.contains("source_failed"), "{log}");
}

#[test]
fn a_lease_of_what_is_not_taken_is_given_back() {
    let mut bench = Bench::new("nothing");
    let mut all = all_infrastructure();
    all.push(signing("leased", "vault", "speech/creds/ward", "/another", 3_600));
    let server = bench.serve(all, None, "leased:audio");
    let (_, after) = await_failure(&server, 0, "vault", "source_absent");
    let given_back = |bench: &mut Bench, least: u64| {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while bench.sources.seen("vault", "revoked") < least {
            assert!(std::time::Instant::now() < until, "nothing is given back");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    given_back(&mut bench, 1);
    drop((server, after));
    // The right place, and what cannot stand in a header.
    bench.sources.tell("vault", "set", json!({ "lease_value": "two lines\n" }));
    let mut all = all_infrastructure();
    all.push(signing("leased", "vault", "speech/creds/ward", "/key", 3_600));
    let before = bench.sources.seen("vault", "revoked");
    let server = bench.serve(all, None, "leased:audio");
    await_failure(&server, 0, "vault", "source_garbage");
    given_back(&mut bench, before + 1);
}

#[test]
fn a_log_in_that_hangs_does_not_hide_a_token_that_is_good() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    bench.sources.tell("vault", "set", json!({ "token_ttl_s": 30, "renewable": false }));
    let server = bench.serve(entries(6), None, "minted:audio");
    let (_, mut at) = await_fetch(&server, 0, "minted");
    bench.sources.tell("vault", "set", json!({ "hangs_at": "/v1/auth/" }));
    // Until it was time to log in again, and somebody has tried.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(28);
    while bench.sources.seen("vault", "hung") == 0 {
        assert!(std::time::Instant::now() < until, "nobody has tried to log in");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    (_, at) = await_fetch(&server, at.max(lines(&server)), "minted");
    let log: String = server.logs.text().lines().take(at).collect();
    assert!(!log.contains("source_failed"), "{log}");
}

#[test]
fn a_secret_is_kept_no_longer_than_its_engine_says() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("vault", "ward/minted", &key);
    bench.sources.tell("vault", "set", json!({ "v1_lease_s": 20 }));
    bench.sources.tell("vault", "delete_at", json!({ "in_s": 40 }));
    let mut all = entries(600);
    all.push(keyed("other", "vault", "old/ward/minted", "/key", 600));
    all.push(keyed("third", "vault", "old/ward/minted", "/key", 5));
    let server = bench.serve(all, None, "minted:audio");
    let ttl_s = |vendor: &str| await_fetch(&server, 0, vendor).0["ttl_s"].as_u64().unwrap();
    assert_eq!((ttl_s("other"), ttl_s("third")), (20, 5));
    assert!((35..=40).contains(&ttl_s("minted")), "{}", server.logs.text());
}
