//! What an image is made of: every crate that is linked, and what is not a crate, as one list that is the same
//! wherever it is made.
//!
//! Three texts come in: `cargo tree` says what is linked and under which licence, the lock file says which bytes
//! that was, and the materials say the rest. A program that carries its own list (`cargo auditable`) is asked as
//! well. No path of the machine that built it goes out: names and versions have no slash, and everything else is chosen here.

mod audit;
mod licence;
mod lock;
mod materials;
mod tree;
mod cyclonedx;
mod provenance;

use std::collections::{BTreeMap, BTreeSet};

use ward_policy::limit;

pub use audit::{AuditError, audit};
pub use cyclonedx::cyclonedx;
pub use licence::{Allowed, Licence};
pub use materials::Material;
pub use provenance::{Build, Subject, provenance};

use tree::Tree;

/// What the digest over a list of files is called in both documents: SHA-256 over the lines of `sha256sum` for the files and `NAME ->
/// TARGET` for the links, as `nix/host/build --toolchain` has it.
const FILES_DIGEST: &str = "ward:files-sha256";

/// Why there is no bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BomError {
    /// A line of the tree that is not of its format.
    #[error("the tree's line {0} is not `DEPTH NAME vVERSION|LICENCE`")]
    Tree(usize),
    /// The lock file is not one.
    #[error("the lock file cannot be read: {0}")]
    Lock(String),
    /// A crate that is linked and not locked, or not from the public registry.
    #[error("{0} is not locked, or not from the public registry")]
    NotLocked(String),
    /// The materials cannot be read.
    #[error("the materials cannot be read: {0}")]
    Materials(String),
    /// A word that is no plain name, version, address or digest.
    #[error("{0:?} is not a plain word")]
    Word(String),
    /// A licence that nobody has allowed.
    #[error("the licence of {0} is not among those that are allowed: {1:?}")]
    Licence(String, String),
    /// The list of allowed licences is not one.
    #[error("the list of licences cannot be read: {0}")]
    Allowed(String),
    /// More than [`limit::COMPONENTS_MAX`].
    #[error("there are more components than there may be")]
    TooMany,
    /// A program's own list that cannot be read, or does not have what the tree says is in it.
    #[error("{0} does not say that {1} is in it: it is another program than the tree's")]
    NotCarried(String, String),
    /// A program whose package is not in the tree.
    #[error("no package of the tree is the program {0}")]
    NoPackage(String),
}

/// One crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as it says itself; none for ours.
    pub licence: Option<Licence>,
    /// SHA-256 of its package in the registry; none for ours.
    pub sha256: Option<String>,
}

impl Crate {
    /// What it is called inside the lists; for one of the registry a package URL.
    #[must_use]
    pub fn reference(&self) -> String {
        let kind = if self.sha256.is_some() { "pkg:cargo" } else { "ward" };
        format!("{kind}/{}@{}", self.name, self.version)
    }
}

/// Everything that is linked, and what is not a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bom {
    /// By name and version.
    pub crates: BTreeMap<(String, String), Crate>,
    /// Which crate needs which, directly.
    pub needs: BTreeMap<(String, String), BTreeSet<(String, String)>>,
    /// Everything that the lock file has, linked or not.
    pub locked: BTreeSet<(String, String)>,
    /// By name.
    pub materials: Vec<Material>,
}

impl Bom {
    /// Makes the list of the three texts.
    ///
    /// # Errors
    /// Any [`BomError`] but the last two.
    pub fn new(
        tree: &str,
        lock: &str,
        materials: &str,
        allowed: &Allowed,
    ) -> Result<Self, BomError> {
        let tree = Tree::parse(tree)?;
        let lock = lock::parse(lock)?;
        let materials = materials::parse(materials, allowed)?;
        if tree.packages.len().saturating_add(materials.len()) > limit::COMPONENTS_MAX {
            return Err(BomError::TooMany);
        }
        let mut crates = BTreeMap::new();
        for (key, package) in &tree.packages {
            let (name, version) = key.clone();
            let of = || format!("{name} {version}");
            let (licence, sha256) = if package.is_ours {
                (None, None)
            } else {
                let sha256 = lock.get(key).cloned().flatten();
                let sha256 = sha256.ok_or_else(|| BomError::NotLocked(of()))?;
                (Some(allowed.judge(&of(), &package.licence)?), Some(sha256))
            };
            let one = Crate { name: name.clone(), version: version.clone(), licence, sha256 };
            crates.insert(key.clone(), one);
        }
        let locked = lock.into_keys().collect();
        Ok(Self { crates, needs: tree.needs, locked, materials })
    }

    /// Everything that is linked into a package, itself included.
    #[must_use]
    pub fn linked_into(&self, package: &Crate) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![(package.name.clone(), package.version.clone())];
        while let Some(key) = waiting.pop() {
            if found.insert(key.clone()) {
                waiting.extend(self.needs.get(&key).into_iter().flatten().cloned());
            }
        }
        found
    }

    /// The list of licences: one line for each thing, with the licence that is made use of.
    #[must_use]
    pub fn licences(&self) -> String {
        let crates = self.crates.values().map(|one| {
            let licence = one.licence.as_ref().map(|licence| (licence.stated(), licence.used()));
            (one.name.as_str(), one.version.as_str(), licence)
        });
        let materials = self.materials.iter().filter(|material| material.is_linked);
        let materials = materials.map(|material| {
            let licence = &material.licence;
            let both = (licence.stated(), licence.used());
            (material.name.as_str(), material.version.as_str(), Some(both))
        });
        let line = |(name, version, licence): (&str, &str, Option<(&str, &str)>)| match licence {
            Some((stated, used)) => format!("{name} {version}\t{used}\t{stated}\n"),
            None => format!("{name} {version}\tours\t\n"),
        };
        crates.chain(materials).map(line).collect()
    }
}

/// Whether a word is a name or a version: no slash, no space, nothing that a list would have to quote.
fn is_word(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:-".contains(&byte);
    !word.is_empty() && word.len() <= 128 && word.bytes().all(is_letter)
}

fn word(word: &str) -> Result<&str, BomError> {
    if is_word(word) { Ok(word) } else { Err(BomError::Word(word.to_owned())) }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
