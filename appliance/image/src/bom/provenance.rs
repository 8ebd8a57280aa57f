//! Where an image comes from, as an in-toto statement with an SLSA v1 provenance predicate.
//!
//! It says what was built of what and by which way; it has no time and no name of a machine. Signing it is somebody
//! else's.

use serde_json::{Map, Value, json};

use super::{Bom, BomError, is_sha256, word};

/// One file that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name, without a folder.
    pub name: String,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
}

/// How it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build<'a> {
    /// The attribute that was built: `image-raw`.
    pub attribute: &'a str,
    /// Which way: `host` or `nixpkgs`.
    pub way: &'a str,
    /// SHA-256 of the source tree, as Nix or `git archive` has it.
    pub source_sha256: &'a str,
}

/// The statement.
///
/// # Errors
/// [`BomError::Word`].
pub fn provenance(bom: &Bom, subjects: &[Subject], build: &Build<'_>) -> Result<String, BomError> {
    let (attribute, way) = (word(build.attribute)?, word(build.way)?);
    let digest = |sha256: &str| {
        let is_digest = is_sha256(sha256);
        is_digest
            .then(|| json!({ "sha256": sha256 }))
            .ok_or_else(|| BomError::Word(sha256.to_owned()))
    };
    let mut subjects = subjects.to_vec();
    subjects.sort_by(|a, b| a.name.cmp(&b.name));
    let subject = subjects
        .iter()
        .map(|one| Ok(json!({ "name": word(&one.name)?, "digest": digest(&one.sha256)? })))
        .collect::<Result<Vec<_>, BomError>>()?;
    let mut dependencies =
        vec![json!({ "name": "source", "digest": digest(build.source_sha256)? })];
    for one in bom.crates.values() {
        if let Some(sha256) = &one.sha256 {
            dependencies.push(json!({ "uri": one.reference(), "digest": digest(sha256)? }));
        }
    }
    for material in &bom.materials {
        let name = format!("{} {}", material.name, material.version);
        let mut fields = Map::from_iter([("name".to_owned(), Value::from(name))]);
        if let Some(purl) = &material.purl {
            fields.insert("uri".to_owned(), purl.as_str().into());
        }
        if let Some(sha256) = &material.sha256 {
            fields.insert("digest".to_owned(), digest(sha256)?);
        }
        dependencies.push(fields.into());
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:ward:build:nix:1",
                "externalParameters": { "attribute": attribute },
                "internalParameters": { "way": way },
                "resolvedDependencies": dependencies,
            },
            "runDetails": { "builder": { "id": format!("urn:ward:builder:{way}") } },
        },
    });
    Ok(format!("{statement:#}\n"))
}
