//! `docs/recognition.md`: what the stand-in for recognition makes of four voices, right and wrong.
//!
//! It holds no time and no machine: the figures are the same wherever they are made. It leaves no error out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Row;

/// How the document is made anew.
pub(crate) const REGENERATE: &str = "`cargo test -p ward-tests --test vendors recognition`, then `cp target/recognition.md docs/recognition.md`";

const HEAD: &str = "# What the recognition stand-in hears

The demo and the tests speak with a stand-in for a recognition vendor, `tests/vendors/asr.py`: pocketsphinx 5.1.1 with the
acoustic model of its wheel. Here is what it makes of flite 2.2's voices after 8 kHz µ-law, as a call brings it: 0.2 s of quiet,
the sentence, 1 s of quiet, found by the same endpointing (300 ms) as on the wire. It says how far a spoken test can be
trusted, and nothing about any vendor's recogniser or about people's speech: these are clean synthetic voices.

- **grammar**: `tests/vendors/clinic.gram`, what callers of a clinic say. A grammar forces whatever it hears into its sentences, so
  three rules reject what is none (`tests/vendors/speech.py`): the words must be a whole sentence, fill the time in which there is
  speech, and sound nearly as likely as free phones. What is rejected comes out as nothing.
- **open**: the wheel's trigram model, any words of its dictionary. Closer to a vendor in what it can hear, further in how well.

The rules and their limits were chosen with the sets that say so. The *new* sets were written after that and changed nothing, so
they are the ones to believe; the open model was tried on those alone.

*Word error rate*: words put in, left out or replaced, of the words said. *Booked*: by the dialogue of `tests/vendors/dialogue.py`, as
the first thing said, or in answer to \"Is that right?\", where a false yes would do harm.
";

/// Words put in, left out or replaced between two sentences: Levenshtein's distance.
pub(crate) fn errors(said: &str, heard: &str) -> usize {
    let heard: Vec<&str> = heard.split_whitespace().collect();
    let mut costs: Vec<usize> = (0..=heard.len()).collect();
    for (row, word) in said.split_whitespace().enumerate() {
        let mut before = costs[0];
        costs[0] = row + 1;
        for column in 0..heard.len() {
            let replaced = before + usize::from(word != heard[column]);
            before = costs[column + 1];
            costs[column + 1] = replaced.min(before + 1).min(costs[column] + 1);
        }
    }
    costs[heard.len()]
}

/// The figures of some sentences.
#[derive(Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) sentences: usize,
    pub(crate) exact: usize,
    pub(crate) nothing: usize,
    pub(crate) booked: usize,
    pub(crate) words: usize,
    pub(crate) errors: usize,
}

impl Tally {
    fn add(&mut self, row: &Row) {
        self.sentences += 1;
        self.exact += usize::from(row.said == row.heard);
        self.nothing += usize::from(row.heard.is_empty());
        self.booked += usize::from(row.books);
        self.words += row.said.split_whitespace().count();
        self.errors += errors(&row.said, &row.heard);
    }

    pub(crate) fn error_rate(self) -> f64 {
        self.errors as f64 / self.words as f64
    }
}

/// The figures by (set, model, voice).
pub(crate) fn tallies(rows: &[Row]) -> BTreeMap<(String, String, String), Tally> {
    let mut all: BTreeMap<_, Tally> = BTreeMap::new();
    for row in rows {
        all.entry((row.set.clone(), row.model.clone(), row.voice.clone())).or_default().add(row);
    }
    all
}

/// The whole document.
pub(crate) fn document(rows: &[Row]) -> String {
    let mut text = format!("{HEAD}\nMade by {REGENERATE}; do not edit.\n");
    let tallies = tallies(rows);
    text.push_str(
        "\n## Sentences of the clinic\n\n| set | model | voice | sentences | exact | nothing | word error rate |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for ((set, model, voice), tally) in &tallies {
        if set.starts_with("clinic") {
            writeln!(
                text,
                "| {set} | {model} | {voice} | {} | {} | {} | {:.2} |",
                tally.sentences,
                tally.exact,
                tally.nothing,
                tally.error_rate()
            )
            .unwrap();
        }
    }
    text.push_str(
        "\n## Other sentences\n\n| set | model | voice | sentences | came out as nothing | as other words | booked |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: |\n",
    );
    for ((set, model, voice), tally) in &tallies {
        if set.starts_with("unrelated") {
            let other = tally.sentences - tally.nothing;
            writeln!(
                text,
                "| {set} | {model} | {voice} | {} | {} | {other} | {} |",
                tally.sentences, tally.nothing, tally.booked
            )
            .unwrap();
        }
    }
    text.push_str(
        "\n## Every mistake of the grammar\n\n`–` is nothing.\n\n| set | voice | said | heard |\n| --- | --- | --- | --- |\n",
    );
    for row in rows {
        let is_clinic = row.set.starts_with("clinic");
        let is_wrong = if is_clinic { row.said != row.heard } else { !row.heard.is_empty() };
        if row.model == "grammar" && is_wrong {
            let heard = if row.heard.is_empty() { "–" } else { &row.heard };
            writeln!(text, "| {} | {} | {} | {heard} |", row.set, row.voice, row.said).unwrap();
        }
    }
    text
}
