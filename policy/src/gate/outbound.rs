//! One sentence of the model's reply: too long, with a placeholder that does not exist, beyond the scope, or with an
//! identifier that the caller has not given. It changes nothing but the placeholders.

use super::memory::{Memory, Slot, knows, value};
use super::pattern::standing;
use super::slot::{self, Asked, Found, SlotClass};
use super::text::Text;
use super::{Dialogue, Inbound, Stopped};
use crate::phi::Phi;
use crate::scrub::{Class, scan};

pub(super) fn judge(
    dialogue: &Dialogue,
    memory: &Memory,
    before: usize,
    sentence: &str,
    speculative: &Inbound,
) -> Result<Phi<String>, Stopped> {
    let chars = sentence.chars().count();
    if chars > dialogue.sentence_chars_max
        || before.saturating_add(chars) > dialogue.reply_chars_max
    {
        return Err(Stopped::Length);
    }
    let new: &[Slot] = match speculative {
        Inbound::Forward(forward) => &forward.slots,
        Inbound::Emergency(_) => &[],
    };
    let filled = fill(sentence, |class, number| {
        memory.value(class, number).or_else(|| value(new, class, number))
    })?;
    let text = Text::new(sentence, &dialogue.reading);
    for rule in &dialogue.scope {
        if standing(&rule.patterns, &rule.lifted_by, &[], &text).is_some() {
            return Err(Stopped::Scope);
        }
    }
    let found = slot::find(&text, &dialogue.identifiers, Asked::default());
    let is_given = |found: &Found| {
        let key = found.key.expose();
        let is_allowed = dialogue.allowed.iter().any(|allowed| allowed == key);
        is_allowed || memory.knows(found.class, key) || knows(new, found.class, key)
    };
    let checks_any =
        SlotClass::ALL.iter().any(|class| dialogue.identifiers.class(*class).is_masked);
    let is_seen = found.is_empty() && checks_any && has_identifier(sentence);
    if is_seen || !found.iter().all(is_given) {
        return Err(Stopped::Identifier);
    }
    Ok(filled)
}

/// What the log's scrubber would find, for what the slots do not.
fn has_identifier(sentence: &str) -> bool {
    let hits = scan(sentence.as_bytes());
    [Class::E164, Class::Digits, Class::Email, Class::SpokenDigits]
        .into_iter()
        .any(|class| hits.contains(class))
}

/// `sentence` with values in the place of its placeholders.
fn fill<'v>(
    sentence: &str,
    value: impl Fn(SlotClass, usize) -> Option<&'v Phi<String>>,
) -> Result<Phi<String>, Stopped> {
    // Once to know how long it becomes: a text that grows would leave its beginning behind.
    let mut length = 0;
    parts(sentence, &value, |part| length += part.len())?;
    let mut filled = Phi::new(String::with_capacity(length));
    parts(sentence, &value, |part| filled.expose_mut().push_str(part))?;
    Ok(filled)
}

fn parts<'v>(
    sentence: &str,
    value: impl Fn(SlotClass, usize) -> Option<&'v Phi<String>>,
    mut take: impl FnMut(&str),
) -> Result<(), Stopped> {
    let mut rest = sentence;
    while let Some((before, behind)) = rest.split_once('[') {
        let (inner, after) = behind.split_once(']').ok_or(Stopped::Placeholder)?;
        let (class, number) = placeholder(inner).ok_or(Stopped::Placeholder)?;
        plain(before, &mut take)?;
        take(value(class, number).ok_or(Stopped::Placeholder)?.expose());
        rest = after;
    }
    plain(rest, &mut take)
}

/// A part without placeholders, and without what one leaves that lost its brackets.
fn plain(part: &str, take: &mut impl FnMut(&str)) -> Result<(), Stopped> {
    let is_left = |class: SlotClass| {
        let mut behind = part.split(class.word()).skip(1);
        behind.any(|behind| behind.starts_with('_'))
    };
    if part.contains(']') || SlotClass::ALL.into_iter().any(is_left) {
        return Err(Stopped::Placeholder);
    }
    take(part);
    Ok(())
}

/// `NAME_1`: a class and a number as it is written, without a zero in front.
fn placeholder(text: &str) -> Option<(SlotClass, usize)> {
    let (word, number) = text.rsplit_once('_')?;
    let class = SlotClass::ALL.into_iter().find(|class| class.word() == word)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let number = number.parse().ok().filter(|_| is_number)?;
    Some((class, number))
}
