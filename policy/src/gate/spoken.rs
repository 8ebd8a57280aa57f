//! English numbers, ordinals and months in words; the digits are those that the log's scrubber knows.
//!
//! It knows single words and never what several of them mean together.

pub(in crate::gate) use crate::spoken::{digit, times};

/// `ten` to `nineteen`, in lower case.
pub(in crate::gate) fn teen(word: &str) -> Option<u8> {
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
pub(in crate::gate) fn tens(word: &str) -> Option<u8> {
    const WORDS: [&str; 8] =
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    place(&WORDS, word).map(|at| (at + 2) * 10)
}

/// `first` to `twentieth`, and `thirtieth`, in lower case.
pub(in crate::gate) fn ordinal(word: &str) -> Option<u8> {
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
pub(in crate::gate) fn month(word: &str) -> Option<u8> {
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
pub(in crate::gate) fn is_number(word: &str) -> bool {
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
        assert_eq!((teen("ten"), teen("nineteen"), teen("nine")), (Some(10), Some(19), None));
        assert_eq!((tens("twenty"), tens("ninety"), tens("ten")), (Some(20), Some(90), None));
        assert_eq!((ordinal("first"), ordinal("thirtieth")), (Some(1), Some(30)));
        assert_eq!((month("may"), month("dec"), month("day")), (Some(5), Some(12), None));
        assert!(is_number("1980") && is_number("oh") && is_number("forty") && !is_number("for"));
    }
}
