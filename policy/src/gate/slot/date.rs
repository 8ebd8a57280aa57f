//! Dates: those of birth, which a model does not need, and those of appointments, which it does.
//!
//! A date is one of birth when a cue announces it, when we asked for it, or when its year is before the first year of
//! appointments. It asks no clock: that year stands in the rules.

use super::super::text::Text;
use super::number::run;
use super::{Finder, SlotClass};
use crate::gate::spoken;
use crate::phi::Phi;

/// A date as it was said.
struct Date {
    end: usize,
    month: u8,
    day: u8,
    year: Option<u16>,
}

pub(super) fn find(finder: &mut Finder<'_, '_>) {
    let mut at = 0;
    while at < finder.text.len() {
        at = if finder.is_free(at) { one(finder, at) } else { at + 1 };
    }
}

/// Judges what begins with the word at `at`, and says where to go on.
fn one(finder: &mut Finder<'_, '_>, at: usize) -> usize {
    let is_expected = finder.expects(SlotClass::BirthDate, at);
    // Figures alone: month, day and year one after the other, all of them.
    let figures = if is_expected { run(finder.text, at, |at| finder.is_free(at)) } else { None };
    let ends = date(finder.text, at, is_expected).map(|date| date.end);
    if let Some(run) = figures.as_ref().filter(|run| (6..=8).contains(&run.digits))
        && ends.is_none_or(|end| end < run.end)
    {
        let (end, signs) = (run.end, Phi::new(run.signs.expose().clone()));
        finder.add(SlotClass::BirthDate, at, end, signs);
        return end;
    }
    if let Some(date) = date(finder.text, at, is_expected) {
        let is_past = date.year.is_some_and(|year| year < finder.rules.appointments_from);
        if is_expected || is_past {
            let year = date.year.map_or(String::new(), |year| year.to_string());
            let key = format!("{}/{}/{year}", date.month, date.day);
            finder.add(SlotClass::BirthDate, at, date.end, Phi::new(key));
        } else {
            finder.keep(at, date.end);
        }
        return date.end;
    }
    if !is_expected {
        return at + 1;
    }
    if let Some((_, end)) = year(finder.text, at) {
        let key = finder.joined(at, end, " ");
        finder.add(SlotClass::BirthDate, at, end, key);
        return end;
    }
    let Some(run) = figures else { return at + 1 };
    if (4..=8).contains(&run.digits) {
        finder.add(SlotClass::BirthDate, at, run.end, run.signs);
    }
    run.end
}

fn date(text: &Text<'_>, at: usize, is_expected: bool) -> Option<Date> {
    let (end, month, day) = month_first(text, at)
        .or_else(|| day_first(text, at))
        .or_else(|| figures(text, at, is_expected))?;
    let skip = usize::from(matches!(text.word(end), "of" | "in"));
    let next = end + skip;
    let full = year(text, next);
    let short = || short_year(text, next).filter(|_| is_expected || is_glued(text, next));
    match full.or_else(short) {
        Some((year, end)) => Some(Date { end, month, day, year: Some(year) }),
        None => Some(Date { end, month, day, year: None }),
    }
}

fn is_glued(text: &Text<'_>, at: usize) -> bool {
    matches!(text.sign(at), '/' | '-' | '.' | '\'')
}

/// `march fifth`, `march the fifth`, `march 5`.
fn month_first(text: &Text<'_>, at: usize) -> Option<(usize, u8, u8)> {
    let month = spoken::month(text.word(at))?;
    let skip = usize::from(text.word(at + 1) == "the");
    let (day, end) = day(text, at + 1 + skip)?;
    Some((end, month, day))
}

/// `the fifth of march`, `5 march`.
fn day_first(text: &Text<'_>, at: usize) -> Option<(usize, u8, u8)> {
    let start = at + usize::from(text.word(at) == "the");
    let (day, end) = day(text, start)?;
    let next = end + usize::from(text.word(end) == "of");
    let month = spoken::month(text.word(next))?;
    // "the fifth may work" is no date.
    (next > end || text.word(next) != "may").then_some((next + 1, month, day))
}

/// `3/5`, `03-05`, `2026-03-05` up to its day; with a full year behind it also `three five` and `3 5`.
fn figures(text: &Text<'_>, at: usize, is_expected: bool) -> Option<(usize, u8, u8)> {
    let (month, next) = small(text, at)?;
    let (day, end) = small(text, next)?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_written = matches!(text.sign(next), '/' | '-' | '.') && text.word(next).len() <= 2;
    let ends = matches!(text.sign(end), '/' | '-' | '.');
    let has_year = year(text, end).is_some() || is_expected && short_year(text, end).is_some();
    let is_slash = text.sign(next) == '/' && !ends;
    (is_date && (is_slash || has_year || is_written && short_year(text, end).is_some() && ends))
        .then_some((end, month, day))
}

/// A day of a month: `fifth`, `twenty fifth`, `25`, `25th`, `twenty five`.
fn day(text: &Text<'_>, at: usize) -> Option<(u8, usize)> {
    let word = text.word(at);
    if let Some(day) = spoken::ordinal(word) {
        return Some((day, at + 1));
    }
    if let (Some(tens), Some(ones)) = (spoken::tens(word), spoken::ordinal(text.word(at + 1)))
        && ones < 10
    {
        return Some((tens + ones, at + 2));
    }
    let stem = word.trim_end_matches(|sign: char| sign.is_ascii_lowercase());
    if stem.len() < word.len() && matches!(word.get(stem.len()..), Some("st" | "nd" | "rd" | "th"))
    {
        return stem.parse().ok().filter(|day| (1..=31).contains(day)).map(|day| (day, at + 1));
    }
    small(text, at).filter(|(day, _)| (1..=31).contains(day))
}

/// 0 to 99, in figures or words; `oh five` is 5.
fn small(text: &Text<'_>, at: usize) -> Option<(u8, usize)> {
    let word = text.word(at);
    if word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return word.parse().ok().map(|value| (value, at + 1));
    }
    let ones = spoken::digit(text.word(at + 1).as_bytes());
    match (spoken::digit(word.as_bytes()), spoken::tens(word)) {
        (Some(0), _) => Some((ones?, at + 2)),
        (Some(digit), _) => Some((digit, at + 1)),
        (None, Some(tens)) => match ones.filter(|ones| *ones > 0) {
            Some(ones) => Some((tens + ones, at + 2)),
            None => Some((tens, at + 1)),
        },
        (None, None) => spoken::teen(word).map(|teen| (teen, at + 1)),
    }
}

/// A year in full, 1900 to 2099: `1980`, `nineteen eighty`, `two thousand and five`, `twenty twenty six`.
fn year(text: &Text<'_>, at: usize) -> Option<(u16, usize)> {
    let word = text.word(at);
    if word.len() == 4
        && let Ok(year) = word.parse::<u16>()
        && (1900..=2099).contains(&year)
    {
        return Some((year, at + 1));
    }
    if word == "two" && text.word(at + 1) == "thousand" {
        let next = at + 2 + usize::from(text.word(at + 2) == "and");
        return Some(match small(text, next) {
            Some((rest, end)) if rest > 0 => (2000 + u16::from(rest), end),
            _ => (2000, at + 2),
        });
    }
    let century = match word {
        "nineteen" => 1900,
        "twenty" => 2000,
        _ => return None,
    };
    if text.word(at + 1) == "hundred" {
        return Some((century, at + 2));
    }
    let (rest, end) = small(text, at + 1)?;
    // A digit alone is "twenty five", and "nineteen five" is nobody's year.
    let is_rest = rest >= 10 || end == at + 3;
    is_rest.then_some((century + u16::from(rest), end))
}

/// Two figures of a year: of this century up to 25, of the last one otherwise.
fn short_year(text: &Text<'_>, at: usize) -> Option<(u16, usize)> {
    let (rest, end) = small(text, at)?;
    let is_two = text.word(at).len() == 2 || rest >= 10 || end == at + 2;
    let century = if rest <= 25 { 2000 } else { 1900 };
    is_two.then_some((century + u16::from(rest), end))
}
