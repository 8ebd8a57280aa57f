//! The detector: which canaries are in a heap of bytes, whatever they were sent as.
//!
//! It looks for each canary plain, in capitals, in small letters, percent-encoded, with JSON's escapes, in hexadecimal,
//! in spoken digits, as digits alone, and in base64 wherever it may begin in a group of three; and for what a
//! form or a query makes of each. A piece of a canary counts from its window on. It knows nothing of what was
//! sent where, and does not see what was changed in any other way: encrypted, compressed, encoded twice.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ward_tests::memory::inner_base64;

use crate::class::{CAPITALS, Canary, Class, Encoding, SMALL, each, percent, spoken};

/// One way in which a canary may be written.
struct Form {
    canary: usize,
    name: &'static str,
    bytes: Vec<u8>,
    window: usize,
}

/// Places of `key_bytes` in forms, by a hash of what stands there.
///
/// Where a character takes many bytes, as with JSON's escapes, a short key would stand in every form.
struct Index {
    key_bytes: usize,
    /// Hash, form, place in the form; sorted.
    keys: Vec<(u64, u32, u32)>,
    filter: Vec<u64>,
}

const FILTER_BITS: u32 = 27;
const SHORT_KEY: usize = 8;
const LONG_KEY: usize = 28;
const FACTOR: u64 = 0x0000_0100_0000_01B3;

/// The detector for one run's canaries.
pub(crate) struct Detector {
    forms: Vec<Form>,
    indexes: [Index; 2],
}

/// Which canaries were found, and as what.
pub(crate) type Found = BTreeMap<usize, &'static str>;

impl Detector {
    pub(crate) fn new(canaries: &[Canary]) -> Self {
        let mut forms = Vec::new();
        for (canary, one) in canaries.iter().enumerate() {
            let mut known: Vec<Vec<u8>> = Vec::new();
            for (name, bytes, window) in forms_of(one) {
                if !known.contains(&bytes) {
                    known.push(bytes.clone());
                    forms.push(Form { canary, name, bytes, window });
                }
            }
        }
        let indexes = [SHORT_KEY, LONG_KEY].map(|key_bytes| Index::new(key_bytes, &forms));
        Self { forms, indexes }
    }

    /// Every canary of which enough is in `bytes`.
    pub(crate) fn find(&self, bytes: &[u8]) -> Found {
        let mut found = Found::new();
        for index in &self.indexes {
            index.walk(bytes, |form, place, at| {
                let one = &self.forms[form];
                if !found.contains_key(&one.canary) && one.agrees(bytes, at, place) >= one.window {
                    found.insert(one.canary, one.name);
                }
            });
        }
        found
    }
}

/// Every way to write a canary, with how many bytes of it count.
fn forms_of(canary: &Canary) -> Vec<(&'static str, Vec<u8>, usize)> {
    let (core, characters) = (canary.core(), canary.window());
    let mut forms: Vec<(&'static str, Vec<u8>, usize)> = Vec::new();
    let mut add = |name, text: String, window: usize| {
        let window = window.min(text.len());
        let spaces: &[&str] = if text.contains(' ') { &["+", "%20"] } else { &["+"] };
        for space in spaces {
            let written = percent(&text, space);
            if written != text {
                // In proportion: what is written out is longer.
                let window = window * written.len() / text.len();
                forms.push(("percent-encoded", written.into_bytes(), window));
            }
        }
        forms.push((name, text.into_bytes(), window));
    };
    let (small, large) = (core.to_ascii_lowercase(), core.to_ascii_uppercase());
    for (name, text) in [("plain", core), ("small letters", &small), ("capitals", &large)] {
        for before in 0..3 {
            // What its neighbours decide is left out, of a group of four at each end.
            let base64 = inner_base64(text.as_bytes(), before);
            add("base64", base64.replace('+', "-").replace('/', "_"), characters * 4 / 3 - 2);
            add("base64", base64, characters * 4 / 3 - 2);
        }
        add(name, text.to_owned(), characters);
        add("hexadecimal", Encoding::Hex.of(text), characters * 2);
        add("hexadecimal", Encoding::Hex.of(text).to_ascii_uppercase(), characters * 2);
        add("JSON's escapes", Encoding::Json.of(text), characters * 6);
        add("JSON's escapes", each(text, "\\u00", CAPITALS), characters * 6);
        forms_percent(text, characters, &mut add);
    }
    if canary.is_digits() {
        for between in [" ", "-", ""] {
            let words = spoken(core, between);
            let length = words.len();
            add("spoken digits", words.clone(), length);
            add("spoken digits", words.to_ascii_uppercase(), length);
        }
        let digits: String = core.chars().filter(char::is_ascii_digit).collect();
        if digits.len() >= 12 {
            add("digits alone", digits.clone(), digits.len());
        }
    }
    if canary.class == Class::Audio {
        let audio = STANDARD.decode(core).unwrap();
        forms.push(("bytes", audio, 12));
    }
    forms
}

fn forms_percent(text: &str, characters: usize, add: &mut impl FnMut(&'static str, String, usize)) {
    add("percent-encoded", Encoding::Url.of(text), characters * 3);
    add("percent-encoded", each(text, "%", SMALL), characters * 3);
}

impl Form {
    /// How many bytes in a row are the form's, around `at`, where its byte `place` lies.
    fn agrees(&self, bytes: &[u8], at: usize, place: usize) -> usize {
        let same = |(one, other): &(&u8, &u8)| one == other;
        let before = bytes[..at].iter().rev().zip(self.bytes[..place].iter().rev());
        let after = bytes[at..].iter().zip(&self.bytes[place..]);
        before.take_while(same).count() + after.take_while(same).count()
    }
}

impl Index {
    fn new(key_bytes: usize, forms: &[Form]) -> Self {
        let mut index =
            Self { key_bytes, keys: Vec::new(), filter: vec![0; 1 << (FILTER_BITS - 6)] };
        for (number, form) in forms.iter().enumerate() {
            let is_long = form.window >= 2 * LONG_KEY;
            if is_long != (key_bytes == LONG_KEY) {
                continue;
            }
            assert!(form.window >= key_bytes, "{}: {} bytes", form.name, form.window);
            // Any piece as long as the window has one of these places in it, whole.
            let step = form.window - key_bytes + 1;
            let last = form.bytes.len() - key_bytes;
            for place in (0..last).step_by(step).chain([last]) {
                let key = hash(&form.bytes[place..place + key_bytes]);
                let (form, place) = (u32::try_from(number).unwrap(), u32::try_from(place).unwrap());
                index.keys.push((key, form, place));
            }
        }
        index.keys.sort_unstable();
        for (key, ..) in &index.keys {
            let (word, bit) = filter_place(*key);
            index.filter[word] |= bit;
        }
        index
    }

    /// Tells of every place in `bytes` that may be one of the keys: form, place in it, place in `bytes`.
    fn walk(&self, bytes: &[u8], mut tell: impl FnMut(usize, usize, usize)) {
        if bytes.len() < self.key_bytes {
            return;
        }
        let first = (1..self.key_bytes).fold(1_u64, |power, _| power.wrapping_mul(FACTOR));
        let mut key = hash(&bytes[..self.key_bytes]);
        for at in 0.. {
            let (word, bit) = filter_place(key);
            if self.filter[word] & bit != 0 {
                let begin = self.keys.partition_point(|(known, ..)| *known < key);
                for (_, form, place) in self.keys[begin..].iter().take_while(|one| one.0 == key) {
                    tell(*form as usize, *place as usize, at);
                }
            }
            let Some(next) = bytes.get(at + self.key_bytes) else { return };
            key = key.wrapping_sub(u64::from(bytes[at]).wrapping_mul(first));
            key = key.wrapping_mul(FACTOR).wrapping_add(u64::from(*next));
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |key, byte| key.wrapping_mul(FACTOR).wrapping_add(u64::from(*byte)))
}

fn filter_place(key: u64) -> (usize, u64) {
    let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS);
    (usize::try_from(mixed / 64).unwrap(), 1 << (mixed % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Canaries;

    fn canaries() -> Vec<Canary> {
        let mut canaries = Canaries::default();
        for encoding in Encoding::ALL {
            canaries.batch("here", encoding);
        }
        canaries.0
    }

    #[test]
    fn each_canary_is_found_in_every_encoding_whatever_it_was_sent_in() {
        let canaries = canaries();
        let detector = Detector::new(&canaries);
        for (number, canary) in canaries.iter().enumerate() {
            for encoding in Encoding::ALL {
                if encoding == Encoding::Spoken && !canary.is_digits() {
                    continue;
                }
                for text in [
                    format!("a line {} of a log", encoding.of(&canary.value)),
                    format!("a line {}", percent(&encoding.of(&canary.value), "+")),
                    percent(&encoding.of(&canary.value), "%20"),
                    STANDARD.encode(format!("x{}y", canary.value)),
                    STANDARD.encode(format!("xx{}y", canary.value.to_ascii_lowercase())),
                ] {
                    let found = detector.find(text.as_bytes());
                    assert!(found.contains_key(&number), "{canary:?} in {text}");
                    let others: Vec<&Canary> = found
                        .keys()
                        .filter(|one| **one != number)
                        .map(|one| &canaries[*one])
                        .collect();
                    assert!(others.is_empty(), "{others:?} in {text}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_piece_counts_from_its_window_on_and_nothing_else_does() {
        let canaries = canaries();
        let detector = Detector::new(&canaries);
        for (number, canary) in canaries.iter().enumerate() {
            let (core, window) = (canary.core(), canary.window());
            for from in 0..=core.len() - window {
                let piece = format!("…{}…", &core[from..from + window]);
                assert!(detector.find(piece.as_bytes()).contains_key(&number), "{piece}");
            }
            // Two less: the digits of a telephone number count without their sign.
            let less = &core[2..window];
            assert!(detector.find(less.as_bytes()).is_empty(), "{less} of {canary:?}");
        }
        // Sources, and random bytes in base64 and hexadecimal, as in a log's chain.
        let mut noise = include_str!("class.rs").repeat(20).into_bytes();
        for _ in 0..2_000 {
            let random = ward_tests::random::fresh::<64>();
            noise.extend(STANDARD.encode(random).bytes());
            noise.extend(random.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
            noise.extend(random);
        }
        assert!(detector.find(&noise).is_empty());
    }
}
