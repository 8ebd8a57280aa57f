//! Addresses: a house number and a street, and the town, state and postal code behind it or behind a cue.

use super::super::pattern::longest;
use super::number::run;
use super::{Finder, SlotClass};
use crate::gate::spoken;
use crate::limit::GATE_PLACE_WORDS_MAX;

pub(super) fn find(finder: &mut Finder<'_, '_>) {
    let mut at = 0;
    while at < finder.text.len() {
        let end = if finder.is_free(at) { part(finder, at) } else { None };
        if let Some(end) = end {
            let end = rest(finder, end);
            let key = finder.joined(at, end, " ");
            finder.add(SlotClass::Address, at, end, key);
            at = end;
        } else {
            at += 1;
        }
    }
}

/// Where the address that begins with the word at `at` ends, before what may follow it.
fn part(finder: &Finder<'_, '_>, at: usize) -> Option<usize> {
    let (text, rules) = (finder.text, &finder.rules.address);
    if let Some(end) = longest(&rules.boxes, text, at) {
        return Some(end);
    }
    // The word at `at` is the first behind a cue.
    let follows = |patterns: &[super::Pattern]| {
        (0..at).rev().take(8).any(|start| {
            let ends = patterns.iter().filter_map(|pattern| pattern.at(text, start));
            ends.into_iter().any(|(shortest, longest)| shortest == at || longest == at)
        })
    };
    if follows(&rules.zips) {
        let run = run(text, at, |at| finder.is_free(at))?;
        return (3..=9).contains(&run.digits).then_some(run.end);
    }
    let is_cued = finder.cue(SlotClass::Address, at) == Some(0);
    let is_asked = finder.asked.has(SlotClass::Address);
    if let Some(end) = house(finder, at) {
        return street(finder, end).or_else(|| {
            // Without a word such as `street` only where an address is expected.
            let end = place(finder, end)?;
            (is_cued || is_asked).then_some(end)
        });
    }
    if follows(&rules.places) || is_cued || is_asked && at == 0 {
        return street(finder, at).or_else(|| place(finder, at));
    }
    None
}

/// The number of a house, in figures or words.
fn house(finder: &Finder<'_, '_>, at: usize) -> Option<usize> {
    let text = finder.text;
    let is_start =
        spoken::is_number(text.word(at)) || text.word(at).starts_with(|s: char| s.is_ascii_digit());
    if !is_start {
        return None;
    }
    let run = run(text, at, |at| finder.is_free(at))?;
    (run.digits <= 6).then_some(run.end)
}

/// Up to a word such as `street`, with the direction behind it.
fn street(finder: &Finder<'_, '_>, start: usize) -> Option<usize> {
    let text = finder.text;
    let rules = &finder.rules.address;
    for at in start..text.len().min(start + GATE_PLACE_WORDS_MAX + 1) {
        if at > start && finder.is_any(at, &rules.streets) {
            let end = at + 1;
            return Some(end + usize::from(is_direction(text.word(end))));
        }
        let is_ordinary =
            finder.is_any(at, &finder.rules.name.never) && !is_direction(text.word(at));
        if is_ordinary || !finder.is_free(at) {
            return None;
        }
    }
    None
}

fn is_direction(word: &str) -> bool {
    matches!(
        word,
        "north" | "south" | "east" | "west" | "northeast" | "northwest" | "southeast" | "southwest"
    )
}

/// Words that are not ordinary: the name of a town.
fn place(finder: &Finder<'_, '_>, start: usize) -> Option<usize> {
    let mut end = start;
    while end < finder.text.len()
        && end - start < GATE_PLACE_WORDS_MAX
        && finder.is_free(end)
        && !finder.is_any(end, &finder.rules.name.never)
        && !spoken::is_number(finder.text.word(end))
        && (end == start || finder.text.sign(end) != ',')
    {
        end += 1;
    }
    (end > start).then_some(end)
}

/// What belongs to an address and stands behind it: a unit, a town before its state or at the end, a postal code.
fn rest(finder: &Finder<'_, '_>, mut end: usize) -> usize {
    let (text, rules) = (finder.text, &finder.rules.address);
    loop {
        let before = end;
        if finder.is_any(end, &rules.units) {
            let is_letter = text.word(end + 1).len() == 1;
            let number = run(text, end + 1, |at| finder.is_free(at)).map(|run| run.end);
            end = number.or_else(|| is_letter.then_some(end + 2)).unwrap_or(end);
        }
        let skip = end + usize::from(text.word(end) == "in");
        if let Some(state) = longest(&rules.states, text, end) {
            end = state;
        } else if let Some(town) = place(finder, skip) {
            // The town is followed by nothing, its state or its postal code.
            let state = (skip + 1..=town).find_map(|at| longest(&rules.states, text, at));
            let zip = run(text, town, |at| finder.is_free(at)).filter(|run| run.digits == 5);
            let is_last = town == text.len() || text.sign(town) == ',';
            end = state.or_else(|| zip.map(|run| run.end)).unwrap_or(if is_last {
                town
            } else {
                end
            });
        }
        let zip = end + usize::from(matches!(text.word(end), "zip"));
        if let Some(run) = run(text, zip, |at| finder.is_free(at)).filter(|run| run.digits == 5) {
            end = run.end;
        }
        if end == before {
            return end;
        }
    }
}
