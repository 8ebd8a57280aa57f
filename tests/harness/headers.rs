//! The header set that every response must carry, written down a second time on purpose.
//!
//! It does not use the product's own table, so a header that is dropped there is missed here.

/// Names and whole values, except the policy with its nonce.
const REQUIRED: &[(&str, &str)] = &[
    ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
    ("permissions-policy", PERMISSIONS),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-xss-protection", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
];

const PERMISSIONS: &str = "accelerometer=(), ambient-light-sensor=(), attribution-reporting=(), autoplay=(), \
battery=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), clipboard-write=(), \
compute-pressure=(), cross-origin-isolated=(), display-capture=(), encrypted-media=(), fullscreen=(), \
gamepad=(), geolocation=(), gyroscope=(), hid=(), identity-credentials-get=(), idle-detection=(), \
interest-cohort=(), keyboard-map=(), local-fonts=(), magnetometer=(), microphone=(), midi=(), \
otp-credentials=(), payment=(), picture-in-picture=(), publickey-credentials-create=(), \
publickey-credentials-get=(), screen-wake-lock=(), serial=(), speaker-selection=(), storage-access=(), \
sync-xhr=(), usb=(), web-share=(), window-management=(), xr-spatial-tracking=()";

/// The values of a header, whatever its case.
#[must_use]
pub fn values<'r>(response: &'r str, name: &str) -> Vec<&'r str> {
    let head = response.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// Checks the whole set on an answer of a route and returns its nonce.
#[must_use]
pub fn check(response: &str) -> String {
    check_fixed(response);
    assert_eq!(values(response, "cache-control"), ["no-store"], "{response}");
    check_policy(response, "")
}

/// The same on a page, which has an icon.
#[must_use]
pub fn check_page(response: &str) -> String {
    check_fixed(response);
    let caching = values(response, "cache-control").join(", ");
    assert!(caching.contains("no-store"), "{response}");
    check_policy(response, "; img-src 'self'")
}

/// The same on a file, which is the same for everybody and has no nonce.
pub fn check_file(response: &str) {
    check_fixed(response);
    let expected =
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    assert_eq!(values(response, "content-security-policy"), [expected], "{response}");
    let caching = values(response, "cache-control").join(", ");
    assert!(caching.contains("no-store"), "{response}");
}

fn check_fixed(response: &str) {
    for (name, value) in REQUIRED {
        assert_eq!(values(response, name), [*value], "{name} in:\n{response}");
    }
    for name in ["server", "x-powered-by", "via"] {
        assert!(values(response, name).is_empty(), "{name} in:\n{response}");
    }
}

fn check_policy(response: &str, more: &str) -> String {
    let found = values(response, "content-security-policy");
    let [policy] = found.as_slice() else { panic!("one policy in:\n{response}") };
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next());
    let nonce = nonce.unwrap_or_default();
    assert_eq!(nonce.len(), 24, "{policy}");
    let expected = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'{more}"
    );
    assert_eq!(*policy, expected, "{response}");
    nonce.to_owned()
}
