//! `docs/scrubber.md`: the measured figures, in plain words, with what is missed beside what is found.
//!
//! It never leaves a format out because the scanner does not see it.

use std::fmt::Write as _;

use ward_policy::scrub::Class;
use ward_tests::digest::sha256;
use ward_tests::statistics::Share;

use crate::{Outcome, Tally};

/// How the document is made anew.
pub(crate) const REGENERATE: &str =
    "`cargo test -p ward-tests --test scrubber`, then `cp target/scrubber.md docs/scrubber.md`";

/// Characters of an example around what is of interest.
const EXAMPLE_CHARS: usize = 90;

/// What a class is, in words for somebody who reads no Rust.
const fn meaning(class: Class) -> &'static str {
    match class {
        Class::E164 => {
            "a telephone number with `+` and country code, 8 to 15 digits, separated or not"
        }
        Class::TwilioSid => {
            "two letters and 32 hexadecimal digits: Twilio's name for a call, stream, account, key"
        }
        Class::Bearer => "`Bearer` or `Basic` and a credential; after `Authorization` any word",
        Class::Jwt => "three base64url parts, the first of which begins a JSON object",
        Class::Digits => {
            "seven or more digits, also in groups: national telephone numbers, SSN, cards, record numbers, keys pressed"
        }
        Class::Email => "an e-mail address or SIP URI",
        Class::Base64 => "more than 64 characters of base64 in a row: audio",
        Class::SpokenDigits => {
            "six or more English digits in words, `double` and `triple` included"
        }
    }
}

const HEAD: &str = "# What the scrubber finds

The scrubber (`policy/src/scrub.rs`) looks at each finished line of the log for what must never be in one. It is an alarm, not
the control: the control is that an event is one of a closed list without free text (`policy/src/audit.rs`). A hit means that
this has failed. That Ward's own lines raise no alarm is a test of its own, `policy/src/scrub/legal.rs`; here is how much would
be seen of what is not Ward's.

Everything below is measured on invented lines, half with an identifier and half without, made by `tests/scrubber/generate.py`
with Faker and a fixed seed. The formats are those that people and programs write, whether the scrubber sees them or not, in equal
parts rather than as often as they occur: the figures compare formats, and do not foretell a log. Intervals are Wilson's, 95 %;
they cover the drawing of the lines, not the choice of the formats. The lines were there before the scrubber. What they showed to
be missed within a class was mended where it could be (a form's `+` for a space, escapes in front of a word, `Bearer:`), so they
are no test that the scrubber has not seen.
";

const PASSES: &str = "## What passes through

The scrubber knows shapes, not meanings. It sees **none** of these:

- names, addresses, places, dates (of birth, too), ages, diagnoses: anything in words;
- numbers in words such as \"forty two\" or \"five hundred\", digits in other languages, fewer than six digits in words between
  two other words (\"um\", \"dash\");
- numbers of fewer than seven digits: the last four of an SSN, a postal code, a short record number;
- numbers that are broken up by letters, commas or slashes, and one digit per message;
- a bare JSON number of up to 15 digits, because counters and times look the same;
- a quoted string of exactly 16 decimal digits, because a pseudonym can look so: a card number in a field of its own passes;
- what is encoded within: percent-encoding but for the signs named above, `%2B` and `%40`; JSON's `\\u` escapes; base64 of up to
  64 characters; hexadecimal of up to 128 digits, which is what digests look like;
- secrets without the word `Bearer` or `Basic` in front: passwords, API keys, tokens in a URL, signatures.

Of an identifier that is cut off, what is left may be too short.
";

/// The whole document.
pub(crate) fn document(data: &str, outcomes: &[(Class, Outcome)]) -> String {
    let mut text = format!("{HEAD}\nMade by {REGENERATE}; do not edit.\n\n");
    classes(&mut text, outcomes);
    text.push('\n');
    text.push_str(PASSES);
    misses(&mut text, outcomes);
    contexts(&mut text, outcomes);
    false_alarms(&mut text, outcomes);
    let hash = sha256(data.as_bytes());
    let lines = data.lines().count();
    write!(text, "\n## The data\n\n{lines} lines, the same on every machine: SHA-256 `{hash}`.\n")
        .unwrap();
    text
}

fn classes(text: &mut String, outcomes: &[(Class, Outcome)]) {
    text.push_str(
        "## The classes\n\n*Recall*: of the lines with an identifier, those in which its class is found. *Any alarm*: those in \
         which any class is, which is what counts for an alarm. *Precision*: of the lines in which the class is found, those that \
         have one; half of the lines without one are of kinds that could be taken for it. *Formats*: how many of those below are \
         always found, partly, never.\n\n\
         | class | is | lines with, without | recall | any alarm | precision | formats |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (class, outcome) in outcomes {
        let any = Share { part: outcome.alarmed.right, of: outcome.alarmed.all };
        let formats = outcome.by_format.values();
        let always = formats.clone().filter(|tally| tally.right == tally.all).count();
        let never = formats.clone().filter(|tally| tally.right == 0).count();
        let partly = formats.count() - always - never;
        writeln!(
            text,
            "| `{}` | {} | {}, {} | {} | {any} | {} | {always}, {partly}, {never} |",
            class.name(),
            meaning(*class),
            outcome.found.all,
            outcome.passed.all,
            outcome.recall(),
            outcome.precision()
        )
        .unwrap();
    }
}

fn misses(text: &mut String, outcomes: &[(Class, Outcome)]) {
    text.push_str("\n## Found and missed, by format\n\nAs its own class; one line that was missed as an example.\n");
    for (class, outcome) in outcomes {
        write!(text, "\n### `{}`\n\n", class.name()).unwrap();
        let (whole, partly): (Vec<_>, Vec<_>) =
            outcome.by_format.iter().partition(|(_, tally)| tally.right == tally.all);
        let names: Vec<String> =
            whole.iter().map(|(name, tally)| format!("{name} ({})", tally.all)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join("; ") };
        writeln!(text, "Always found: {names}.").unwrap();
        table(text, "found", &partly, |tally| (tally.right, tally.all));
    }
}

fn contexts(text: &mut String, outcomes: &[(Class, Outcome)]) {
    text.push_str(
        "\n## Found, by what the identifier stands in\n\nEvery format mixed; `–` where there are no such lines.\n\n| stands in |",
    );
    let mut names: Vec<&String> =
        outcomes.iter().flat_map(|(_, of)| of.by_context.keys()).collect();
    names.sort();
    names.dedup();
    for (class, _) in outcomes {
        write!(text, " `{}` |", class.name()).unwrap();
    }
    write!(text, "\n| --- |{}\n", " ---: |".repeat(outcomes.len())).unwrap();
    for name in names {
        write!(text, "| {name} |").unwrap();
        for (_, outcome) in outcomes {
            match outcome.by_context.get(name) {
                Some(tally) => write!(text, " {} of {} |", tally.right, tally.all).unwrap(),
                None => text.push_str(" – |"),
            }
        }
        text.push('\n');
    }
}

fn false_alarms(text: &mut String, outcomes: &[(Class, Outcome)]) {
    text.push_str("\n## False alarms, by format\n\nKinds of lines that have no identifier and were taken for one.\n");
    for (class, outcome) in outcomes {
        write!(text, "\n### `{}`, falsely\n\n", class.name()).unwrap();
        let some: Vec<_> =
            outcome.by_false_alarm.iter().filter(|(_, tally)| tally.right < tally.all).collect();
        let quiet = outcome.by_false_alarm.len() - some.len();
        writeln!(text, "No alarm for {quiet} of {} kinds of lines.", outcome.by_false_alarm.len())
            .unwrap();
        table(text, "alarms", &some, |tally| (tally.all - tally.right, tally.all));
    }
}

fn table(
    text: &mut String,
    verb: &str,
    rows: &[(&String, &Tally)],
    count: impl Fn(&Tally) -> (u64, u64),
) {
    if rows.is_empty() {
        return;
    }
    write!(text, "\n| format | {verb} | of | for instance |\n| --- | ---: | ---: | --- |\n")
        .unwrap();
    for (name, tally) in rows {
        let (part, all) = count(tally);
        let wrong = tally.wrong.as_deref().unwrap_or_default();
        writeln!(text, "| {name} | {part} | {all} | `{}` |", example(wrong)).unwrap();
    }
}

/// A line that fits into a table's cell: cut in its middle, without the signs that end a cell.
fn example(line: &str) -> String {
    let plain: Vec<char> =
        line.chars().map(|c| if matches!(c, '|' | '`') { '\'' } else { c }).collect();
    if plain.len() <= EXAMPLE_CHARS {
        return plain.iter().collect();
    }
    let half = EXAMPLE_CHARS / 2;
    let head: String = plain.iter().take(half).collect();
    let tail: String = plain.iter().skip(plain.len() - half).collect();
    format!("{head} … {tail}")
}
