//! English numbers, ordinals and months in words: one table for whoever looks for them in a text.
//!
//! It knows single words and never what several of them mean together.

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

/// `ten` to `nineteen`, in lower case.
pub(crate) fn teen(word: &str) -> Option<u8> {
    const WORDS: [&str; 10] = [
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    place(&WORDS, word).map(|at| at + 10)
}

/// `twenty` to `ninety`, in lower case.
pub(crate) fn tens(word: &str) -> Option<u8> {
    const WORDS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    place(&WORDS, word).map(|at| (at + 2) * 10)
}

/// `first` to `twentieth`, and `thirtieth`, in lower case.
pub(crate) fn ordinal(word: &str) -> Option<u8> {
    const WORDS: [&str; 20] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
        "twentieth",
    ];
    if word == "thirtieth" {
        return Some(30);
    }
    place(&WORDS, word).map(|at| at + 1)
}

/// `january` to `december`, and their short forms, in lower case: 1 to 12.
pub(crate) fn month(word: &str) -> Option<u8> {
    const WORDS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    const SHORT: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sept", "oct", "nov", "dec"];
    place(&WORDS, word).or_else(|| place(&SHORT, word)).map(|at| at + 1)
}

/// Whether a word in lower case is a number, in digits or as one word.
pub(crate) fn is_number(word: &str) -> bool {
    let is_digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_digits || digit(word.as_bytes()).is_some() || teen(word).is_some() || tens(word).is_some()
}

fn place(words: &[&str], word: &str) -> Option<u8> {
    let at = words.iter().position(|name| *name == word)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_values() {
        assert_eq!((digit(b"Oh"), digit(b"NINE"), digit(b"ten")), (Some(0), Some(9), None));
        assert_eq!((times(b"Double"), times(b"treble"), times(b"once")), (Some(2), Some(3), None));
        assert_eq!((teen("ten"), teen("nineteen"), teen("nine")), (Some(10), Some(19), None));
        assert_eq!((tens("twenty"), tens("ninety"), tens("ten")), (Some(20), Some(90), None));
        assert_eq!((ordinal("first"), ordinal("thirtieth")), (Some(1), Some(30)));
        assert_eq!((month("may"), month("dec"), month("day")), (Some(5), Some(12), None));
        assert!(is_number("1980") && is_number("oh") && is_number("forty") && !is_number("for"));
    }
}
