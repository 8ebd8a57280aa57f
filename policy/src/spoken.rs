//! English digits in words: one table for whoever looks for them in a text.
//!
//! It knows single words and never what several of them mean together; larger numbers are the gate's.

/// The digit that a word stands for; `oh` and `o` are said for zero. In any case.
pub(crate) fn digit(word: &[u8]) -> Option<u8> {
    const WORDS: [(&str, u8); 13] = [
        ("zero", 0),
        ("oh", 0),
        ("o", 0),
        ("nought", 0),
        ("one", 1),
        ("two", 2),
        ("three", 3),
        ("four", 4),
        ("five", 5),
        ("six", 6),
        ("seven", 7),
        ("eight", 8),
        ("nine", 9),
    ];
    let found = WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, digit)| *digit)
}

/// How often the next digit is meant: `double`, `triple`, `treble`. In any case.
pub(crate) fn times(word: &[u8]) -> Option<usize> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("double") {
        return Some(2);
    }
    (is("triple") || is("treble")).then_some(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_values() {
        assert_eq!((digit(b"Oh"), digit(b"NINE"), digit(b"ten")), (Some(0), Some(9), None));
        assert_eq!((times(b"Double"), times(b"treble"), times(b"once")), (Some(2), Some(3), None));
    }
}
