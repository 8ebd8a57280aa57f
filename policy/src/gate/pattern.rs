//! Phrases of the rules: words, alternatives, words that may be missing, and small gaps.
//!
//! `one|two` is either word; `(word)` may be missing; `hurt*` is a word that begins so; `..3` are up to three other
//! words; `<set>` is any word of a set; `<number>` any number. Time is linear in the text: each place of it is looked
//! at once for each pattern, for as many words as the pattern has at most. It never looks at the meaning.

use std::collections::BTreeMap;

use super::text::{Reading, Text, plain};
use crate::gate::spoken;
use crate::limit::GATE_PATTERN_STEPS_MAX;

/// Sets of words by name.
pub(super) type Sets = BTreeMap<String, Vec<String>>;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Literal {
    Whole(String),
    Begins(String),
    Number,
}

impl Literal {
    fn is(&self, word: &str) -> bool {
        match self {
            Self::Whole(text) => text == word,
            Self::Begins(text) => word.starts_with(text.as_str()),
            Self::Number => spoken::is_number(word),
        }
    }
}

/// One word of a pattern. Without literals it is any.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Step {
    any_of: Vec<Literal>,
    is_optional: bool,
}

impl Step {
    fn is(&self, word: &str) -> bool {
        self.any_of.is_empty() || self.any_of.iter().any(|literal| literal.is(word))
    }
}

/// A phrase to look for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pattern {
    steps: Vec<Step>,
}

impl Pattern {
    /// Reads one phrase of the rules. The error says what is wrong with it.
    pub(super) fn parse(text: &str, sets: &Sets, reading: &Reading) -> Result<Self, String> {
        let mut steps: Vec<Step> = Vec::new();
        for part in text.split_whitespace() {
            if let Some(count) = part.strip_prefix("..") {
                let count = count.parse::<usize>().ok().filter(|count| (1..=9).contains(count));
                let count = count.ok_or_else(|| format!("{part} is no gap of 1 to 9 words"))?;
                steps.extend((0..count).map(|_| Step { any_of: Vec::new(), is_optional: true }));
                continue;
            }
            let inner = part.strip_prefix('(').and_then(|part| part.strip_suffix(')'));
            let any_of = literals(inner.unwrap_or(part), sets, reading)?;
            if let (Some(Step { any_of: before, .. }), [Literal::Whole(word)]) =
                (steps.last(), &any_of[..])
                && let [Literal::Whole(first)] = &before[..]
                && let Some(one) = reading.pair(first, word)
            {
                return Err(format!("{first} {word} is read as {one}: write that"));
            }
            steps.push(Step { any_of, is_optional: inner.is_some() });
        }
        let is_needed = |step: Option<&Step>| step.is_some_and(|step| !step.is_optional);
        if !is_needed(steps.first()) || !is_needed(steps.last()) {
            return Err("it begins or ends with something that may be missing".to_owned());
        }
        if steps.len() > GATE_PATTERN_STEPS_MAX {
            return Err(format!("more than {GATE_PATTERN_STEPS_MAX} words, gaps counted"));
        }
        Ok(Self { steps })
    }

    /// Where it ends when it begins with the word at `start`: the shortest and the longest way, behind the last word.
    pub(super) fn at(&self, text: &Text<'_>, start: usize) -> Option<(usize, usize)> {
        if !self.steps.first()?.is(text.word(start)) {
            return None;
        }
        let (mut states, mut found) = (1_u64, None);
        for at in start..text.len() {
            let mut next = 0;
            for (bit, step) in self.steps.iter().enumerate() {
                // Whatever may be missing is passed over.
                if states >> bit & 1 == 1 && step.is_optional {
                    states |= 1 << (bit + 1);
                }
                if states >> bit & 1 == 1 && step.is(text.word(at)) {
                    next |= 1 << (bit + 1);
                }
            }
            if next >> self.steps.len() & 1 == 1 {
                found = Some((found.map_or(at + 1, |(shortest, _)| shortest), at + 1));
            }
            states = next;
            if states == 0 {
                break;
            }
        }
        found
    }
}

fn literals(text: &str, sets: &Sets, reading: &Reading) -> Result<Vec<Literal>, String> {
    let mut found = Vec::new();
    for word in text.split('|') {
        if word == "<number>" {
            found.push(Literal::Number);
        } else if let Some(name) = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')) {
            let set = sets.get(name).ok_or_else(|| format!("there is no set <{name}>"))?;
            for word in set {
                found.push(literal(word, reading)?);
            }
        } else {
            found.push(literal(word, reading)?);
        }
    }
    Ok(found)
}

fn literal(word: &str, reading: &Reading) -> Result<Literal, String> {
    let (stem, begins) = word.strip_suffix('*').map_or((word, false), |stem| (stem, true));
    let text: String = plain(stem).collect();
    if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
        return Err(format!("\"{word}\" is no word"));
    }
    Ok(if begins {
        Literal::Begins(text)
    } else {
        Literal::Whole(reading.single(&text).to_owned())
    })
}

/// The first place of any of `patterns`, as words: the start, the end behind the shortest way.
pub(super) fn first(patterns: &[Pattern], text: &Text<'_>) -> Option<(usize, usize)> {
    (0..text.len()).find_map(|start| {
        let ends = patterns.iter().filter_map(|pattern| pattern.at(text, start));
        ends.map(|(shortest, _)| (start, shortest)).min()
    })
}

/// The longest of `patterns` that begins with the word at `start`: where it ends.
pub(super) fn longest(patterns: &[Pattern], text: &Text<'_>, start: usize) -> Option<usize> {
    patterns.iter().filter_map(|pattern| pattern.at(text, start)).map(|(_, longest)| longest).max()
}

/// Where any of `patterns` is and none of `lifting` covers its last word. `denials` lift what follows them at once.
pub(super) fn standing(
    patterns: &[Pattern],
    lifting: &[Pattern],
    denials: &[Pattern],
    text: &Text<'_>,
) -> Option<(usize, usize)> {
    let covers: Vec<(usize, usize)> =
        (0..text.len()).filter_map(|start| Some((start, longest(lifting, text, start)?))).collect();
    let is_denied = |hit: usize| {
        (0..hit).rev().take(GATE_PATTERN_STEPS_MAX).any(|start| {
            let ends = denials.iter().filter_map(|denial| denial.at(text, start));
            ends.into_iter().any(|(shortest, longest)| shortest == hit || longest == hit)
        })
    };
    (0..text.len()).find_map(|start| {
        let mut ends = patterns.iter().filter_map(|pattern| pattern.at(text, start));
        let is_covered =
            |end: usize| covers.iter().any(|(first, last)| *first < end && end <= *last);
        let (end, _) = ends.find(|(end, _)| !is_covered(*end))?;
        (!is_denied(start)).then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pattern, String> {
        let sets = [("limb".to_owned(), vec!["arm".to_owned(), "leg*".to_owned()])];
        let same = vec![(vec!["can".to_owned(), "not".to_owned()], "cant".to_owned())];
        let reading = Reading { fillers: Vec::new(), same };
        Pattern::parse(text, &sets.into(), &reading)
    }

    fn check(pattern: &str, text: &str, expected: Option<(usize, usize)>) {
        let pattern = parse(pattern).unwrap();
        let text = Text::new(text, &Reading::default());
        assert_eq!(first(&[pattern], &text), expected, "{}", text.source());
    }

    #[test]
    fn words_alternatives_gaps_and_sets_are_found() {
        check("chest pain|pains", "bad chest pains", Some((1, 3)));
        check("chest pain|pains", "chest is pain", None);
        check("chest ..2 hurts", "my chest hurts", Some((1, 3)));
        check("chest ..2 hurts", "my chest really badly hurts", Some((1, 5)));
        check("chest ..2 hurts", "my chest is really badly hurts", None);
        check("my (left) <limb> is", "my legs is my left arm is", Some((0, 3)));
        check("swell*", "it is swelling", Some((2, 3)));
        check("over <number>", "over ninety", Some((0, 2)));
        check("over <number>", "over there", None);
    }

    #[test]
    fn the_longest_and_the_shortest_way_are_known() {
        let pattern = parse("a ..3 b").unwrap();
        let text = Text::new("a b x b b", &Reading::default());
        assert_eq!(pattern.at(&text, 0), Some((2, 5)));
        assert_eq!(pattern.at(&text, 1), None);
        assert_eq!(pattern.at(&text, 9), None);
    }

    #[test]
    fn a_hit_is_lifted_only_where_it_is_covered_or_denied() {
        let of = |texts: &[&str]| texts.iter().map(|text| parse(text).unwrap()).collect::<Vec<_>>();
        let (hit, lift, deny) =
            (of(&["heart attack"]), of(&["heart attack ..2 ago"]), of(&["had no"]));
        for (text, expected) in [
            ("a heart attack", Some((1, 3))),
            ("a heart attack years ago", None),
            ("a heart attack years ago and a heart attack now", Some((7, 9))),
            ("had no heart attack", None),
            ("had no warning heart attack", Some((3, 5))),
        ] {
            let text = Text::new(text, &Reading::default());
            assert_eq!(standing(&hit, &lift, &deny, &text), expected, "{}", text.source());
        }
    }

    #[test]
    fn what_cannot_match_is_refused() {
        for text in [
            "", "(a)", "a (b)", "..2 a", "a ..2", "a ..0 b", "a ..x b", "<nobody>", "a|", "*",
            "can not",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"a ".repeat(GATE_PATTERN_STEPS_MAX)).is_ok());
        assert!(parse(&"a ".repeat(GATE_PATTERN_STEPS_MAX + 1)).is_err());
    }
}
