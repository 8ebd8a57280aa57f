//! `ward audit verify`: whether a copy of the audit trail is whole, and what is missing, changed or moved in it.
//!
//! It reads files and changes nothing. It says what it found, and plainly what nobody can find in a copy alone: whether
//! anything stood behind an end that no record names, whether a boot is left out as a whole (nothing links one to the next), and
//! whether somebody who may write made the whole chain anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use trail::{Boot, Digest, End, Flaw, Known, Report, Trail};
use ward_policy::limit;

use crate::console::{Console, Failure};

pub mod trail;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find what is missing, changed or moved in a copy. Exit status 0: it is whole and every boot's end is known; 1: it is not
    /// whole; 2: wrong usage; 3: it is whole, but a boot's end is open, so what stood behind it cannot be known.
    Verify(Verify),
}

/// See [`Command::Verify`].
#[derive(Debug, clap::Args)]
struct Verify {
    /// Files with a record a line, in the order in which they were written; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The digest of a record that must be there, known from elsewhere: the standard output of the server, an earlier run.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    expect: Vec<Digest>,
    /// The digest of a record that was verified before: it must be there, or a boot must go on right behind it.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    after: Vec<Digest>,
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| "64 hexadecimal digits in lower case".to_owned())
}

/// Nothing is wrong.
const WHOLE: u8 = 0;
/// Something is.
const NOT_WHOLE: u8 = 1;
/// Nothing is wrong with what is there, and nobody can say whether it is everything.
const OPEN: u8 = 3;

/// Runs the command; the exit status.
///
/// # Errors
/// [`Failure::Usage`] when a file cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<u8, Failure> {
    let Command::Verify(Verify { files, expect, after }) = &arguments.command;
    let set = |digests: &[Digest]| digests.iter().copied().collect::<BTreeSet<_>>();
    let mut trail = Trail::new(Known { expected: set(expect), before: set(after) });
    for path in files {
        read(path, &mut trail).map_err(|error| Failure::file(path, error))?;
    }
    let report = trail.report();
    console.either(&object(&report), &text(&report));
    Ok(status(&report))
}

/// The exit status for a report.
#[must_use]
pub fn status(report: &Report) -> u8 {
    if !report.flaws.is_empty() {
        NOT_WHOLE
    } else if report.boots.iter().any(|boot| boot.end == End::Open) {
        OPEN
    } else {
        WHOLE
    }
}

fn read(path: &Path, trail: &mut Trail) -> std::io::Result<()> {
    if path == Path::new("-") {
        return lines(stdin().lock(), trail);
    }
    lines(BufReader::new(File::open(path)?), trail)
}

/// Gives every line to `trail`; of one that is longer than any record only the beginning, which is none.
fn lines(mut source: impl BufRead, trail: &mut Trail) -> std::io::Result<()> {
    const MOST: usize = limit::LOG_LINE_BYTES_MAX + limit::LOG_CHAIN_BYTES_MAX + 1;
    let mut line = Vec::new();
    let mut is_begun = false;
    loop {
        let chunk = source.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        let room = MOST.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.get(..room).unwrap_or_default());
        is_begun = true;
        let used = part.len().saturating_add(usize::from(end.is_some()));
        source.consume(used);
        if end.is_some() {
            trail.take(&line);
            line.clear();
            is_begun = false;
        }
    }
    if is_begun {
        trail.take(&line);
    }
    Ok(())
}

/// The report in JSON.
#[must_use]
pub fn object(report: &Report) -> Value {
    let gap =
        |gap: &trail::Gap| json!({ "first": gap.first, "last": gap.last, "present": gap.present });
    let boot = |boot: &Boot| {
        json!({
            "boot": boot.boot,
            "first": boot.first,
            "last": boot.last,
            "digest": boot.digest.to_string(),
            "records": boot.records,
            "duplicates": boot.duplicates,
            "gaps": boot.gaps.iter().map(gap).collect::<Vec<_>>(),
            "end": boot.end.code(),
        })
    };
    let flaw = |flaw: &Flaw| {
        json!({
            "kind": flaw.kind.code(),
            "boot": flaw.boot,
            "first": flaw.first,
            "last": flaw.last,
            "line": flaw.line,
            "digest": flaw.digest.map(|digest| digest.to_string()),
        })
    };
    json!({
        "status": status(report),
        "other_lines": report.other_lines,
        "boots": report.boots.iter().map(boot).collect::<Vec<_>>(),
        "flaws": report.flaws.iter().map(flaw).collect::<Vec<_>>(),
    })
}

/// The report in words.
fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for boot in &report.boots {
        let Boot { boot: name, first, last, digest, records, duplicates, gaps, end } = boot;
        writeln!(
            text,
            "boot {name}: {records} records, {first} to {last}, {duplicates} again; {}",
            end.code()
        )
        .unwrap_or_default();
        writeln!(text, "  last record {digest}").unwrap_or_default();
        for trail::Gap { first, last, present } in gaps {
            writeln!(text, "  named as lost: {first} to {last}, of which {present} are here")
                .unwrap_or_default();
        }
        if *end == End::Open {
            writeln!(
                text,
                "  its end is open: it goes on, or was cut off behind {last}; this copy cannot tell"
            )
            .unwrap_or_default();
        }
    }
    if report.other_lines > 0 {
        writeln!(text, "{} lines that are no records", report.other_lines).unwrap_or_default();
    }
    for flaw in &report.flaws {
        writeln!(text, "{}", in_words(flaw)).unwrap_or_default();
    }
    let verdict = match status(report) {
        WHOLE => "whole",
        OPEN => "whole as far as it goes; an end is open",
        _ => "not whole",
    };
    writeln!(text, "{verdict}").unwrap_or_default();
    text
}

fn in_words(flaw: &Flaw) -> String {
    let Flaw { kind, boot, first, last, line, digest } = flaw;
    let mut words = kind.code().to_owned();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            write!(words, " {name} {value}").unwrap_or_default();
        }
    };
    add("boot", boot.clone());
    let range = match (first, last) {
        (Some(first), Some(last)) if first != last => Some(format!("{first} to {last}")),
        (first, _) => first.map(|first| first.to_string()),
    };
    add("record", range);
    add("line", line.map(|line| line.to_string()));
    add("digest", digest.map(|digest| digest.to_string()));
    words
}
