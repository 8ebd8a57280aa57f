//! Names: behind a cue, in front of one, as the answer to our question, spelled, and with capitals.
//!
//! There is no list of names here, because there is none of all names. There are lists of words that are none.
//! A doctor's name behind `doctor` may pass: the model needs it to find a time.

use super::super::pattern::{Pattern, longest};
use super::{Finder, SlotClass};
use crate::gate::spoken;
use crate::limit::{GATE_LETTERS_MIN, GATE_NAME_WORDS_MAX};

pub(super) fn find(finder: &mut Finder<'_, '_>) {
    spelled(finder);
    for start in 0..finder.text.len() {
        if let Some(end) = longest(&finder.rules.name.open, finder.text, start) {
            let last = end + usize::from(is_namelike(finder, end));
            finder.keep(start, last);
        }
    }
    for start in 0..finder.text.len() {
        behind(finder, start);
    }
    for start in 1..finder.text.len() {
        before(finder, start);
    }
    if finder.asked.has(SlotClass::Name) {
        answer(finder);
    }
    capitals(finder);
}

fn take(finder: &mut Finder<'_, '_>, first: usize, end: usize) {
    let key = finder.joined(first, end, " ");
    finder.add(SlotClass::Name, first, end, key);
}

/// Letters one after the other.
fn spelled(finder: &mut Finder<'_, '_>) {
    let mut at = 0;
    while at < finder.text.len() {
        let is_letter = |at: &usize| {
            finder.is_free(*at)
                && finder.text.word(*at).chars().count() == 1
                && finder.text.word(*at).starts_with(char::is_alphabetic)
        };
        let end = at + (at..finder.text.len()).take_while(is_letter).count();
        if end - at >= GATE_LETTERS_MIN {
            let key = finder.joined(at, end, "");
            finder.add(SlotClass::Name, at, end, key);
        }
        at = end.max(at + 1);
    }
}

/// Whether a word could be a name where nothing else says that it is one.
fn is_namelike(finder: &Finder<'_, '_>, at: usize) -> bool {
    !is_seldom(finder, at) && could_be(finder, at)
}

fn is_seldom(finder: &Finder<'_, '_>, at: usize) -> bool {
    finder.is_any(at, &finder.rules.name.seldom) || spoken::month(finder.text.word(at)).is_some()
}

/// Whether a word could be a name where a cue says that it is one.
fn could_be(finder: &Finder<'_, '_>, at: usize) -> bool {
    let word = finder.text.word(at);
    finder.is_free(at)
        && word.chars().count() >= 2
        && word.chars().all(char::is_alphabetic)
        && !finder.is_any(at, &finder.rules.name.never)
        && !spoken::is_number(word)
        && spoken::ordinal(word).is_none()
}

/// The words from `first` on that make up a name.
fn words(finder: &Finder<'_, '_>, first: usize, is: impl Fn(usize) -> bool) -> usize {
    let mut end = first;
    while end - first < GATE_NAME_WORDS_MAX
        && (end == first || finder.text.sign(end) != ',')
        && (is(end) || is_initial(finder, first, end) && is(end + 1))
    {
        end += 1;
    }
    end
}

/// A letter between two parts of a name.
fn is_initial(finder: &Finder<'_, '_>, first: usize, at: usize) -> bool {
    at > first && finder.is_free(at) && matches!(finder.text.word(at).as_bytes(), [b'a'..=b'z'])
}

fn behind(finder: &mut Finder<'_, '_>, start: usize) {
    let rules = &finder.rules.name;
    let cue = |patterns: &[Pattern]| longest(patterns, finder.text, start);
    if let Some(first) = cue(&rules.strong) {
        let end = words(finder, first, |at| could_be(finder, at));
        if end > first {
            return take(finder, first, end);
        }
    }
    for (patterns, least) in [(&rules.one, 1), (&rules.two, 2)] {
        let Some(first) = cue(patterns) else { continue };
        // Behind a word that is a name, a word that may be one is: "mary brown".
        let end = words(finder, first, |at| {
            is_namelike(finder, at) || at > first && could_be(finder, at)
        });
        let is_name = end >= first + least || end > first && finder.text.is_proper(first);
        // `my son vomited`, `my mother recently`.
        let is_verb = end == first + 1 && has_ending(finder.text.word(first));
        if is_name && !is_verb {
            return take(finder, first, end);
        }
    }
}

fn has_ending(word: &str) -> bool {
    word.len() > 4 && ["ed", "ing", "ly"].iter().any(|end| word.ends_with(end))
}

/// Words in front of `speaking`, `here`, `calling`.
fn before(finder: &mut Finder<'_, '_>, start: usize) {
    if longest(&finder.rules.name.after, finder.text, start).is_none() {
        return;
    }
    let least = start.saturating_sub(GATE_NAME_WORDS_MAX);
    let is_part = |at: &usize| {
        could_be(finder, *at) || is_initial(finder, 0, *at) && is_namelike(finder, at - 1)
    };
    let first = (least..start).rev().take_while(is_part).last();
    if let Some(first) = first.filter(|first| is_namelike(finder, *first)) {
        take(finder, first, start);
    }
}

/// The whole of a short answer to a question for the name, without `yes` and `it is`.
fn answer(finder: &mut Finder<'_, '_>) {
    let mut first = 0;
    while first < finder.text.len() && !could_be(finder, first) {
        first += 1;
    }
    let end = words(finder, first, |at| could_be(finder, at));
    // What else is in the answer, such as a date of birth, is taken already.
    let left = (end..finder.text.len()).filter(|at| finder.is_free(*at)).count();
    let is_answer = first <= 4 && end > first && left <= 2;
    if is_answer {
        take(finder, first, end);
    }
}

/// Two or more words with capitals that are no ordinary ones.
fn capitals(finder: &mut Finder<'_, '_>) {
    let mut at = 0;
    while at < finder.text.len() {
        let end = words(finder, at, |at| is_namelike(finder, at) && finder.text.is_proper(at));
        if end >= at + 2 {
            take(finder, at, end);
        }
        at = end.max(at + 1);
    }
}
