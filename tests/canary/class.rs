//! What a canary is: a class of identifier, a random value in its shape, and the encoding in which it is sent.
//!
//! Every value is made of the operating system's random bytes, so it is in no program, no recording and no
//! other run. It sends nothing.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ward_tests::random::{fresh, fresh_text};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const WORDLIKE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHJKLMNPRSTUVWXYZ0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";

/// A class of identifier: Safe Harbor's (45 CFR 164.514(b)(2)(i)) that occur in a call, and secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Name,
    City,
    Zip,
    Date,
    From,
    To,
    Email,
    Ssn,
    RecordNumber,
    AccountNumber,
    Device,
    Vehicle,
    Url,
    Ip,
    CallSid,
    StreamSid,
    AccountSid,
    Keys,
    Speech,
    Audio,
    AuthToken,
    Signature,
    Bearer,
    VendorKey,
    VendorToken,
}

impl Class {
    pub(crate) const ALL: [Self; 25] = [
        Self::Name,
        Self::City,
        Self::Zip,
        Self::Date,
        Self::From,
        Self::To,
        Self::Email,
        Self::Ssn,
        Self::RecordNumber,
        Self::AccountNumber,
        Self::Device,
        Self::Vehicle,
        Self::Url,
        Self::Ip,
        Self::CallSid,
        Self::StreamSid,
        Self::AccountSid,
        Self::Keys,
        Self::Speech,
        Self::Audio,
        Self::AuthToken,
        Self::Signature,
        Self::Bearer,
        Self::VendorKey,
        Self::VendorToken,
    ];

    /// The field that Twilio puts it in, or one that it might add tomorrow.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Name => "CallerName",
            Self::City => "FromCity",
            Self::Zip => "FromZip",
            Self::Date => "DateOfBirth",
            Self::From => "From",
            Self::To => "To",
            Self::Email => "Email",
            Self::Ssn => "Ssn",
            Self::RecordNumber => "RecordNumber",
            Self::AccountNumber => "AccountNumber",
            Self::Device => "DeviceSerial",
            Self::Vehicle => "Vin",
            Self::Url => "Url",
            Self::Ip => "Ip",
            Self::CallSid => "CallSid",
            Self::StreamSid => "StreamSid",
            Self::AccountSid => "AccountSid",
            Self::Keys => "Digits",
            Self::Speech => "SpeechResult",
            Self::Audio => "Audio",
            Self::AuthToken => "AuthToken",
            Self::Signature => "Signature",
            Self::Bearer => "Bearer",
            Self::VendorKey => "VendorKey",
            Self::VendorToken => "VendorToken",
        }
    }

    fn fresh(self) -> String {
        let digits = |length| fresh_text(DIGITS, length);
        let word = |length| fresh_text(LETTERS, length);
        let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
        match self {
            Self::Name => format!("{} {}", word(9), word(11)),
            Self::City => word(14),
            Self::Zip => format!("{}-{}", digits(5), digits(4)),
            // To the second: a day alone would not be found unambiguously.
            Self::Date => {
                let [year, month, day, hour, minute, second] = fresh::<6>();
                format!(
                    "19{:02}-{:02}-{:02}T{:02}:{:02}:{:02}",
                    year % 100,
                    month % 12 + 1,
                    day % 28 + 1,
                    hour % 24,
                    minute % 60,
                    second % 60
                )
            }
            Self::From | Self::To => format!("+{}{}", fresh_text(b"123456789", 1), digits(14)),
            Self::Email => format!("{}@{}.example", fresh_text(LOWER, 12), fresh_text(LOWER, 10)),
            Self::Ssn => format!("{}-{}-{}", digits(3), digits(2), digits(4)),
            Self::RecordNumber | Self::Keys => digits(14),
            Self::AccountNumber => digits(16),
            Self::Device => fresh_text(UPPER, 18),
            Self::Vehicle => fresh_text(UPPER, 17),
            Self::Url => format!("https://{}/{}", fresh_text(LOWER, 12), fresh_text(WORDLIKE, 20)),
            Self::Ip => {
                let groups: Vec<String> = (0..6).map(|_| fresh_text(HEX, 4)).collect();
                format!("2001:db8:{}", groups.join(":"))
            }
            Self::CallSid => format!("CA{}", fresh_text(HEX, 32)),
            Self::StreamSid => format!("MZ{}", fresh_text(HEX, 32)),
            Self::AccountSid => format!("AC{}", fresh_text(HEX, 32)),
            Self::Speech => (0..6).map(|_| word(6)).collect::<Vec<_>>().join(" "),
            Self::Audio => base64(&fresh::<48>()),
            Self::AuthToken => fresh_text(HEX, 32),
            Self::Signature => base64(&fresh::<20>()),
            Self::Bearer => fresh_text(WORDLIKE, 40),
            Self::VendorKey => format!("sk_{}", fresh_text(WORDLIKE, 32)),
            Self::VendorToken => {
                format!(
                    "eyJhbGciOiJIUzI1NiJ9.{}.{}",
                    fresh_text(WORDLIKE, 40),
                    fresh_text(WORDLIKE, 43)
                )
            }
        }
    }

    /// Whether it is said in digits.
    const fn is_digits(self) -> bool {
        matches!(
            self,
            Self::Zip
                | Self::From
                | Self::To
                | Self::Ssn
                | Self::RecordNumber
                | Self::AccountNumber
                | Self::Keys
        )
    }
}

/// How a canary is written where it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Encoding {
    Plain,
    Url,
    Json,
    Base64,
    Hex,
    Lower,
    Upper,
    Spoken,
}

impl Encoding {
    pub(crate) const ALL: [Self; 8] = [
        Self::Plain,
        Self::Url,
        Self::Json,
        Self::Base64,
        Self::Hex,
        Self::Lower,
        Self::Upper,
        Self::Spoken,
    ];

    pub(crate) fn of(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => each(text, "%", CAPITALS),
            Self::Json => each(text, "\\u00", SMALL),
            Self::Base64 => STANDARD.encode(text),
            Self::Hex => each(text, "", SMALL),
            Self::Lower => text.to_ascii_lowercase(),
            Self::Upper => text.to_ascii_uppercase(),
            Self::Spoken => spoken(text, " "),
        }
    }
}

/// Hexadecimal digits.
pub(crate) const SMALL: &[u8; 16] = b"0123456789abcdef";
/// The same in capitals.
pub(crate) const CAPITALS: &[u8; 16] = b"0123456789ABCDEF";

/// Each byte in two hexadecimal `digits`, with `before` in front. Millions are written, so none is formatted.
pub(crate) fn each(text: &str, before: &str, digits: &[u8; 16]) -> String {
    let mut written = Vec::with_capacity(text.len() * (before.len() + 2));
    for byte in text.bytes() {
        written.extend_from_slice(before.as_bytes());
        written.push(digits[usize::from(byte >> 4)]);
        written.push(digits[usize::from(byte & 15)]);
    }
    String::from_utf8(written).unwrap()
}

/// Its digits in words.
pub(crate) fn spoken(text: &str, between: &str) -> String {
    const WORDS: [&str; 10] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let digits = text.bytes().filter(u8::is_ascii_digit);
    let words: Vec<&str> = digits.map(|digit| WORDS[usize::from(digit - b'0')]).collect();
    words.join(between)
}

/// What a form or a query makes of a text: `space` for a space, percent signs for what is not unreserved.
pub(crate) fn percent(text: &str, space: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            written.push(char::from(byte));
        } else if byte == b' ' {
            written.push_str(space);
        } else {
            written.push('%');
            written.push(char::from(CAPITALS[usize::from(byte >> 4)]));
            written.push(char::from(CAPITALS[usize::from(byte & 15)]));
        }
    }
    written
}

/// One value that was sent once.
#[derive(Debug)]
pub(crate) struct Canary {
    /// On which way.
    pub(crate) path: String,
    pub(crate) class: Class,
    pub(crate) encoding: Encoding,
    /// The value itself.
    pub(crate) value: String,
    /// The value as it was sent.
    pub(crate) sent: String,
}

impl Canary {
    /// The part of the value that is random.
    pub(crate) fn core(&self) -> &str {
        let value = &self.value;
        match self.class {
            Class::Url => &value["https://".len()..],
            Class::CallSid | Class::StreamSid | Class::AccountSid => &value[2..],
            Class::VendorKey => &value[3..],
            Class::VendorToken => &value["eyJhbGciOiJIUzI1NiJ9.".len()..],
            Class::Email => value.strip_suffix(".example").unwrap(),
            _ => value,
        }
    }

    /// How many characters of the core count as found: all of those that have a common shape.
    pub(crate) fn window(&self) -> usize {
        let length = self.core().len();
        let is_shaped = self.class.is_digits() || matches!(self.class, Class::Date | Class::Ip);
        if is_shaped { length } else { length.min(14) }
    }

    pub(crate) const fn is_digits(&self) -> bool {
        self.class.is_digits()
    }
}

/// Every canary of a run.
#[derive(Debug, Default)]
pub(crate) struct Canaries(pub(crate) Vec<Canary>);

/// One of a batch: its class, and what is to be sent.
pub(crate) type Sent = (Class, String);

impl Canaries {
    /// A canary of every class in this encoding, to be sent on `path` now; none where it would be the plain one.
    pub(crate) fn batch(&mut self, path: &str, encoding: Encoding) -> Vec<Sent> {
        self.batch_of(path, encoding, |_, _| true)
    }

    /// The same of those classes that fit the way.
    pub(crate) fn batch_of(
        &mut self,
        path: &str,
        encoding: Encoding,
        fits: impl Fn(Class, &str) -> bool,
    ) -> Vec<Sent> {
        let mut batch = Vec::new();
        for class in Class::ALL {
            let value = class.fresh();
            let sent = encoding.of(&value);
            let is_new = match encoding {
                Encoding::Plain => true,
                Encoding::Spoken => class.is_digits(),
                _ => sent != value,
            };
            if is_new && fits(class, &sent) {
                batch.push((class, sent.clone()));
                self.0.push(Canary { path: path.to_owned(), class, encoding, value, sent });
            }
        }
        batch
    }

    /// A canary in plain, where the way takes exactly one.
    pub(crate) fn one(&mut self, path: &str, class: Class) -> String {
        let batch = self.batch_of(path, Encoding::Plain, |one, _| one == class);
        batch.into_iter().next().unwrap().1
    }

    pub(crate) fn paths(&self) -> BTreeSet<&str> {
        self.0.iter().map(|canary| canary.path.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_long_random_and_in_every_encoding_that_changes_it() {
        let mut canaries = Canaries::default();
        for encoding in Encoding::ALL {
            canaries.batch("here", encoding);
        }
        for class in Class::ALL {
            let of: Vec<&Canary> = canaries.0.iter().filter(|one| one.class == class).collect();
            assert!(of.len() >= 5, "{class:?}: {}", of.len());
            let values: BTreeSet<&str> = of.iter().map(|one| one.value.as_str()).collect();
            assert_eq!(values.len(), of.len(), "{class:?}");
            for one in of {
                let least = if matches!(class, Class::Zip | Class::Ssn) { 10 } else { 12 };
                assert!(one.core().len() >= least && one.window() >= 10, "{one:?}");
            }
        }
        assert_eq!(Encoding::Json.of("A1"), "\\u0041\\u0031");
        assert_eq!(Encoding::Url.of("/ "), "%2F%20");
        assert_eq!(Encoding::Spoken.of("+1-20"), "one two zero");
        assert_eq!(percent("a b/", "+"), "a+b%2F");
    }
}
