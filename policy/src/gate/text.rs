//! A sentence as words that can be compared: lower case, without apostrophes and fillers, each with its place.
//!
//! It reads a recogniser's text with and without signs and capitals. It never changes the sentence itself.

use crate::gate::spoken;
use crate::limit::GATE_TEXT_BYTES_MAX;
use crate::phi::Phi;
use crate::scrub::{Class, scan};

/// What every sentence is read with, from `words.toml`.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// One word or two that are left out: `um`, `you know`.
    pub(super) fillers: Vec<Vec<String>>,
    /// One word or two, and the word that they are read as: `can not`, `cant`.
    pub(super) same: Vec<(Vec<String>, String)>,
}

impl Reading {
    /// What a single word is read as.
    pub(super) fn single<'w>(&'w self, word: &'w str) -> &'w str {
        let found = self.same.iter().find(|(from, _)| matches!(&from[..], [one] if one == word));
        found.map_or(word, |(_, to)| to)
    }

    /// What two words are read as, if as one.
    pub(super) fn pair(&self, first: &str, second: &str) -> Option<&str> {
        let is_pair = |from: &[String]| matches!(from, [a, b] if a == first && b == second);
        self.same.iter().find(|(from, _)| is_pair(from)).map(|(_, to)| to.as_str())
    }

    fn is_filler(&self, words: &[&str]) -> bool {
        self.fillers.iter().any(|filler| filler == words)
    }
}

/// One word: its place in the sentence and in the comparable text.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    end: usize,
    from: usize,
    to: usize,
    /// What stands before it: a space, `,` for the end of a part, another sign when nothing but it does.
    sign: char,
    is_capital: bool,
    is_email: bool,
}

/// A sentence as words. What is compared is wiped with it.
pub(super) struct Text<'t> {
    source: &'t str,
    plain: Phi<String>,
    words: Vec<Word>,
}

/// Lower case, without apostrophes.
pub(super) fn plain(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|sign| !is_apostrophe(*sign)).flat_map(char::to_lowercase)
}

const fn is_apostrophe(sign: char) -> bool {
    matches!(sign, '\'' | '\u{2019}' | '\u{2018}')
}

impl<'t> Text<'t> {
    /// Reads the beginning of `source`, at most [`GATE_TEXT_BYTES_MAX`] of it.
    pub(super) fn new(source: &'t str, reading: &Reading) -> Self {
        let mut end = source.len().min(GATE_TEXT_BYTES_MAX);
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let source = source.get(..end).unwrap_or_default();
        // Lower case may be longer than its capital, and a growing text would leave its beginning behind.
        let plain = Phi::new(String::with_capacity(source.len() * 2));
        let mut text = Self { source, plain, words: Vec::new() };
        let mut at = 0;
        while let Some((start, end)) = text.next(at) {
            text.push(at, start, end, reading);
            at = end;
        }
        text
    }

    /// The place of the word that begins at `at` or later.
    fn next(&self, at: usize) -> Option<(usize, usize)> {
        let rest = self.source.get(at..)?;
        let is_start = |sign: char| sign.is_alphanumeric() || sign == '[';
        let start = at + rest.find(is_start)?;
        let rest = self.source.get(start..)?;
        if rest.starts_with('[') {
            let length = rest.find(']').map_or(1, |close| close + 1);
            return Some((start, start + length));
        }
        let chunk = rest.split(char::is_whitespace).next()?;
        let chunk = chunk.trim_end_matches(|sign: char| !sign.is_alphanumeric());
        if is_email(chunk) {
            return Some((start, start + chunk.len()));
        }
        let mut end = start;
        let mut signs = rest.char_indices().peekable();
        while let Some((offset, sign)) = signs.next() {
            let goes_on = signs.peek().is_some_and(|(_, next)| next.is_alphanumeric());
            if !(sign.is_alphanumeric() || is_apostrophe(sign) && goes_on) {
                break;
            }
            end = start + offset + sign.len_utf8();
        }
        Some((start, end))
    }

    fn push(&mut self, before: usize, start: usize, end: usize, reading: &Reading) {
        let shown = self.source.get(start..end).unwrap_or_default();
        let between = self.source.get(before..start).unwrap_or_default();
        let from = self.plain.expose().len();
        let is_placeholder = shown.starts_with('[');
        if is_placeholder {
            self.plain.expose_mut().push_str("[]");
        } else {
            self.plain.expose_mut().extend(plain(shown));
        }
        let to = self.plain.expose().len();
        let word = Word {
            start,
            end,
            from,
            to,
            sign: sign(between),
            is_capital: shown.starts_with(char::is_uppercase),
            is_email: is_email(shown),
        };
        self.words.push(word);
        self.settle(reading);
    }

    /// Fillers go, words that are one become one, and a word that is said twice counts once.
    fn settle(&mut self, reading: &Reading) {
        let Some(last) = self.words.len().checked_sub(1) else { return };
        if reading.is_filler(&[self.word(last)]) {
            self.words.pop();
            return;
        }
        let single = reading.single(self.word(last));
        if single != self.word(last) {
            let single = single.to_owned();
            self.rename(last, &single);
        }
        let Some(first) = last.checked_sub(1) else { return };
        let (one, two) = (self.word(first), self.word(last));
        if reading.is_filler(&[one, two]) {
            self.words.truncate(first);
            return;
        }
        let pair = reading.pair(one, two).map(str::to_owned);
        let is_repeated =
            one == two && one.chars().count() > 1 && one != "[]" && !spoken::is_number(one);
        if pair.is_some() || is_repeated {
            let end = self.words.pop().map_or(0, |word| word.end);
            if let Some(word) = self.words.last_mut() {
                word.end = end;
            }
            if let Some(pair) = pair {
                self.rename(first, &pair);
            }
        }
    }

    fn rename(&mut self, at: usize, name: &str) {
        let from = self.plain.expose().len();
        self.plain.expose_mut().push_str(name);
        if let Some(word) = self.words.get_mut(at) {
            (word.from, word.to) = (from, from + name.len());
        }
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The word at `at` for comparing; empty past the end.
    pub(super) fn word(&self, at: usize) -> &str {
        let place = self.words.get(at).map_or(0..0, |word| word.from..word.to);
        self.plain.expose().get(place).unwrap_or_default()
    }

    /// What stands before the word at `at`: `,` at the end of a part, and past the end of the text.
    pub(super) fn sign(&self, at: usize) -> char {
        self.words.get(at).map_or(',', |word| word.sign)
    }

    pub(super) fn is_email(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|word| word.is_email)
    }

    /// Whether the word at `at` begins with a capital and is not the first of a sentence.
    pub(super) fn is_proper(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|word| word.is_capital && at > 0 && word.sign == ' ')
    }

    /// The sentence's part from the word at `first` to before the one at `end`, and its place.
    pub(super) fn place(&self, first: usize, end: usize) -> std::ops::Range<usize> {
        let start = self.words.get(first).map_or(0, |word| word.start);
        let last = end.checked_sub(1).and_then(|last| self.words.get(last));
        start..last.map_or(start, |word| word.end)
    }

    /// The sentence, as far as it was read.
    pub(super) const fn source(&self) -> &'t str {
        self.source
    }
}

fn is_email(text: &str) -> bool {
    text.contains('@') && scan(text.as_bytes()).contains(Class::Email)
}

/// What stands between two words, as one sign.
fn sign(between: &str) -> char {
    let mut signs = between.chars().filter(|sign| !sign.is_whitespace());
    match (signs.next(), signs.next()) {
        (None, _) if !between.is_empty() => ' ',
        (Some('$'), None) => '$',
        (Some(sign), None) if sign.len_utf8() == between.len() => sign,
        _ => ',',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Reading {
            fillers: vec![words("um"), words("you know")],
            same: vec![(words("can not"), "cant".into()), (words("cannot"), "cant".into())],
        }
    }

    fn check(source: &str, expected: &[&str]) {
        let text = Text::new(source, &reading());
        let words: Vec<&str> = (0..text.len()).map(|at| text.word(at)).collect();
        assert_eq!(words, expected, "{source}");
    }

    #[test]
    fn variants_are_one() {
        for source in
            ["I can't breathe", "i cant breathe", "i can not breathe", "i cannot, um, breathe."]
        {
            check(source, &["i", "cant", "breathe"]);
        }
        check("i can\u{2019}t", &["i", "cant"]);
        check("my my um name is", &["my", "name", "is"]);
        check("five five um five", &["five", "five", "five"]);
        check("well you know it hurts", &["well", "it", "hurts"]);
    }

    #[test]
    fn signs_and_addresses_are_kept_apart() {
        check(
            "Write to J.Smith@example.com, please",
            &["write", "to", "j.smith@example.com", "please"],
        );
        check("Hello [NAME_1]: 3/5", &["hello", "[]", "3", "5"]);
        let text = Text::new("a, b/c d. E", &reading());
        let signs: String = (0..5).map(|at| text.sign(at)).collect();
        assert_eq!(signs, ",,/ ,");
        assert!(!text.is_proper(4) && text.sign(9) == ',');
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_letters() {
        let long = "é ".repeat(GATE_TEXT_BYTES_MAX);
        let text = Text::new(&long, &reading());
        assert!(text.source().len() <= GATE_TEXT_BYTES_MAX && text.len() > 1);
        check("", &[]);
        check(" ?! ", &[]);
        check("[", &["[]"]);
    }
}
