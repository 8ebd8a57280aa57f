//! A real browser loads the pages under their policy: no violation, another nonce each time.

use std::process::Command;

use serde_json::Value;
use ward_tests::binaries::root;
use ward_tests::site::{Kind, Site};

fn look(site: &Site, path: &str, name: &str, policy: Option<&str>) -> [Value; 2] {
    let folder = root().join("target/webhook-test");
    std::fs::create_dir_all(&folder).unwrap();
    let browser = root().join("tests/webhook/browser");
    assert!(
        browser.join("node_modules/playwright-core").is_dir(),
        "run tests/run once, or `npm ci` in tests/webhook/browser"
    );
    let mut node = Command::new("node");
    node.arg(browser.join("look.js")).arg(format!("https://localhost:{}", site.port)).arg(path);
    node.arg(folder.join(format!("{name}.png"))).args(policy);
    let output = node.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let mut seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    [seen["loads"][0].take(), seen["loads"][1].take()]
}

fn nonce(seen: &Value) -> &str {
    let policy = seen["policy"].as_str().unwrap();
    policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap()
}

#[test]
fn chromium_loads_the_pages_without_a_violation_and_with_a_nonce_of_their_own() {
    let site = Site::start(Kind::Web, "");
    for (path, name, status, headings) in
        [("/", "page", 200, vec!["H1", "H2", "H2"]), ("/nowhere", "not-found", 404, vec!["H1"])]
    {
        let loads = look(&site, path, name, None);
        for seen in &loads {
            assert_eq!(seen["status"], status);
            for list in ["violations", "errors", "foreign", "failed"] {
                assert_eq!(seen[list], Value::Array(Vec::new()), "{path} {list}: {seen:#}");
            }
            let console = seen["console"].as_array().unwrap();
            // Chromium itself reports a page that is not found, and features that only others have.
            let said = console.iter().filter_map(Value::as_str).filter(|line| {
                !line.contains("status of 404") && !line.contains("Unrecognized feature")
            });
            assert_eq!(said.count(), 0, "{seen:#}");
            // The page's own scripts ran, and its own style and icon were applied.
            assert_eq!(seen["nonces"], Value::from(vec![nonce(seen)]), "{seen:#}");
            assert!(seen["scripts"].as_u64() > Some(5), "{seen:#}");
            assert_eq!(seen["hydrated"], true, "{seen:#}");
            assert!(seen["font"].as_str().unwrap().contains("system-ui"), "{seen:#}");
            assert_eq!(seen["icon"], true, "{seen:#}");
            assert_eq!(seen["language"], "en");
            assert_eq!(seen["headings"], Value::from(headings.clone()));
            assert_eq!(seen["unlabelled"], 0);
        }
        assert_eq!(loads[0]["overflows"], false, "fits 360 pixels");
        assert_ne!(nonce(&loads[0]), nonce(&loads[1]));
    }
}

#[test]
fn a_violation_would_be_seen() {
    let site = Site::start(Kind::Web, "");
    // The same page under the policy of another load: its scripts carry the wrong nonce.
    let stale = "default-src 'none'; script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA=='; \
        style-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA=='";
    let [seen, _] = look(&site, "/", "stale-nonce", Some(stale));
    let violations = seen["violations"].as_array().unwrap();
    for directive in ["script-src-elem", "style-src-elem", "img-src"] {
        let found = violations.iter().any(|line| line.as_str().unwrap().starts_with(directive));
        assert!(found, "{directive} in {seen:#}");
    }
    assert_eq!(seen["hydrated"], false);
}
