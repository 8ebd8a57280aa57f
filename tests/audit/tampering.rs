//! A copy that a sink kept, with every single thing done to it that can be done to a copy: what is found, and what nobody can
//! find without knowing more.

use std::collections::BTreeSet;

use ward::audit::status;
use ward::audit::trail::{Digest, Known, Trail};
use ward_policy::limit;
use ward_tests::digest::sha256;

use crate::load::short_calls;
use crate::sink::Sink;
use crate::{alone, finish, server, verify};

/// A real copy: both ends of a server, and a few calls between.
fn copy() -> Vec<Vec<u8>> {
    let sink = Sink::start();
    let server = server(&sink, limit::LOG_SPOOL_BYTES);
    short_calls(&server, 4);
    finish(&server, &sink);
    sink.kept().lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// The exit status for a copy, with nothing known and with the digest of its last record known.
fn judge<'l>(lines: &(impl Iterator<Item = &'l [u8]> + Clone), last: Digest) -> (u8, u8) {
    let known = Known { expected: BTreeSet::from([last]), ..Known::default() };
    let judge = |known: Known| {
        let mut trail = Trail::new(known);
        lines.clone().for_each(|line| trail.take(line));
        status(&trail.report())
    };
    (judge(Known::default()), judge(known))
}

/// How many were tried, and how many were not found without knowing more.
#[derive(Debug, Default)]
struct Count {
    tried: usize,
    open: usize,
    unseen: usize,
}

impl Count {
    /// Counts one; who knows the last digest must find it.
    fn one(&mut self, what: &str, (without, with): (u8, u8)) {
        self.tried += 1;
        self.open += usize::from(without == 3);
        self.unseen += usize::from(without == 0);
        assert_eq!(with, 1, "{what} is not found");
    }
}

#[test]
fn every_single_mutation_of_a_copy_is_found() {
    let _alone = alone();
    let copy = copy();
    let lines = || copy.iter().map(Vec::as_slice);
    let last = Digest::parse(&sha256(copy.last().unwrap())).unwrap();
    assert_eq!(judge(&lines(), last), (0, 0), "nothing was done to it");
    let (mut dropped, mut cut, mut swapped, mut changed) =
        (Count::default(), Count::default(), Count::default(), Count::default());
    for place in 0..copy.len() {
        let rest = lines().take(place).chain(lines().skip(place + 1));
        dropped.one(&format!("a dropped record {place}"), judge(&rest, last));
        cut.one(&format!("a cut behind {place}"), judge(&lines().take(place), last));
        for other in place + 1..copy.len() {
            let mut order: Vec<&[u8]> = lines().collect();
            order.swap(place, other);
            let judged = judge(&order.iter().copied(), last);
            // Nothing of it is lost and every record is what it was: who knows the last one knows no more.
            swapped.tried += 1;
            assert_eq!(judged, (1, 1), "{place} and {other} swapped");
        }
    }
    // A byte of every place in every kind of line, and of every place in the first and last records.
    let mut kinds = BTreeSet::new();
    for (place, line) in copy.iter().enumerate() {
        let text = String::from_utf8(line.clone()).unwrap();
        let kind = text.split("\"event\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let is_first_of_kind = kinds.insert(kind);
        if !is_first_of_kind && place + 2 < copy.len() {
            continue;
        }
        for at in 0..line.len() {
            let mut other = line.clone();
            other[at] ^= 1;
            let mutated =
                lines().take(place).chain([other.as_slice()]).chain(lines().skip(place + 1));
            changed.one(&format!("byte {at} of {place}"), judge(&mutated, last));
        }
    }
    for (what, count) in
        [("dropped", &dropped), ("cut", &cut), ("swapped", &swapped), ("changed", &changed)]
    {
        let Count { tried, open, unseen } = count;
        println!(
            "{what}: {tried} tried, all found with the last digest known; without it {} found, {open} leave an \
             open end, {unseen} unseen",
            tried - open - unseen
        );
    }
    assert!(dropped.tried > 30 && swapped.tried > 400 && changed.tried > 3_000);
    // Without knowing more: a cut leaves an open end, and so does the last record when it is dropped.
    assert_eq!((cut.open, cut.unseen), (cut.tried - 1, 0), "the empty copy is a flaw");
    assert_eq!((dropped.open, dropped.unseen), (1, 0));
    // The last record has no witness: that, and nothing else, is unseen.
    assert!(changed.unseen > 0 && changed.unseen <= copy.last().unwrap().len(), "{changed:?}");
}

#[test]
fn no_range_is_hidden_by_a_record_that_names_it_as_lost_and_was_appended() {
    let _alone = alone();
    let mut copy = copy();
    // A boot that goes on: whoever appends to one that is closed is found at once.
    copy.pop();
    let last = Digest::parse(&sha256(copy.last().unwrap())).unwrap();
    let boot = crate::place(std::str::from_utf8(&copy[0]).unwrap()).0;
    let (mut tried, nothing) = (0, "0".repeat(64));
    for from in 0..copy.len() - 1 {
        for to in from..copy.len() - 1 {
            let before = from.checked_sub(1).map_or(nothing.clone(), |one| sha256(&copy[one]));
            let forged = format!(
                "{{\"boot\":\"{boot}\",\"seq\":{},\"prev\":\"{last}\",\"at_ms\":1,\"role\":\"log\",\"event\":\"log_gap\",\
                 \"first\":{from},\"last\":{to},\"reason\":\"spool_full\",\"before\":\"{before}\"}}",
                copy.len()
            );
            let rest = copy.iter().take(from).chain(copy.iter().skip(to + 1)).map(Vec::as_slice);
            let judged = judge(&rest.chain([forged.as_bytes()]), last);
            assert_eq!(judged, (1, 1), "{from} to {to}");
            tried += 1;
        }
    }
    assert!(tried > 400, "{tried}");
    // The control: nothing is dropped, and nothing is named.
    assert_eq!(judge(&copy.iter().map(Vec::as_slice), last), (3, 0));
}

#[test]
fn the_tool_says_what_was_done_and_where() {
    let _alone = alone();
    let copy = copy();
    let text = |lines: &[Vec<u8>]| {
        let lines = lines.iter().map(|line| String::from_utf8(line.clone()).unwrap() + "\n");
        lines.collect::<String>()
    };
    let check = |lines: &[Vec<u8>], status: i32, kind: &str, first: u64| {
        let (found, report) = verify(&text(lines), &[]);
        assert_eq!(found, status, "{report}");
        let flaw = &report["flaws"][0];
        assert_eq!((&flaw["kind"], &flaw["first"]), (&kind.into(), &first.into()), "{report}");
    };
    let mut lines = copy.clone();
    lines.remove(7);
    check(&lines, 1, "missing", 7);
    let mut lines = copy.clone();
    lines.swap(5, 6);
    check(&lines, 1, "moved", 5);
    let mut lines = copy.clone();
    let at = lines[9].windows(7).position(|part| part == b"\"at_ms\"").unwrap();
    lines[9][at + 2] = b'b';
    check(&lines, 1, "changed", 9);
    // The same records again are no tampering.
    let twice = [&copy[..10], &copy[4..]].concat();
    let (status, report) = verify(&text(&twice), &[]);
    assert_eq!((status, &report["boots"][0]["duplicates"]), (0, &6.into()), "{report}");
    // Cut off: it is said that nobody can tell, and found by who knows what is not there.
    let (status, report) = verify(&text(&copy[..12]), &[]);
    assert_eq!((status, &report["boots"][0]["end"]), (3, &"open".into()), "{report}");
    let last = sha256(copy.last().unwrap());
    assert_eq!(verify(&text(&copy[..12]), &["--expect", &last]).0, 1);
    // The next part, behind one that was verified.
    let behind = report["boots"][0]["digest"].as_str().unwrap();
    assert_eq!(verify(&text(&copy[12..]), &[]).0, 1);
    assert_eq!(verify(&text(&copy[12..]), &["--after", behind]).0, 0);
    // What was verified has to be there, or the next part behind it: the digest of a record that was left out is found.
    assert_eq!(verify(&text(&copy[13..]), &["--after", behind]).0, 1);
    let (status, report) = verify(&text(&copy), &["--after", &"5".repeat(64)]);
    assert_eq!((status, &report["flaws"][0]["kind"]), (1, &"not_there".into()), "{report}");
    // Wrong usage.
    let wrong = std::process::Command::new(ward_tests::binaries::release("ward"))
        .args(["audit", "verify", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
