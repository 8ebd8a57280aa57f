//! A copy of the audit trail, put together from lines in the order in which they are found: what is whole in it, and what
//! is not.
//!
//! It takes bytes and gives flaws; it reads no file. It goes by the chain alone: what a record says is not judged, but for
//! records that name a gap or an end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ring::digest::{SHA256, digest};
use serde_json::Value;
use ward_policy::limit;

/// SHA-256 of a record, from its first brace to its last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// What the first record of a boot names as its predecessor.
    const NONE: Self = Self([0; 32]);

    /// The digest that `text` spells: 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut pairs = text.as_bytes().chunks_exact(2);
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
            b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
            _ => None,
        };
        for slot in &mut bytes {
            let [high, low] = pairs.next()? else { return None };
            *slot = digit(*high)? << 4 | digit(*low)?;
        }
        (text.len() == 64).then_some(Self(bytes))
    }

    fn of(line: &[u8]) -> Self {
        Self(digest(&SHA256, line).as_ref().try_into().unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What can be wrong with a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No record at all.
    Empty,
    /// A line that begins as a record does and is none: it has no place in a chain, is too long, or has no end.
    NoRecord,
    /// Records that are not there, and that no record names as lost.
    Missing,
    /// A record is not what the one behind it, or one that names a gap, says it was.
    Changed,
    /// Two records that differ have the same number.
    Conflict,
    /// A record stands behind one with a higher number, and not for the second time.
    Moved,
    /// A record stands behind the one that says that it is the last.
    AfterTheEnd,
    /// An expected digest is no record's; or nothing in the copy is, or stands behind, the record that it is to begin behind.
    NotThere,
}

impl Kind {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoRecord => "no_record",
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Conflict => "conflict",
            Self::Moved => "moved",
            Self::AfterTheEnd => "after_the_end",
            Self::NotThere => "not_there",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// What is wrong.
    pub kind: Kind,
    /// In which boot, if that is known.
    pub boot: Option<String>,
    /// The number of the first record that it is about.
    pub first: Option<u64>,
    /// The number of the last.
    pub last: Option<u64>,
    /// The line, counted from 1 through all files.
    pub line: Option<u64>,
    /// The digest that is not there.
    pub digest: Option<Digest>,
}

impl Flaw {
    const fn new(kind: Kind) -> Self {
        Self { kind, boot: None, first: None, last: None, line: None, digest: None }
    }
}

/// Records that the log named as lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// How many of them are there all the same: all of them, in a copy that did not come through the sink.
    pub present: u64,
}

/// How the copy of one boot ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With the record that says so.
    Closed,
    /// With a record whose digest was expected.
    Expected,
    /// With any other: the boot goes on, or it was cut off. Nothing in the copy can tell.
    Open,
}

impl End {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Expected => "expected",
            Self::Open => "open",
        }
    }
}

/// What there is of one boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// Its name.
    pub boot: String,
    /// The number of its first record.
    pub first: u64,
    /// The number of its last.
    pub last: u64,
    /// The digest of its last record.
    pub digest: Digest,
    /// How many different records there are.
    pub records: u64,
    /// How many more lines are a record again.
    pub duplicates: u64,
    /// What it names as lost.
    pub gaps: Vec<Gap>,
    /// How it ends.
    pub end: End,
}

/// Everything that can be said about a copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// In the order in which they begin.
    pub boots: Vec<Boot>,
    /// Lines that do not begin as a record does, which the launcher prints too. No record is hidden among them: it would be
    /// missing.
    pub other_lines: u64,
    /// Empty when nothing is wrong.
    pub flaws: Vec<Flaw>,
}

/// What is known from elsewhere.
#[derive(Clone, Default, Debug)]
pub struct Known {
    /// Digests of records that must be there.
    pub expected: BTreeSet<Digest>,
    /// Digests of records that were verified before. Each is a record's in the copy, or a boot begins right behind it.
    pub before: BTreeSet<Digest>,
}

/// A copy, as far as it has been read.
#[derive(Debug, Default)]
pub struct Trail {
    known: Known,
    lines: u64,
    other_lines: u64,
    boots: Vec<Reading>,
    flaws: Vec<Flaw>,
}

/// A boot, as far as it has been read.
#[derive(Debug)]
struct Reading {
    boot: String,
    records: BTreeMap<u64, Record>,
    duplicates: u64,
    gaps: Vec<(Gap, Digest)>,
    /// The number of the record that says that it is the last.
    closed: Option<u64>,
    highest: u64,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    previous: Digest,
    digest: Digest,
}

/// The place of a record: boot, number, predecessor.
fn place(line: &[u8]) -> Option<(&str, u64, Digest)> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_prefix("{\"boot\":\"")?;
    let (boot, rest) = rest.split_at_checked(16)?;
    let is_hex = boot.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let rest = rest.strip_prefix("\",\"seq\":").filter(|_rest| is_hex)?;
    let (number, rest) = rest.split_once(",\"prev\":\"")?;
    let (previous, rest) = rest.split_at_checked(64)?;
    let is_plain = !number.starts_with('+') && (number == "0" || !number.starts_with('0'));
    let is_whole = rest.starts_with("\",") && rest.ends_with('}') && is_plain;
    let number = number.parse().ok().filter(|_number| is_whole)?;
    Some((boot, number, Digest::parse(previous)?))
}

impl Trail {
    /// An empty copy.
    #[must_use]
    pub fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    /// Takes the next line, without its line feed.
    pub fn take(&mut self, line: &[u8]) {
        const MOST: usize = limit::LOG_LINE_BYTES_MAX + limit::LOG_CHAIN_BYTES_MAX;
        self.lines = self.lines.saturating_add(1);
        let at = Some(self.lines);
        if !line.starts_with(b"{") {
            self.other_lines = self.other_lines.saturating_add(1);
            return;
        }
        let place = place(line).filter(|_place| line.len() <= MOST);
        let Some((boot, sequence, previous)) = place else {
            self.flaws.push(Flaw { line: at, ..Flaw::new(Kind::NoRecord) });
            return;
        };
        let record = Record { previous, digest: Digest::of(line) };
        let reading = match self.boots.iter().position(|reading| reading.boot == boot) {
            Some(known) => self.boots.get_mut(known),
            None => {
                self.boots.push(Reading::new(boot));
                self.boots.last_mut()
            }
        };
        let kind = reading.and_then(|reading| reading.take(sequence, record, line));
        if let Some(kind) = kind {
            let (boot, number) = (Some(boot.to_owned()), Some(sequence));
            let place = Flaw { boot, first: number, last: number, ..Flaw::new(kind) };
            self.flaws.push(Flaw { line: at, ..place });
        }
    }

    /// What there is to say when every line has been taken.
    #[must_use]
    pub fn report(self) -> Report {
        let Self { known, boots, other_lines, mut flaws, .. } = self;
        if boots.is_empty() {
            flaws.push(Flaw::new(Kind::Empty));
        }
        let all: BTreeSet<Digest> =
            boots.iter().flat_map(|boot| boot.records.values().map(|one| one.digest)).collect();
        let behind = known.before.iter().filter(|digest| !all.contains(*digest));
        // One that nothing stands behind: the boot that it is of was left out, and nothing but its digest can tell.
        let behind = behind.filter(|digest| !boots.iter().any(|boot| boot.begins_behind(digest)));
        for digest in known.expected.difference(&all).chain(behind) {
            let digest = Some(*digest);
            flaws.push(Flaw { digest, ..Flaw::new(Kind::NotThere) });
        }
        let boots = boots.into_iter().filter_map(|boot| boot.judge(&known, &mut flaws)).collect();
        Report { boots, other_lines, flaws }
    }
}

/// Whether the record `sequence` may name these as lost. Its writer writes it in the place of the first record that finds room
/// again, so the last of them stands right before it, where the chain goes on; one that stands anywhere else was added by
/// somebody who wants something to be believed lost. Only the beginning of a boot has nothing before it.
fn is_credible(first: u64, last: u64, before: Digest, sequence: u64) -> bool {
    first <= last
        && last.checked_add(1) == Some(sequence)
        && (first == 0) == (before == Digest::NONE)
}

impl Reading {
    fn new(boot: &str) -> Self {
        let (boot, records) = (boot.to_owned(), BTreeMap::new());
        Self { boot, records, duplicates: 0, gaps: Vec::new(), closed: None, highest: 0 }
    }

    fn take(&mut self, sequence: u64, record: Record, line: &[u8]) -> Option<Kind> {
        if let Some(known) = self.records.get(&sequence) {
            if known.digest == record.digest {
                self.duplicates = self.duplicates.saturating_add(1);
                return None;
            }
            return Some(Kind::Conflict);
        }
        let is_behind = sequence < self.highest;
        self.highest = self.highest.max(sequence);
        self.records.insert(sequence, record);
        self.note(sequence, line);
        is_behind.then_some(Kind::Moved)
    }

    /// Keeps what the log's writer says about the chain itself.
    fn note(&mut self, sequence: u64, line: &[u8]) {
        let is_about_the_chain = |line: &[u8]| {
            let is_there = |what: &[u8]| line.windows(what.len()).any(|part| part == what);
            is_there(b"\"role\":\"log\",\"event\":\"log_")
        };
        if !is_about_the_chain(line) {
            return;
        }
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        match event["event"].as_str() {
            Some("log_closed") => self.closed = Some(sequence),
            Some("log_gap") => {
                let before = event["before"].as_str().and_then(Digest::parse);
                let ends = (event["first"].as_u64(), event["last"].as_u64(), before);
                if let (Some(first), Some(last), Some(before)) = ends
                    && is_credible(first, last, before, sequence)
                {
                    self.gaps.push((Gap { first, last, present: 0 }, before));
                }
            }
            _ => {}
        }
    }

    /// Whether some record names all of these as lost. Of what it names either everything is there or nothing: a copy that came
    /// through the sink has nothing of it, and whoever has a part has thrown away the rest.
    fn is_named(&self, first: u64, last: u64) -> bool {
        self.gaps.iter().any(|(gap, _)| gap.present == 0 && gap.first <= first && gap.last >= last)
    }

    /// Whether the first record stands right behind the one with `digest`, or names what stood between as lost.
    fn begins_behind(&self, digest: &Digest) -> bool {
        let Some((&first, begin)) = self.records.first_key_value() else { return false };
        let names = |(gap, before): &(Gap, Digest)| {
            before == digest && gap.last.checked_add(1) == Some(first)
        };
        // What the first of all names is no record's digest.
        first > 0 && (begin.previous == *digest || self.gaps.iter().any(names))
    }

    fn judge(mut self, known: &Known, flaws: &mut Vec<Flaw>) -> Option<Boot> {
        for (gap, _before) in &mut self.gaps {
            let present = self.records.range(gap.first..=gap.last).count();
            gap.present = u64::try_from(present).unwrap_or(u64::MAX);
        }
        let boot = Some(self.boot.clone());
        let mut find = |kind, first, last| {
            let (first, last) = (Some(first), Some(last));
            flaws.push(Flaw { boot: boot.clone(), first, last, ..Flaw::new(kind) });
        };
        let (&first, &begin) = self.records.first_key_value()?;
        let (&last, &end) = self.records.last_key_value()?;
        if first == 0 {
            if begin.previous != Digest::NONE {
                find(Kind::Changed, 0, 0);
            }
        } else if !known.before.iter().any(|digest| self.begins_behind(digest))
            && !self.is_named(0, first - 1)
        {
            find(Kind::Missing, 0, first - 1);
        }
        let pairs = self.records.iter().zip(self.records.iter().skip(1));
        let mut changed = BTreeSet::new();
        for ((&number, record), (&next, following)) in pairs {
            if next == number + 1 {
                if following.previous != record.digest {
                    changed.insert(number);
                }
            } else if !self.is_named(number + 1, next - 1) {
                find(Kind::Missing, number + 1, next - 1);
            }
        }
        for (gap, before) in &self.gaps {
            let behind = gap.first.checked_sub(1);
            let said = behind.and_then(|behind| Some((behind, self.records.get(&behind)?)));
            changed.extend(said.filter(|(_, one)| one.digest != *before).map(|(behind, _)| behind));
        }
        for number in changed {
            find(Kind::Changed, number, number);
        }
        if let Some(closed) = self.closed.filter(|closed| *closed < last) {
            find(Kind::AfterTheEnd, closed + 1, last);
        }
        let end_of_it = match self.closed {
            Some(closed) if closed == last => End::Closed,
            _ if known.expected.contains(&end.digest) => End::Expected,
            _ => End::Open,
        };
        Some(Boot {
            boot: self.boot,
            first,
            last,
            digest: end.digest,
            records: u64::try_from(self.records.len()).unwrap_or(u64::MAX),
            duplicates: self.duplicates,
            gaps: self.gaps.into_iter().map(|(gap, _before)| gap).collect(),
            end: end_of_it,
        })
    }
}

#[cfg(test)]
mod tests;
