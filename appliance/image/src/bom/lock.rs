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

/// Every package by name and version, and the digest of each that is from the public registry.
pub(super) fn parse(text: &str) -> Result<BTreeMap<(String, String), Option<String>>, BomError> {
    let lock: Lock = toml::from_str(text).map_err(|error| BomError::Lock(error.to_string()))?;
    let of = |package: Package| {
        let is_public = package.source.as_deref() == Some(REGISTRY);
        let checksum = package.checksum.filter(|text| is_public && is_sha256(text));
        ((package.name, package.version), checksum)
    };
    Ok(lock.package.into_iter().map(of).collect())
}
