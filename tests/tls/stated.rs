//! What is said of the cryptography: the module, its version and whether it was validated, as it really is.

use std::process::Command;

use serde_json::Value;
use ward_policy::tls::MODULE;
use ward_tests::binaries::{release, root};

#[test]
fn the_module_is_named_with_its_version_and_that_it_is_not_validated() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let stated = format!("name = \"{}\"\nversion = \"{}\"\n", MODULE.name, MODULE.version);
    assert!(lock.contains(&stated), "{stated}");
    assert_eq!(lock.matches(&format!("name = \"{}\"\n", MODULE.name)).count(), 1);
    let output =
        Command::new(release("ward")).args(["run", "--report", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["crypto"]["module"], MODULE.name);
    assert_eq!(report["crypto"]["version"], MODULE.version);
    assert_eq!(report["crypto"]["fips_140_validated"], false);
    let versions: Vec<&str> =
        report["crypto"]["tls"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(versions, ["1.3", "1.2"]);
    // In words too, for who reads the report without a program.
    let output = Command::new(release("ward")).args(["run", "--report"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("not validated to FIPS 140"), "{text}");
}
