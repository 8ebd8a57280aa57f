//! Where the slots of a sentence are: names, birth dates, numbers and addresses that a model does not need.
//!
//! Each class has a file of its own that says what it takes for one. A word belongs to one slot at most; what is found
//! first keeps it, in the order of [`find`]. Nothing is remembered here, and nothing is changed.

use super::pattern::Pattern;
use super::text::Text;
use crate::limit::GATE_CUE_WORDS_MAX;
use crate::phi::Phi;

mod address;
mod date;
mod email;
mod name;
mod number;

/// A class of what stands behind a placeholder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SlotClass {
    /// A person's name, or a part of it.
    Name,
    /// A date of birth, and any date with a year that is past.
    BirthDate,
    /// A telephone number.
    Phone,
    /// A member, record, insurance, social security or card number.
    Number,
    /// A street address, or a part of it: street, town, postal code.
    Address,
    /// An e-mail address.
    Email,
}

impl SlotClass {
    /// Every class, in the order of the enum.
    pub const ALL: [Self; 6] =
        [Self::Name, Self::BirthDate, Self::Phone, Self::Number, Self::Address, Self::Email];

    /// The name in the rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::BirthDate => "birth_date",
            Self::Phone => "phone",
            Self::Number => "number",
            Self::Address => "address",
            Self::Email => "email",
        }
    }

    /// The word in a placeholder: `NAME` of `[NAME_1]`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::BirthDate => "BIRTH_DATE",
            Self::Phone => "PHONE",
            Self::Number => "NUMBER",
            Self::Address => "ADDRESS",
            Self::Email => "EMAIL",
        }
    }
}

/// The classes that we asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Asked([bool; 6]);

impl Asked {
    pub(super) fn has(self, class: SlotClass) -> bool {
        self.0.get(class as usize) == Some(&true)
    }

    pub(super) fn add(&mut self, class: SlotClass) {
        if let Some(has) = self.0.get_mut(class as usize) {
            *has = true;
        }
    }
}

/// What the rules say of one class.
#[derive(Debug, Default)]
pub(super) struct ClassRules {
    pub(super) is_masked: bool,
    /// What announces one.
    pub(super) cues: Vec<Pattern>,
    /// What we say when we ask for one.
    pub(super) asked: Vec<Pattern>,
}

/// `slots.toml`, read.
#[derive(Debug, Default)]
pub(super) struct SlotRules {
    pub(super) classes: [ClassRules; 6],
    /// Dates before this year are no appointments.
    pub(super) appointments_from: u16,
    pub(super) name: NameRules,
    pub(super) address: AddressRules,
    /// Last parts of spoken e-mail addresses: `com`.
    pub(super) email_ends: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct NameRules {
    /// A name follows, whatever it sounds like.
    pub(super) strong: Vec<Pattern>,
    /// One word that is not ordinary is a name.
    pub(super) one: Vec<Pattern>,
    /// Two such words are.
    pub(super) two: Vec<Pattern>,
    /// What follows a name.
    pub(super) after: Vec<Pattern>,
    /// What a name stands behind that may pass: `doctor`.
    pub(super) open: Vec<Pattern>,
    /// Words that are never a part of a name.
    pub(super) never: Vec<String>,
    /// Words that are one only behind a strong cue.
    pub(super) seldom: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct AddressRules {
    pub(super) streets: Vec<String>,
    pub(super) units: Vec<String>,
    pub(super) states: Vec<Pattern>,
    /// A town follows, or a street without its number.
    pub(super) places: Vec<Pattern>,
    /// A postal code follows.
    pub(super) zips: Vec<Pattern>,
    /// `p o box`.
    pub(super) boxes: Vec<Pattern>,
}

impl SlotRules {
    pub(super) fn class(&self, class: SlotClass) -> &ClassRules {
        let [name, birth_date, phone, number, address, email] = &self.classes;
        match class {
            SlotClass::Name => name,
            SlotClass::BirthDate => birth_date,
            SlotClass::Phone => phone,
            SlotClass::Number => number,
            SlotClass::Address => address,
            SlotClass::Email => email,
        }
    }
}

/// One slot in a sentence: from the word at `first` to before the one at `end`.
pub(super) struct Found {
    pub(super) class: SlotClass,
    pub(super) first: usize,
    pub(super) end: usize,
    /// The same for every way to say the same value.
    pub(super) key: Phi<String>,
}

/// Every slot of `text`, in order. `asked` is what we asked for.
pub(super) fn find(text: &Text<'_>, rules: &SlotRules, asked: Asked) -> Vec<Found> {
    let mut finder = Finder::new(text, rules, asked);
    email::find(&mut finder);
    address::find(&mut finder);
    date::find(&mut finder);
    number::find(&mut finder);
    name::find(&mut finder);
    let mut found = finder.found;
    found.retain(|found| rules.class(found.class).is_masked);
    found.sort_by_key(|found| found.first);
    found
}

/// A sentence while it is searched.
struct Finder<'a, 't> {
    text: &'a Text<'t>,
    rules: &'a SlotRules,
    asked: Asked,
    /// The words that belong to something already.
    taken: Vec<bool>,
    /// The classes whose cue ends before the word at this place.
    cued: Vec<[bool; 6]>,
    found: Vec<Found>,
}

impl<'a, 't> Finder<'a, 't> {
    fn new(text: &'a Text<'t>, rules: &'a SlotRules, asked: Asked) -> Self {
        let mut cued = vec![[false; 6]; text.len() + 1];
        for start in 0..text.len() {
            for class in SlotClass::ALL {
                for (end, longest) in
                    rules.class(class).cues.iter().filter_map(|cue| cue.at(text, start))
                {
                    for end in [end, longest] {
                        if let Some(is) =
                            cued.get_mut(end).and_then(|cued| cued.get_mut(class as usize))
                        {
                            *is = true;
                        }
                    }
                }
            }
        }
        Self { text, rules, asked, taken: vec![false; text.len()], cued, found: Vec::new() }
    }

    fn is_free(&self, at: usize) -> bool {
        self.taken.get(at).is_some_and(|taken| !taken)
    }

    /// How many words before the one at `at` the last cue of `class` ends, with nothing taken between.
    fn cue(&self, class: SlotClass, at: usize) -> Option<usize> {
        for words in 0..=GATE_CUE_WORDS_MAX {
            let end = at.checked_sub(words)?;
            if self.cued.get(end).and_then(|cued| cued.get(class as usize)) == Some(&true) {
                return Some(words);
            }
            if !end.checked_sub(1).is_some_and(|before| self.is_free(before)) {
                return None;
            }
        }
        None
    }

    /// Whether a value of `class` is expected at `at`.
    fn expects(&self, class: SlotClass, at: usize) -> bool {
        self.asked.has(class) || self.cue(class, at).is_some()
    }

    /// Whether the word at `at` is one of `words`.
    fn is_any(&self, at: usize, words: &[String]) -> bool {
        let word = self.text.word(at);
        words.iter().any(|one| one == word)
    }

    /// The words from `first` to before `end` are something that may pass.
    fn keep(&mut self, first: usize, end: usize) {
        for taken in self.taken.iter_mut().take(end).skip(first) {
            *taken = true;
        }
    }

    fn add(&mut self, class: SlotClass, first: usize, end: usize, key: Phi<String>) {
        self.keep(first, end);
        self.found.push(Found { class, first, end, key });
    }

    /// The words as they are compared, one after the other.
    fn joined(&self, first: usize, end: usize, by: &str) -> Phi<String> {
        let length: usize = (first..end).map(|at| self.text.word(at).len() + by.len()).sum();
        let mut joined = Phi::new(String::with_capacity(length));
        for at in first..end {
            if at > first {
                joined.expose_mut().push_str(by);
            }
            joined.expose_mut().push_str(self.text.word(at));
        }
        joined
    }
}
