//! What a process has counted since it started: a fold over its events, and nothing else.
//!
//! Every counter belongs to a closed list that is taken from the book of lines, so no name and no label can
//! be made from input, and there are as many counters after a year as at the start. It asks no clock and
//! writes nothing; whoever holds it decides when it is rendered.

use crate::audit::{Event, Fields, Role};
use crate::count::Count;
use crate::limit;
use crate::line::table::{EVENTS, field, number, words};
use crate::line::{Field, Kind, Numbers, Reasons, Shape};
use crate::proof::Proof;

/// Where the buckets of the histogram of call durations end, in seconds; a call counts in the first that it
/// is not longer than. 5 s is the deadline of `start`, so the first holds calls that never began; an hour is
/// the longest call; between them each is two to three times the one before, because the operator asks
/// whether people hang up early, not for the second.
pub const DURATION_BUCKETS_S: [u64; 10] = [5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600];

/// The names of the buckets, then of what is longer than all, then of the sum in milliseconds.
const DURATION_NAMES: &[&str] = &[
    "up_to_5_s",
    "up_to_15_s",
    "up_to_30_s",
    "up_to_60_s",
    "up_to_120_s",
    "up_to_300_s",
    "up_to_600_s",
    "up_to_1200_s",
    "up_to_1800_s",
    "up_to_3600_s",
    LONGER,
    SUM_MS,
];

/// The bucket of calls that are longer than every other.
pub const LONGER: &str = "longer";
/// The sum of all durations, in milliseconds.
pub const SUM_MS: &str = "sum_ms";

/// The family of events that carry no reason, counted by their code. Events with one have a family of their
/// own, named after them and counted by reason.
pub const EVENTS_FAMILY: &str = "events";
/// The family of what was counted in calls that have ended.
pub const COUNTS_FAMILY: &str = "call_counts";
/// The family of the durations of calls that have ended.
pub const DURATION_FAMILY: &str = "call_duration";
/// The family of what accepted upgrades showed: which spelling of the URL was signed, or a ticket.
pub const PROOF_FAMILY: &str = "upgrade_proof";
/// How many calls are live.
pub const CALLS_LIVE: &str = "calls_live";
/// How many lines were not written.
pub const LINES_SUPPRESSED: &str = "lines_suppressed";

/// The line that carries metrics. A process writes several at once when one cannot hold them all: each
/// family is whole in one of them.
pub const METRICS: Shape = Shape {
    code: "metrics",
    about: "What the process has counted since it started; zeros are left out.",
    by: &Role::ALL,
    fields: &FIELDS,
};

/// The fields that are no family: the first of [`FIELDS`].
const PLAIN_FIELDS: usize = 2;
const REASONED: usize = reasoned();
const FAMILIES: usize = REASONED + 4;

const FIELDS: [Field; PLAIN_FIELDS + FAMILIES] = {
    let lines = number(LINES_SUPPRESSED, u64::MAX, "log lines that were not written");
    let mut fields = [lines; PLAIN_FIELDS + FAMILIES];
    fields[0] = number(CALLS_LIVE, u64::MAX, "calls that are live now");
    fields[PLAIN_FIELDS] = family(EVENTS_FAMILY, &PLAIN_CODES, "events without a reason, by code");
    let (mut place, mut next) = (0, PLAIN_FIELDS + 1);
    while place < EVENTS.len() {
        if let Some(reasons) = reasons_of(&EVENTS[place]) {
            fields[next] =
                family(EVENTS[place].code, reasons.codes, "events of this code, by reason");
            next += 1;
        }
        place += 1;
    }
    let counts = words!(Count::ALL, count => count.name());
    fields[next] = family(COUNTS_FAMILY, counts, "what was counted in calls that have ended");
    let about = "calls that have ended, by duration, and the sum of the durations";
    fields[next + 1] = family(DURATION_FAMILY, DURATION_NAMES, about);
    fields[next + 2] = family(PROOF_FAMILY, Proof::WORDS, "accepted upgrades, by what they showed");
    fields
};

const fn family(name: &'static str, names: &'static [&'static str], about: &'static str) -> Field {
    let numbers = Numbers { names, most: u64::MAX, may_be_empty: false };
    Field { is_optional: true, ..field(name, Kind::Numbers(numbers), about) }
}

const fn reasons_of(shape: &Shape) -> Option<Reasons> {
    let mut place = 0;
    while place < shape.fields.len() {
        if let Kind::Reason(reasons) = shape.fields[place].kind {
            return Some(reasons);
        }
        place += 1;
    }
    None
}

const fn reasoned() -> usize {
    let (mut place, mut found) = (0, 0);
    while place < EVENTS.len() {
        if reasons_of(&EVENTS[place]).is_some() {
            found += 1;
        }
        place += 1;
    }
    found
}

const PLAIN_CODES: [&str; EVENTS.len() - REASONED] = {
    let mut codes = [""; EVENTS.len() - REASONED];
    let (mut place, mut next) = (0, 0);
    while place < EVENTS.len() {
        if reasons_of(&EVENTS[place]).is_none() {
            codes[next] = EVENTS[place].code;
            next += 1;
        }
        place += 1;
    }
    codes
};

/// The families, by name and with the names in each.
pub fn families() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    FIELDS.iter().skip(PLAIN_FIELDS).filter_map(|field| match field.kind {
        Kind::Numbers(numbers) => Some((field.name, numbers.names)),
        Kind::Number(_)
        | Kind::Word(_)
        | Kind::Reason(_)
        | Kind::Pseudonym
        | Kind::Digest
        | Kind::SourceFile
        | Kind::VendorId
        | Kind::Layers => None,
    })
}

/// The longest list of names in a family.
const NAMES_MAX: usize = {
    let (mut place, mut most) = (0, 0);
    while place < FIELDS.len() {
        if let Kind::Numbers(numbers) = FIELDS[place].kind
            && numbers.names.len() > most
        {
            most = numbers.names.len();
        }
        place += 1;
    }
    most
};

/// Everything counted since the process started. Counters saturate: none wraps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    calls_live: u64,
    lines_suppressed: u64,
    /// In the order of [`families`] and of the names in each.
    numbers: [[u64; NAMES_MAX]; FAMILIES],
}

impl Default for Metrics {
    fn default() -> Self {
        Self { calls_live: 0, lines_suppressed: 0, numbers: [[0; NAMES_MAX]; FAMILIES] }
    }
}

impl Metrics {
    /// Counts one event, whether or not it is written.
    pub fn note(&mut self, event: &Event) {
        match reason(event) {
            Some(reason) => self.add(event.code(), reason, 1),
            None => self.add(EVENTS_FAMILY, event.code(), 1),
        }
        if let Event::UpgradeAccepted { proof } = event {
            self.calls_live = self.calls_live.saturating_add(1);
            self.add(PROOF_FAMILY, proof.word(), 1);
        } else if let Event::Suppressed { events } = event {
            self.lines_suppressed = self.lines_suppressed.saturating_add(*events);
        } else if let Event::CallEnded { duration_ms, counts, .. } = event {
            self.calls_live = self.calls_live.saturating_sub(1);
            for (name, value) in counts.nonzero() {
                self.add(COUNTS_FAMILY, name, u64::from(value));
            }
            let bucket = DURATION_BUCKETS_S
                .iter()
                .zip(DURATION_NAMES)
                .find(|(seconds, _)| *duration_ms <= seconds.saturating_mul(1_000));
            self.add(DURATION_FAMILY, bucket.map_or(LONGER, |(_, name)| name), 1);
            self.add(DURATION_FAMILY, SUM_MS, *duration_ms);
        }
    }

    /// Every number at its maximum: the longest metrics that there can be.
    #[cfg(any(test, feature = "samples"))]
    #[must_use]
    pub const fn full() -> Self {
        Self {
            calls_live: u64::MAX,
            lines_suppressed: u64::MAX,
            numbers: [[u64::MAX; NAMES_MAX]; FAMILIES],
        }
    }

    fn add(&mut self, family: &str, name: &str, amount: u64) {
        let slot = families().zip(&mut self.numbers).find(|((known, _), _)| *known == family);
        let slot = slot.and_then(|((_, names), numbers)| {
            let place = names.iter().position(|known| *known == name)?;
            numbers.get_mut(place)
        });
        if let Some(slot) = slot {
            *slot = slot.saturating_add(amount);
        }
    }

    /// Appends everything that is not zero as lines of JSON, each with its line feed, by the book and at most
    /// [`limit::METRICS_LINE_BYTES_MAX`] bytes long: nearly always one line.
    ///
    /// `at_ms` is milliseconds since the process started.
    pub fn render(&self, role: Role, at_ms: u64, lines: &mut String) {
        let mut start = lines.len();
        self.begin(role, at_ms, lines);
        for ((family, names), numbers) in families().zip(&self.numbers) {
            let rendered = Self::family(family, names, numbers);
            // What is still to come is the end of the object and the line feed.
            let length = lines.len().saturating_sub(start).saturating_add(rendered.len());
            if length.saturating_add(2) > limit::METRICS_LINE_BYTES_MAX {
                lines.push_str("}\n");
                start = lines.len();
                self.begin(role, at_ms, lines);
            }
            lines.push_str(&rendered);
        }
        lines.push_str("}\n");
    }

    fn begin(&self, role: Role, at_ms: u64, lines: &mut String) {
        // A line begins after the one before it: a piece of its own, so that no comma comes first.
        let mut line = String::new();
        let mut fields = Fields::begin(role, at_ms, METRICS.code, &mut line);
        fields.number(CALLS_LIVE, self.calls_live);
        fields.number(LINES_SUPPRESSED, self.lines_suppressed);
        lines.push_str(&line);
    }

    /// One family with a comma before it, or nothing when all of it is zero.
    fn family(family: &'static str, names: &[&'static str], numbers: &[u64]) -> String {
        let mut text = String::new();
        let nonzero = names.iter().copied().zip(numbers.iter().copied()).filter(|(_, n)| *n > 0);
        if nonzero.clone().next().is_some() {
            Fields::more(&mut text).numbers(family, nonzero);
        }
        text
    }
}

/// The reason that an event carries.
fn reason(event: &Event) -> Option<&'static str> {
    if let Event::Refused { reason, .. } = event {
        Some(reason.code())
    } else if let Event::ConnectionEnded { reason } = event {
        Some(reason.code())
    } else if let Event::SigningFailed { reason } = event {
        Some(reason.code())
    } else if let Event::CertificateRefused { reason } = event {
        Some(reason.code())
    } else if let Event::CertificateFailed { reason, .. } = event {
        Some(reason.code())
    } else if let Event::CallEnded { reason, .. } = event {
        Some(reason.code())
    } else if let Event::VendorRefused { reason, .. } | Event::VendorFailed { reason, .. } = event {
        Some(reason.code())
    } else if let Event::SourceFailed { reason, .. } = event {
        Some(reason.code())
    } else if let Event::VendorCut { reason, .. } | Event::VendorEnded { reason, .. } = event {
        Some(reason.code())
    } else if let Event::ServiceFailed { reason, .. } = event {
        Some(reason.code())
    } else if let Event::SinkFailed { reason, .. } = event {
        Some(reason.code())
    } else if let Event::LineRefused { reason, .. } = event {
        Some(reason.code())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Counts;
    use crate::fault::{CallEnd, Refusal};
    use crate::line::{judge, sample};
    use serde_json::{Map, Value};

    /// The numbers of all lines together, by family.
    fn read(metrics: &Metrics) -> (usize, Map<String, Value>) {
        let mut text = String::new();
        metrics.render(Role::Media, u64::MAX, &mut text);
        let (mut lines, mut all) = (0, Map::new());
        for line in text.lines() {
            assert_eq!(judge(Role::Media, line.as_bytes()), Ok(()), "{line}");
            let object: Map<String, Value> = serde_json::from_str(line).unwrap();
            assert_eq!(object["event"], "metrics");
            lines += 1;
            for (name, value) in object {
                let is_new = all.insert(name.clone(), value).is_none();
                assert!(
                    is_new || !FIELDS.iter().skip(PLAIN_FIELDS).any(|field| field.name == name)
                );
            }
        }
        (lines, all)
    }

    #[test]
    fn the_worst_case_fits_into_lines_that_a_pipe_takes_whole() {
        let mut text = String::new();
        Metrics::full().render(Role::Media, u64::MAX, &mut text);
        for line in text.split_inclusive('\n') {
            assert!(line.len() <= limit::METRICS_LINE_BYTES_MAX, "{}", line.len());
            assert!(line.len() < 4_096 && line.len() < limit::LOG_LINE_BYTES_MAX);
        }
        let (lines, all) = read(&Metrics::full());
        assert!((2..=4).contains(&lines), "{lines}");
        for (family, names) in families() {
            let numbers = all[family].as_object().unwrap();
            assert_eq!(numbers.len(), names.len(), "{family}");
            assert!(numbers.values().all(|number| number.as_u64() == Some(u64::MAX)), "{family}");
        }
        // Every name of every role fits too.
        let longest = Role::ALL.iter().map(|role| role.name().len()).max().unwrap();
        assert!(longest < 4_096 - limit::METRICS_LINE_BYTES_MAX);
    }

    #[test]
    fn nothing_is_one_short_line() {
        let mut text = String::new();
        Metrics::default().render(Role::Sign, 0, &mut text);
        let expected =
            r#"{"at_ms":0,"role":"sign","event":"metrics","calls_live":0,"lines_suppressed":0}"#;
        assert_eq!(text.trim_end(), expected);
    }

    #[test]
    fn every_event_is_counted_once_under_its_code_and_the_reason_that_its_line_has() {
        for event in sample::events() {
            let mut line = String::new();
            event.render(sample::writer(&event), 0, &mut line);
            let line: Value = serde_json::from_str(&line).unwrap();
            let mut metrics = Metrics::default();
            metrics.note(&event);
            let (_, all) = read(&metrics);
            let code = event.code();
            // The one reason of an unsigned upgrade says nothing that its code does not.
            let is_reasoned = line["fault"].is_string();
            let found = if is_reasoned {
                &all[code][line["reason"].as_str().unwrap()]
            } else {
                &all[EVENTS_FAMILY][code]
            };
            assert_eq!(found, 1, "{line}");
            let families = families().filter(|(family, _)| {
                all.contains_key(*family)
                    && ![COUNTS_FAMILY, DURATION_FAMILY, PROOF_FAMILY].contains(family)
            });
            assert_eq!(families.count(), 1, "{line}");
        }
    }

    #[test]
    fn buckets_are_named_after_their_ends_and_hold_what_is_not_longer() {
        assert!(DURATION_BUCKETS_S.is_sorted());
        assert_eq!(DURATION_NAMES.len(), DURATION_BUCKETS_S.len() + 2);
        let end = |duration_ms: u64| {
            let mut metrics = Metrics::default();
            metrics.note(&Event::CallEnded {
                call: None,
                reason: CallEnd::PeerEnded,
                close: 0,
                duration_ms,
                counts: Counts::default(),
            });
            read(&metrics).1[DURATION_FAMILY].as_object().unwrap().clone()
        };
        for (seconds, name) in DURATION_BUCKETS_S.into_iter().zip(DURATION_NAMES) {
            assert_eq!(*name, format!("up_to_{seconds}_s"));
            assert_eq!(end(seconds * 1_000)[*name], 1);
            assert!(!end(seconds * 1_000 + 1).contains_key(*name));
            assert_eq!(end(seconds * 1_000)[SUM_MS], seconds * 1_000);
        }
        assert_eq!(end(u64::MAX)[LONGER], 1);
        assert!(!end(0).contains_key(SUM_MS), "zeros are left out");
    }

    #[test]
    fn sums_gauge_and_suppressed_lines_follow_the_events() {
        let mut counts = Counts::default();
        counts.add(Count::FramesIn, 40);
        let ended = Event::CallEnded {
            call: None,
            reason: CallEnd::Silent,
            close: 1_001,
            duration_ms: 12_000,
            counts,
        };
        let mut metrics = Metrics::default();
        for event in [
            Event::UpgradeAccepted { proof: Proof::Signature(0) },
            Event::UpgradeAccepted { proof: Proof::Ticket },
            Event::UpgradeAccepted { proof: Proof::Signature(0) },
            ended,
            ended,
            Event::Suppressed { events: 7 },
            Event::Suppressed { events: 5 },
            Event::Refused { status: 404, reason: Refusal::Route },
        ] {
            metrics.note(&event);
        }
        let (lines, all) = read(&metrics);
        assert_eq!(lines, 1);
        assert_eq!(all[CALLS_LIVE], 1);
        assert_eq!(all[LINES_SUPPRESSED], 12);
        assert_eq!(all[PROOF_FAMILY]["signature_0"], 2);
        assert_eq!(all[PROOF_FAMILY]["ticket"], 1);
        assert_eq!(all[COUNTS_FAMILY]["frames_in"], 80);
        assert_eq!(all["call_ended"]["silent"], 2);
        assert_eq!(all["refused"]["route"], 1);
        assert_eq!(all[DURATION_FAMILY]["up_to_15_s"], 2);
        assert_eq!(all[DURATION_FAMILY][SUM_MS], 24_000);
    }

    #[test]
    fn counters_saturate() {
        let mut full = Metrics::full();
        full.note(&Event::Suppressed { events: u64::MAX });
        full.note(&Event::UpgradeAccepted { proof: Proof::Signature(0) });
        assert_eq!(full, Metrics::full());
    }
}
