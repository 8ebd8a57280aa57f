//! The last line of defence of the log: which classes of identifier one finished line contains.
//!
//! It is an alarm, not the control. The control is that an event is a variant of a closed enum without
//! free text (`audit`); a hit means that this has failed. It changes no line, keeps nothing of it,
//! allocates nothing and takes time linear in the line's length.
//!
//! It reads bytes as they stand. Of the encodings it knows only what a form does to the signs around an
//! identifier: `+` for a space, `%2B` before a telephone number, `%40` in an e-mail address. Digit runs and
//! others that are percent-encoded within, or in hexadecimal, short base64 or JSON's `\u`, pass through. So do
//! names, addresses, dates, numbers of fewer than seven digits and numbers in words such as "forty two".
//! `docs/scrubber.md` has the figures.
#![deny(clippy::indexing_slicing)]

mod number;
mod token;
#[cfg(test)]
mod legal;
#[cfg(test)]
mod tests;

/// A class of identifier, by its shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A telephone number with `+` and country code, separated or not.
    E164,
    /// Two letters and 32 hexadecimal digits: a call, stream, account, key or recording at Twilio.
    TwilioSid,
    /// `Bearer` or `Basic` and a credential.
    Bearer,
    /// Three base64url parts of which the first is a JSON object.
    Jwt,
    /// Seven or more digits, separated or not: a national telephone number, SSN, card, record number.
    Digits,
    /// An e-mail address, and what looks like one: a SIP URI.
    Email,
    /// A run of base64 or base64url that is long enough for audio.
    Base64,
    /// Six or more digits in English words, one word a digit.
    SpokenDigits,
}

impl Class {
    /// Every class, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::E164,
        Self::TwilioSid,
        Self::Bearer,
        Self::Jwt,
        Self::Digits,
        Self::Email,
        Self::Base64,
        Self::SpokenDigits,
    ];

    /// The stable code in counters and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::E164 => "e164",
            Self::TwilioSid => "twilio_sid",
            Self::Bearer => "bearer",
            Self::Jwt => "jwt",
            Self::Digits => "digits",
            Self::Email => "email",
            Self::Base64 => "base64",
            Self::SpokenDigits => "spoken_digits",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    fn is_in(self, line: &[u8]) -> bool {
        match self {
            Self::E164 => number::has_e164(line),
            Self::TwilioSid => token::has_sid(line),
            Self::Bearer => token::has_credential(line),
            Self::Jwt => token::has_jwt(line),
            Self::Digits => number::has_digits(line),
            Self::Email => token::has_email(line),
            Self::Base64 => token::has_long_base64(line),
            Self::SpokenDigits => number::has_spoken_digits(line),
        }
    }
}

/// The classes that were found in one line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Hits(u8);

impl Hits {
    /// Whether `class` was found.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What was found, in the order of [`Class::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

/// Looks through one line, with or without its line feed.
#[must_use]
pub fn scan(line: &[u8]) -> Hits {
    let found = Class::ALL.into_iter().filter(|class| class.is_in(line));
    Hits(found.fold(0, |bits, class| bits | class.bit()))
}

// --- Bytes, for both halves ---

/// The byte at `at`; 0, which no class contains, past the end.
fn byte(line: &[u8], at: usize) -> u8 {
    line.get(at).copied().unwrap_or_default()
}

/// The byte before `at`; 0 at the beginning.
fn before(line: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |at| byte(line, at))
}

fn rest(line: &[u8], at: usize) -> &[u8] {
    line.get(at..).unwrap_or_default()
}

/// The bytes from `at` for which `is` holds.
fn run(line: &[u8], at: usize, is: impl Fn(u8) -> bool) -> &[u8] {
    let rest = rest(line, at);
    let length = rest.iter().position(|byte| !is(*byte)).unwrap_or(rest.len());
    rest.get(..length).unwrap_or_default()
}

const fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The runs of letters and digits, with their places. What is left of an escape, such as `\n` or `%3D`, is no
/// part of the word after it.
fn words(line: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += run(line, at, |byte| !is_alphanumeric(byte)).len();
            at += match (before(line, at), rest(line, at)) {
                (b'\\', [b'n' | b'r' | b't', ..]) => 1,
                (b'%', [high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => 2,
                _ => 0,
            };
            let (start, word) = (at, run(line, at, is_alphanumeric));
            at += word.len();
            if !word.is_empty() || at >= line.len() {
                return (!word.is_empty()).then_some((start, word));
            }
        }
    })
}
