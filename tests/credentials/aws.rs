//! AWS: the instance's role, Secrets Manager, and everything that can go wrong with either.

use serde_json::json;

use crate::bench::{
    Bench, all_infrastructure, await_event, await_failure, await_fetch, call, fresh_key,
    infrastructure, keyed, lines,
};

const FIELD: &str = "/key";

fn entries(ttl_s: u32) -> Vec<(String, String)> {
    let mut entries = all_infrastructure();
    entries.push(keyed("minted", "aws-secrets", "prod/ward/minted", FIELD, ttl_s));
    entries
}

#[test]
fn a_key_comes_as_the_instances_role_and_nobody_else_gets_near_the_metadata_service() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("aws", "prod/ward/minted", &key);
    let mut all = entries(3_600);
    // Whoever answers for that name lies: it is the metadata service's address.
    let lying = keyed("lying", "aws-secrets", "prod/ward/minted", FIELD, 3_600);
    all.push((lying.0, lying.1.replace("asr.vendor.test", "metadata.vendor.test")));
    let wanted =
        "minted:audio aws-secrets:token-only aws-metadata:none vault:token-only lying:audio";
    let server = bench.serve(all, None, wanted);
    let (fetched, _) = await_fetch(&server, 0, "minted");
    assert_eq!((&fetched["source"], &fetched["ttl_s"]), (&"aws-secrets".into(), &3_600.into()));
    drop(await_fetch(&server, 0, "lying"));
    let (mut stream, _) = call(&server, 1);
    assert_eq!(server.logs.first("vendor_connected")["vendor"], "minted");
    let reasons: Vec<(String, String)> = (1..=4)
        .map(|number| server.logs.nth("vendor_failed", number))
        .map(|line| [line["vendor"].clone(), line["reason"].clone()])
        .map(|pair| pair.map(|word| word.as_str().unwrap().to_owned()).into())
        .collect();
    for vendor in ["aws-secrets", "aws-metadata", "vault"] {
        assert!(reasons.contains(&(vendor.to_owned(), "infrastructure".to_owned())), "{reasons:?}");
    }
    assert!(reasons.contains(&("lying".to_owned(), "address_refused".to_owned())), "{reasons:?}");
    assert!(!bench.minter.minted().is_empty() && bench.minter.refused() == 0);
    // The second version of the service only, each of its three questions once, and the Vault was never asked.
    for (what, times) in [
        ("PUT /latest/api/token", 1),
        ("GET /latest/meta-data/iam/security-credentials/", 1),
        ("GET /latest/meta-data/iam/security-credentials/ward-broker", 1),
        ("v1 refused", 0),
    ] {
        assert_eq!(bench.sources.seen("metadata", what), times, "{what}");
    }
    assert_eq!(bench.sources.seen("aws", "moto 200"), 2, "two entries have that key");
    assert_eq!(bench.sources.seen("vault", "logins"), 0);
    // The controls: moto knows a wrong signature, and so does what stands before it.
    let refused = bench.sources.tell("aws", "moto_refuses", json!({}));
    assert_eq!(refused, 403);
    stream.proves_alive(1);
    let log = server.logs.text();
    assert!(!log.contains(&key) && !log.contains("ASIA"), "{log}");
}

#[test]
fn a_source_that_fails_keeps_the_old_key_to_its_end_and_says_so() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("aws", "prod/ward/minted", &key);
    let server = bench.serve(entries(6), None, "minted:audio");
    let (first, mut at) = await_fetch(&server, 0, "minted");
    let mut number = 0;
    let mut is_served = |expected: Result<(), &str>| {
        number += 1;
        let (mut stream, outcome) = call(&server, number);
        assert_eq!(outcome, expected.map_err(str::to_owned), "{}", server.logs.text());
        stream.proves_alive(1);
    };
    is_served(Ok(()));
    // What is over soon: throttled, broken, talking nonsense. Each is said, and the key is good meanwhile.
    for (fault, reason) in [
        ("throttle", "source_throttled"),
        ("broken", "source_broken"),
        ("garbage", "source_garbage"),
    ] {
        bench.sources.fault("aws", Some(fault));
        let (failed, after) = await_failure(&server, at, "aws-secrets", reason);
        assert!(failed["left_s"].as_u64().unwrap() <= 6, "{failed}");
        is_served(Ok(()));
        bench.sources.fault("aws", None);
        (_, at) = await_fetch(&server, after, "minted");
    }
    // The same key again is the same credential.
    let (again, _) = await_fetch(&server, at, "minted");
    assert_eq!(again["credential"], first["credential"]);
    // What the role logged in with ends before its time: another is asked for, and the key comes at the same try.
    at = lines(&server);
    bench.sources.tell("aws", "expire", json!({}));
    let (_, after) = await_failure(&server, at, "aws-secrets", "source_expired");
    let (_, after) = await_fetch(&server, after, "minted");
    // Their clock is an hour before ours, later two hours behind that; and then ours is right again, from either side.
    let mut after = after;
    for skew_s in [3_600, -3_600, 0, 3_600, 0] {
        bench.sources.tell("aws", "set", json!({ "skew_s": skew_s }));
        (_, after) = await_failure(&server, after, "aws-secrets", "source_clock");
        (_, after) = await_fetch(&server, after, "minted");
    }
    is_served(Ok(()));
    // It is put right once, not each time.
    let seen = bench.sources.seen("aws", "InvalidSignatureException");
    let (_, after) = await_fetch(&server, after, "minted");
    assert_eq!((seen, bench.sources.seen("aws", "InvalidSignatureException")), (5, 5));
    // It vanishes. The key is good to its end, and then it is over.
    bench.sources.tell("aws", "vanish", json!({}));
    let (failed, after) = await_failure(&server, after, "aws-secrets", "source_unreachable");
    assert!(failed["left_s"].as_u64().unwrap() < 6, "{failed}");
    let is_over = |line: &serde_json::Value| line["event"] == "credential_expired";
    let (expired, after) = await_event(&server, after, "credential_expired", is_over);
    assert_eq!(
        (&expired["vendor"], &expired["credential"]),
        (&"minted".into(), &first["credential"])
    );
    is_served(Err("no_credential"));
    let (failed, after) = await_failure(&server, after, "aws-secrets", "source_unreachable");
    assert_eq!(failed["left_s"], 0);
    bench.sources.tell("aws", "return", json!({}));
    let (_, after) = await_fetch(&server, after, "minted");
    is_served(Ok(()));
    // The secret is gone, and so is the role's way to it.
    bench.sources.tell("aws", "delete", json!({ "name": "prod/ward/minted" }));
    await_failure(&server, after, "aws-secrets", "source_absent");
    assert_eq!(bench.minter.refused(), 0);
    assert!(!server.logs.text().contains("role_ended"), "{}", server.logs.text());
}

#[test]
fn the_roles_own_credentials_are_short_lived_and_the_metadata_service_may_fail_too() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("aws", "prod/ward/minted", &key);
    bench.sources.tell("aws", "set", json!({ "life_s": 6 }));
    let server = bench.serve(entries(2), None, "minted:audio");
    let (_, mut at) = await_fetch(&server, 0, "minted");
    // Seven seconds are more than one life: they were renewed before its end, and nothing failed.
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 7 {
        (_, at) = await_fetch(&server, at, "minted");
    }
    assert!(bench.sources.list("aws", "sessions").len() >= 2);
    assert!(!server.logs.text().contains("source_failed"), "{}", server.logs.text());
    // Without the service the last are used to their end, and not a moment longer.
    bench.sources.fault("metadata", Some("absent"));
    let (_, after) = await_failure(&server, at, "aws-secrets", "source_absent");
    bench.sources.fault("metadata", None);
    let (_, after) = await_fetch(&server, after, "minted");
    bench.sources.fault("metadata", Some("hang"));
    let (_, after) = await_failure(&server, after, "aws-secrets", "source_late");
    bench.sources.fault("metadata", None);
    await_fetch(&server, after, "minted");
    assert_eq!(
        bench.sources.seen("aws", "ExpiredTokenException"),
        0,
        "never asked with what is over"
    );
}

#[test]
fn an_entry_that_is_not_let_in_today_is_not_dialled() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("aws", "prod/ward/minted", &key);
    let late = [("2026-01-01", "2199-01-01")];
    let all = vec![
        infrastructure("aws-metadata", &late),
        infrastructure("aws-secrets", &[]),
        infrastructure("vault", &late),
        keyed("minted", "aws-secrets", "prod/ward/minted", FIELD, 60),
        keyed("other", "vault", "secret/data/ward", "/data/key", 60),
    ];
    let server = bench.serve(all, None, "minted:audio");
    await_failure(&server, 0, "aws-secrets", "source_not_approved");
    await_failure(&server, 0, "vault", "source_not_approved");
    assert_eq!(bench.sources.seen("metadata", "PUT /latest/api/token"), 0);
    assert_eq!((bench.sources.seen("aws", "requests"), bench.sources.seen("vault", "400")), (0, 0));
}

#[test]
fn a_metadata_service_that_is_slow_does_not_hide_a_session_that_is_good() {
    let key = fresh_key();
    let mut bench = Bench::new(&key);
    bench.sources.keep("aws", "prod/ward/minted", &key);
    bench.sources.tell("aws", "set", json!({ "life_s": 30 }));
    let server = bench.serve(entries(6), None, "minted:audio");
    let (_, mut at) = await_fetch(&server, 0, "minted");
    // Each of its three answers is in time, and all of them are not.
    bench.sources.fault("metadata", Some("slow"));
    let asked = bench.sources.seen("metadata", "PUT /latest/api/token");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(28);
    while bench.sources.seen("metadata", "PUT /latest/api/token") == asked {
        assert!(std::time::Instant::now() < until, "nobody has asked for a role");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    (_, at) = await_fetch(&server, at.max(lines(&server)), "minted");
    let log: String = server.logs.text().lines().take(at).collect();
    assert!(!log.contains("source_failed"), "{log}");
}
