//! A reply as it comes, cut into sentences that can be spoken one by one.
//!
//! A sentence ends at `.`, `?` or `!` before a space, or at the last space before it would be too long. It keeps only
//! what has not been given out.

use ward_policy::limit;
use ward_policy::phi::Phi;

/// The model's word for the end of a conversation, at the end of a reply.
pub const HANG_UP: &str = "[hang up]";

/// Words whose full stop ends no sentence.
const SHORTENED: [&str; 8] = ["dr", "mr", "mrs", "ms", "st", "no", "a.m", "p.m"];

/// The text of one reply that has not been given out.
pub(super) struct Sentences {
    text: Phi<String>,
    /// Characters that have come, whatever became of them.
    come: usize,
}

impl Default for Sentences {
    fn default() -> Self {
        Self { text: Phi::new(String::new()), come: 0 }
    }
}

impl Sentences {
    /// Takes the next piece; `false` when the reply is longer than a reply may be.
    pub(super) fn push(&mut self, piece: &str) -> bool {
        self.come = self.come.saturating_add(piece.len());
        if self.come > limit::REPLY_CHARS_MAX {
            return false;
        }
        let joined = [self.text.expose(), piece].concat();
        self.text = Phi::new(joined);
        true
    }

    /// The next sentence, if one is complete; with `is_end` whatever is left.
    pub(super) fn next(&mut self, is_end: bool) -> Option<Phi<String>> {
        let text = self.text.expose();
        let end = match end_of_sentence(text) {
            Some(end) => end,
            None if is_end => text.len(),
            None if text.len() > limit::SENTENCE_CHARS_MAX => {
                let cut = text.floor_char_boundary(limit::SENTENCE_CHARS_MAX);
                text.get(..cut).and_then(|head| head.rfind(' ')).unwrap_or(cut)
            }
            None => return None,
        };
        let (sentence, rest) = text.split_at_checked(end)?;
        let sentence = Phi::new(sentence.trim().to_owned());
        self.text = Phi::new(rest.to_owned());
        if sentence.expose().is_empty() {
            return if self.text.expose().is_empty() { None } else { self.next(is_end) };
        }
        Some(sentence)
    }
}

/// Where the first sentence ends, behind its stop and before a space.
fn end_of_sentence(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let is_stop = matches!(letter, '.' | '?' | '!');
        let is_before_space = letters.peek().is_some_and(|(_, next)| next.is_whitespace());
        if is_stop && is_before_space {
            let before = text.get(..at).unwrap_or_default();
            let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
            let is_shortened = letter == '.'
                && SHORTENED.iter().any(|shortened| word.eq_ignore_ascii_case(shortened));
            if !is_shortened {
                return at.checked_add(letter.len_utf8());
            }
        }
    }
    None
}

/// Takes the marker for the end of a conversation off a sentence, and says whether it was there.
pub(super) fn without_marker(sentence: Phi<String>) -> (Phi<String>, bool) {
    match sentence.expose().find(HANG_UP) {
        Some(at) => {
            let text = sentence.expose().get(..at).unwrap_or_default();
            (Phi::new(text.trim_end().to_owned()), true)
        }
        None => (sentence, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str]) -> Vec<String> {
        let mut sentences = Sentences::default();
        let mut found = Vec::new();
        for piece in pieces {
            assert!(sentences.push(piece));
            while let Some(sentence) = sentences.next(false) {
                found.push(sentence.expose().clone());
            }
        }
        while let Some(sentence) = sentences.next(true) {
            found.push(sentence.expose().clone());
        }
        found
    }

    #[test]
    fn any_division_gives_the_same_sentences() {
        let text = "Certainly. Which day? With Dr. Smith at 10.30 a.m. or later! Bye";
        let whole = ["Certainly.", "Which day?", "With Dr. Smith at 10.30 a.m. or later!", "Bye"];
        assert_eq!(check(&[text]), whole);
        for size in 1..9 {
            let letters: Vec<char> = text.chars().collect();
            let pieces: Vec<String> =
                letters.chunks(size).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(check(&pieces), whole, "{size}");
        }
    }

    #[test]
    fn a_sentence_is_never_too_long_and_a_reply_neither() {
        let text = "word ".repeat(100);
        for sentence in check(&[&text]) {
            assert!(sentence.len() <= limit::SENTENCE_CHARS_MAX, "{}", sentence.len());
        }
        let mut sentences = Sentences::default();
        assert!(sentences.push(&"a".repeat(limit::REPLY_CHARS_MAX)));
        assert!(!sentences.push("a"));
        assert_eq!(check(&["  ", " "]), Vec::<String>::new());
    }

    #[test]
    fn the_marker_is_taken_off() {
        let (text, is_marked) = without_marker(Phi::new("Goodbye. [hang up]".to_owned()));
        assert_eq!((text.expose().as_str(), is_marked), ("Goodbye.", true));
        let (text, is_marked) = without_marker(Phi::new("Goodbye.".to_owned()));
        assert_eq!((text.expose().as_str(), is_marked), ("Goodbye.", false));
    }
}
