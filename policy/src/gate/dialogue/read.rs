//! The files of the rules as they stand, and what is wrong with them. It decides nothing about a call.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{BUILT_IN, Dialogue, Emergency, Problem, ScopeRule, Then};
use crate::gate::EmergencyKind;
use crate::gate::pattern::{Pattern, Sets};
use crate::gate::slot::{AddressRules, ClassRules, NameRules, SlotClass, SlotRules};
use crate::gate::text::{Reading, plain};
use crate::limit::{GATE_FILE_BYTES_MAX, GATE_REPLY_CHARS_MAX};
use crate::phrase::Phrase;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Words {
    fillers: Vec<String>,
    same: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Emergencies {
    #[serde(default)]
    sets: Sets,
    denials: Vec<String>,
    kind: Vec<Kind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    kind: String,
    phrase: String,
    then: Then,
    can_be_denied: bool,
    phrases: Vec<String>,
    #[serde(default)]
    lifted_by: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Slots {
    masked: Vec<String>,
    appointments_from_year: u16,
    cues: BTreeMap<String, Vec<String>>,
    asked: BTreeMap<String, Vec<String>>,
    streets: Vec<String>,
    units: Vec<String>,
    states: Vec<String>,
    places: Vec<String>,
    zips: Vec<String>,
    boxes: Vec<String>,
    email_ends: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Names {
    #[serde(default)]
    sets: Sets,
    strong: Vec<String>,
    one: Vec<String>,
    two: Vec<String>,
    after: Vec<String>,
    open: Vec<String>,
    never: Vec<String>,
    seldom: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Replies {
    sentence_chars_max: usize,
    reply_chars_max: usize,
    heard: BTreeMap<String, String>,
    identifiers: Vec<String>,
    allowed: Vec<String>,
    addressed: Vec<String>,
    lifted_by: Vec<String>,
    #[serde(default)]
    sets: Sets,
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    rule: String,
    phrases: Vec<String>,
    #[serde(default)]
    lifted_by: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Phrases {
    phrase: Vec<Recorded>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    name: String,
    text: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Prompt {
    prompt: String,
}

/// The files while they are read, and what was wrong so far.
struct Reader<'f> {
    files: BTreeMap<&'f str, &'f str>,
    problems: Vec<Problem>,
    reading: Reading,
}

pub(super) fn read<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
) -> Result<Dialogue, Vec<Problem>> {
    let mut reader =
        Reader { files: BTreeMap::new(), problems: Vec::new(), reading: Reading::default() };
    for (file, text) in files {
        if !BUILT_IN.iter().any(|(name, _)| *name == file) {
            reader.problem(file, "there is no such file of rules");
        } else if text.len() > GATE_FILE_BYTES_MAX {
            reader.problem(file, &format!("longer than {GATE_FILE_BYTES_MAX} bytes"));
        } else if reader.files.insert(file, text).is_some() {
            reader.problem(file, "it is there twice");
        }
    }
    let dialogue = reader.dialogue();
    if reader.problems.is_empty() { Ok(dialogue) } else { Err(reader.problems) }
}

impl Reader<'_> {
    fn problem(&mut self, file: &str, what: &str) {
        self.problems.push(Problem { file: file.to_owned(), what: what.to_owned() });
    }

    fn file<T: DeserializeOwned + Default>(&mut self, file: &str) -> T {
        let Some(text) = self.files.get(file) else {
            self.problem(file, "it is missing");
            return T::default();
        };
        toml::from_str(text).unwrap_or_else(|error| {
            self.problem(file, error.message());
            T::default()
        })
    }

    fn patterns(&mut self, file: &str, sets: &Sets, texts: &[String]) -> Vec<Pattern> {
        let (mut patterns, mut seen) = (Vec::new(), BTreeSet::new());
        for text in texts {
            if !seen.insert(text) {
                self.problem(file, &format!("\"{text}\" is there twice"));
            }
            match Pattern::parse(text, sets, &self.reading) {
                Ok(pattern) => patterns.push(pattern),
                Err(what) => self.problem(file, &format!("\"{text}\": {what}")),
            }
        }
        patterns
    }

    fn phrase(&mut self, file: &str, name: &str) -> Phrase {
        Phrase::from_name(name).unwrap_or_else(|| {
            self.problem(file, &format!("there is no recorded phrase {name}"));
            Phrase::Trouble
        })
    }

    fn dialogue(&mut self) -> Dialogue {
        self.reading = self.words();
        let emergencies = self.file::<Emergencies>("emergencies.toml");
        let denials = self.patterns("emergencies.toml", &emergencies.sets, &emergencies.denials);
        let emergencies = self.emergencies(&emergencies);
        let (slots, names) = (self.file::<Slots>("slots.toml"), self.file::<Names>("names.toml"));
        let replies = self.file::<Replies>("replies.toml");
        let mut heard = [Phrase::Trouble; 4];
        for (phrase, name) in heard.iter_mut().zip(["scope", "identifier", "length", "placeholder"])
        {
            match replies.heard.get(name) {
                Some(told) => *phrase = self.phrase("replies.toml", told),
                None => self.problem("replies.toml", &format!("heard.{name} is missing")),
            }
        }
        for most in [replies.sentence_chars_max, replies.reply_chars_max] {
            if !(1..=GATE_REPLY_CHARS_MAX).contains(&most) {
                let what = format!(
                    "a longest sentence or reply is 1 to {GATE_REPLY_CHARS_MAX} characters"
                );
                self.problem("replies.toml", &what);
            }
        }
        let dialogue = Dialogue {
            denials,
            emergencies,
            slots: self.slots(&slots, &names, &slots.masked, &[]),
            identifiers: self.slots(&slots, &names, &replies.identifiers, &replies.addressed),
            allowed: replies.allowed.iter().map(|text| key(text)).collect(),
            scope: self.scope(&replies),
            sentence_chars_max: replies.sentence_chars_max,
            reply_chars_max: replies.reply_chars_max,
            heard,
            phrases: self.phrases(),
            prompt: self.file::<Prompt>("prompt.toml").prompt,
            reading: std::mem::take(&mut self.reading),
        };
        if dialogue.prompt.trim().is_empty() {
            self.problem("prompt.toml", "the prompt is empty");
        }
        dialogue
    }

    fn words(&mut self) -> Reading {
        let words = self.file::<Words>("words.toml");
        let mut split = |text: &str| {
            let parts: Vec<String> = text.split(' ').map(|part| plain(part).collect()).collect();
            if parts.len() > 2 || parts.iter().any(String::is_empty) {
                self.problem("words.toml", &format!("\"{text}\" is not one word or two"));
            }
            parts
        };
        Reading {
            fillers: words.fillers.iter().map(|text| split(text)).collect(),
            same: words.same.iter().map(|(from, to)| (split(from), plain(to).collect())).collect(),
        }
    }

    fn emergencies(&mut self, file: &Emergencies) -> Vec<Emergency> {
        let name = "emergencies.toml";
        let mut found: Vec<Emergency> = Vec::new();
        for entry in &file.kind {
            let Some(kind) = EmergencyKind::from_name(&entry.kind) else {
                self.problem(name, &format!("there is no kind {}", entry.kind));
                continue;
            };
            if found.iter().any(|found| found.kind == kind) {
                self.problem(name, &format!("the kind {} is there twice", entry.kind));
            }
            if entry.phrases.is_empty() {
                self.problem(name, &format!("the kind {} has no phrases", entry.kind));
            }
            found.push(Emergency {
                kind,
                phrase: self.phrase(name, &entry.phrase),
                then: entry.then,
                patterns: self.patterns(name, &file.sets, &entry.phrases),
                lifted_by: self.patterns(name, &file.sets, &entry.lifted_by),
                can_be_denied: entry.can_be_denied,
            });
        }
        for kind in EmergencyKind::ALL.iter().copied() {
            if !found.iter().any(|found| found.kind == kind) {
                self.problem(name, &format!("the kind {} is missing", kind.name()));
            }
        }
        found
    }

    fn slots(
        &mut self,
        slots: &Slots,
        names: &Names,
        masked: &[String],
        addressed: &[String],
    ) -> SlotRules {
        let (file, none) = ("slots.toml", Sets::new());
        let mut rules =
            SlotRules { appointments_from: slots.appointments_from_year, ..SlotRules::default() };
        let is_known =
            |name: &&String| SlotClass::ALL.iter().any(|class| class.name() == name.as_str());
        let named = masked.iter().chain(slots.cues.keys()).chain(slots.asked.keys());
        for unknown in named.filter(|name| !is_known(name)) {
            self.problem(file, &format!("there is no class {unknown}"));
        }
        for (class, of) in SlotClass::ALL.into_iter().zip(&mut rules.classes) {
            let list = |all: &BTreeMap<String, Vec<String>>| {
                all.get(class.name()).cloned().unwrap_or_default()
            };
            *of = ClassRules {
                is_masked: masked.iter().any(|name| name == class.name()),
                cues: self.patterns(file, &none, &list(&slots.cues)),
                asked: self.patterns(file, &none, &list(&slots.asked)),
            };
        }
        rules.address = AddressRules {
            streets: slots.streets.clone(),
            units: slots.units.clone(),
            states: self.patterns(file, &none, &slots.states),
            places: self.patterns(file, &none, &slots.places),
            zips: self.patterns(file, &none, &slots.zips),
            boxes: self.patterns(file, &none, &slots.boxes),
        };
        rules.email_ends.clone_from(&slots.email_ends);
        let file = "names.toml";
        let mut one = self.patterns(file, &names.sets, &names.one);
        one.extend(self.patterns("replies.toml", &none, addressed));
        rules.name = NameRules {
            strong: self.patterns(file, &names.sets, &names.strong),
            one,
            two: self.patterns(file, &names.sets, &names.two),
            after: self.patterns(file, &names.sets, &names.after),
            open: self.patterns(file, &names.sets, &names.open),
            never: word_list(&names.never),
            seldom: word_list(&names.seldom),
        };
        rules
    }

    fn scope(&mut self, replies: &Replies) -> Vec<ScopeRule> {
        let name = "replies.toml";
        let mut found: Vec<ScopeRule> = Vec::new();
        for rule in &replies.rule {
            if rule.phrases.is_empty() {
                self.problem(name, &format!("the rule {} has no phrases", rule.rule));
            }
            if found.iter().any(|found| found.name == rule.rule) {
                self.problem(name, &format!("the rule {} is there twice", rule.rule));
            }
            let lifted_by: Vec<String> =
                replies.lifted_by.iter().chain(&rule.lifted_by).cloned().collect();
            found.push(ScopeRule {
                name: rule.rule.clone(),
                patterns: self.patterns(name, &replies.sets, &rule.phrases),
                lifted_by: self.patterns(name, &replies.sets, &lifted_by),
            });
        }
        found
    }

    fn phrases(&mut self) -> Vec<(Phrase, String)> {
        let file = "phrases.toml";
        let mut found: Vec<(Phrase, String)> = Vec::new();
        for Recorded { name, text } in self.file::<Phrases>(file).phrase {
            let phrase = self.phrase(file, &name);
            if text.trim().is_empty() {
                self.problem(file, &format!("{name} has no text"));
            }
            if found.iter().any(|(found, _)| *found == phrase) {
                self.problem(file, &format!("{name} is there twice"));
            }
            found.push((phrase, text));
        }
        for phrase in Phrase::ALL {
            if !found.iter().any(|(found, _)| *found == phrase) {
                self.problem(file, &format!("{} is missing", phrase.name()));
            }
        }
        found
    }
}

fn word_list(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(|word| plain(word).collect())
        .collect()
}

/// A value without spaces and signs, in lower case.
fn key(text: &str) -> String {
    text.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
