//! What media never has: a secret that lasts, or a vendor's token whose time is over. Its memory is searched at random moments of a run in
//! which everything is rotated: vendors' keys, what sources are logged in to with, Twilio's token, the key of tickets.
//!
//! What it is told and may not keep, the handshake signatures that it expects and the one that each call shows, is gone after a second. The
//! token of a live call is found in each of them, so that the scan is known to see.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use ward_policy::phi::Secret;
use ward_tests::memory::{Needles, Scan, scan};
use ward_tests::random::{fresh, fresh_text};
use ward_tests::servers::{HANDSHAKE, Running, settings};
use ward_tests::websocket::Stream;
use ward_twilio::signature::Signature;
use ward_twilio::ticket::TicketKey;

use crate::bench::{
    Bench, all_infrastructure, await_event, await_fetch, fresh_key, keyed, lines, signing, stalls,
};
use crate::memory::{Servers, length};

/// How long a vendor's token is good.
const TOKEN_LIFE: Duration = Duration::from_secs(4);
/// What media has to be rid of it in.
const SLACK: Duration = Duration::from_secs(1);

/// Everything that media must never have, by what it is.
#[derive(Default)]
struct Lasting(Vec<(&'static str, String)>);

impl Lasting {
    fn add(&mut self, name: &'static str, values: impl IntoIterator<Item = String>) {
        for value in values {
            if !self.0.iter().any(|(_, known)| *known == value) {
                self.0.push((name, value));
            }
        }
    }
}

/// What is rotated in the launcher, and what it says to media of it.
struct Twilio {
    token: String,
    ticket_key: String,
}

impl Twilio {
    fn fresh() -> Self {
        let token = fresh_text(b"0123456789abcdef", 32);
        Self { token, ticket_key: STANDARD.encode(fresh::<32>()) }
    }

    /// What media is told to expect, in the form that Twilio sends.
    fn handshakes(&self) -> Vec<String> {
        let setting = format!("TWILIO_AUTH_TOKEN={}", self.token);
        let values = settings(&setting).handshake_values().unwrap();
        values.iter().map(Signature::to_base64).collect()
    }

    fn settings(&self) -> String {
        let key = TicketKey::parse(&Secret::new(self.ticket_key.clone())).unwrap();
        let Self { token, ticket_key } = self;
        format!(
            "MEDIA_VENDORS=minted:audio other:audio leased:audio\nTWILIO_AUTH_TOKEN_NEXT={token}\n\
             STREAM_TICKET_KEY={ticket_key}\nSTREAM_TICKET_PUBLIC_KEYS={}\n",
            key.public().to_base64()
        )
    }
}

/// What the scans found.
struct Found {
    scans: Vec<Scan>,
    /// How many of them saw the token of the call that had just begun.
    seeing: usize,
    kinds: Vec<&'static str>,
    expired: usize,
}

/// A vendor whose tokens live for [`TOKEN_LIFE`].
fn short(entry: (String, String)) -> (String, String) {
    let life = format!("class = \"token\"\nmax_ttl_s = {}", TOKEN_LIFE.as_secs());
    let text = entry.1.replace("class = \"token\"\nmax_ttl_s = 60", &life);
    assert_ne!(text, entry.1);
    (entry.0, text)
}

/// Each source's sessions, old ones too, and the keys that were leased.
fn collect(bench: &mut Bench, lasting: &mut Lasting) {
    lasting.add("a Vault token", bench.sources.list("vault", "sessions"));
    lasting.add("an AWS session", bench.sources.list("aws", "sessions"));
    lasting.add("a leased key", bench.sources.list("vault", "leased"));
}

#[expect(clippy::too_many_lines, reason = "one run, from its first rotation to its last scan")]
/// Rotates everything for `length`; a token may be there for `allowed` after it was minted.
fn soak(media: &str, length: Duration, allowed: Duration) -> Found {
    let (first, mut twilio) = (fresh_key(), Twilio::fresh());
    let mut bench = Bench::new(&first);
    for source in ["vault", "aws"] {
        bench.sources.keep(source, "ward/minted", &first);
    }
    let short_lived = json!({ "token_ttl_s": 4, "renewable": false, "lease_ttl_s": 3 });
    bench.sources.tell("vault", "set", short_lived);
    bench.sources.tell("aws", "set", json!({ "life_s": 6 }));
    let mut all = all_infrastructure();
    all.push(short(keyed("minted", "vault", "secret/data/ward/minted", "/data/key", 2)));
    all.push(short(keyed("other", "aws-secrets", "ward/minted", "/key", 2)));
    all.push(signing("leased", "vault", "speech/creds/ward", "/key", 3_600));
    let executable = Servers { media, broker: "ward-broker" }.media();
    let secret_id = bench.sources.tell("vault", "secret_id", json!({}));
    let secret_id = secret_id.as_str().unwrap().to_owned();
    let keys = format!("vault={secret_id}\n");
    let mut server = bench.serve_with_settings(all, &keys, Some(executable), &twilio.settings());
    for vendor in ["minted", "other", "leased"] {
        drop(await_fetch(&server, 0, vendor));
    }
    let mut lasting = Lasting::default();
    lasting.add("what a Vault is logged in to with", [secret_id]);
    let mut keys = vec![first];
    let mut tokens: Vec<(String, Instant)> = Vec::new();
    // Handshake signatures, and when media heard of them.
    let mut told: Vec<(String, Instant)> = Vec::new();
    let mut calls = Vec::new();
    let mut found = Found { scans: Vec::new(), seeing: 0, kinds: Vec::new(), expired: 0 };
    let (begun, mut number) = (Instant::now(), 0);
    while begun.elapsed() < length {
        number += 1;
        // Every other time something is rotated; the keys first, so that the call comes with whichever there is.
        if number % 2 == 0 {
            let key = fresh_key();
            bench.minter.accept(&[keys.last().unwrap(), &key]);
            for source in ["vault", "aws"] {
                bench.sources.keep(source, "ward/minted", &key);
            }
            keys.push(key);
            twilio = Twilio::fresh();
            let at = lines(&server);
            server.follow(&twilio.settings());
            told.extend(twilio.handshakes().into_iter().map(|value| (value, Instant::now())));
            let is_set = |line: &serde_json::Value| line["event"] == "handshake_values_set";
            drop(await_event(&server, at, "handshake_values_set", is_set));
        }
        lasting.add("a vendor's key", keys.iter().cloned());
        lasting.add("Twilio's token", [twilio.token.clone()]);
        lasting.add("the key of tickets", [twilio.ticket_key.clone()]);
        calls.push(begin(&server, number));
        let now = Instant::now();
        told.push((HANDSHAKE.to_owned(), now));
        let minted = bench.minter.minted();
        tokens.extend(minted.into_iter().skip(tokens.len()).map(|token| (token, now)));
        std::thread::sleep(Duration::from_millis(u64::from(fresh::<1>()[0]) * 8));
        collect(&mut bench, &mut lasting);
        let at = Instant::now();
        let is_over = |since: &Instant| at.saturating_duration_since(*since) > allowed;
        let over = tokens.iter().filter(|(_, since)| is_over(since));
        let over: Vec<(&str, &str)> = over.map(|(one, _)| ("an expired token", &**one)).collect();
        found.expired = over.len();
        // The last time counts: the same signature comes with each call.
        let is_late = |value: &str| {
            let last = told.iter().rfind(|(known, _)| known == value).map(|(_, since)| *since);
            last.is_some_and(|last| at.saturating_duration_since(last) > SLACK)
        };
        let told: Vec<&str> = told.iter().map(|(value, _)| value.as_str()).collect();
        let told: BTreeSet<&str> = told.into_iter().filter(|value| is_late(value)).collect();
        let told = told.into_iter().map(|value| ("a handshake", value));
        let current = tokens.iter().rev().take(2).map(|(one, _)| ("current", one.as_str()));
        let never = lasting.0.iter().map(|(name, value)| (*name, value.as_str()));
        let needles: Vec<(&str, &str)> = never.chain(over).chain(told).chain(current).collect();
        let seen = scan(server.id(), &Needles::texts(&needles));
        found.seeing += usize::from(seen.has("current"));
        found.scans.push(seen);
        // A few stay, with tokens that end before they do.
        if calls.len() > 4 {
            drop(calls.remove(0));
        }
    }
    found.kinds = lasting.0.iter().map(|(name, _)| *name).collect();
    found.kinds.sort_unstable();
    found.kinds.dedup();
    let text = server.logs.text();
    assert!(!text.contains("role_ended"), "{text}");
    println!("a source stalled {} times", stalls(&text));
    found
}

/// A call, once each of its vendors is connected. One that a stalled source left without a vendor's key, by name, is not that call: where
/// keys live for two seconds and a busy machine lets nobody answer for three, that is what must happen.
fn begin(server: &Running, number: u64) -> Stream {
    let count = |event: &str| server.logs.text().matches(&format!("\"event\":\"{event}\"")).count();
    let until = Instant::now() + Duration::from_secs(40);
    // Another call has another number.
    for number in (number..).step_by(100_000) {
        let (connected, failed) = (count("vendor_connected"), count("vendor_failed"));
        let stream = Stream::named(server, number);
        while count("vendor_failed") == failed {
            if count("vendor_connected") >= connected + 3 {
                return stream;
            }
            assert!(Instant::now() < until, "{}", server.logs.text());
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = server.logs.text();
        assert!(stalls(&text) > 0, "a vendor failed although its key was good\n{text}");
        drop(stream);
        // What was begun for it comes to its end.
        std::thread::sleep(Duration::from_secs(3));
    }
    unreachable!("numbers do not end")
}

/// Everything in a scan but what may be there.
fn wrong(seen: &Scan) -> Vec<String> {
    let hits = seen.hits.iter().filter(|hit| hit.name != "current");
    hits.map(|hit| format!("{hit:?}")).collect()
}

#[test]
fn media_never_has_a_secret_that_lasts_or_a_token_that_is_over() {
    let found = soak("ward-media-searchable", length(), TOKEN_LIFE + SLACK);
    for seen in &found.scans {
        assert_eq!(wrong(seen), Vec::<String>::new());
    }
    println!(
        "{} scans, {} of which saw the current token; {} tokens were over at the last; never there: {:?}",
        found.scans.len(),
        found.seeing,
        found.expired,
        found.kinds
    );
    assert_eq!(found.seeing, found.scans.len(), "the scan does not see what is there");
    assert_eq!(found.kinds.len(), 7, "{:?}", found.kinds);
    assert!(found.scans.len() >= 8 && found.expired >= 4);
}

#[test]
fn a_token_that_is_there_longer_than_it_may_be_is_found() {
    // The same search for tokens that may not last a moment: those of live calls do.
    let found = soak("ward-media-searchable", Duration::from_secs(10), Duration::ZERO);
    let pieces: Vec<String> = found.scans.iter().flat_map(wrong).collect();
    println!("{} pieces in {} scans", pieces.len(), found.scans.len());
    assert!(pieces.iter().any(|one| one.contains("an expired token")), "{pieces:?}");
}
