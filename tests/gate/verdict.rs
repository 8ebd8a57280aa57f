//! What the gate makes of one row of the data. It judges the gate only by what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use ward_policy::gate::{Dialogue, Gate, Inbound, SlotClass};

/// One row of the data.
pub(crate) struct Row {
    pub(crate) source: String,
    pub(crate) class: String,
    pub(crate) template: String,
    pub(crate) text: String,
    /// What was filled in and must not pass.
    hidden: Vec<String>,
    pub(crate) is_expected: bool,
}

impl Row {
    pub(crate) fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let hidden = value["hidden"].as_array().unwrap().iter();
        Self {
            source: text("source"),
            class: text("class"),
            template: text("template"),
            text: text("text"),
            hidden: hidden.map(|value| value.as_str().unwrap().to_owned()).collect(),
            is_expected: value["expected"].as_bool().unwrap(),
        }
    }
}

/// What came of one row.
#[derive(Clone, Default, Debug)]
pub(crate) struct Verdict {
    /// Of a row that has something: nothing of it passed. Of one that has nothing: it was taken for something.
    pub(crate) is_found: bool,
    /// It was found as what it is.
    pub(crate) is_own: bool,
    /// What went to the model, or what was decided.
    pub(crate) shown: String,
}

/// What the caller of the replies has said: one value of each class.
const GIVEN: &str = "my name is quentin abernathy my date of birth is june ninth nineteen seventy my phone number is \
    208 555 0123 my member id is 448122907 my address is 17 larkspur lane my email is qa@example.net";

/// A gate as it is judged: one that takes a caller's turns, and one that takes replies.
pub(crate) struct Judge {
    caller: Gate,
    replier: Gate,
    turn: Inbound,
}

impl Judge {
    pub(crate) fn new(dialogue: &Arc<Dialogue>) -> Self {
        let mut replier = Gate::new(Arc::clone(dialogue));
        let given = replier.inbound(GIVEN);
        replier.adopt(&given);
        let turn = replier.inbound("thank you");
        Self { caller: Gate::new(Arc::clone(dialogue)), replier, turn }
    }

    pub(crate) fn judge(&self, row: &Row) -> Verdict {
        match row.source.as_str() {
            "replies" => self.reply(row),
            "slots" => self.slot(row),
            _ => self.emergency(row),
        }
    }

    fn reply(&self, row: &Row) -> Verdict {
        let expected = match row.class.as_str() {
            known @ ("identifier" | "length" | "placeholder") => known,
            _ => "scope",
        };
        match self.replier.outbound(&row.text, 0, &self.turn) {
            Ok(_) => Verdict { shown: "spoken".to_owned(), ..Verdict::default() },
            // Random words may be stopped for anything; here only their number matters.
            Err(stopped) => Verdict {
                is_found: expected != "length" || stopped.code() == "length",
                is_own: stopped.code() == expected,
                shown: format!("stopped: {}", stopped.code()),
            },
        }
    }

    fn emergency(&self, row: &Row) -> Verdict {
        match self.caller.inbound(&row.text) {
            Inbound::Forward(_) => {
                Verdict { shown: "to the model".to_owned(), ..Verdict::default() }
            }
            Inbound::Emergency(kind) => Verdict {
                is_found: true,
                is_own: kind.name() == row.class,
                shown: format!("emergency: {}", kind.name()),
            },
        }
    }

    /// A slot is found when no word of it is left, whatever the placeholder is called. An emergency hides nothing
    /// from whoever counts: it is no slot that was found.
    fn slot(&self, row: &Row) -> Verdict {
        let forward = match self.caller.inbound(&row.text) {
            Inbound::Forward(forward) => forward,
            Inbound::Emergency(kind) => {
                let shown = format!("emergency: {}", kind.name());
                return Verdict { shown, ..Verdict::default() };
            }
        };
        let shown = forward.text.expose().clone();
        let class = SlotClass::ALL.into_iter().find(|class| class.name() == row.class).unwrap();
        let is_own = shown.contains(&format!("[{}_", class.word()));
        let is_found = if row.is_expected { !row.leaks_into(&shown) } else { is_own };
        Verdict { is_found, is_own, shown }
    }
}

impl Row {
    /// Whether a word of the value is in `shown` more often than beside the value.
    fn leaks_into(&self, shown: &str) -> bool {
        let (whole, shown) = (counted(&self.text), counted(shown));
        let hidden = counted(&self.hidden.join(" "));
        let is_left = |(word, hidden): (&String, &usize)| {
            let beside = whole.get(word).copied().unwrap_or_default().saturating_sub(*hidden);
            shown.get(word).copied().unwrap_or_default() > beside
        };
        hidden.iter().any(is_left)
    }
}

/// How often each word is there; words that tell nothing are left out.
fn counted(text: &str) -> BTreeMap<String, usize> {
    const NOTHING: [&str; 9] = ["um", "uh", "er", "you", "know", "the", "of", "and", "a"];
    let mut counted = BTreeMap::new();
    // A placeholder is no word of anybody's.
    let outside: String = text
        .split('[')
        .enumerate()
        .map(
            |(at, part)| {
                if at == 0 { part } else { part.split_once(']').map_or(part, |(_, after)| after) }
            },
        )
        .collect::<Vec<_>>()
        .join(" ");
    for word in outside.to_lowercase().split(|sign: char| !sign.is_alphanumeric()) {
        if !word.is_empty() && !NOTHING.contains(&word) {
            *counted.entry(word.to_owned()).or_default() += 1;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, hidden: &str) -> Row {
        Row {
            source: "slots".into(),
            class: "name".into(),
            template: String::new(),
            text: text.into(),
            hidden: vec![hidden.into()],
            is_expected: true,
        }
    }

    #[test]
    fn a_word_that_is_left_is_a_leak_and_one_beside_the_value_is_none() {
        let row = row("yes may it is May Jones", "May Jones");
        assert!(!row.leaks_into("yes may it is [NAME_1]"));
        assert!(row.leaks_into("yes may it is [NAME_1] Jones"));
        assert!(row.leaks_into("yes may it is May Jones"));
        assert!(!row.leaks_into("yes [NAME_1] it is [NAME_1]"));
    }
}
