//! What a legal log line is, and the judge that compares a line with it.
//!
//! A role writes lines of its own making into a pipe, and a role that was taken over can write anything. So
//! whoever reads the pipe asks the judge, who knows [`table`] and nothing else: a line is by the book when
//! [`crate::audit::Event::render`] or [`crate::metric::Metrics::render`] could have written exactly these
//! bytes. Ours never escape anything and never use a space, so the judge needs no JSON parser, allocates
//! nothing, and never repeats a byte of what it refuses.
//!
//! There are two forms of a line. [`judge`] takes the inner one, as a role writes it. The log's one writer
//! then puts three fields in front (`boot`, `seq`, `prev`), and [`judge_published`] takes that, as does
//! the published schema, [`schema`].

pub mod schema;
pub mod table;
mod terms;
#[cfg(any(test, feature = "samples"))]
pub mod sample;

use crate::audit::{Role, SourceFile};
use crate::cell::{Layer, Outcome};
pub use crate::fault::LineFault;
use crate::limit;

/// One kind of line: an event, or the metrics.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The stable code, the value of the field `event`.
    pub code: &'static str,
    /// When it is written, in a sentence.
    pub about: &'static str,
    /// Who can write it.
    pub by: &'static [Role],
    /// The fields after `event`, in their order.
    pub fields: &'static [Field],
}

/// One field of a line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What may stand in it.
    pub kind: Kind,
    /// Whether it may be absent.
    pub is_optional: bool,
    /// What it means, with its unit.
    pub about: &'static str,
}

/// What may stand in a field. There is no kind for free text.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number from 0 to this.
    Number(u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A reason and, in a field `fault` of its own after it, who can mend that.
    Reason(Reasons),
    /// A pseudonym: 16 lower-case hexadecimal digits.
    Pseudonym,
    /// The SHA-256 of a record: 64 lower-case hexadecimal digits.
    Digest,
    /// The end of a source file's name: [`SourceFile::CHARS`] letters, digits and `/._-`.
    SourceFile,
    /// A vendor's name in the registry: `[a-z][a-z0-9-]{0,31}`.
    VendorId,
    /// A field for each of [`Layer::ALL`], named after it, with what came of it. The name of this field is
    /// not written.
    Layers,
    /// An object of whole numbers.
    Numbers(Numbers),
}

/// A closed list of reasons: for each place, a code and whose fault it is.
#[derive(Clone, Copy, Debug)]
pub struct Reasons {
    /// The codes.
    pub codes: &'static [&'static str],
    /// Who can mend each.
    pub faults: &'static [&'static str],
}

/// An object with only such of its names as are not zero, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Every name there is.
    pub names: &'static [&'static str],
    /// The largest number; the smallest is 1.
    pub most: u64,
    /// Whether the object may be empty; one that may not is left out instead.
    pub may_be_empty: bool,
}

/// The words in the outcome of a layer.
const OUTCOMES: &[&str] = table::words!(Outcome::ALL, outcome => outcome.name());

/// Says whether `line`, without its line feed, is one that `role` could have written by the book: the inner
/// form, before anything is put in front of it.
///
/// # Errors
/// [`LineFault`]: the first thing that is wrong.
pub fn judge(role: Role, line: &[u8]) -> Result<(), LineFault> {
    judge_by(&table::shape, Some(role), line, limit::LOG_LINE_BYTES_MAX)?;
    Ok(())
}

/// A published line that is by the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Published<'a> {
    /// Which boot, in 16 lower-case hexadecimal digits; absent in the inner form.
    pub boot: Option<&'a str>,
    /// The role that wrote it.
    pub role: Role,
    /// The code of its event.
    pub code: &'static str,
}

/// Says whether `line`, without its line feed, is one that any role could have written, with what the log's
/// writer puts in front or without it.
///
/// # Errors
/// [`LineFault`]: the first thing that is wrong.
pub fn judge_published(line: &[u8]) -> Result<Published<'_>, LineFault> {
    const MOST: usize = limit::LOG_LINE_BYTES_MAX + limit::LOG_CHAIN_BYTES_MAX;
    let (boot, (role, code)) = match line.strip_prefix(b"{\"boot\":") {
        None => (None, judge_by(&table::shape, None, line, limit::LOG_LINE_BYTES_MAX)?),
        Some(chain) => {
            check_bytes(line, MOST)?;
            let mut rest = Rest(chain);
            let boot = chained(&mut rest).ok_or(LineFault::Head)?;
            (Some(boot), judge_rest(&table::shape, None, &mut rest)?)
        }
    };
    Ok(Published { boot, role, code })
}

/// What the log's writer puts in front, after the first name; the boot.
fn chained<'a>(rest: &mut Rest<'a>) -> Option<&'a str> {
    let boot = rest.string().filter(|boot| is_hex(boot, 16))?;
    rest.takes(b",\"seq\":").then_some(())?;
    rest.number()?;
    rest.takes(b",\"prev\":").then_some(())?;
    rest.string().filter(|prev| is_hex(prev, 64))?;
    rest.takes(b",").then_some(())?;
    std::str::from_utf8(boot).ok()
}

/// Finds the shape that a code names.
type Table = dyn Fn(&[u8]) -> Option<&'static Shape>;

fn judge_by(
    table: &Table,
    role: Option<Role>,
    line: &[u8],
    most: usize,
) -> Result<(Role, &'static str), LineFault> {
    check_bytes(line, most)?;
    let mut rest = Rest(line);
    if !rest.takes(b"{") {
        return Err(LineFault::Head);
    }
    judge_rest(table, role, &mut rest)
}

fn check_bytes(line: &[u8], most: usize) -> Result<(), LineFault> {
    if line.len() > most {
        return Err(LineFault::TooLong);
    }
    let is_printable = line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if is_printable { Ok(()) } else { Err(LineFault::NotPrintable) }
}

/// Judges from `"at_ms"` on. Without `role`, any is right.
fn judge_rest(
    table: &Table,
    role: Option<Role>,
    rest: &mut Rest<'_>,
) -> Result<(Role, &'static str), LineFault> {
    let is_timed = rest.takes(b"\"at_ms\":") && rest.number().is_some();
    if !is_timed || !rest.takes(b",\"role\":") {
        return Err(LineFault::Head);
    }
    let word = rest.string().ok_or(LineFault::Head)?;
    let named = Role::ALL.into_iter().find(|known| known.name().as_bytes() == word);
    let named = named.filter(|named| role.is_none_or(|role| role == *named));
    let named = named.ok_or(LineFault::ForeignRole)?;
    if !rest.takes(b",\"event\":") {
        return Err(LineFault::Head);
    }
    let code = rest.string().ok_or(LineFault::Head)?;
    let shape = table(code).ok_or(LineFault::UnknownEvent)?;
    if !shape.by.contains(&named) {
        return Err(LineFault::ForeignEvent);
    }
    if !shape.fields.iter().all(|field| rest.field(field)) || !rest.takes(b"}") {
        return Err(LineFault::WrongField);
    }
    if rest.0.is_empty() { Ok((named, shape.code)) } else { Err(LineFault::Trailing) }
}

/// What is still unread of a line.
#[derive(Debug)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Reads `text` if it comes next.
    fn takes(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// A whole number in its one spelling: no sign, no leading zero, no fraction, no exponent.
    fn number(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.0.split_at_checked(digits)?;
        if text.is_empty() || (text.starts_with(b"0") && text.len() > 1) {
            return None;
        }
        let value = text.iter().try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
        })?;
        self.0 = rest;
        Some(value)
    }

    /// What stands between two quotes. An escape is no part of any word, so it needs no care here.
    fn string(&mut self) -> Option<&'a [u8]> {
        let inside = self.0.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = inside.split_at_checked(end)?;
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    /// Reads `"name":` after a comma, if it comes next.
    fn takes_name(&mut self, name: &str) -> bool {
        let mut ahead = Rest(self.0);
        let is_next = ahead.takes(b",\"") && ahead.takes(name.as_bytes()) && ahead.takes(b"\":");
        if is_next {
            self.0 = ahead.0;
        }
        is_next
    }

    fn word(&mut self, words: &[&str]) -> bool {
        self.string().is_some_and(|text| words.iter().any(|word| word.as_bytes() == text))
    }

    fn field(&mut self, field: &Field) -> bool {
        if let Kind::Layers = field.kind {
            return Layer::ALL
                .iter()
                .all(|layer| self.takes_name(layer.name()) && self.word(OUTCOMES));
        }
        if !self.takes_name(field.name) {
            return field.is_optional;
        }
        match field.kind {
            Kind::Number(most) => self.number().is_some_and(|value| value <= most),
            Kind::Word(words) => self.word(words),
            Kind::Reason(reasons) => self.reason(reasons),
            Kind::Pseudonym => self.string().is_some_and(|text| is_hex(text, 16)),
            Kind::Digest => self.string().is_some_and(|text| is_hex(text, 64)),
            Kind::SourceFile => self.string().is_some_and(is_source_file),
            Kind::VendorId => self.string().is_some_and(is_vendor_id),
            Kind::Layers => false,
            Kind::Numbers(numbers) => self.numbers(numbers),
        }
    }

    fn reason(&mut self, reasons: Reasons) -> bool {
        let Some(code) = self.string() else { return false };
        let known = reasons.codes.iter().zip(reasons.faults);
        let fault = known.into_iter().find(|(known, _)| known.as_bytes() == code);
        fault.is_some_and(|(_, fault)| self.takes_name("fault") && self.word(&[fault]))
    }

    fn numbers(&mut self, numbers: Numbers) -> bool {
        if !self.takes(b"{") {
            return false;
        }
        let mut is_first = true;
        for name in numbers.names {
            let mut ahead = Rest(self.0);
            let is_next = (is_first || ahead.takes(b","))
                && ahead.takes(b"\"")
                && ahead.takes(name.as_bytes())
                && ahead.takes(b"\":");
            if is_next {
                if !ahead.number().is_some_and(|value| (1..=numbers.most).contains(&value)) {
                    return false;
                }
                self.0 = ahead.0;
                is_first = false;
            }
        }
        (numbers.may_be_empty || !is_first) && self.takes(b"}")
    }
}

fn is_hex(text: &[u8], digits: usize) -> bool {
    text.len() == digits && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_source_file(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    text.len() == SourceFile::CHARS && text.iter().all(is_plain)
}

fn is_vendor_id(text: &[u8]) -> bool {
    let Some((first, more)) = text.split_first() else { return false };
    let is_plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    first.is_ascii_lowercase()
        && more.len() < limit::VENDOR_ID_CHARS_MAX
        && more.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;
    use crate::metric::METRICS;
    use std::collections::BTreeSet;

    fn render(event: &Event, role: Role) -> String {
        let mut line = String::new();
        event.render(role, 7, &mut line);
        line.trim_end().to_owned()
    }

    fn fault(line: impl AsRef<[u8]>) -> LineFault {
        judge(Role::Media, line.as_ref()).unwrap_err()
    }

    #[test]
    fn every_event_and_every_word_of_it_is_by_the_book_for_those_who_write_it() {
        let events = sample::events();
        for role in Role::ALL {
            for event in &events {
                let line = render(event, role);
                let by = table::shape(event.code().as_bytes()).unwrap().by;
                let expected =
                    if by.contains(&role) { Ok(()) } else { Err(LineFault::ForeignEvent) };
                assert_eq!(judge(role, line.as_bytes()), expected, "{line}");
                let foreign = Role::ALL.into_iter().filter(|other| *other != role);
                for other in foreign {
                    assert_eq!(judge(other, line.as_bytes()), Err(LineFault::ForeignRole));
                }
            }
        }
        let sampled: BTreeSet<&str> = events.iter().map(Event::code).collect();
        let known: BTreeSet<&str> = table::EVENTS.iter().map(|shape| shape.code).collect();
        assert_eq!(sampled, known);
        assert_eq!(table::EVENTS.len(), known.len(), "no code twice");
    }

    #[test]
    fn every_word_of_the_table_is_sampled() {
        let all: String =
            sample::events().iter().map(|event| render(event, sample::writer(event))).collect();
        for field in table::EVENTS.iter().flat_map(|shape| shape.fields) {
            let words = match field.kind {
                Kind::Word(words) => words,
                Kind::Reason(reasons) => reasons.codes,
                Kind::Layers => OUTCOMES,
                Kind::Numbers(numbers) => numbers.names,
                Kind::Number(_)
                | Kind::Pseudonym
                | Kind::Digest
                | Kind::SourceFile
                | Kind::VendorId => &[],
            };
            for word in words {
                assert!(all.contains(&format!("\"{word}\"")), "{} {word}", field.name);
            }
        }
    }

    #[test]
    fn each_kind_of_wrong_has_its_name() {
        let fine = r#"{"at_ms":7,"role":"media","event":"stopped"}"#;
        assert_eq!(judge(Role::Media, fine.as_bytes()), Ok(()));
        for (line, expected) in [
            ("", LineFault::Head),
            ("free text", LineFault::Head),
            (r#"{"at_ms":07,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{"at_ms":7.0,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{"at_ms":-7,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{"at_ms":,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{"at_ms":18446744073709551616,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{ "at_ms":7,"role":"media","event":"stopped"}"#, LineFault::Head),
            (r#"{"role":"media","at_ms":7,"event":"stopped"}"#, LineFault::Head),
            (r#"{"at_ms":7,"role":"twiml","event":"stopped"}"#, LineFault::ForeignRole),
            (r#"{"at_ms":7,"role":"launcher","event":"stopped"}"#, LineFault::ForeignRole),
            (r#"{"at_ms":7,"role":"media","event":"paused"}"#, LineFault::UnknownEvent),
            (r#"{"at_ms":7,"role":"media","event":"stopped","note":"x"}"#, LineFault::WrongField),
            (r#"{"at_ms":7,"role":"media","event":"draining"}"#, LineFault::WrongField),
            (r#"{"at_ms":7,"role":"media","event":"draining","calls":"1"}"#, LineFault::WrongField),
            (r#"{"at_ms":7,"role":"media","event":"stopped"}}"#, LineFault::Trailing),
            ("{\"at_ms\":7,\"role\":\"media\",\"event\":\"stopped\"}\n", LineFault::NotPrintable),
            (
                "{\"at_ms\":7,\"role\":\"media\",\"event\":\"stopp\u{e9}d\"}",
                LineFault::NotPrintable,
            ),
            // The fault is the reason's own, and what a reason's event is not has no reason.
            (
                r#"{"at_ms":7,"role":"media","event":"connection_ended","reason":"left","fault":"host"}"#,
                LineFault::WrongField,
            ),
            (r#"{"at_ms":7,"role":"media","event":"role_started""#, LineFault::ForeignEvent),
            (
                r#"{"at_ms":7,"role":"media","event":"connection_ended","reason":"silent","fault":"peer"}"#,
                LineFault::WrongField,
            ),
        ] {
            assert_eq!(fault(line), expected, "{line}");
        }
        let long = format!("{fine}{}", " ".repeat(limit::LOG_LINE_BYTES_MAX));
        assert_eq!(fault(long), LineFault::TooLong);
        assert_eq!(fault(b"{\"at_ms\":7\xff"), LineFault::NotPrintable);
    }

    #[test]
    fn fields_that_are_swapped_doubled_taken_away_or_added_are_refused() {
        let mut tried = 0;
        for event in sample::events() {
            let writer = sample::writer(&event);
            let line = render(&event, writer);
            let inside = line.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
            // The object in a line is one field; its own fields are taken in the other test crate.
            let (plain, object) =
                inside.split_once(",\"counts\"").map_or((inside, None), |(a, b)| (a, Some(b)));
            let mut fields: Vec<String> = plain.split(',').map(str::to_owned).collect();
            fields.extend(object.map(|object| format!("\"counts\"{object}")));
            let made = |fields: &[String]| format!("{{{}}}", fields.join(","));
            assert_eq!(made(&fields), line);
            let mut wrong = vec![made(&[&fields[..], &["\"x\":1".to_owned()]].concat())];
            for place in 0..fields.len() {
                let mut doubled = fields.clone();
                doubled.insert(place, fields[place].clone());
                wrong.push(made(&doubled));
                if place > 0 {
                    let mut swapped = fields.clone();
                    swapped.swap(place - 1, place);
                    wrong.push(made(&swapped));
                }
                let is_optional = [
                    ("call_ended", "\"call\""),
                    ("vendor_refused", "\"vendor\""),
                    ("credential_live", "\"credential\""),
                    ("credential_live", "\"audience\""),
                    ("credential_live", "\"expires_in_s\""),
                ]
                .iter()
                .any(|(code, field)| event.code() == *code && fields[place].starts_with(field));
                if !is_optional {
                    let mut fewer = fields.clone();
                    fewer.remove(place);
                    wrong.push(made(&fewer));
                }
            }
            for line in wrong {
                assert!(judge(writer, line.as_bytes()).is_err(), "{line}");
                tried += 1;
            }
        }
        assert!(tried > 1_000, "{tried}");
    }

    #[test]
    fn a_vendor_is_a_short_word() {
        fn table(_code: &[u8]) -> Option<&'static Shape> {
            const VENDOR: Field = table::field("vendor", Kind::VendorId, "which");
            Some(&Shape { code: "x", about: "", by: &Role::ALL, fields: &[VENDOR] })
        }
        let judged = |vendor: &str| {
            let line = format!(r#"{{"at_ms":7,"role":"media","event":"x","vendor":"{vendor}"}}"#);
            judge_by(&table, Some(Role::Media), line.as_bytes(), limit::LOG_LINE_BYTES_MAX)
        };
        for fine in ["a", "deepgram", "a-1-", &format!("a{}", "b".repeat(31))] {
            assert_eq!(judged(fine), Ok((Role::Media, "x")), "{fine}");
        }
        for wrong in ["", "-a", "1a", "A", "a_b", "a b", "a\\u0062", &"a".repeat(33)] {
            assert_eq!(judged(wrong), Err(LineFault::WrongField), "{wrong}");
        }
    }

    #[test]
    fn a_published_line_has_all_three_in_front_or_none() {
        let inner = r#""at_ms":7,"role":"twiml","event":"stopped"}"#;
        let boot = "00000000deadbeef";
        let prev = "0123456789abcdef".repeat(4);
        let line = format!(r#"{{"boot":"{boot}","seq":12,"prev":"{prev}",{inner}"#);
        let published = judge_published(line.as_bytes()).unwrap();
        assert_eq!(published, Published { boot: Some(boot), role: Role::Twiml, code: "stopped" });
        let bare = format!("{{{inner}");
        assert_eq!(judge_published(bare.as_bytes()).unwrap().boot, None);
        // What is put in front is no role's to write.
        assert_eq!(judge(Role::Twiml, line.as_bytes()), Err(LineFault::Head));
        for wrong in [
            line.replace("dead", "DEAD"),
            line.replace("dead", "dea"),
            line.replace("12", "012"),
            line.replace(&prev, boot),
            line.replace("\"seq\":12,", ""),
            line.replace("\"boot\":\"00000000deadbeef\",", ""),
            line.replace("seq", "seQ"),
        ] {
            assert_eq!(judge_published(wrong.as_bytes()), Err(LineFault::Head), "{wrong}");
        }
        let longest = format!(r#"{{"boot":"{boot}","seq":{},"prev":"{prev}","#, u64::MAX);
        assert_eq!(longest.len() - 1, limit::LOG_CHAIN_BYTES_MAX - 1);
        let long = format!("{line}{}", " ".repeat(limit::LOG_LINE_BYTES_MAX + 128));
        assert_eq!(judge_published(long.as_bytes()), Err(LineFault::TooLong));
    }

    #[test]
    fn the_metrics_are_a_line_of_their_own() {
        assert!(table::EVENTS.iter().all(|shape| shape.code != METRICS.code));
        for metrics in sample::metrics() {
            let mut lines = String::new();
            metrics.render(Role::Twiml, u64::MAX, &mut lines);
            for line in lines.lines() {
                assert_eq!(judge(Role::Twiml, line.as_bytes()), Ok(()), "{line}");
                assert_eq!(judge_published(line.as_bytes()).unwrap().code, "metrics");
            }
        }
        let head =
            r#"{"at_ms":7,"role":"media","event":"metrics","calls_live":0,"lines_suppressed":0"#;
        for (rest, is_fine) in [
            ("}", true),
            (r#","events":{"started":1,"stopped":2}}"#, true),
            (r#","events":{"stopped":2,"started":1}}"#, false),
            (r#","events":{"started":1,}}"#, false),
            (r#","events":{"started":0}}"#, false),
            (r#","events":{}}"#, false),
            (r#","events":{"started":18446744073709551616}}"#, false),
            (r#","refused":{"route":1},"events":{"started":1}}"#, false),
            (r#","refused":{"nonsense":1}}"#, false),
        ] {
            let line = format!("{head}{rest}");
            assert_eq!(judge(Role::Media, line.as_bytes()).is_ok(), is_fine, "{line}");
        }
    }
}
