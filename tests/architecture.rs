//! The shape of the workspace, as rules that fail: who depends on whom, crate roots, links in the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use ward_policy::line::{Kind, Shape, table};
use ward_tests::binaries::root;

/// Our crates, and which of ours each may name. Arrows go down only.
const EDGES: &[(&str, &[&str])] = &[
    ("ward-policy", &[]),
    ("ward-sys", &["ward-policy"]),
    ("ward-twilio", &["ward-policy"]),
    ("ward-call", &["ward-policy"]),
    ("ward-edge", &["ward-policy", "ward-sys"]),
    ("ward-init", &["ward-edge", "ward-policy", "ward-sys"]),
    ("ward-broker", &["ward-edge", "ward-policy", "ward-sys"]),
    ("ward-media", &["ward-call", "ward-edge", "ward-policy", "ward-sys", "ward-twilio"]),
    ("ward-twiml", &["ward-edge", "ward-policy", "ward-sys", "ward-twilio"]),
    (
        "ward",
        &[
            "ward-broker",
            "ward-edge",
            "ward-image",
            "ward-init",
            "ward-media",
            "ward-policy",
            "ward-sys",
            "ward-twilio",
            "ward-twiml",
        ],
    ),
    ("ward-image", &["ward-policy"]),
    ("ward-hostile", &["ward-edge", "ward-policy", "ward-sys"]),
    ("ward-variants", &["ward-call", "ward-edge", "ward-media", "ward-sys"]),
    (
        "ward-tests",
        &[
            "ward",
            "ward-call",
            "ward-edge",
            "ward-image",
            "ward-media",
            "ward-policy",
            "ward-twilio",
        ],
    ),
];

/// Third-party crates that only some of ours may name.
const FENCED: &[(&str, &[&str])] = &[
    ("hyper", &["ward-broker", "ward-edge", "ward-media", "ward-twiml", "ward"]),
    (
        "tokio",
        &[
            "ward-broker",
            "ward-edge",
            "ward-init",
            "ward-media",
            "ward-sys",
            "ward-twiml",
            "ward",
            "ward-tests",
        ],
    ),
    // The names of the internet, and the ways to them, are the broker's alone.
    ("hickory-resolver", &["ward-broker"]),
    ("webpki-roots", &["ward-edge"]),
    ("rustls", &["ward-edge", "ward-init", "ward", "ward-tests"]),
    ("tungstenite", &["ward-media", "ward"]),
    ("tokio-tungstenite", &["ward"]),
    (
        "ring",
        &[
            "ward-twilio",
            "ward-edge",
            "ward-init",
            "ward-broker",
            "ward-image",
            "ward-media",
            "ward",
            "ward-tests",
        ],
    ),
    ("landlock", &["ward-sys"]),
    ("libc", &["ward-sys", "ward-hostile"]),
    ("seccompiler", &["ward-sys"]),
    ("clap", &["ward", "ward-image"]),
    ("rcgen", &["ward"]),
];

/// What each shipped server may pull in, at most, in packages: a number that grows is looked at.
const PACKAGES_MAX: &[(&str, usize)] =
    &[("ward-media", 85), ("ward-twiml", 70), ("ward-init", 80), ("ward-broker", 160)];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        all.filter(|one| one["kind"].is_null()).map(|one| text(&one["name"])).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (text(&package["name"]), of(package))).collect()
}

#[test]
fn dependencies_go_down_only_and_are_all_written_down() {
    let found = dependencies();
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(found.keys().map(String::as_str).collect::<BTreeSet<_>>(), ours);
    for (name, allowed) in EDGES {
        let named: BTreeSet<&str> =
            found[*name].iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        assert_eq!(named, allowed.iter().copied().collect(), "{name}");
    }
}

#[test]
fn third_party_crates_stay_where_they_belong() {
    let found = dependencies();
    for (fenced, allowed) in FENCED {
        let users: BTreeSet<&str> = found
            .iter()
            .filter(|(_, names)| names.contains(*fenced))
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(users, allowed.iter().copied().collect(), "{fenced}");
    }
}

#[test]
fn shipped_servers_pull_in_few_packages() {
    for (server, most) in PACKAGES_MAX {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--package",
                server,
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--locked",
            ])
            .args(["--target", "x86_64-unknown-linux-musl"])
            .current_dir(root())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let packages: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(" v").next())
            .filter(|l| !l.is_empty())
            .collect();
        assert!(packages.len() > 20, "{text}");
        assert!(packages.len() <= *most, "{server} pulls in {}: {packages:?}", packages.len());
    }
}

/// Files below `folder` that git tracks or would, by ending.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir()
                && !["target", "node_modules", ".cache", ".git", ".next", ".out", "corpus"]
                    .contains(&&*name)
            {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn only_sys_may_be_unsafe_and_every_other_root_forbids_it() {
    let mut roots = 0;
    for file in files(&root().join("appliance"), &[".rs"])
        .iter()
        .chain(&files(&root().join("policy"), &[".rs"]))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let is_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
        let is_sys = file.starts_with(root().join("appliance/sys"));
        if is_root && !is_sys {
            assert!(text.contains("#![forbid(unsafe_code)]"), "{}", file.display());
            roots += 1;
        }
        if !is_sys {
            let code = text.replace("unsafe_code", "").replace("`unsafe`", "");
            assert!(!code.contains("unsafe "), "{}", file.display());
        }
    }
    assert!(roots >= 9, "{roots}");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for file in files(root(), &[".rs"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
    }
}

#[test]
fn production_files_stay_small() {
    for file in files(&root().join("appliance"), &[".rs"])
        .iter()
        .chain(&files(&root().join("policy"), &[".rs"]))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(lines <= 520, "{}: {lines} lines before its tests", file.display());
    }
}

/// Where a build can be made to leak, as the negative control of `tests/canary` is: file, and how many lines
/// depend on it. It is no feature, so that no manifest, dependency or `--all-features` can ask for it.
const LEAKS: &[(&str, usize)] = &[
    ("appliance/broker/src/mint.rs", 1),
    ("appliance/edge/src/connection.rs", 1),
    ("appliance/edge/src/handed.rs", 1),
    ("appliance/edge/src/log/leak.rs", 0),
    ("appliance/edge/src/log.rs", 2),
    ("appliance/edge/src/panic.rs", 1),
    ("appliance/edge/src/prefixed.rs", 2),
    ("appliance/edge/src/tcp.rs", 2),
    ("appliance/init/src/log.rs", 1),
    ("appliance/media/src/socket.rs", 2),
    ("appliance/media/src/vendor/connection.rs", 5),
    ("appliance/ward/src/settings.rs", 3),
    ("appliance/ward/src/vendors.rs", 1),
];

#[test]
fn the_negative_control_is_where_it_is_listed_and_asked_for_by_its_test_alone() {
    let mut found = Vec::new();
    for folder in ["appliance", "policy"] {
        for file in files(&root().join(folder), &[".rs"]) {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text.lines().map(str::trim).filter(|line| {
                line.contains("negative_control") && line.contains("cfg") && !line.starts_with("//")
            });
            let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            let lines = lines.count();
            if lines > 0 || name.ends_with("leak.rs") {
                found.push((name, lines));
            }
            // Every call is behind it: the line before, or the same statement.
            let calls = text.lines().zip(text.lines().skip(1));
            for (before, line) in calls.filter(|(_, line)| line.contains("leak::")) {
                assert_eq!(before.trim(), "#[cfg(negative_control)]", "{}: {line}", file.display());
            }
        }
    }
    let expected: Vec<(String, usize)> =
        LEAKS.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect();
    assert_eq!(found, expected);
    let mut looked = 0;
    let mut asks = files(root(), &["Cargo.toml", ".sh", ".yml", "config.toml"]);
    asks.extend(["tests/run", "tests/bench/run", ".ci/run"].map(|name| root().join(name)));
    for file in asks {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter(|line| line.contains("negative"));
        let known = if file == root().join("Cargo.toml") { 1 } else { 0 };
        assert_eq!(lines.count(), known, "{}", file.display());
        looked += 1;
    }
    assert!(looked > 15, "{looked}");
}

#[test]
fn every_relative_link_in_the_docs_points_at_something() {
    let mut links = 0;
    for file in files(root(), &[".md"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap();
            let full = file.parent().unwrap().join(path);
            assert!(full.exists(), "{} links to {target}", file.display());
            links += 1;
        }
    }
    assert!(links > 12, "{links}");
}

#[test]
fn every_file_that_the_docs_name_exists() {
    let mut named = 0;
    for file in files(&root().join("docs"), &[".md"]) {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in text.split('`').skip(1).step_by(2) {
            let is_path = ["policy/", "appliance/", "apps/", "tests/", "docs/", "nix/"]
                .iter()
                .any(|top| word.starts_with(top));
            if is_path && !word.contains([' ', '*', '{', '<']) {
                assert!(root().join(word).exists(), "{} names {word}", file.display());
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}

/// A row of the first table of `docs/events.md`, as far as the book of lines decides it.
fn row(shape: &Shape) -> String {
    let names = shape.fields.iter().map(|field| match field.kind {
        Kind::Layers => "one field a layer".to_owned(),
        Kind::Reason(_) => format!("{}, fault", field.name),
        _ => field.name.to_owned(),
    });
    let names: Vec<String> = names.collect();
    let names = if names.is_empty() { "–".to_owned() } else { names.join(", ") };
    format!("\n| `{}` | {names} |", shape.code)
}

#[test]
fn every_line_stands_in_the_docs_with_its_fields() {
    let docs = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    for shape in table::shapes() {
        assert!(docs.contains(&row(shape)), "{}", row(shape));
    }
    let draining = table::shape(b"draining").unwrap();
    let other = Shape { code: "stopped", ..*draining };
    assert!(!docs.contains(&row(&other)), "a row with another field would be found");
}

#[test]
fn every_log_event_is_explained_in_the_docs() {
    let docs = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    for file in ["audit.rs", "fault.rs"] {
        let source = std::fs::read_to_string(root().join("policy/src").join(file)).unwrap();
        let production = source.split("#[cfg(test)]").next().unwrap();
        let codes = production.lines().filter_map(|line| {
            let (_, rest) = line.split_once("=> \"").or_else(|| line.split_once("= \""))?;
            rest.split('"').next()
        });
        for code in codes {
            assert!(
                docs.contains(&format!("`{code}`")),
                "{code} of {file} is not in docs/events.md"
            );
        }
    }
    let log = std::fs::read_to_string(root().join("apps/web/lib/log.ts")).unwrap();
    let code = log.lines().filter(|line| !line.starts_with("//") && !line.starts_with("/**"));
    let codes = code.flat_map(|line| line.split('\'').skip(1).step_by(2)).collect::<Vec<_>>();
    assert!(codes.contains(&"settings_refused") && codes.contains(&"schema"), "{codes:?}");
    for code in codes {
        assert!(docs.contains(&format!("`{code}`")), "{code} of apps/web is not in docs/events.md");
    }
    for count in ward_policy::count::Count::ALL {
        assert!(docs.contains(&format!("`{}`", count.name())), "{}", count.name());
    }
}

/// What makes a socket, or writes somewhere else than through `lib/log.ts`.
fn is_foreign_to_the_web_host(file: &str, text: &str) -> bool {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    // The page says in words that there is none.
    let has_socket = !file.ends_with("app/page.tsx")
        && ["WebSocket", "socket", "EventSource", "node:net", "node:tls", "fetch("]
            .iter()
            .any(|word| code.contains(word));
    let has_log = !file.ends_with("lib/log.ts")
        && ["console.", "process.stdout", "process.stderr", "node:fs"]
            .iter()
            .any(|word| code.contains(word));
    has_socket || has_log
}

#[test]
fn the_web_host_has_no_socket_one_log_and_few_dependencies() {
    let web = root().join("apps/web");
    let mut looked = 0;
    for file in files(&web, &[".ts", ".tsx"]) {
        let name = file.strip_prefix(&web).unwrap().to_string_lossy().into_owned();
        if name.starts_with("tests/") || name == "next-env.d.ts" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("// "), "{name} does not say what it is for");
        assert!(!is_foreign_to_the_web_host(&name, &text), "{name}");
        looked += 1;
    }
    assert!(looked >= 14, "{looked}");
    // The rule itself: each of these would be seen.
    for code in ["new WebSocket(url)", "console.log(form)", "import net from 'node:net'"] {
        assert!(is_foreign_to_the_web_host("lib/x.ts", code), "{code}");
    }
    let manifest = std::fs::read_to_string(web.join("package.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let names: Vec<&String> = manifest["dependencies"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["next", "react", "react-dom", "twilio"]);
    assert!(web.join("docs/media/README.md").exists());
}
