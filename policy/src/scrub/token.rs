//! Identifiers made of letters and digits: SIDs, credentials, JWTs, e-mail addresses, base64.
//!
//! It never decodes what it finds.

use super::{before, byte, is_alphanumeric, is_lower_hex, rest, run, words};
use crate::limit::BASE64_RUN_MAX;

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

const fn is_base64(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'+' | b'/')
}

pub(super) fn has_sid(line: &[u8]) -> bool {
    words(line).any(|(_, word)| is_sid(word))
}

fn is_sid(word: &[u8]) -> bool {
    let [first, second, digits @ ..] = word else { return false };
    first.is_ascii_alphabetic()
        && second.is_ascii_alphabetic()
        && digits.len() == 32
        && digits.iter().all(u8::is_ascii_hexdigit)
}

/// In prose `bearer` and `basic` have other words after them; after `Authorization` any word is a secret.
pub(super) fn has_credential(line: &[u8]) -> bool {
    let mut is_authorized_at = None;
    words(line).any(|(start, word)| {
        let end = start + word.len();
        if word.eq_ignore_ascii_case(b"authorization") {
            is_authorized_at = Some(end);
        }
        if !word.eq_ignore_ascii_case(b"bearer") && !word.eq_ignore_ascii_case(b"basic") {
            return false;
        }
        let spaces = run(line, end, |byte| b" +:=\"\\".contains(&byte)).len();
        if spaces == 0 {
            return false;
        }
        // Enough to tell, and no more: the word may stand again within the token.
        let next = rest(line, end + spaces);
        let next = next.get(..64).unwrap_or(next);
        let token = run(next, 0, |byte| is_base64(byte) || b".~=".contains(&byte));
        let is_header = is_authorized_at.is_some_and(|end| start - end <= 8);
        is_header && !token.is_empty() || is_credential(token)
    })
}

/// Ten characters or more with a digit or letters of both cases in it: no word of prose.
fn is_credential(token: &[u8]) -> bool {
    let [_, inner @ ..] = token else { return false };
    let has = |is: fn(&u8) -> bool| inner.iter().any(is);
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    token.len() >= 10 && (has(u8::is_ascii_digit) || is_mixed)
}

pub(super) fn has_jwt(line: &[u8]) -> bool {
    (0..line.len()).any(|at| {
        let is_escaped = at.checked_sub(3).is_some_and(|at| byte(line, at) == b'%');
        let is_start = !is_base64url(before(line, at)) || is_escaped;
        is_start && rest(line, at).starts_with(b"eyJ") && is_jwt(line, at)
    })
}

/// The signature may be empty (nothing is signed), and so may the second part (an encrypted token without a
/// key of its own), but not both.
fn is_jwt(line: &[u8], at: usize) -> bool {
    let header = run(line, at, is_base64url).len();
    let second = at + header + 1;
    let payload = run(line, second, is_base64url).len();
    let third = second + payload + 1;
    let signature = run(line, third, is_base64url).len();
    let has_dots = before(line, second) == b'.' && before(line, third) == b'.';
    has_dots && header >= 10 && (payload >= 4 || payload == 0 && signature >= 8)
}

pub(super) fn has_long_base64(line: &[u8]) -> bool {
    line.split(|byte| !is_base64(*byte)).any(is_long_base64)
}

/// Rulers of dashes are none; neither are digests, which have no letter past f.
fn is_long_base64(run: &[u8]) -> bool {
    let has_letters = run.iter().any(|byte| is_alphanumeric(*byte) || matches!(byte, b'+' | b'/'));
    run.len() > BASE64_RUN_MAX && has_letters && !is_digest(run)
}

/// A digest of at most 64 bytes, in lower-case hexadecimal.
fn is_digest(run: &[u8]) -> bool {
    run.len() <= 128 && run.iter().all(|byte| is_lower_hex(*byte))
}

// --- E-mail ---

pub(super) fn has_email(line: &[u8]) -> bool {
    (0..line.len()).any(|at| match rest(line, at) {
        [b'@', ..] => has_local_part(line, at) && is_domain(line, at + 1),
        [b'%', b'4', b'0', ..] => has_local_part(line, at) && is_domain(line, at + 3),
        _ => false,
    })
}

/// Whether what ends before `at` can stand in front of the sign; a local part in quotes can.
fn has_local_part(line: &[u8], at: usize) -> bool {
    let before = line.get(..at).unwrap_or_default();
    let is_end = |byte: &u8| is_alphanumeric(*byte) || !byte.is_ascii() || b"._+-'".contains(byte);
    let quoted = before.strip_suffix(b"\"").unwrap_or_default();
    let in_quotes = quoted.iter().rev().find(|byte| **byte != b'\\');
    before.last().is_some_and(is_end) || in_quotes.is_some_and(|byte| is_alphanumeric(*byte))
}

/// Labels with a dot between them and letters in the last, or an address in square brackets.
fn is_domain(line: &[u8], at: usize) -> bool {
    if byte(line, at) == b'[' {
        return is_lower_hex(byte(line, at + 1)) || rest(line, at + 1).starts_with(b"IPv6:");
    }
    let is_in_label = |byte: u8| is_alphanumeric(byte) || !byte.is_ascii() || byte == b'-';
    let name = run(line, at, |byte| is_in_label(byte) || byte == b'.');
    // A full stop after the address ends the sentence, and a dash goes on with it.
    let length = name.iter().rposition(|byte| !matches!(byte, b'.' | b'-')).map_or(0, |at| at + 1);
    let name = name.get(..length).unwrap_or_default();
    let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_named =
        last.len() >= 2 && last.iter().all(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    let has_dot = name.len() > last.len() + 1 && byte(name, 0) != b'.';
    has_dot && (is_named || last.starts_with(b"xn--"))
}
