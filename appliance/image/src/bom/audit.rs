//! What a program says it was made of: the section that `cargo auditable` leaves in it.
//!
//! It is the program's own word, so it is compared with the tree and never believed alone.

use std::collections::BTreeSet;

use serde::Deserialize;
use ward_policy::limit;

/// Why a program's own list cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the list that the program carries cannot be read")]
pub struct AuditError;

#[derive(Deserialize)]
struct List {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default = "runtime")]
    kind: String,
}

fn runtime() -> String {
    RUNTIME.to_owned()
}

const RUNTIME: &str = "runtime";

/// The packages that `program` says are linked into it, by name and version; none when it carries no list.
///
/// # Errors
/// [`AuditError`] when there is a list that cannot be read.
pub fn audit(program: &[u8]) -> Result<Option<BTreeSet<(String, String)>>, AuditError> {
    let text = match auditable_info::json_from_slice(program, limit::AUDIT_BYTES_MAX) {
        Ok(text) => text,
        Err(auditable_info::Error::NoAuditData) => return Ok(None),
        Err(_) => return Err(AuditError),
    };
    let list: List = serde_json::from_str(&text).map_err(|_error| AuditError)?;
    let linked = list.packages.into_iter().filter(|package| package.kind == RUNTIME);
    Ok(Some(linked.map(|package| (package.name, package.version)).collect()))
}
