//! The header set that every response must carry, written down a second time on purpose.
//!
//! It does not use the product's own table, so a header that is dropped there is missed here.

/// Names, and what the value must contain.
const REQUIRED: &[(&str, &str)] = &[
    ("content-security-policy", "default-src 'none'"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("strict-transport-security", "includeSubDomains; preload"),
    ("permissions-policy", "camera=()"),
    ("permissions-policy", "microphone=()"),
    ("permissions-policy", "geolocation=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-xss-protection", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// The values of a header, whatever its case.
#[must_use]
pub fn values<'r>(response: &'r str, name: &str) -> Vec<&'r str> {
    let head = response.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// Checks the whole set and returns the response's nonce.
#[must_use]
pub fn check(response: &str) -> String {
    for (name, part) in REQUIRED {
        let found = values(response, name);
        assert_eq!(found.len(), 1, "{name} stands {} times in:\n{response}", found.len());
        assert!(found[0].contains(part), "{name} lacks {part} in:\n{response}");
    }
    for name in ["server", "x-powered-by", "via"] {
        assert!(values(response, name).is_empty(), "{name} in:\n{response}");
    }
    let policy = values(response, "content-security-policy")[0];
    let nonces: Vec<&str> =
        policy.split("'nonce-").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    let [script, style] = nonces.as_slice() else { panic!("two nonces in {policy}") };
    assert_eq!(script, style);
    assert_eq!(script.len(), 24, "{script}");
    (*script).to_owned()
}
