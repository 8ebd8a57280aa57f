//! The published schema of the log: the table as JSON Schema 2020-12, in the form that lines have at rest.
//!
//! A role writes the inner form, which the judge takes; the log's one writer puts `boot`, `seq` and `prev` in
//! front of it, and that final form is what is described here. A schema cannot say three things that the
//! judge demands: the order of fields, that none comes twice, and the one spelling of a number.

use super::{Field, Kind, Numbers, OUTCOMES, Reasons, Shape, table};
use crate::audit::SourceFile;
use crate::cell::Layer;
use crate::limit;

/// The schema, as it is published in `policy/log.schema.json`.
#[must_use]
pub fn schema() -> String {
    let branches: Vec<Json> = table::shapes().map(|shape| definition(shape.code)).collect();
    let mut definitions: Vec<(&'static str, Json)> =
        table::shapes().map(|shape| (shape.code, branch(shape))).collect();
    definitions.extend([
        ("chain.boot", hexadecimal(16, "which boot of the appliance wrote the line")),
        ("chain.seq", integer(0, u64::MAX, "the number of the line in this boot, without gaps")),
        (
            "chain.prev",
            hexadecimal(64, "SHA-256 of the line before, which makes a lost line visible"),
        ),
        ("at_ms", integer(0, u64::MAX, "milliseconds since the role's process started")),
    ]);
    let about = "One line, without its line feed, as it is kept: what a role wrote, and in front of it what \
                 the log's writer adds. Fields come in the order of `properties`, none twice, without \
                 spaces; numbers are whole and plain. There is no field with text from outside.";
    let root = object(vec![
        ("$schema", text("https://json-schema.org/draft/2020-12/schema")),
        ("title", text("A line of Ward's log")),
        ("description", text(about)),
        ("oneOf", Json::Array(branches)),
        ("$defs", object(definitions)),
    ]);
    let mut printed = String::new();
    root.print(0, 0, &mut printed);
    printed.push('\n');
    printed
}

/// One kind of line.
fn branch(shape: &'static Shape) -> Json {
    let code = vec![("const", text(shape.code)), ("description", text("what the line is about"))];
    let mut properties = vec![
        ("boot", definition("chain.boot")),
        ("seq", definition("chain.seq")),
        ("prev", definition("chain.prev")),
        ("at_ms", definition("at_ms")),
        ("role", words(shape.by.iter().map(|role| role.name()), "the role that wrote it")),
        ("event", object(code)),
    ];
    let mut required: Vec<Json> = properties.iter().map(|(name, _)| text(name)).collect();
    let mut pairs = None;
    for field in shape.fields {
        let before = properties.len();
        properties.extend(self::properties(field));
        if !field.is_optional {
            required.extend(properties.iter().skip(before).map(|(name, _)| text(name)));
        }
        if let Kind::Reason(reasons) = field.kind {
            pairs = Some(self::pairs(reasons));
        }
    }
    let mut all = vec![
        ("title", text(shape.code)),
        ("description", text(shape.about)),
        ("type", text("object")),
        ("additionalProperties", Json::False),
        ("required", Json::Array(required)),
        ("properties", object(properties)),
    ];
    all.extend(pairs.map(|pairs| ("oneOf", pairs)));
    object(all)
}

/// The field as properties: mostly one, and several where one row of the table stands for several.
fn properties(field: &'static Field) -> Vec<(&'static str, Json)> {
    let about = field.about;
    let one = match field.kind {
        Kind::Number(most) => integer(0, most, about),
        Kind::Word(list) => words(list.iter().copied(), about),
        Kind::Reason(reasons) => {
            let mut faults = reasons.faults.to_vec();
            faults.sort_unstable();
            faults.dedup();
            return vec![
                (field.name, words(reasons.codes.iter().copied(), about)),
                ("fault", words(faults.into_iter(), "who can mend it")),
            ];
        }
        Kind::Pseudonym => hexadecimal(16, about),
        Kind::Digest => hexadecimal(64, about),
        Kind::SourceFile => pattern("[A-Za-z0-9/._-]", SourceFile::CHARS, SourceFile::CHARS, about),
        Kind::VendorId => vendor_id(about),
        Kind::Layers => {
            let layer = |layer: &Layer| (layer.name(), words(OUTCOMES.iter().copied(), about));
            return Layer::ALL.iter().map(layer).collect();
        }
        Kind::Numbers(numbers) => object_of(numbers, about),
    };
    vec![(field.name, one)]
}

/// Which reason goes with which fault, as alternatives.
fn pairs(reasons: Reasons) -> Json {
    let mut faults = reasons.faults.to_vec();
    faults.sort_unstable();
    faults.dedup();
    let alternative = |fault: &'static str| {
        let codes = reasons.codes.iter().zip(reasons.faults).filter(|(_, of)| **of == fault);
        let codes = Json::Array(codes.map(|(code, _)| text(code)).collect());
        object(vec![(
            "properties",
            object(vec![
                ("reason", object(vec![("enum", codes)])),
                ("fault", object(vec![("const", text(fault))])),
            ]),
        )])
    };
    Json::Array(faults.into_iter().map(alternative).collect())
}

fn object_of(numbers: Numbers, about: &'static str) -> Json {
    let each = |name: &&'static str| (*name, plain_integer(1, numbers.most));
    object(vec![
        ("description", text(about)),
        ("type", text("object")),
        ("additionalProperties", Json::False),
        ("minProperties", Json::Number(u64::from(!numbers.may_be_empty))),
        ("properties", object(numbers.names.iter().map(each).collect())),
    ])
}

fn plain_integer(least: u64, most: u64) -> Json {
    object(vec![
        ("type", text("integer")),
        ("minimum", Json::Number(least)),
        ("maximum", Json::Number(most)),
    ])
}

fn integer(least: u64, most: u64, about: &'static str) -> Json {
    described(about, plain_integer(least, most))
}

fn words(list: impl Iterator<Item = &'static str>, about: &'static str) -> Json {
    described(about, object(vec![("enum", Json::Array(list.map(text).collect()))]))
}

fn hexadecimal(digits: usize, about: &'static str) -> Json {
    pattern("[0-9a-f]", digits, digits, about)
}

fn vendor_id(about: &'static str) -> Json {
    let rule = ("pattern", text("^[a-z][a-z0-9-]*$"));
    described(about, bounded(rule, 1, limit::VENDOR_ID_CHARS_MAX))
}

fn pattern(letter: &str, least: usize, most: usize, about: &'static str) -> Json {
    let rule = ("pattern", Json::Text(format!("^{letter}*$")));
    described(about, bounded(rule, least, most))
}

/// The length stands beside the pattern: in some dialects `$` lets a line feed follow.
fn bounded(rule: (&'static str, Json), least: usize, most: usize) -> Json {
    let length = |length: usize| Json::Number(u64::try_from(length).unwrap_or(u64::MAX));
    object(vec![
        ("type", text("string")),
        ("minLength", length(least)),
        ("maxLength", length(most)),
        rule,
    ])
}

fn described(about: &'static str, json: Json) -> Json {
    match json {
        Json::Object(mut pairs) => {
            pairs.insert(0, ("description", text(about)));
            Json::Object(pairs)
        }
        Json::False | Json::Number(_) | Json::Text(_) | Json::Array(_) => json,
    }
}

fn definition(name: &str) -> Json {
    object(vec![("$ref", Json::Text(format!("#/$defs/{name}")))])
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn object(pairs: Vec<(&'static str, Json)>) -> Json {
    Json::Object(pairs)
}

/// As much of JSON as a schema needs, with names in the order in which they were put.
enum Json {
    False,
    Number(u64),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(&'static str, Self)>),
}

/// How wide a printed line may be, in characters.
const COLUMNS: usize = 100;

impl Json {
    /// On one line.
    fn inline(&self) -> String {
        let join = |items: Vec<String>| items.join(", ");
        match self {
            Self::False => "false".to_owned(),
            Self::Number(number) => number.to_string(),
            // No text of ours has a quote, a backslash or a control character; a test reads it all back.
            Self::Text(text) => format!("\"{text}\""),
            Self::Array(list) => format!("[{}]", join(list.iter().map(Self::inline).collect())),
            Self::Object(pairs) => {
                let each = |(name, value): &(&str, Self)| format!("\"{name}\": {}", value.inline());
                format!("{{ {} }}", join(pairs.iter().map(each).collect()))
            }
        }
    }

    /// On one line where that is short enough, else indented; `before` characters stand on the line already.
    fn print(&self, depth: usize, before: usize, out: &mut String) {
        let inline = self.inline();
        let is_short = before.saturating_add(inline.len()) < COLUMNS;
        let (open, close, items): (_, _, Vec<(String, &Self)>) = match self {
            Self::Array(list) if !is_short => {
                ('[', ']', list.iter().map(|value| (String::new(), value)).collect())
            }
            Self::Object(pairs) if !is_short => {
                let each = pairs.iter().map(|(name, value)| (format!("\"{name}\": "), value));
                ('{', '}', each.collect())
            }
            Self::False | Self::Number(_) | Self::Text(_) | Self::Array(_) | Self::Object(_) => {
                out.push_str(&inline);
                return;
            }
        };
        let inner = depth.saturating_add(1);
        let indent = "  ".repeat(inner);
        out.push(open);
        for (place, (name, value)) in items.into_iter().enumerate() {
            out.push_str(if place == 0 { "\n" } else { ",\n" });
            out.push_str(&indent);
            out.push_str(&name);
            value.print(inner, indent.len().saturating_add(name.len()), out);
        }
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
        out.push(close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_published_file_is_what_the_table_says() {
        let published = include_str!("../../log.schema.json");
        assert!(
            published == schema(),
            "policy/log.schema.json differs; run: ward events --schema > policy/log.schema.json"
        );
    }

    #[test]
    fn it_reads_back_and_every_object_in_it_is_closed_and_described() {
        fn walk(value: &Value, closed: &mut usize) {
            if value["type"] == "object" {
                assert_eq!(value["additionalProperties"], Value::Bool(false), "{value}");
                assert!(value["description"].is_string(), "{value}");
                *closed += 1;
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| walk(value, closed)),
                Value::Array(list) => list.iter().for_each(|value| walk(value, closed)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let value: Value = serde_json::from_str(&schema()).unwrap();
        let mut closed = 0;
        walk(&value, &mut closed);
        let shapes = table::shapes().count();
        assert!(closed > shapes, "{closed}");
        assert_eq!(value["oneOf"].as_array().unwrap().len(), shapes);
        assert!(value["$defs"]["refused"]["title"].is_string());
        // Names that stand twice would be read back as one.
        let names = schema().matches("\": ").count();
        fn count(value: &Value) -> usize {
            match value {
                Value::Object(map) => map.len() + map.values().map(count).sum::<usize>(),
                Value::Array(list) => list.iter().map(count).sum(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
            }
        }
        assert_eq!(count(&value), names);
    }
}
