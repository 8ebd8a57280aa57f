//! `ward verify-image`: what is in an image, every digest, and what should not be there.
//!
//! It reads the one file it is given, runs nothing of it and writes nothing. It says what is there, not who made it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ward_image::inspect::{BootFile, Class, Finding, Inspection, Item, Kind, Node, inspect};
use ward_policy::limit;

use crate::console::{Console, Failure};

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A disk, raw or qcow2, or a boot file.
    #[arg(value_name = "FILE")]
    image: PathBuf,
}

/// Runs the command; the class of the gravest finding, if there is one.
///
/// # Errors
/// [`Failure::Usage`] when the file cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Option<Class>, Failure> {
    let inspection = inspect(&read(&arguments.image)?);
    console.either(&object(&inspection), &text(&inspection));
    Ok(inspection.verdict())
}

/// The file, or so much of it that it is seen to be too large.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = std::fs::File::open(path).map_err(|error| Failure::file(path, error))?;
    let max = u64::try_from(limit::INSPECTED_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).map_err(|error| Failure::file(path, error))?;
    Ok(bytes)
}

fn object(inspection: &Inspection) -> Value {
    let items = inspection.items.iter().map(item).collect::<Vec<_>>();
    let nodes = inspection.nodes.iter().map(node).collect::<Vec<_>>();
    let findings = inspection.findings.iter().map(finding).collect::<Vec<_>>();
    let config = inspection.config.as_deref().map(String::from_utf8_lossy);
    json!({
        "ok": inspection.findings.is_empty(),
        "format": inspection.format.name(),
        "items": items,
        "boot": inspection.boot.as_ref().map(boot),
        "initramfs": nodes,
        "executables": inspection.executables(),
        "config": config,
        "findings": findings,
    })
}

fn item(item: &Item) -> Value {
    json!({ "what": item.what, "bytes": item.bytes, "sha256": item.sha256 })
}

fn boot(boot: &BootFile) -> Value {
    json!({
        "cmdline": boot.cmdline,
        "uname": boot.uname,
        "os_release": boot.os_release,
        "signed": boot.is_signed,
    })
}

fn node(node: &Node) -> Value {
    let device = match node.kind {
        Kind::CharacterDevice(major, minor) => json!([major, minor]),
        Kind::Directory | Kind::File | Kind::Other => Value::Null,
    };
    json!({
        "path": node.path,
        "kind": node.kind.name(),
        "mode": format!("{:04o}", node.permissions),
        "device": device,
        "bytes": node.bytes,
        "sha256": node.sha256,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code(),
        "class": finding.class().name(),
        "text": finding.to_string(),
    })
}

fn text(inspection: &Inspection) -> String {
    let mut lines = vec![format!("{} image", inspection.format.name())];
    let mut part = |title: &str, more: Vec<String>| {
        if !more.is_empty() {
            lines.push(format!("\n{title}"));
            lines.extend(more);
        }
    };
    let row = |bytes: usize, sha256: &str, what: &str| format!("{sha256}  {bytes:>10}  {what}");
    let items = inspection.items.iter();
    part("sha-256, bytes", items.map(|item| row(item.bytes, &item.sha256, &item.what)).collect());
    if let Some(boot) = &inspection.boot {
        let signed = if boot.is_signed { "yes, not checked" } else { "no" };
        let said = vec![
            format!("release       {}", boot.uname),
            format!("command line  {}", boot.cmdline),
            format!("signature     {signed}"),
        ];
        part("boot file", said);
    }
    part("initramfs", inspection.nodes.iter().map(node_line).collect());
    if let Some(config) = &inspection.config {
        // What a stranger wrote does not get to steer a terminal.
        let config = String::from_utf8_lossy(config);
        let shown =
            |line: &str| line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        part("configuration", config.lines().map(shown).collect());
    }
    let each =
        |finding: &Finding| format!("{} {}: {finding}", finding.class().name(), finding.code());
    let mut verdict: Vec<String> = inspection.findings.iter().map(each).collect();
    if verdict.is_empty() {
        let count = inspection.executables();
        verdict
            .push(format!("none; {count} executables, no setuid file, no shell, no interpreter"));
    }
    part("findings", verdict);
    lines.push(String::new());
    lines.join("\n")
}

fn node_line(node: &Node) -> String {
    let what = match node.kind {
        Kind::CharacterDevice(major, minor) => format!("{} ({major}:{minor})", node.path),
        Kind::Directory => format!("{}/", node.path),
        Kind::File | Kind::Other => node.path.clone(),
    };
    let (mode, bytes) = (node.permissions, node.bytes);
    let sha256 = node.sha256.as_deref().unwrap_or_default();
    format!("{mode:04o} {sha256:64}  {bytes:>10}  {what}")
}
