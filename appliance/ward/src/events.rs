//! `ward events`: every line that the log can have, as a table, or as the published JSON Schema.
//!
//! It reads nothing: what it prints is what this build's judge goes by.

use serde_json::{Value, json};
use ward_policy::cell::Layer;
use ward_policy::line::{Field, Kind, Shape, schema, table};

use crate::console::{Console, Failure};

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print the JSON Schema of a line as it is kept, with `boot`, `seq` and `prev` in front.
    #[arg(long)]
    schema: bool,
}

/// Runs the command.
///
/// # Errors
/// None; the type is that of every command.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    if arguments.schema {
        console.document(&schema::schema());
        return Ok(true);
    }
    let events: Vec<Value> = table::shapes().map(event).collect();
    let text: Vec<String> = table::shapes().map(line).collect();
    console.result(&json!({ "events": events }), &text.join("\n"));
    Ok(true)
}

fn event(shape: &'static Shape) -> Value {
    json!({ "event": shape.code, "about": shape.about, "fields": names(shape) })
}

fn line(shape: &'static Shape) -> String {
    let fields =
        if shape.fields.is_empty() { "no fields".to_owned() } else { names(shape).join(" ") };
    format!("{:>24}  {fields}\n{:>24}  {}", shape.code, "", shape.about)
}

/// The fields after `event`; a row that stands for several is taken apart.
fn names(shape: &'static Shape) -> Vec<&'static str> {
    let each = |field: &Field| match field.kind {
        Kind::Layers => Layer::ALL.iter().map(|layer| layer.name()).collect(),
        Kind::Reason(_) => vec![field.name, "fault"],
        Kind::Number(_)
        | Kind::Word(_)
        | Kind::Pseudonym
        | Kind::Digest
        | Kind::SourceFile
        | Kind::VendorId
        | Kind::Numbers(_) => vec![field.name],
    };
    shape.fields.iter().flat_map(each).collect()
}
