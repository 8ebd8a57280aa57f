//! Identifiers made of digits: telephone numbers, digit runs, digits in words.
//!
//! It knows what a line may have many digits for: pseudonyms, digests, JSON numbers, dates, times. It never
//! looks at what a number means: no check digit, no area code.

use super::{before, byte, is_alphanumeric, is_lower_hex, rest, run, words};
use crate::limit::{
    DIGIT_RUN_MIN, E164_DIGITS_MAX, E164_DIGITS_MIN, JSON_NUMBER_DIGITS_MAX, SPOKEN_DIGITS_MIN,
};
use crate::spoken;

fn digits(line: &[u8], at: usize) -> &[u8] {
    run(line, at, |byte| byte.is_ascii_digit())
}

/// How many bytes separate two groups of one number: one space (or `+`, a form's space), dash, dot or
/// bracket; a dash between two spaces; two or three signs with a bracket among them. `None` when nothing does.
fn separator(line: &[u8], at: usize) -> Option<usize> {
    let (mut end, mut signs, mut has_bracket) = (at, [0; 3], false);
    let mut count = 0;
    for sign in &mut signs {
        let width = match rest(line, end) {
            [b' ' | b'+', ..] => 1,
            // No-break space; the dashes from U+2010 to U+2015.
            [0xC2, 0xA0, ..] => 2,
            [b'-' | b'.' | b'(' | b')', ..] => 1,
            [0xE2, 0x80, 0x90..=0x95, ..] => 3,
            _ => break,
        };
        *sign = byte(line, end);
        has_bracket |= matches!(*sign, b'(' | b')');
        end += width;
        count += 1;
    }
    let is_space = |sign| matches!(sign, b' ' | b'+' | 0xC2);
    let [first, dash, last] = signs;
    let is_spaced_dash = is_space(first) && matches!(dash, b'-' | 0xE2) && is_space(last);
    (count == 1 || has_bracket || is_spaced_dash).then_some(end - at)
}

// --- Telephone numbers ---

pub(super) fn has_e164(line: &[u8]) -> bool {
    (0..line.len()).any(|at| match rest(line, at) {
        [b'+', ..] => is_e164(line, at + 1),
        [b'%', b'2', b'B' | b'b', ..] => is_e164(line, at + 3),
        _ => false,
    })
}

/// No country code begins with 0, which keeps offsets such as `+0100` out.
fn is_e164(line: &[u8], start: usize) -> bool {
    if !matches!(byte(line, start), b'1'..=b'9') {
        return false;
    }
    let (mut at, mut count) = (start, 0);
    loop {
        let group = digits(line, at).len();
        count += group;
        if group > E164_DIGITS_MAX {
            return false;
        }
        let width = separator(line, at + group).unwrap_or_default();
        if count >= E164_DIGITS_MIN || group == 0 || width == 0 {
            return count >= E164_DIGITS_MIN;
        }
        at += group + width;
    }
}

// --- Digits ---

pub(super) fn has_digits(line: &[u8]) -> bool {
    let mut at = 0;
    while at < line.len() {
        if let Some(width) = harmless(line, at) {
            at += width;
        } else if byte(line, at).is_ascii_digit() {
            let (end, count) = digit_run(line, at);
            if count >= DIGIT_RUN_MIN {
                return true;
            }
            at = end;
        } else {
            at += 1;
        }
    }
    false
}

/// Where the number at `at` ends, and how many digits it has, until there are enough.
fn digit_run(line: &[u8], at: usize) -> (usize, usize) {
    let mut end = at + digits(line, at).len();
    let mut count = end - at;
    while count < DIGIT_RUN_MIN {
        let Some(width) = separator(line, end) else { break };
        let group = digits(line, end + width).len();
        if group == 0 || harmless(line, end + width).is_some() {
            break;
        }
        end += width + group;
        count += group;
    }
    (end, count)
}

/// How many bytes from `at` have digits of a kind that identifies nobody: a pseudonym or digest, a JSON
/// number, a date, a time, a UUID. `None` when there is nothing of the kind here.
fn harmless(line: &[u8], at: usize) -> Option<usize> {
    match byte(line, at) {
        b'"' => pseudonym(line, at),
        b'[' => json_array(line, at),
        first if !is_alphanumeric(first) => None,
        first if first.is_ascii_digit() && !before(line, at).is_ascii_digit() => {
            json_number(line, at)
                .or_else(|| time(line, at))
                .or_else(|| date(line, at))
                .or_else(|| hex(line, at))
        }
        _ => hex(line, at),
    }
}

/// The fields that hold a pseudonym or a digest.
const PSEUDONYMOUS: [&[u8]; 4] = [b"\"boot\":", b"\"call\":", b"\"credential\":", b"\"prev\":"];

/// A string of exactly 16 or 64 lower-case hexadecimal digits, with its quotes, in a field that holds one: in any
/// other, 16 digits are a card's.
fn pseudonym(line: &[u8], at: usize) -> Option<usize> {
    let key = line.get(..at).unwrap_or_default();
    if !PSEUDONYMOUS.iter().any(|field| key.ends_with(field)) {
        return None;
    }
    let text = rest(line, at + 1).iter().take(65).take_while(|byte| is_lower_hex(**byte)).count();
    (matches!(text, 16 | 64) && byte(line, at + 1 + text) == b'"').then_some(text + 2)
}

/// The value of a JSON field.
fn json_number(line: &[u8], at: usize) -> Option<usize> {
    let is_value = line.get(..at).unwrap_or_default().ends_with(b"\":");
    short_number(line, at).filter(|_| is_value)
}

fn short_number(line: &[u8], at: usize) -> Option<usize> {
    let number = digits(line, at).len();
    let is_ended = matches!(byte(line, at + number), b',' | b'}' | b']');
    (is_ended && (1..=JSON_NUMBER_DIGITS_MAX).contains(&number)).then_some(number)
}

/// `[1,2,3]`, whole: a comma before a number alone says nothing, as in a line of comma-separated values.
fn json_array(line: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        end += short_number(line, end)?;
        match byte(line, end) {
            b',' => end += 1,
            b']' => return Some(end + 1 - at),
            _ => return None,
        }
    }
}

/// `10:11`, `10:11:12` or `10:11:12.123456`.
fn time(line: &[u8], at: usize) -> Option<usize> {
    let two = |at| (digits(line, at).len() == 2).then_some(at + 2);
    let colon = |at| (byte(line, at) == b':').then_some(at + 1);
    let minutes = colon(two(at)?).and_then(two)?;
    let Some(seconds) = colon(minutes).and_then(two) else { return Some(minutes - at) };
    let fraction = match byte(line, seconds) {
        b'.' | b',' => digits(line, seconds + 1).len(),
        _ => 0,
    };
    let is_fraction = (1..=9).contains(&fraction);
    Some(seconds - at + if is_fraction { fraction + 1 } else { 0 })
}

/// `2026-11-22`, `2026.11.22`, `22.11.2026` or `11-22-2026`, of the years 1900 to 2099.
fn date(line: &[u8], at: usize) -> Option<usize> {
    let dash = |byte| matches!(byte, b'-' | b'.');
    let first = digits(line, at);
    let middle_at = at + first.len() + 1;
    let middle = digits(line, middle_at);
    let last_at = middle_at + middle.len() + 1;
    let last = digits(line, last_at);
    let end = last_at + last.len();
    let mark = before(line, middle_at);
    let goes_on = byte(line, end) == mark && byte(line, end + 1).is_ascii_digit();
    if !dash(mark) || before(line, last_at) != mark || goes_on {
        return None;
    }
    let (year, one, other) =
        if first.len() == 4 { (first, middle, last) } else { (last, first, middle) };
    let is_year = matches!(year, [b'1', b'9', _, _] | [b'2', b'0', _, _]);
    let (one, other) = (two_digits(one)?, two_digits(other)?);
    let is_day = one.min(other) >= 1 && one.min(other) <= 12 && one.max(other) <= 31;
    (is_year && is_day).then_some(end - at)
}

fn two_digits(text: &[u8]) -> Option<u8> {
    match text {
        [tens, ones] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// A UUID, or a word of twelve or more hexadecimal digits in one case whose letters and digits alternate.
fn hex(line: &[u8], at: usize) -> Option<usize> {
    if is_alphanumeric(before(line, at)) {
        return None;
    }
    if is_uuid(line, at) {
        return Some(36);
    }
    let word = run(line, at, is_alphanumeric);
    let has = |is: fn(&u8) -> bool| word.iter().any(is);
    let is_one_case = !(has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    let letters = word
        .iter()
        .skip_while(|byte| !byte.is_ascii_digit())
        .filter(|byte| byte.is_ascii_alphabetic());
    let is_hex = word.iter().all(u8::is_ascii_hexdigit) && is_one_case && letters.count() >= 2;
    (is_hex && word.len() >= 12).then_some(word.len())
}

fn is_uuid(line: &[u8], at: usize) -> bool {
    let mut next = at;
    let are_groups = [8, 4, 4, 4, 12].into_iter().all(|length| {
        let group =
            rest(line, next).iter().take(13).take_while(|byte| byte.is_ascii_hexdigit()).count();
        next += group + 1;
        group == length && (length == 12 || before(line, next) == b'-')
    });
    are_groups && !is_alphanumeric(before(line, next))
}

// --- Speech ---

pub(super) fn has_spoken_digits(line: &[u8]) -> bool {
    let (mut end, mut count, mut times) = (0, 0_usize, 1);
    words(line).any(|(start, word)| {
        // Within a list of words there is a quote, a comma and a space between two of them.
        if start.saturating_sub(end) > 6 {
            (count, times) = (0, 1);
        }
        end = start + word.len();
        if spoken::digit(word).is_some() {
            count += times;
            times = 1;
        } else if let Some(repeated) = spoken::times(word) {
            times = repeated;
        } else {
            (count, times) = (0, 1);
        }
        count >= SPOKEN_DIGITS_MIN
    })
}
