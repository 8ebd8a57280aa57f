//! What is left of a key: nothing, a second after it was replaced. The broker's memory is searched at random moments of a run in which
//! keys, tokens of a Vault and sessions of AWS follow each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use ward_policy::audit::Role;
use ward_tests::binaries::variant;
use ward_tests::memory::{Needles, Scan, scan};
use ward_tests::random::fresh;
use ward_tests::websocket::Stream;

use crate::bench::{
    Bench, all_infrastructure, await_event, await_fetch, fresh_key, keyed, keyed_at, lines,
    signing, stalls,
};

/// Servers as they ship, but for those of which the variant of that name is taken.
pub(crate) struct Servers<'s> {
    pub(crate) media: &'s str,
    pub(crate) broker: &'s str,
}

impl Servers<'_> {
    /// The media server, in a folder with the others.
    pub(crate) fn media(&self) -> PathBuf {
        let Self { media, broker } = self;
        let shipped = variant("ward-media-searchable");
        let shipped: &Path = shipped.parent().unwrap();
        let folder = shipped.join("with").join(format!("{media}-{broker}"));
        // Tests beside this one start the same servers: what is there of this run is not taken away under them.
        static MADE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
        let mut made = MADE.lock().unwrap();
        if !made.insert(folder.clone()) {
            return folder.join("ward-media");
        }
        std::fs::create_dir_all(&folder).unwrap();
        for (name, from) in
            [("ward-init", "ward-init"), ("ward-media", media), ("ward-broker", broker)]
        {
            let to = folder.join(name);
            drop(std::fs::remove_file(&to));
            std::fs::hard_link(shipped.join(from), to).unwrap();
        }
        folder.join("ward-media")
    }
}

/// For how long everything is rotated; `tests/run --full` has ten minutes.
pub(crate) fn length() -> Duration {
    let seconds = std::env::var("WARD_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// What one scan found of what must be gone, and whether what is good was found.
struct Found {
    old: Vec<Scan>,
    has_current: bool,
}

/// Rotates everything for `length`; scans at random moments.
#[expect(clippy::too_many_lines, reason = "one run, from its first rotation to its last scan")]
fn soak(broker: &str, length: Duration) -> Found {
    let first = fresh_key();
    let mut bench = Bench::new(&first);
    bench.sources.keep("vault", "ward/minted", &first);
    bench.sources.keep("aws", "ward/minted", &first);
    // Short lives for what is logged in with, too.
    let short_lived = json!({ "token_ttl_s": 4, "renewable": false, "lease_ttl_s": 3 });
    bench.sources.tell("vault", "set", short_lived);
    // One that is over and has no successor.
    let ending = fresh_key();
    bench.sources.keep("vault", "ward/ending", &ending);
    bench.sources.tell("aws", "set", json!({ "life_s": 6 }));
    let mut all = all_infrastructure();
    let (path, field) = ("secret/data/ward/minted", "/data/key");
    all.push(keyed("minted", "vault", path, field, 2));
    all.push(keyed("other", "aws-secrets", "ward/minted", "/key", 2));
    // Whoever mints with this key never answers: the key is in a request that hangs.
    all.push(keyed_at("hanging", "vault", path, field, 2, "/late"));
    all.push(signing("signed", "vault", path, field, 2));
    all.push(signing("leased", "vault", "speech/creds/ward", "/key", 3_600));
    all.push(signing("ending", "vault", "secret/data/ward/ending", field, 2));
    let wanted = "minted:audio other:audio hanging:audio signed:audio leased:audio";
    let executable = Servers { media: "ward-media", broker }.media();
    let server = bench.serve(all, Some(executable), wanted);
    for vendor in ["minted", "other", "hanging", "signed", "leased", "ending"] {
        drop(await_fetch(&server, 0, vendor));
    }
    bench.sources.tell("vault", "delete", json!({ "name": "ward/ending" }));
    let is_over = |line: &serde_json::Value| {
        line["event"] == "credential_expired" && line["vendor"] == "ending"
    };
    drop(await_event(&server, 0, "credential_expired", is_over));
    let (mut keys, mut found) = (vec![first], Found { old: Vec::new(), has_current: true });
    // They stay, so that what hangs does so for as long as it may.
    let mut streams = Vec::new();
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < length {
        number += 1;
        streams.push(Stream::named(&server, number));
        let key = fresh_key();
        bench.minter.accept(&[keys.last().unwrap(), &key]);
        for source in ["vault", "aws"] {
            bench.sources.keep(source, "ward/minted", &key);
        }
        let at = lines(&server);
        // The next that came was perhaps asked for before; the one after it was not.
        for vendor in ["minted", "other", "hanging", "signed"] {
            let (_, after) = await_fetch(&server, at, vendor);
            drop(await_fetch(&server, after, vendor));
        }
        // Everything older was replaced by now. Somewhere in the second that follows it is gone.
        std::thread::sleep(Duration::from_secs(1));
        let moment = u64::from(fresh::<1>()[0]) * 2;
        std::thread::sleep(Duration::from_millis(moment));
        let sessions: Vec<Vec<String>> =
            ["vault", "aws"].map(|source| bench.sources.list(source, "sessions")).into();
        let mut old: Vec<(String, &str)> = Vec::new();
        old.extend(keys.iter().map(|key| ("an old key".to_owned(), key.as_str())));
        old.push(("an old key".to_owned(), ending.as_str()));
        // The last is in use, and the one before may have been replaced just now.
        let leased = bench.sources.list("vault", "leased");
        let replaced = leased.iter().take(leased.len().saturating_sub(2));
        old.extend(replaced.map(|key| ("an old key".to_owned(), key.as_str())));
        for all in &sessions {
            // Two may be younger than a second.
            let over = all.len().saturating_sub(2);
            old.extend(
                all.iter().take(over).map(|one| ("an old session".to_owned(), one.as_str())),
            );
        }
        let needles: Vec<(&str, &str)> = old
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .chain([("current", key.as_str())])
            .collect();
        let seen = scan(server.process(Role::Broker), &Needles::texts(&needles));
        found.has_current &= seen.has("current");
        found.old.push(seen);
        keys.push(key);
    }
    // The calls that waited for the one that hangs had the others all the while.
    let (failed, _) = await_event(&server, 0, "mint_late", |line| line["event"] == "vendor_failed");
    assert_eq!((&failed["vendor"], &failed["reason"]), (&"hanging".into(), &"mint_late".into()));
    let text = server.logs.text();
    // The one that is to end fails; the others at most when nobody could answer.
    let others = text.lines().filter(|line| !line.contains("\"vendor\":\"ending\""));
    let stalled = stalls(&others.collect::<Vec<_>>().join("\n"));
    println!("a source stalled {stalled} times");
    let leased = bench.sources.list("vault", "leased").len();
    println!(
        "{number} rounds, {leased} leases, {} given back",
        bench.sources.seen("vault", "revoked")
    );
    assert!(leased > 3);
    found
}

fn old(found: &Scan) -> usize {
    found.of("an old key").len() + found.of("an old session").len()
}

#[test]
fn nothing_of_a_key_is_left_in_the_broker_a_second_after_it_was_replaced() {
    let found = soak("ward-broker-searchable", length());
    assert!(found.has_current, "the scan does not see what is there");
    println!("{} scans", found.old.len());
    for seen in &found.old {
        assert_eq!(old(seen), 0, "{seen:#?}");
    }
    assert!(found.old.len() >= 4, "{}", found.old.len());
}

#[test]
fn with_an_allocator_that_wipes_nothing_old_keys_are_found() {
    let found = soak("ward-broker-unwiped", Duration::from_secs(12));
    let all: usize = found.old.iter().map(old).sum();
    assert!(all > 0, "the scan would not find what is left");
    println!("{all} pieces in {} scans", found.old.len());
}
