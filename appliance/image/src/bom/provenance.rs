//! Where an image comes from, as an in-toto statement with an SLSA v1 provenance predicate.
//!
//! It says what was built of what and by which way; it has no time and no name of a machine. Signing it is somebody
//! else's.

use serde_json::{Map, Value, json};

use super::{Bom, BomError, FILES_DIGEST, is_sha256, word};

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
    /// The attributes that were built: `image-raw`.
    pub attributes: &'a [String],
    /// Which way: `host` or `nixpkgs`.
    pub way: &'a str,
    /// in-toto's `dirHash1` of the whole source tree: SHA-256 over the lines of `sha256sum` for its files, in order.
    pub source_files: &'a str,
    /// The commit that the tree is of, when all of it is committed.
    pub source_commit: Option<&'a str>,
}

/// The statement.
///
/// # Errors
/// [`BomError::Word`].
pub fn provenance(bom: &Bom, subjects: &[Subject], build: &Build<'_>) -> Result<String, BomError> {
    let way = word(build.way)?;
    let mut attributes = build.attributes.to_vec();
    attributes.sort();
    for attribute in &attributes {
        word(attribute)?;
    }
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
    let mut dependencies = vec![json!({ "name": "source", "digest": source(build)? })];
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
        if let Some(files) = &material.files {
            fields.insert("annotations".to_owned(), json!({ FILES_DIGEST: files }));
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
                "externalParameters": { "attributes": attributes },
                "internalParameters": { "way": way },
                "resolvedDependencies": dependencies,
            },
            "runDetails": { "builder": { "id": format!("urn:ward:builder:{way}") } },
        },
    });
    Ok(format!("{statement:#}\n"))
}

/// The tree's digests, by in-toto's names for them.
fn source(build: &Build<'_>) -> Result<Value, BomError> {
    let mut digests = Map::new();
    if !is_sha256(build.source_files) {
        return Err(BomError::Word(build.source_files.to_owned()));
    }
    digests.insert("dirHash1".to_owned(), build.source_files.into());
    if let Some(commit) = build.source_commit {
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(BomError::Word(commit.to_owned()));
        }
        digests.insert("gitCommit".to_owned(), commit.into());
    }
    Ok(digests.into())
}
