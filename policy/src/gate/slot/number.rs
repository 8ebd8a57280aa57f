//! Numbers that identify: digits in figures, words and pairs, with the letters of a card's number among them.
//!
//! It takes no time, price, dose or count for one: they have few digits, unless a cue announces a number.

use super::{Finder, SlotClass};
use crate::gate::spoken;
use crate::limit::{
    GATE_CUED_DIGITS_MIN, GATE_DIGITS_MIN, GATE_NUMBER_WORDS_MAX, GATE_PHONE_DIGITS_MIN,
};
use crate::phi::Phi;

use super::super::text::Text;

/// A number as it was said: where it ends, and its digits and letters.
pub(super) struct Run {
    pub(super) end: usize,
    pub(super) signs: Phi<String>,
    pub(super) digits: usize,
}

/// The number that begins with the word at `start`, as far as words are `free`: at most [`GATE_NUMBER_WORDS_MAX`].
pub(super) fn run(text: &Text<'_>, start: usize, free: impl Fn(usize) -> bool) -> Option<Run> {
    let mut run = Run { end: start, signs: Phi::new(String::with_capacity(256)), digits: 0 };
    let mut at = start;
    while at < text.len() && at - start < GATE_NUMBER_WORDS_MAX && free(at) {
        let word = text.word(at);
        let is_joint = at > start && matches!(word, "dash" | "hyphen" | "minus");
        if is_joint {
            at += 1;
            continue;
        }
        let Some(words) = one(text, at, &mut run) else { break };
        at += words;
        run.end = at;
    }
    (run.digits > 0).then_some(run)
}

/// Adds what the word at `at` says, and says how many words that were.
fn one(text: &Text<'_>, at: usize, run: &mut Run) -> Option<usize> {
    let (word, next) = (text.word(at), text.word(at + 1));
    let has_digits = run.digits > 0;
    let mut add = |value: &str, times: usize| {
        for _ in 0..times {
            run.signs.expose_mut().push_str(value);
        }
        run.digits += times * value.bytes().filter(u8::is_ascii_digit).count();
    };
    if let Some(digit) = spoken::digit(word.as_bytes()) {
        add(&digit.to_string(), 1);
    } else if let Some(teen) = spoken::teen(word) {
        add(&teen.to_string(), 1);
    } else if let Some(tens) = spoken::tens(word) {
        let ones = spoken::digit(next.as_bytes()).filter(|ones| *ones > 0 && next != "o");
        add(&(tens + ones.unwrap_or_default()).to_string(), 1);
        return Some(1 + usize::from(ones.is_some()));
    } else if let Some(times) = spoken::times(word.as_bytes()) {
        let digit = spoken::digit(next.as_bytes())
            .map(|digit| digit.to_string())
            .or_else(|| (next.len() == 1 && spoken::is_number(next)).then(|| next.to_owned()))?;
        add(&digit, times);
        return Some(2);
    } else if word == "hundred" && has_digits {
        add("00", 1);
    } else if word == "thousand" && has_digits {
        add("000", 1);
    } else if is_code(word) || is_letter(text, at) {
        add(word, 1);
    } else {
        return None;
    }
    Some(1)
}

/// Digits, or letters and digits in one word, but no `5th`, `10am` or `20mg`.
fn is_code(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let stem = word.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let is_counted = matches!(stem, "st" | "nd" | "rd" | "th" | "am" | "pm" | "mg" | "ml" | "s");
    digits > 0 && !(is_counted && stem.len() < word.len())
}

/// A letter alone that is no word: `a` and `i` only beside another one.
fn is_letter(text: &Text<'_>, at: usize) -> bool {
    let is = |at: usize| matches!(text.word(at).as_bytes(), [b'a'..=b'z']);
    let beside = is(at + 1) || at > 0 && is(at - 1);
    is(at) && (!matches!(text.word(at), "a" | "i") || beside)
}

pub(super) fn find(finder: &mut Finder<'_, '_>) {
    let mut at = 0;
    while at < finder.text.len() {
        let Some(run) = run(finder.text, at, |at| finder.is_free(at)) else {
            at += 1;
            continue;
        };
        let end = run.end;
        if let Some(class) = class(finder, at, &run) {
            let first = at - letters(finder, at);
            finder.add(class, first, end, run.signs);
        }
        at = end;
    }
}

/// One short word between a cue and a number is the letters of it: `member number xkj 123`.
fn letters(finder: &Finder<'_, '_>, at: usize) -> usize {
    let Some(before) = at.checked_sub(1) else { return 0 };
    let word = finder.text.word(before);
    let is_short =
        (1..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_ordinary = finder.is_any(before, &finder.rules.name.never);
    let is_cued = finder.cue(SlotClass::Number, before).is_some();
    usize::from(is_short && !is_ordinary && is_cued && finder.cue(SlotClass::Number, at) != Some(0))
}

fn class(finder: &Finder<'_, '_>, at: usize, run: &Run) -> Option<SlotClass> {
    let (phone, number) = (finder.cue(SlotClass::Phone, at), finder.cue(SlotClass::Number, at));
    let is_long = run.digits >= GATE_PHONE_DIGITS_MIN;
    let looks_like_phone = match run.signs.expose().len() {
        10 => run.digits == 10,
        11 => run.digits == 11 && run.signs.expose().starts_with('1'),
        _ => false,
    };
    let is_phone = match (phone, number) {
        (Some(phone), Some(number)) => is_long && phone < number,
        (Some(_), None) => is_long,
        (None, Some(_)) => false,
        (None, None) => looks_like_phone || is_long && finder.asked.has(SlotClass::Phone),
    };
    if is_phone {
        return Some(SlotClass::Phone);
    }
    let least = if number.is_some() || finder.asked.has(SlotClass::Number) {
        GATE_CUED_DIGITS_MIN
    } else {
        GATE_DIGITS_MIN
    };
    let is_price = finder.text.sign(at) == '$' || matches!(finder.text.word(run.end), "dollars");
    (run.digits >= least && !is_price).then_some(SlotClass::Number)
}
