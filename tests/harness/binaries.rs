//! The binaries under test: built in release, as they ship, once per test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ward_policy::syscall::Library;

/// The workspace's folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace")
}

/// The hostile build of a server, in release like the servers: debug builds make other system calls.
#[must_use]
pub fn hostile() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "ward-hostile"], target().as_deref()));
    path("ward-hostile", target().as_deref())
}

/// The program that makes images, in release.
#[must_use]
pub fn image_tool() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&["-p", "ward-image"], None));
    path("ward-image", None)
}

/// A variant of a server, built in release like it and beside it, so that it finds the same `ward-init`.
#[must_use]
pub fn variant(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    drop(release("ward-init"));
    BUILT.get_or_init(|| build(&["-p", "ward-variants"], target().as_deref()));
    path(name, target().as_deref())
}

/// The path of a release binary, built if it is not up to date.
#[must_use]
pub fn release(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let target = target();
    BUILT.get_or_init(|| {
        const ROLES: [&str; 8] =
            ["-p", "ward-init", "-p", "ward-broker", "-p", "ward-media", "-p", "ward-twiml"];
        build(&[&["-p", "ward"], &ROLES[..]].concat(), None);
        if target.is_some() {
            build(&ROLES, target.as_deref());
        }
    });
    path(name, target.as_deref().filter(|_| name != "ward"))
}

/// The negative control of the canary matrix: every program, built so that it writes what it reads into its log.
///
/// In a folder of its own: it can be mistaken neither for what ships nor for a part of it.
#[must_use]
pub fn negative_control(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--release", "--locked", "--target-dir"]);
        cargo.arg(root().join(NEGATIVE_CONTROL_FOLDER));
        // Quick to build is enough.
        for setting in ["lto=false", "codegen-units=16", "opt-level=1"] {
            cargo.args(["--config", &format!("profile.release.{setting}")]);
        }
        for package in
            ["ward", "ward-init", "ward-broker", "ward-media", "ward-twiml", "ward-variants"]
        {
            cargo.args(["-p", package]);
        }
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "--cfg negative_control");
        let built = cargo.current_dir(root()).status().expect("cargo runs");
        assert!(built.success(), "the build of the negative control failed");
    });
    root().join(NEGATIVE_CONTROL_FOLDER).join("release").join(name)
}

const NEGATIVE_CONTROL_FOLDER: &str = "target/negative-control";

/// Which build of the servers is under test: `WARD_TARGET` names a target that ships, for instance
/// `x86_64-unknown-linux-musl`; without it, the machine's own.
fn target() -> Option<String> {
    std::env::var("WARD_TARGET").ok().filter(|target| !target.is_empty())
}

/// The C library of the servers under test, which decides some rows of their tables.
#[must_use]
pub fn library() -> Library {
    let is_musl = target().is_some_and(|target| target.ends_with("musl"));
    if is_musl { Library::Musl } else { Library::Gnu }
}

fn path(name: &str, target: Option<&str>) -> PathBuf {
    root().join("target").join(target.unwrap_or_default()).join("release").join(name)
}

fn build(packages: &[&str], target: Option<&str>) {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .args(packages)
        .args(target.map(|target| format!("--target={target}")))
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the release build failed");
}
