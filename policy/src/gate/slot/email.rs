//! E-mail addresses, written and said: `j.smith@example.com`, `j dot smith at example dot com`.

use super::{Finder, SlotClass};
use crate::gate::spoken;
use crate::limit::GATE_EMAIL_WORDS_MAX;

pub(super) fn find(finder: &mut Finder<'_, '_>) {
    for at in 0..finder.text.len() {
        if finder.text.is_email(at) && finder.is_free(at) {
            let key = finder.joined(at, at + 1, "");
            finder.add(SlotClass::Email, at, at + 1, key);
        }
    }
    for at in 0..finder.text.len() {
        if finder.text.word(at) != "at" || !finder.is_free(at) {
            continue;
        }
        if let (Some(start), Some(end)) = (user(finder, at), host(finder, at + 1)) {
            // As it would be written, so that both ways are one.
            let mut key = finder.joined(start, end, "");
            key.expose_mut().clear();
            for word in start..end {
                key.expose_mut().push_str(match finder.text.word(word) {
                    "dot" | "period" => ".",
                    "at" => "@",
                    "underscore" => "_",
                    "dash" | "hyphen" => "-",
                    word => word,
                });
            }
            finder.add(SlotClass::Email, start, end, key);
        }
    }
}

fn is_joint(word: &str) -> bool {
    matches!(word, "dot" | "period" | "underscore" | "dash" | "hyphen" | "plus")
}

/// Where the part before `at` begins: back to an ordinary word or to what announces an address.
fn user(finder: &Finder<'_, '_>, at: usize) -> Option<usize> {
    let mut start = at;
    while let Some(before) = start.checked_sub(1) {
        let word = finder.text.word(before);
        let is_joined = is_joint(word) || is_joint(finder.text.word(start)) && start < at;
        let is_sign = word.len() == 1 || spoken::is_number(word);
        let is_ordinary = finder.is_any(before, &finder.rules.name.never) && !is_sign;
        let is_announced = finder.cue(SlotClass::Email, start) == Some(0) && start < at;
        if !finder.is_free(before)
            || at - before > GATE_EMAIL_WORDS_MAX
            || !is_joined && (is_ordinary || is_announced)
        {
            break;
        }
        start = before;
    }
    (start < at).then_some(start)
}

/// Where the part behind `at` ends: labels, `dot`, and a last one of the list; written too, as `gmail.com`.
fn host(finder: &Finder<'_, '_>, start: usize) -> Option<usize> {
    let mut at = start;
    let mut ended = None;
    while at < finder.text.len() && at - start < GATE_EMAIL_WORDS_MAX {
        let is_dotted = finder.text.word(at) == "dot" || finder.text.sign(at) == '.';
        let last = at + usize::from(finder.text.word(at) == "dot");
        if at > start && is_dotted && finder.is_any(last, &finder.rules.email_ends) {
            ended = Some(last + 1);
        }
        if ended.is_some() && !is_dotted {
            break;
        }
        let is_open = at > start && finder.text.word(at) == "at";
        if is_open || !finder.is_free(at) {
            break;
        }
        at = last.max(at) + 1;
    }
    ended
}
