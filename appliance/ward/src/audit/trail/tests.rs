//! Every single mutation of a small trail, and what is told apart from it: duplicates, gaps that are named, other boots, ends.

use super::*;
use std::fmt::Write as _;

const A: &str = "aaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbb";

/// The records of one boot, chained; each is what stands behind the chain.
fn chain(boot: &str, said: &[String]) -> Vec<String> {
    let (mut lines, mut previous) = (Vec::new(), Digest::NONE);
    for (number, said) in said.iter().enumerate() {
        let line =
            format!("{{\"boot\":\"{boot}\",\"seq\":{number},\"prev\":\"{previous}\",{said}}}");
        previous = Digest::of(line.as_bytes());
        lines.push(line);
    }
    lines
}

fn said(count: usize) -> Vec<String> {
    let one = |number| format!("\"at_ms\":{number},\"role\":\"media\",\"event\":\"stopped\"");
    (0..count).map(one).collect()
}

fn closed() -> String {
    "\"at_ms\":9,\"role\":\"log\",\"event\":\"log_closed\"".to_owned()
}

/// Twelve records, the last of which says so.
fn whole() -> Vec<String> {
    let mut said = said(11);
    said.push(closed());
    chain(A, &said)
}

fn digest_of(line: &str) -> Digest {
    Digest::of(line.as_bytes())
}

fn report_knowing(lines: &[String], known: Known) -> Report {
    let mut trail = Trail::new(known);
    lines.iter().for_each(|line| trail.take(line.as_bytes()));
    trail.report()
}

fn report(lines: &[String]) -> Report {
    report_knowing(lines, Known::default())
}

/// The kinds in it, with the numbers that they are about.
fn kinds(report: &Report) -> Vec<(Kind, Option<u64>, Option<u64>)> {
    report.flaws.iter().map(|one| (one.kind, one.first, one.last)).collect()
}

fn expecting(lines: &[String]) -> Known {
    let last = lines.last().map(|line| digest_of(line));
    Known { expected: last.into_iter().collect(), ..Known::default() }
}

#[test]
fn a_whole_copy_is_whole_and_its_end_is_known() {
    let lines = whole();
    let report = report(&lines);
    assert_eq!(kinds(&report), []);
    let boot = &report.boots[0];
    assert_eq!((boot.first, boot.last, boot.records, boot.duplicates), (0, 11, 12, 0));
    assert_eq!((boot.end, boot.digest), (End::Closed, digest_of(&lines[11])));
    assert_eq!(Digest::parse(&boot.digest.to_string()), Some(boot.digest));
}

#[test]
fn every_record_that_is_dropped_is_found_and_named() {
    let lines = whole();
    for dropped in 0..lines.len() {
        let mut copy = lines.clone();
        copy.remove(dropped);
        let number = u64::try_from(dropped).unwrap();
        let last = dropped == lines.len() - 1;
        let expected =
            if last { vec![] } else { vec![(Kind::Missing, Some(number), Some(number))] };
        let found = report(&copy);
        assert_eq!(kinds(&found), expected, "{dropped}");
        // Without its last record the copy is whole as far as it goes; whoever knows the digest sees more.
        assert_eq!(found.boots[0].end == End::Open, last);
        let found = report_knowing(&copy, expecting(&lines));
        assert!(!found.flaws.is_empty(), "{dropped}");
    }
}

#[test]
fn every_truncation_is_found_by_whoever_knows_the_end_and_is_open_to_everyone() {
    let lines = whole();
    for kept in 1..lines.len() {
        let copy = lines[..kept].to_vec();
        let found = report(&copy);
        assert_eq!((kinds(&found), found.boots[0].end), (vec![], End::Open), "{kept}");
        let found = report_knowing(&copy, expecting(&lines));
        assert_eq!(kinds(&found), [(Kind::NotThere, None, None)], "{kept}");
    }
    assert_eq!(kinds(&report(&[])), [(Kind::Empty, None, None)]);
}

#[test]
fn every_changed_byte_is_found_but_for_the_last_record_which_needs_a_digest() {
    let lines = whole();
    let (mut tried, mut unseen) = (0, 0);
    for (number, line) in lines.iter().enumerate() {
        for place in 0..line.len() {
            for change in [1_u8, 0x20] {
                let mut changed = line.clone().into_bytes();
                changed[place] ^= change;
                let mut trail = Trail::new(Known::default());
                let mut knowing = Trail::new(expecting(&lines));
                for (other, line) in lines.iter().enumerate() {
                    let line = if other == number { &changed[..] } else { line.as_bytes() };
                    trail.take(line);
                    knowing.take(line);
                }
                let found = trail.report();
                let is_seen =
                    !found.flaws.is_empty() || found.boots.iter().any(|boot| boot.end == End::Open);
                assert!(is_seen || number == lines.len() - 1, "{number} {place}");
                assert!(!knowing.report().flaws.is_empty(), "{number} {place}");
                tried += 1;
                unseen += usize::from(!is_seen);
            }
        }
    }
    assert!(tried > 3_000, "{tried}");
    // What the last record says of itself has no witness in the copy.
    assert!(unseen > 0 && unseen < 2 * lines[11].len(), "{unseen} of {tried}");
}

#[test]
fn every_pair_that_is_swapped_is_found() {
    let lines = whole();
    for first in 0..lines.len() {
        for second in first + 1..lines.len() {
            let mut copy = lines.clone();
            copy.swap(first, second);
            let found = kinds(&report(&copy));
            assert!(found.iter().any(|(kind, ..)| *kind == Kind::Moved), "{first} {second}");
        }
    }
}

#[test]
fn records_that_come_again_are_counted_and_are_no_fault() {
    let lines = whole();
    // A request that was not acknowledged is sent again whole, and perhaps once more.
    let copy: Vec<String> = [&lines[..7], &lines[3..7], &lines[3..9], &lines[9..]].concat();
    let found = report(&copy);
    assert_eq!(kinds(&found), []);
    assert_eq!((found.boots[0].records, found.boots[0].duplicates), (12, 8));
    // Not quite the same is not the same.
    let mut copy = lines.clone();
    copy.push(lines[4].replace("\"at_ms\":4", "\"at_ms\":5"));
    assert_eq!(kinds(&report(&copy)), [(Kind::Conflict, Some(4), Some(4))]);
}

/// Sixteen records; the eleventh names 5 to 9 as lost.
fn with_gap(last: u64) -> Vec<String> {
    let mut said = said(16);
    let before = digest_of(&chain(A, &said)[4]);
    let mut gap = String::new();
    write!(
        gap,
        "\"at_ms\":10,\"role\":\"log\",\"event\":\"log_gap\",\"first\":5,\"last\":{last},\
         \"reason\":\"spool_full\",\"before\":\"{before}\""
    )
    .unwrap();
    said[10] = gap;
    said[15] = closed();
    chain(A, &said)
}

#[test]
fn a_gap_that_is_named_is_accepted_and_listed_and_nothing_else_is() {
    let lines = with_gap(9);
    let mut copy = lines.clone();
    copy.drain(5..10);
    let found = report(&copy);
    assert_eq!(kinds(&found), []);
    assert_eq!(found.boots[0].gaps, [Gap { first: 5, last: 9, present: 0 }]);
    // In a copy that did not come through the sink they are all there.
    assert_eq!(report(&lines).boots[0].gaps, [Gap { first: 5, last: 9, present: 5 }]);
    // One more is missing than was named.
    let mut more = copy.clone();
    more.remove(4);
    assert_eq!(kinds(&report(&more)), [(Kind::Missing, Some(4), Some(9))]);
    let mut fewer = with_gap(8);
    fewer.drain(5..10);
    assert_eq!(kinds(&report(&fewer)), [(Kind::Missing, Some(5), Some(9))]);
    assert_eq!(report(&fewer).boots[0].gaps, []);
    // Without the record that names it, it is no gap.
    let mut unnamed = copy.clone();
    unnamed.remove(5);
    assert_eq!(kinds(&report(&unnamed)), [(Kind::Missing, Some(5), Some(10))]);
    // The chain goes on across the gap: the record before it cannot be changed.
    copy[4] = copy[4].replace("\"at_ms\":4", "\"at_ms\":5");
    assert_eq!(kinds(&report(&copy)), [(Kind::Changed, Some(4), Some(4))]);
}

/// A record of the log's own that says that `first` to `last` are lost, at the place `number` behind the one with `previous`.
fn gap_record(number: u64, previous: Digest, (first, last): (u64, u64), before: Digest) -> String {
    format!(
        "{{\"boot\":\"{A}\",\"seq\":{number},\"prev\":\"{previous}\",\"at_ms\":10,\"role\":\"log\",\
         \"event\":\"log_gap\",\"first\":{first},\"last\":{last},\"reason\":\"spool_full\",\"before\":\"{before}\"}}"
    )
}

#[test]
fn whoever_drops_records_and_appends_one_that_names_them_as_lost_is_found() {
    // A boot that goes on, whose last digest is known from elsewhere.
    let lines = chain(A, &said(12));
    let count = u64::try_from(lines.len()).unwrap();
    let end = digest_of(lines.last().unwrap());
    let mut tried = 0;
    for first in 0..lines.len() - 1 {
        for last in first..lines.len() - 1 {
            let before = first.checked_sub(1).map_or(Digest::NONE, |one| digest_of(&lines[one]));
            let range = (u64::try_from(first).unwrap(), u64::try_from(last).unwrap());
            // It names just what is gone, more than that, and everything up to itself but what is there.
            for (named, before) in [
                (range, before),
                (range, end),
                ((0, range.1), Digest::NONE),
                ((0, range.1), before),
                ((range.0, count - 1), before),
            ] {
                let mut copy = lines.clone();
                copy.drain(first..=last);
                copy.push(gap_record(count, end, named, before));
                let found = report_knowing(&copy, expecting(&lines));
                let missing = (Kind::Missing, Some(range.0), Some(range.1));
                // A range up to its own place is one that a writer could have named; but then nothing of it would be there.
                assert!(kinds(&found).contains(&missing), "{range:?} {named:?}: {found:?}");
                assert!(found.boots[0].gaps.iter().all(|gap| gap.present > 0), "{found:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 66 * 5);
    // The control: in the place where the writer writes it, it is believed.
    let said: Vec<String> = said(12);
    let mut copy = chain(A, &said)[..5].to_vec();
    copy.push(gap_record(8, end, (5, 7), digest_of(&copy[4])));
    assert_eq!(kinds(&report(&copy)), []);
    // A boot whose very first records were lost says so with nothing before them, and with nothing else.
    let lost = |before| kinds(&report(&[gap_record(3, end, (0, 2), before)]));
    assert_eq!(lost(Digest::NONE), []);
    assert_eq!(lost(end), [(Kind::Missing, Some(0), Some(2))]);
}

#[test]
fn boots_are_told_apart_and_each_has_its_end() {
    let (one, other) = (whole(), chain(B, &said(3)));
    let mixed: Vec<String> = [&one[..6], &other[..2], &one[6..], &other[2..]].concat();
    let found = report(&mixed);
    assert_eq!(kinds(&found), []);
    let ends: Vec<_> = found.boots.iter().map(|boot| (&*boot.boot, boot.end)).collect();
    assert_eq!(ends, [(A, End::Closed), (B, End::Open)]);
    let known = expecting(&other);
    assert_eq!(report_knowing(&mixed, known).boots[1].end, End::Expected);
}

#[test]
fn a_copy_may_begin_behind_what_was_verified_before() {
    let lines = whole();
    let rest = lines[5..].to_vec();
    assert_eq!(kinds(&report(&rest)), [(Kind::Missing, Some(0), Some(4))]);
    let behind = |line: &str| Known { before: [digest_of(line)].into(), ..Known::default() };
    assert_eq!(kinds(&report_knowing(&rest, behind(&lines[4]))), []);
    let wrong = report_knowing(&rest, behind(&lines[3]));
    let not_there = (Kind::NotThere, None, None);
    assert_eq!(kinds(&wrong), [not_there, (Kind::Missing, Some(0), Some(4))]);
    // It may begin before it, too.
    assert_eq!(kinds(&report_knowing(&lines, behind(&lines[3]))), []);
    // Another boot alone is not what comes behind: the rest of this one was left out.
    let other = chain(B, &said(3));
    assert_eq!(kinds(&report_knowing(&other, behind(&lines[3]))), [not_there]);
    let both: Vec<String> = [&rest[..], &other[..]].concat();
    assert_eq!(kinds(&report_knowing(&both, behind(&lines[4]))), []);
    let nothing = Known { before: [Digest::NONE].into(), ..Known::default() };
    assert_eq!(kinds(&report_knowing(&other, nothing)), [not_there]);
    // What stood between was lost, and the first record says so.
    let lines = with_gap(9);
    assert_eq!(kinds(&report_knowing(&lines[10..], behind(&lines[4]))), []);
    let wrong = kinds(&report_knowing(&lines[10..], behind(&lines[3])));
    assert_eq!(wrong, [not_there, (Kind::Missing, Some(0), Some(9))]);
}

#[test]
fn what_stands_behind_the_end_is_found() {
    let mut said = said(4);
    said[2] = closed();
    assert_eq!(kinds(&report(&chain(A, &said))), [(Kind::AfterTheEnd, Some(3), Some(3))]);
}

#[test]
fn what_is_no_record_is_found_and_hostile_numbers_do_no_harm() {
    let zeros = "0".repeat(64);
    let record =
        |seq: &str| format!("{{\"boot\":\"{A}\",\"seq\":{seq},\"prev\":\"{zeros}\",\"a\":1}}");
    for line in [
        "{".to_owned(),
        "{\"at_ms\":1,\"role\":\"media\",\"event\":\"stopped\"}".to_owned(),
        record("-1"),
        record("01"),
        record("+1"),
        record("18446744073709551616"),
        record("0").replace(A, "aaaa"),
        record("0").replace(A, &A.to_uppercase()),
        record("0").replace(&zeros, &"z".repeat(64)),
        record("0").trim_end_matches('}').to_owned(),
        record("0") + "\r",
        record("0").replace("\"a\":1", &format!("\"a\":{}", "1".repeat(9_000))),
    ] {
        let found = report(std::slice::from_ref(&line));
        assert_eq!(found.flaws[0].kind, Kind::NoRecord, "{line}");
    }
    // What the launcher prints stands beside them.
    let among: Vec<String> =
        [&["listening on 127.0.0.1:443".to_owned(), String::new()][..], &whole()].concat();
    let found = report(&among);
    assert_eq!((kinds(&found), found.other_lines), (vec![], 2));
    let most = record("18446744073709551615");
    let (first, last) = (Some(0), Some(u64::MAX - 1));
    assert_eq!(kinds(&report(&[most])), [(Kind::Missing, first, last)]);
    let gap = record("7").replace(
        "\"a\":1",
        &format!(
            "\"role\":\"log\",\"event\":\"log_gap\",\"first\":{},\"last\":0,\"before\":\"{zeros}\"",
            u64::MAX
        ),
    );
    assert_eq!(kinds(&report(&[gap])), [(Kind::Missing, Some(0), Some(6))]);
}
