//! `docs/gate.md`: each rule with examples, what the caller hears, the measured figures, and what passes, by form.
//!
//! It never leaves a form out because the gate does not see it.

use std::fmt::Write as _;

use ward_policy::gate::{Dialogue, EmergencyKind, Stopped, Then};
use ward_policy::phrase::Phrase;

use ward_tests::digest::sha256;

use crate::{Outcome, Outcomes, Tally};

/// How the document is made anew.
pub(crate) const REGENERATE: &str =
    "`cargo test -p ward-tests --test gate`, then `cp target/gate.md docs/gate.md`";

const HEAD: &str = include_str!("head.md");

/// Characters of an example.
const EXAMPLE_CHARS: usize = 100;

/// The whole document.
pub(crate) fn document(
    dialogue: &Dialogue,
    data: &[&str],
    held_out: &Outcomes,
    fresh: &Outcomes,
) -> String {
    let mut text = format!("{HEAD}\nMade by {REGENERATE}; do not edit.\n");
    table(&mut text, dialogue, held_out);
    figures(&mut text, held_out, fresh);
    phrases(&mut text, dialogue);
    for (name, outcomes) in [("held-out", held_out), ("fresh", fresh)] {
        passing(&mut text, name, outcomes);
        alarms(&mut text, name, outcomes);
    }
    text.push_str("\n## The data\n\n");
    for (name, data) in ["Held-out", "Fresh"].iter().zip(data) {
        let hash = sha256(data.as_bytes());
        let lines = data.lines().count();
        writeln!(text, "- {name}: {lines} lines, the same on every machine: SHA-256 `{hash}`.")
            .unwrap();
    }
    text
}

/// How far a sentence is from the length of a good example.
fn distance(said: &str) -> (bool, usize) {
    let is_disfluent =
        [" um ", " uh ", " er ", "you know"].iter().any(|filler| said.contains(filler));
    (is_disfluent, said.len().abs_diff(50))
}

/// What is done, and what the caller hears.
fn heard(dialogue: &Dialogue, source: &str, class: &str) -> String {
    match source {
        "slots" => "nothing: the reply has the value again".to_owned(),
        "emergencies" => {
            let kind = EmergencyKind::from_name(class).unwrap();
            let emergency = dialogue.emergency(kind).unwrap();
            let then = match emergency.then() {
                Then::Continue => "then the call goes on",
                Then::HangUp => "then we hang up",
            };
            format!("`{}`, {then}", emergency.phrase().name())
        }
        _ => format!("`{}`", phrase(dialogue, class).name()),
    }
}

fn phrase(dialogue: &Dialogue, class: &str) -> Phrase {
    let stopped = Stopped::ALL.into_iter().find(|stopped| stopped.code() == class);
    dialogue.heard(stopped.unwrap_or(Stopped::Scope))
}

fn table(text: &mut String, dialogue: &Dialogue, outcomes: &Outcomes) {
    let titles = [
        ("slots", "What the model is not given", "goes to the model"),
        ("emergencies", "What takes the emergency path", "taken"),
        ("replies", "What a reply may not say", "stopped"),
    ];
    for (source, title, found) in titles {
        write!(
            text,
            "\n## {title}\n\n| rule | passes | {found} | the caller hears |\n| --- | --- | --- | --- |\n"
        )
        .unwrap();
        for (_, class, outcome) in outcomes.iter().filter(|(of, _, _)| *of == source) {
            let passes = outcome.without.values().filter_map(|tally| tally.miss.as_ref());
            let passes = passes.min_by_key(|(said, _)| distance(said));
            let passes = passes.map_or_else(String::new, |(said, _)| example(said));
            let hits = outcome.with.values().filter(|tally| tally.found == tally.all);
            let hits = hits.filter_map(|tally| tally.hit.as_ref());
            let hit = hits.min_by_key(|(said, _)| distance(said));
            let stopped = hit.map_or_else(String::new, |(said, shown)| match source {
                "slots" => format!("`{}` → `{}`", example(said), example(shown)),
                _ => format!("`{}`", example(said)),
            });
            let heard = heard(dialogue, source, class);
            writeln!(text, "| `{class}` | `{passes}` | {stopped} | {heard} |").unwrap();
        }
    }
}

fn figures(text: &mut String, held_out: &Outcomes, fresh: &Outcomes) {
    text.push_str(
        "\n## The figures\n\n*Recall*: of the lines that have something, those in which it is found; for a slot, those in which no \
         word of it goes to the model. *As its own*: found as this class or kind, and not as another. *Precision*: of the \
         lines in which something is found, those that have it; half of all lines have nothing and are of kinds that \
         could be taken for it. *Templates*: how many are always found, partly, never.\n\n\
         | class | lines with, without | recall, held-out | as its own | precision, held-out | templates | recall, fresh | precision, fresh | templates |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let (all_held_out, all_fresh) = (held_out, fresh);
    for ((_, class, outcome), (_, _, fresh)) in held_out.iter().zip(fresh) {
        let lines = format!(
            "{}, {}",
            outcome.recall().of,
            outcome.without.values().map(|t| t.all).sum::<u64>()
        );
        let fresh_figures = if fresh.with.is_empty() {
            "– | – | –".to_owned()
        } else {
            format!("{} | {} | {}", recall(fresh), precision(fresh), templates(fresh))
        };
        writeln!(
            text,
            "| `{class}` | {lines} | {} | {:.1} % | {} | {} | {fresh_figures} |",
            recall(outcome),
            outcome.own().percent(),
            precision(outcome),
            templates(outcome)
        )
        .unwrap();
    }
    text.push_str("\nEvery class together, `length` and `placeholder` left out:\n\n");
    for source in ["slots", "emergencies", "replies"] {
        together(text, source, "held-out", all_held_out);
        together(text, source, "fresh", all_fresh);
    }
}

/// Every class of a source together, without those in which words do not matter.
fn together(text: &mut String, source: &str, name: &str, outcomes: &Outcomes) {
    let mut all = Outcome::default();
    let of_source = outcomes.iter().filter(|(of, _, _)| *of == source);
    for (_, class, outcome) in
        of_source.filter(|(_, class, _)| !matches!(*class, "length" | "placeholder"))
    {
        let named =
            |(template, tally): (&String, &Tally)| (format!("{class} {template}"), tally.clone());
        all.with.extend(outcome.with.iter().map(named));
        all.without.extend(outcome.without.iter().map(named));
    }
    let (recall, precision) = (recall(&all), precision(&all));
    writeln!(text, "- {source}, {name}: recall {recall}, precision {precision}").unwrap();
}

/// How many of a class's lines were drawn independently: its templates, or where there is one, its lines.
fn independent(templates: usize, lines: u64) -> u64 {
    if templates <= 1 { lines } else { templates as u64 }
}

fn recall(outcome: &Outcome) -> String {
    let share = outcome.recall();
    share.written(independent(outcome.with.len(), share.of))
}

fn precision(outcome: &Outcome) -> String {
    let share = outcome.precision();
    let found = |tally: &&Tally| tally.found > 0;
    let templates = outcome.with.values().filter(found).count()
        + outcome.without.values().filter(found).count();
    share.written(independent(templates, share.of))
}

fn templates(outcome: &Outcome) -> String {
    let all = outcome.with.values();
    let always = all.clone().filter(|tally| tally.found == tally.all).count();
    let never = all.clone().filter(|tally| tally.found == 0).count();
    format!("{always}, {}, {never}", all.count() - always - never)
}

fn phrases(text: &mut String, dialogue: &Dialogue) {
    text.push_str("\n## The recorded phrases\n\n| name | what is said |\n| --- | --- |\n");
    for (name, said) in dialogue.phrases() {
        writeln!(text, "| `{name}` | {said} |").unwrap();
    }
}

fn passing(text: &mut String, name: &str, outcomes: &Outcomes) {
    write!(
        text,
        "\n## What passes, by form: {name}\n\nForms that have something and are not always found; what became of one such line.\n"
    )
    .unwrap();
    for (_, class, outcome) in outcomes {
        let missed: Vec<_> =
            outcome.with.iter().filter(|(_, tally)| tally.found < tally.all).collect();
        if missed.is_empty() {
            continue;
        }
        write!(text, "\n### `{class}`, {name}\n\n| form | found | of | for instance | became |\n| --- | ---: | ---: | --- | --- |\n").unwrap();
        for (form, tally) in missed {
            let (said, shown) = tally.miss.clone().unwrap_or_default();
            writeln!(
                text,
                "| {} | {} | {} | `{}` | `{}` |",
                example(form),
                tally.found,
                tally.all,
                example(&said),
                example(&shown)
            )
            .unwrap();
        }
    }
}

fn alarms(text: &mut String, name: &str, outcomes: &Outcomes) {
    write!(text, "\n## Stopped or masked for nothing, by form: {name}\n\n| class | form | times | of | became |\n| --- | --- | ---: | ---: | --- |\n").unwrap();
    for (_, class, outcome) in outcomes {
        for (form, tally) in outcome.without.iter().filter(|(_, tally)| tally.found > 0) {
            let (_, shown) = tally.hit.clone().unwrap_or_default();
            writeln!(
                text,
                "| `{class}` | {} | {} | {} | `{}` |",
                example(form),
                tally.found,
                tally.all,
                example(&shown)
            )
            .unwrap();
        }
    }
}

/// A text that fits into a table's cell.
fn example(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|sign| match sign {
            '|' | '`' => '\'',
            // A form's names in braces are no markup, but brackets with brackets behind them are.
            '<' => '‹',
            '>' => '›',
            sign => sign,
        })
        .collect();
    if plain.chars().count() <= EXAMPLE_CHARS {
        return plain;
    }
    plain.chars().take(EXAMPLE_CHARS - 1).chain(['…']).collect()
}
