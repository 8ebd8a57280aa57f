//! The binaries under test: built in release, as they ship, once per test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace's folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace")
}

/// The hostile build of a server, in release like the servers: debug builds make other system calls.
#[must_use]
pub fn hostile() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "ward-hostile"]));
    root().join("target/release/ward-hostile")
}

/// The path of a release binary, built if it is not up to date.
#[must_use]
pub fn release(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "ward", "-p", "ward-media", "-p", "ward-twiml"]));
    root().join("target/release").join(name)
}

fn build(packages: &[&str]) {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .args(packages)
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the release build failed");
}
