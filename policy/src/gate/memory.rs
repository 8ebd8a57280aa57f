//! What stands behind the placeholders of one call: bounded, wiped, and never shown but in a sentence that is spoken.

use super::slot::{Found, SlotClass, SlotRules};
use super::text::Text;
use crate::limit::GATE_SLOTS_MAX;
use crate::phi::Phi;

/// One value behind a placeholder.
pub(super) struct Slot {
    pub(super) class: SlotClass,
    /// From 1; 0 for a value past [`GATE_SLOTS_MAX`], which never comes back.
    number: usize,
    key: Phi<String>,
    said: Phi<String>,
}

impl Slot {
    fn copy(&self) -> Self {
        Self {
            class: self.class,
            number: self.number,
            key: copy(&self.key),
            said: copy(&self.said),
        }
    }
}

fn copy(text: &Phi<String>) -> Phi<String> {
    Phi::new(text.expose().clone())
}

/// The values of one call.
#[derive(Default)]
pub(super) struct Memory {
    slots: Vec<Slot>,
}

impl Memory {
    /// `text` with placeholders for what was `found` and for the names that are known, and the values that are new.
    pub(super) fn mask(
        &self,
        text: &Text<'_>,
        mut found: Vec<Found>,
        rules: &SlotRules,
    ) -> (Phi<String>, Vec<Slot>) {
        if rules.class(SlotClass::Name).is_masked {
            self.add_known_names(text, &mut found, rules);
        }
        let mut new: Vec<Slot> = Vec::new();
        // A placeholder may be longer than what it stands for.
        let most = text.source().len() + found.len() * "[BIRTH_DATE_32]".len();
        let mut masked = Phi::new(String::with_capacity(most));
        let mut at = 0;
        let keep = |masked: &mut Phi<String>, part: Option<&str>| {
            // The model reads brackets as placeholders, so nobody else writes any.
            let signs = part.unwrap_or_default().chars();
            masked.expose_mut().extend(signs.filter(|sign| !matches!(sign, '[' | ']')));
        };
        for found in found {
            let place = text.place(found.first, found.end);
            keep(&mut masked, text.source().get(at..place.start));
            at = place.end;
            let is_same =
                |slot: &&Slot| slot.class == found.class && slot.key.expose() == found.key.expose();
            let known = self.slots.iter().chain(&new).find(is_same).map(|slot| slot.number);
            let number = known.unwrap_or_else(|| {
                let number = self.next_number(found.class, &new);
                let said = text.source().get(place).unwrap_or_default().to_owned();
                new.push(Slot { class: found.class, number, key: found.key, said: Phi::new(said) });
                number
            });
            masked.expose_mut().push_str(&format!("[{}_{number}]", found.class.word()));
        }
        keep(&mut masked, text.source().get(at..));
        new.retain(|slot| slot.number > 0);
        (masked, new)
    }

    fn next_number(&self, class: SlotClass, new: &[Slot]) -> usize {
        let all = self.slots.iter().chain(new);
        let is_full = all.clone().filter(|slot| slot.number > 0).count() >= GATE_SLOTS_MAX;
        if is_full {
            0
        } else {
            all.filter(|slot| slot.class == class).map(|slot| slot.number).max().unwrap_or(0) + 1
        }
    }

    /// Words that are a part of a name that was said, now or before.
    fn add_known_names(&self, text: &Text<'_>, found: &mut Vec<Found>, rules: &SlotRules) {
        let earlier = self.slots.iter().filter(|slot| slot.class == SlotClass::Name);
        let names: Vec<&Phi<String>> = earlier.map(|slot| &slot.key).collect();
        let now = found.iter().filter(|found| found.class == SlotClass::Name);
        let names: Vec<&Phi<String>> =
            names.into_iter().chain(now.map(|found| &found.key)).collect();
        let is_ordinary = |word: &str| {
            rules.name.never.iter().chain(&rules.name.seldom).any(|ordinary| ordinary == word)
        };
        let is_part = |at: usize| {
            let word = text.word(at);
            let in_name = |name: &&Phi<String>| name.expose().split(' ').any(|part| part == word);
            word.len() > 2 && !is_ordinary(word) && names.iter().any(in_name)
        };
        let mut taken = vec![false; text.len()];
        for found in found.iter() {
            let words = taken.iter_mut().take(found.end).skip(found.first);
            words.for_each(|taken| *taken = true);
        }
        let is_free = |at: &usize| taken.get(*at) == Some(&false) && is_part(*at);
        let mut again: Vec<Found> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = at + (at..text.len()).take_while(is_free).count();
            if end > at {
                let words: Vec<&str> = (at..end).map(|at| text.word(at)).collect();
                let key = Phi::new(words.join(" "));
                again.push(Found { class: SlotClass::Name, first: at, end, key });
            }
            at = end.max(at + 1);
        }
        found.append(&mut again);
        found.sort_by_key(|found| found.first);
    }

    /// Remembers new values. A placeholder that stands for something already keeps it.
    pub(super) fn add(&mut self, slots: &[Slot]) {
        for slot in slots {
            let is_free = self.value(slot.class, slot.number).is_none();
            if is_free && self.slots.len() < GATE_SLOTS_MAX {
                self.slots.push(slot.copy());
            }
        }
    }

    /// What the placeholder of a class and number stands for.
    pub(super) fn value(&self, class: SlotClass, number: usize) -> Option<&Phi<String>> {
        value(&self.slots, class, number)
    }

    /// Whether the caller has said what is compared as `key`: the value, or a part of a name.
    pub(super) fn knows(&self, class: SlotClass, key: &str) -> bool {
        knows(&self.slots, class, key)
    }
}

/// See [`Memory::value`].
pub(super) fn value(slots: &[Slot], class: SlotClass, number: usize) -> Option<&Phi<String>> {
    let found = slots.iter().find(|slot| slot.class == class && slot.number == number);
    found.map(|slot| &slot.said)
}

/// See [`Memory::knows`].
pub(super) fn knows(slots: &[Slot], class: SlotClass, key: &str) -> bool {
    slots.iter().filter(|slot| slot.class == class).any(|slot| {
        let said = slot.key.expose();
        let is_part = |word: &str| said.split(' ').any(|part| part == word);
        said == key || class == SlotClass::Name && key.split(' ').all(is_part)
    })
}
