//! The judge of log lines against the published schema, which somebody else's validator reads.
//!
//! Both must say the same of thousands of lines, rightful and damaged. What a schema cannot say (the order of
//! fields, that none comes twice, spaces, the spelling of a number or a letter) is taken out of a line
//! first, by a routine that knows the schema and not the judge.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jsonschema::Validator;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use ward_policy::audit::{Event, Role};
use ward_policy::line::{judge, judge_published, sample, table};
use ward_tests::binaries::root;
use ward_tests::random::Random;

/// Random damage beside the systematic one.
const RANDOM_LINES: usize = 20_000;

/// What stands in front of a line once it is kept.
const CHAIN: &str = r#"{"boot":"00000000deadbeef","seq":4711,"prev":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","#;

/// JSON with the order of its fields, and with fields that come twice.
#[derive(Debug, Clone, PartialEq)]
enum Ordered {
    Plain(Value),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Plain(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered::Plain(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered::Plain(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
                Ok(Ordered::Plain(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
                Ok(Ordered::Plain(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Plain(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = list.next_element()? {
                    all.push(item);
                }
                Ok(Ordered::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut all = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    all.push(pair);
                }
                Ok(Ordered::Object(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Ordered {
    fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(pairs) = self else { return None };
        // The last of several stands, as it does for everybody who reads JSON into a map.
        pairs.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn as_str(&self) -> Option<&str> {
        let Self::Plain(Value::String(text)) = self else { return None };
        Some(text)
    }
}

/// The schema: as its validator has it, and as it stands in the file.
struct Schema {
    validator: Validator,
    ordered: Ordered,
}

impl Schema {
    fn published() -> Self {
        Self::of(&std::fs::read_to_string(path()).unwrap())
    }

    fn of(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(jsonschema::meta::is_valid(&value), "no valid schema");
        let validator = jsonschema::draft202012::new(&value).unwrap();
        Self { validator, ordered: serde_json::from_str(text).unwrap() }
    }

    /// `line` as the schema allows it to be written in one way only; `None` when it does not allow it.
    fn normal(&self, line: &[u8]) -> Option<String> {
        let value: Value = serde_json::from_slice(line).ok()?;
        if !self.validator.is_valid(&value) {
            return None;
        }
        let line: Ordered = serde_json::from_slice(line).unwrap();
        let Some(event) = line.get("event").and_then(Ordered::as_str) else {
            // Only a broken schema lets that through; there is no way to write it then.
            return Some(String::new());
        };
        let definition = self.ordered.get("$defs").unwrap().get(event).unwrap();
        Some(rewritten(&line, definition))
    }

    /// Whether judge and schema say the same of a line, and what they say.
    fn compare(&self, line: &[u8]) -> Result<Verdict, String> {
        let shown = || line.escape_ascii().to_string();
        let judged = Role::ALL.into_iter().any(|role| judge(role, line).is_ok());
        let mut kept = line.to_vec();
        if line.starts_with(b"{") {
            kept.splice(..1, CHAIN.bytes());
        }
        if judge_published(&kept).is_ok() != judged && line.starts_with(b"{") {
            return Err(format!("as kept and as written: {}", shown()));
        }
        let Some(normal) = self.normal(&kept) else {
            return if judged {
                Err(format!("judge only: {}", shown()))
            } else {
                Ok(Verdict::Refused)
            };
        };
        if judge_published(normal.as_bytes()).is_err() {
            return Err(format!("schema only: {}", shown()));
        }
        match (judged, normal.as_bytes() == kept) {
            (true, true) => Ok(Verdict::Accepted),
            (false, false) => Ok(Verdict::Unsayable),
            (true, false) => Err(format!("judge takes another spelling: {}", shown())),
            (false, true) => Err(format!("schema only: {}", shown())),
        }
    }
}

/// What both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Accepted,
    Refused,
    /// Refused by the judge for what a schema cannot say.
    Unsayable,
}

/// The fields in the order of `definition`, each once, without spaces, numbers plain.
fn rewritten(line: &Ordered, definition: &Ordered) -> String {
    let Some(Ordered::Object(properties)) = definition.get("properties") else {
        return match line {
            Ordered::Plain(Value::Number(number)) if number.is_f64() => {
                // The schema has said that it is whole and in range; u64 holds it.
                format!("{:.0}", number.as_f64().unwrap().abs())
            }
            Ordered::Plain(value) => value.to_string(),
            Ordered::Array(_) | Ordered::Object(_) => panic!("{line:?}"),
        };
    };
    let known = properties.iter().filter_map(|(name, inner)| {
        let value = line.get(name)?;
        Some(format!("\"{name}\":{}", rewritten(value, inner)))
    });
    // What a schema that is not closed lets through stays, to be refused by the judge.
    let Ordered::Object(pairs) = line else { panic!("{line:?}") };
    let foreign =
        pairs.iter().filter(|(name, _)| !properties.iter().any(|(known, _)| known == name));
    let foreign = foreign.map(|(name, value)| format!("\"{name}\":{value:?}"));
    format!("{{{}}}", known.chain(foreign).collect::<Vec<_>>().join(","))
}

fn path() -> PathBuf {
    root().join("policy/log.schema.json")
}

/// Every sample as a line, for every role that can write it.
fn samples() -> Vec<String> {
    let mut lines = Vec::new();
    for role in Role::ALL {
        let by_role = |event: &Event| {
            table::shape(event.code().as_bytes()).is_some_and(|shape| shape.by.contains(&role))
        };
        for event in sample::events().into_iter().filter(by_role) {
            let mut line = String::new();
            event.render(role, 7, &mut line);
            lines.push(line.trim_end().to_owned());
        }
        for metrics in sample::metrics() {
            let mut text = String::new();
            metrics.render(role, u64::MAX, &mut text);
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines
}

/// One short line of each kind.
fn shortest() -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for line in samples() {
        let value: Value = serde_json::from_str(&line).unwrap();
        let known = found
            .entry(value["event"].as_str().unwrap().to_owned())
            .or_insert_with(|| line.clone());
        if line.len() < known.len() {
            *known = line;
        }
    }
    assert_eq!(found.len(), table::shapes().count());
    found.into_values().collect()
}

/// Every byte taken away, doubled, and replaced.
fn damaged_everywhere(line: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for place in 0..line.len() {
        let mut fewer = line.as_bytes().to_vec();
        fewer.remove(place);
        all.push(fewer);
        let mut doubled = line.as_bytes().to_vec();
        doubled.insert(place, line.as_bytes()[place]);
        all.push(doubled);
        for byte in *b"\"09,:} a\xff" {
            let mut changed = line.as_bytes().to_vec();
            changed[place] = byte;
            all.push(changed);
        }
    }
    all
}

/// Damage of a kind that keeps more of a line than chance would.
fn damaged(line: &str, random: &mut Random) -> Vec<u8> {
    const PIECES: &[&str] = &[
        ",\"x\":1",
        ",\"events\":3",
        " ",
        "\t",
        "\\u0061",
        "\\\"",
        ".0",
        "e1",
        "E+0",
        "-",
        "-0",
        "0",
        "1",
        "18446744073709551615",
        "18446744073709551616",
        "4294967296",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\"call\":\"0011223344556677\",",
        ",\"fault\":\"peer\"",
        "\"peer\"",
        "\"bug\"",
        "signature_wrong",
    ];
    let mut bytes = line.as_bytes().to_vec();
    // Where something of the line ends, and something else may stand.
    let seams: Vec<usize> =
        (1..line.len()).filter(|place| b",:{}\"".contains(&bytes[*place])).collect();
    let seam = |random: &mut Random| seams[random.below(seams.len())];
    let inside = line[1..line.len() - 1].to_owned();
    let mut fields: Vec<&str> = inside.split(',').collect();
    match random.below(6) {
        0 => {
            let at = seam(random);
            bytes.splice(at..at, random.pick(PIECES).bytes());
        }
        1 => {
            let (one, other) = (seam(random), seam(random));
            bytes.drain(one.min(other)..one.max(other));
        }
        2 => {
            // A value becomes another.
            let place = random.below(fields.len());
            let (name, _) = fields[place].split_once(':').unwrap();
            let changed = format!("{name}:{}", random.pick(PIECES));
            fields[place] = &changed;
            return format!("{{{}}}", fields.join(",")).into_bytes();
        }
        3 => {
            let (one, other) = (random.below(fields.len()), random.below(fields.len()));
            fields.swap(one, other);
            return format!("{{{}}}", fields.join(",")).into_bytes();
        }
        4 => {
            let place = random.below(fields.len());
            fields.insert(random.below(fields.len() + 1), fields[place]);
            return format!("{{{}}}", fields.join(",")).into_bytes();
        }
        _ => {
            let at = random.below(bytes.len());
            bytes[at] = b' ' + u8::try_from(random.below(95)).unwrap();
        }
    }
    bytes
}

/// A line with every fault that is not its reason's: too rare a damage to be left to chance.
fn with_other_faults(line: &str) -> Vec<Vec<u8>> {
    let all = ["peer", "operator", "host", "bug"].map(|fault| format!("\"fault\":\"{fault}\""));
    let own = all.iter().find(|fault| line.contains(*fault));
    let others = all.iter().filter(|fault| own.is_some_and(|own| own != *fault));
    others.map(|other| line.replace(own.unwrap(), other).into_bytes()).collect()
}

fn damaged_lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> =
        shortest().iter().flat_map(|line| damaged_everywhere(line)).collect();
    let samples = samples();
    lines.extend(samples.iter().flat_map(|line| with_other_faults(line)));
    let mut random = Random(0x5EED_10C5_11C0_FFEE);
    for _ in 0..RANDOM_LINES {
        let line = &samples[random.below(samples.len())];
        lines.push(damaged(line, &mut random));
    }
    lines.extend(samples.iter().flat_map(|line| blamed_on_others(line)));
    lines
}

/// The line with its fault replaced by each of the others: reason and fault go together.
fn blamed_on_others(line: &str) -> Vec<Vec<u8>> {
    let faults = ["peer", "operator", "host", "bug"].map(|name| format!("\"fault\":\"{name}\""));
    let Some(own) = faults.iter().find(|fault| line.contains(fault.as_str())) else {
        return Vec::new();
    };
    let others = faults.iter().filter(|fault| *fault != own);
    others.map(|other| line.replace(own.as_str(), other).into_bytes()).collect()
}

#[test]
fn judge_and_schema_say_the_same_of_every_line() {
    let schema = Schema::published();
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    let samples = samples();
    for line in &samples {
        assert_eq!(schema.compare(line.as_bytes()), Ok(Verdict::Accepted), "{line}");
    }
    let damaged = damaged_lines();
    for line in &damaged {
        let verdict = schema.compare(line).unwrap_or_else(|said| panic!("{said}"));
        *counts.entry(verdict).or_default() += 1;
    }
    println!(
        "{} samples accepted by both; of {} damaged lines {} still accepted by both, {} refused by both, {} \
         refused by the judge alone for order, repetition or spelling",
        samples.len(),
        damaged.len(),
        counts[&Verdict::Accepted],
        counts[&Verdict::Refused],
        counts[&Verdict::Unsayable],
    );
    assert!(samples.len() > 400 && damaged.len() > 30_000);
    assert!(counts[&Verdict::Accepted] > 100 && counts[&Verdict::Unsayable] > 500);
    assert!(counts[&Verdict::Refused] > 10 * counts[&Verdict::Accepted]);
}

#[test]
fn what_a_schema_cannot_say_is_known() {
    let schema = Schema::published();
    let line = r#"{"at_ms":7,"role":"media","event":"refused","status":403,"reason":"route","fault":"peer"}"#;
    assert_eq!(schema.compare(line.as_bytes()), Ok(Verdict::Accepted));
    for (from, to) in [
        (",\"status\"", ", \"status\""),
        ("\"status\":403,\"reason\":\"route\"", "\"reason\":\"route\",\"status\":403"),
        ("\"status\":403", "\"status\":403,\"status\":403"),
        ("403", "403.0"),
        ("403", "4.03e2"),
        ("route", "r\\u006fute"),
        ("\"fault\":\"peer\"}", "\"fault\":\"peer\"} "),
    ] {
        let other = line.replacen(from, to, 1);
        assert_eq!(schema.compare(other.as_bytes()), Ok(Verdict::Unsayable), "{other}");
    }
}

/// Takes something of the schema away; the lines must show it.
#[test]
fn a_schema_that_says_less_or_more_is_noticed() {
    let text = std::fs::read_to_string(path()).unwrap();
    let lines = damaged_lines();
    for (from, to) in [
        ("\"maximum\": 599", "\"maximum\": 600000"),
        ("\"additionalProperties\": false", "\"additionalProperties\": true"),
        ("\"fault\": { \"const\": \"peer\" }", "\"fault\": true"),
        ("^[0-9a-f]*$", "^.*$"),
        ("\"minProperties\": 1,", ""),
        ("\"maxLength\": 16,", ""),
        ("\"signing_late\", \"signing_gone\"", "\"signing_late\""),
        (
            "\"required\": [\"boot\", \"seq\", \"prev\", \"at_ms\", \"role\", \"event\", \"workers\"]",
            "\"required\": []",
        ),
    ] {
        let other = text.replace(from, to);
        assert_ne!(other, text, "{from} is nowhere in the schema");
        let schema = Schema::of(&other);
        let samples = samples();
        let mut all = samples.iter().map(String::as_bytes).chain(lines.iter().map(Vec::as_slice));
        let is_noticed = all.any(|line| {
            !matches!(
                schema.compare(line),
                Ok(Verdict::Accepted | Verdict::Refused | Verdict::Unsayable)
            )
        });
        assert!(is_noticed, "{from}");
    }
}
