//! `Cargo.lock`: which bytes a crate of the registry was.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BomError, is_sha256};

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The digest of every crate that is from the public registry, by name and version.
pub(super) fn parse(text: &str) -> Result<BTreeMap<(String, String), String>, BomError> {
    let lock: Lock = toml::from_str(text).map_err(|error| BomError::Lock(error.to_string()))?;
    let of = |package: Package| {
        let is_public = package.source.as_deref() == Some(REGISTRY);
        let checksum = package.checksum.filter(|text| is_public && is_sha256(text))?;
        Some(((package.name, package.version), checksum))
    };
    Ok(lock.package.into_iter().filter_map(of).collect())
}
