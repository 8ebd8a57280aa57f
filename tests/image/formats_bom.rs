//! The bill of materials beside the CycloneDX project's validator, binutils and Cargo; provenance beside the in-toto
//! project's types.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use ward_image::bom::{Allowed, Bom, BomError, Build, Subject, audit, cyclonedx, provenance};
use ward_image::inspect::inspect;
use ward_tests::binaries::root;

use crate::formats_support::{check, folder, good, tool, write};

const PACKAGES: [&str; 4] = ["ward-init", "ward-broker", "ward-media", "ward-twiml"];

/// What Cargo says is linked, of the real programs.
fn tree(format: &str) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--locked"]);
    cargo.args(["--target", "x86_64-unknown-linux-musl", "--format", format]);
    for package in PACKAGES {
        cargo.args(["-p", package]);
    }
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn lock() -> String {
    std::fs::read_to_string(root().join("Cargo.lock")).unwrap()
}

const MATERIALS: &str = r#"
[[material]]
name = "linux"
version = "6.12.9"
licence = "GPL-2.0-only WITH Linux-syscall-note"
linked = true
purl = "pkg:deb/debian/linux-source-6.12@6.12.9-1"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

[[material]]
name = "rustc"
version = "1.95.0"
licence = "MIT OR Apache-2.0"
linked = false
purl = "pkg:generic/rustc@1.95.0"
files = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
"#;

fn bom(tree: &str, materials: &str) -> Result<Bom, BomError> {
    Bom::new(tree, &lock(), materials, &Allowed::built_in().unwrap())
}

fn document(tree: &str) -> String {
    cyclonedx(&bom(tree, MATERIALS).unwrap(), &inspect(good()), "0.1.0").unwrap()
}

const FORMAT: &str = " {p}|{l}";

#[test]
fn the_bill_of_materials_is_cyclonedx_and_has_everything_that_is_linked() {
    let folder = folder("bom");
    let text = document(&tree(FORMAT));
    let path = write(&folder.join("bom.json"), text.as_bytes());
    assert_eq!(check(&["cyclonedx", &path]), (true, "ok\n".to_owned()));
    let document: Value = serde_json::from_str(&text).unwrap();
    let components = document["components"].as_array().unwrap();
    let named: BTreeSet<String> = components
        .iter()
        .filter(|one| one["type"] == "library")
        .map(|one| {
            format!("{} v{}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap())
        })
        .collect();
    // Cargo's own list, in another form.
    let listed: BTreeSet<String> = tree("{p}")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim())
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(named, listed);
    assert!(named.len() > 60, "{}", named.len());
    // The programs with the digests that they have in the image.
    let inspection = inspect(good());
    for node in inspection.nodes.iter().filter(|node| node.is_executable()) {
        let one = components.iter().find(|one| one["name"] == node.path.as_str()).unwrap();
        assert_eq!(one["hashes"][0]["content"], node.sha256.clone().unwrap());
    }
    assert_eq!(
        document["metadata"]["component"]["hashes"][0]["content"],
        inspection.items[0].sha256.clone()
    );
    // The validator is one: it refuses a field that is unknown, a digest that is none, a list that is missing.
    for (good, bad) in
        [("\"scope\"", "\"skope\""), ("ba7816bf", "xx7816bf"), ("\"bomFormat\"", "\"bomFormal\"")]
    {
        assert!(text.contains(good), "{good}");
        let path = write(&folder.join("bad.json"), text.replacen(good, bad, 1).as_bytes());
        assert!(!check(&["cyclonedx", &path]).0, "{bad}");
    }
}

#[test]
fn what_cargo_compiles_for_the_target_is_what_is_listed() {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--quiet", "--locked", "--target", TARGET, "--message-format", "json"]);
    for package in PACKAGES {
        cargo.args(["-p", package]);
    }
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut compiled = BTreeSet::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        // What is made for the machine that builds, macros and build scripts, lies elsewhere.
        let file = message["filenames"][0].as_str().unwrap_or_default();
        if message["reason"] == "compiler-artifact" && file.contains(&format!("/{TARGET}/")) {
            // `…#name@version`, or `…/folder#version` where the folder has the name.
            let id = message["package_id"].as_str().unwrap();
            let (place, name) = id.rsplit_once('#').unwrap();
            let (name, version) = match name.split_once('@') {
                Some(both) => both,
                None => (place.rsplit('/').next().unwrap(), name),
            };
            compiled.insert((name.to_owned(), version.to_owned()));
        }
    }
    let bom = bom(&tree(FORMAT), MATERIALS).unwrap();
    let listed: BTreeSet<_> = bom.crates.into_keys().collect();
    assert_eq!(compiled, listed);
    assert!(compiled.len() > 60, "{}", compiled.len());
}

#[test]
fn it_is_the_same_wherever_it_is_made_and_names_no_folder() {
    let here = tree(FORMAT);
    let root = root().to_str().unwrap();
    assert!(here.contains(root), "the tree names folders, or this shows nothing");
    let there = here.replace(root, "/somewhere/else entirely");
    let (one, other) = (document(&here), document(&there));
    assert_eq!(one, other);
    for folder in [root, "/home/", "/root/", "/nix/", "/tmp/", "/build"] {
        assert!(!one.contains(folder), "{folder}");
    }
    let time = |text: &str| text.contains("timestamp") || text.contains("startedOn");
    assert!(!time(&one));
    // A folder that is let in through the materials is refused.
    for wrong in ["/nix/store/abc-linux", "6.12 at /build", ""] {
        let materials = MATERIALS.replace("6.12.9\"\nlicence", &format!("{wrong}\"\nlicence"));
        assert!(matches!(bom(&here, &materials), Err(BomError::Word(_))), "{wrong}");
    }
    let purl = MATERIALS.replace("pkg:deb/", "pkg:/nix//");
    assert!(matches!(bom(&here, &purl), Err(BomError::Word(_))));
}

#[test]
fn a_licence_that_nobody_allowed_fails_and_so_does_a_crate_that_is_not_locked() {
    let tree = tree(FORMAT);
    let list = bom(&tree, MATERIALS).unwrap().licences();
    assert!(list.lines().any(|line| line.starts_with("linux 6.12.9\tGPL-2.0-only WITH")), "{list}");
    assert!(!list.contains("rustc"), "nothing of the compiler is shipped: {list}");
    assert_eq!(list.lines().filter(|line| line.starts_with("ring ")).count(), 1);
    let changed = |from: &str, to: &str| {
        assert!(tree.contains(from), "{from}");
        bom(&tree.replace(from, to), MATERIALS).unwrap_err()
    };
    let ring = tree.lines().find(|line| line.contains(" ring v")).unwrap();
    let (package, licence) = ring.split_once('|').unwrap();
    let licence = licence.trim_end_matches(" (*)");
    let stated = format!("{}|{licence}", package.split_once(' ').unwrap().1);
    let said = format!("{}|", package.split_once(' ').unwrap().1);
    assert!(matches!(changed(&stated, &format!("{said}AGPL-3.0-only")), BomError::Licence(..)));
    assert!(matches!(changed(&stated, &said), BomError::Licence(..)), "no licence is none");
    assert!(matches!(changed(" ring v0.", " ring v9."), BomError::NotLocked(_)));
    assert!(matches!(changed(" ring v", " ring "), BomError::Tree(_)));
    let gpl = MATERIALS.replace(" WITH Linux-syscall-note", "");
    assert!(matches!(bom(&tree, &gpl), Err(BomError::Licence(..))));
    let unknown = MATERIALS.replace("linked = false", "linked = false\nnote = \"x\"");
    assert!(matches!(bom(&tree, &unknown), Err(BomError::Materials(_))));
}

#[test]
fn a_program_that_carries_its_own_list_is_asked() {
    let folder = folder("audit");
    // The section as cargo-auditable makes it: JSON, packed by zlib, put into a real program.
    let carry = |list: &str| {
        let json = write(&folder.join("list.json"), list.as_bytes());
        let packed = folder.join("list.z");
        let pack = "import sys, zlib; open(sys.argv[2], 'wb').write(zlib.compress(open(sys.argv[1], 'rb').read()))";
        assert!(tool("python3", &["-c", pack, &json, packed.to_str().unwrap()]).0);
        let out = folder.join("program");
        let section = format!(".dep-v0={}", packed.display());
        let (is_good, text) =
            tool("objcopy", &["--add-section", &section, "/bin/true", out.to_str().unwrap()]);
        assert!(is_good, "{text}");
        std::fs::read(out).unwrap()
    };
    let list = r#"{"packages":[
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"ring","version":"0.17.14","source":"crates.io"},
        {"name":"ward-twiml","version":"0.1.0","source":"local","root":true,"dependencies":[0,1]}]}"#;
    let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    let linked = audit(&carry(list)).unwrap().unwrap();
    assert_eq!(linked, BTreeSet::from([key("ring", "0.17.14"), key("ward-twiml", "0.1.0")]));
    assert_eq!(audit(&std::fs::read("/bin/true").unwrap()), Ok(None));
    assert!(audit(&carry("{")).is_err());
    // A real list names all that is linked, and more of the lock file. One that lacks something, or names something
    // else, is another program's.
    let bom = bom(&tree(FORMAT), MATERIALS).unwrap();
    let package = bom.crates.values().find(|one| one.name == "ward-twiml").unwrap();
    let mut all = bom.linked_into(package);
    assert!(all.len() > 20 && all.len() < bom.crates.len());
    let with = |all: &BTreeSet<(String, String)>| {
        let one = |(name, version): &(String, String)| {
            format!(r#"{{"name":"{name}","version":"{version}","source":"crates.io"}}"#)
        };
        let list: Vec<String> = all.iter().map(one).collect();
        let mut inspection = inspect(good());
        let twiml = inspection.nodes.iter_mut().find(|node| node.path == "/bin/ward-twiml");
        twiml.unwrap().content = carry(&format!(r#"{{"packages":[{}]}}"#, list.join(",")));
        cyclonedx(&bom, &inspection, "0.1.0")
    };
    let text = with(&all).unwrap();
    assert!(text.contains("program, tree and lock file"));
    let macros = bom.locked.iter().find(|(name, _)| name == "serde_derive").unwrap();
    all.insert(macros.clone());
    let text = with(&all).unwrap();
    assert!(text.contains(&format!("\"value\": \"serde_derive@{}\"", macros.1)), "{text}");
    let ring = all.iter().find(|(name, _)| name == "ring").unwrap().clone();
    all.insert(key("ring", "0.17.13"));
    assert_eq!(with(&all), Err(BomError::NotLocked("ring 0.17.13".to_owned())));
    all.remove(&key("ring", "0.17.13"));
    all.remove(&ring);
    assert!(matches!(with(&all), Err(BomError::NotCarried(..))));
}

#[test]
fn the_provenance_is_an_in_toto_statement() {
    let folder = folder("provenance");
    let bom = bom(&tree(FORMAT), MATERIALS).unwrap();
    let sha256 = inspect(good()).items[0].sha256.clone();
    let subject = |name: &str| Subject { name: name.to_owned(), sha256: sha256.clone() };
    let attributes = ["image-raw".to_owned(), "image-qcow2".to_owned()];
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let build = Build {
        attributes: &attributes,
        way: "host",
        source_files: &sha256,
        source_commit: Some(commit),
    };
    let text = provenance(&bom, &[subject("ward.raw"), subject("ward.qcow2")], &build).unwrap();
    let turned = provenance(&bom, &[subject("ward.qcow2"), subject("ward.raw")], &build).unwrap();
    assert_eq!(text, turned);
    // Each thing that it was made of has an address or a digest, and what is no file's digest is not called one.
    let statement: Value = serde_json::from_str(&text).unwrap();
    let definition = &statement["predicate"]["buildDefinition"];
    let made_of = definition["resolvedDependencies"].as_array().unwrap();
    assert!(made_of.iter().all(|one| one["uri"].is_string() || one["digest"].is_object()));
    assert_eq!(made_of[0]["digest"]["gitCommit"], commit);
    assert_eq!(made_of[0]["digest"]["dirHash1"], sha256.as_str());
    let rustc = made_of.iter().find(|one| one["name"] == "rustc 1.95.0").unwrap();
    assert!(rustc["digest"].is_null() && rustc["annotations"]["ward:files-sha256"].is_string());
    assert_eq!(statement["subject"].as_array().unwrap().len(), 2);
    let path = write(&folder.join("statement.json"), text.as_bytes());
    assert_eq!(check(&["provenance", &path]), (true, "ok\n".to_owned()));
    for (good, bad) in [
        ("in-toto.io/Statement/v1", "in-toto.io/Statement/v0"),
        ("\"subject\"", "\"subjects\""),
        ("\"buildType\"", "\"buildKind\""),
        ("slsa.dev/provenance/v1", "slsa.dev/provenance/v2"),
    ] {
        assert!(text.contains(good), "{good}");
        let path = write(&folder.join("bad.json"), text.replacen(good, bad, 1).as_bytes());
        assert!(!check(&["provenance", &path]).0, "{bad}");
    }
    for wrong in ["", "/nix/store/x", &sha256[1..]] {
        let build = Build { source_files: wrong, ..build };
        assert!(provenance(&bom, &[subject("a")], &build).is_err(), "{wrong}");
        let build = Build { source_commit: Some(wrong), source_files: &sha256, ..build };
        assert!(provenance(&bom, &[subject("a")], &build).is_err(), "{wrong}");
    }
    assert!(provenance(&bom, &[subject("/tmp/ward.raw")], &build).is_err());
}
