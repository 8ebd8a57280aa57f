//! What is linked: the output of
//! `cargo tree --edges normal,no-proc-macro --prefix depth --format ' {p}|{l}' --target T -p A -p B …`.
//!
//! Cargo decides there which features are on and so which crates are in; macros and build scripts are left out,
//! because nothing of them is in a program. The folders that it prints are dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::{BomError, is_word};

/// A package as the tree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    /// What it says of its licence.
    pub(super) licence: String,
    /// Whether it is in a folder of ours and not from a registry.
    pub(super) is_ours: bool,
}

/// The tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    /// By name and version.
    pub(super) packages: BTreeMap<(String, String), Package>,
    /// Which needs which, directly.
    pub(super) needs: BTreeMap<(String, String), BTreeSet<(String, String)>>,
}

impl Tree {
    /// Reads the tree.
    ///
    /// # Errors
    /// [`BomError::Tree`] names the first line that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, BomError> {
        let mut tree = Self::default();
        let mut above: Vec<(String, String)> = Vec::new();
        for (number, text) in (1_usize..).zip(text.lines()) {
            if text.is_empty() {
                above.clear();
                continue;
            }
            let (depth, key, package) = line(text).ok_or(BomError::Tree(number))?;
            if depth > above.len() {
                return Err(BomError::Tree(number));
            }
            above.truncate(depth);
            if let Some(parent) = above.last() {
                tree.needs.entry(parent.clone()).or_default().insert(key.clone());
            }
            above.push(key.clone());
            tree.packages.insert(key, package);
        }
        if tree.packages.is_empty() { Err(BomError::Tree(1)) } else { Ok(tree) }
    }
}

/// `2 cfg-if v1.0.5|MIT`, or `0 ward-media v0.1.0 (/somewhere)|`; ` (*)` at the end says that the rest is above.
fn line(text: &str) -> Option<(usize, (String, String), Package)> {
    let (package, licence) = text.split_once('|')?;
    let licence = licence.strip_suffix(" (*)").unwrap_or(licence);
    let mut words = package.splitn(4, ' ');
    let depth = words.next()?.parse().ok()?;
    let name = words.next().filter(|name| is_word(name))?;
    let version = words.next()?.strip_prefix('v').filter(|version| is_word(version))?;
    let is_ours = match words.next() {
        None => false,
        Some(source) => source.starts_with("(/") && source.ends_with(')'),
    };
    // From neither: a repository, or a replacement.
    let is_known = is_ours || package.split(' ').count() == 3;
    let licence = licence.to_owned();
    is_known.then(|| (depth, (name.to_owned(), version.to_owned()), Package { licence, is_ours }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> (String, String) {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn a_tree_is_packages_and_who_needs_whom() {
        let text = "0 ward-a v0.1.0 (/home/me/a b)|\n1 x v1.0.0|MIT\n2 y v2.0.0+z|MIT OR Apache-2.0\n1 y v2.0.0+z|MIT OR Apache-2.0 (*)\n\n0 ward-b v0.1.0 (/home/me/b)|\n1 x v1.0.0|MIT (*)\n";
        let tree = Tree::parse(text).unwrap();
        assert_eq!(tree.packages.len(), 4);
        assert!(tree.packages[&key("ward-a", "0.1.0")].is_ours);
        assert_eq!(tree.packages[&key("y", "2.0.0+z")].licence, "MIT OR Apache-2.0");
        let needs = &tree.needs[&key("ward-a", "0.1.0")];
        assert_eq!(needs.len(), 2);
        assert!(tree.needs[&key("ward-b", "0.1.0")].contains(&key("x", "1.0.0")));
    }

    #[test]
    fn other_lines_are_refused_by_number() {
        for wrong in [
            "x v1.0.0|MIT",
            "1 x v1.0.0",
            "2 x v1.0.0|MIT",
            "1 x 1.0.0|MIT",
            "1 x v1.0.0 (https://example.com/x#1234)|MIT",
            "1 x/y v1.0.0|MIT",
        ] {
            let text = format!("0 a v1.0.0|MIT\n{wrong}\n");
            assert_eq!(Tree::parse(&text), Err(BomError::Tree(2)), "{wrong}");
        }
        assert!(Tree::parse("").is_err());
    }
}
