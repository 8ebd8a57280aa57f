//! The headers that every response carries, whatever its status.
//!
//! This module says what they are; `ward-edge` is the one place that adds them. It never makes a
//! nonce: that needs randomness, which this crate has not.

/// A nonce in base64: 16 random bytes, 24 characters.
pub const NONCE_CHARS: usize = 24;

/// Headers whose value never changes, in the order they are sent.
pub const FIXED: &[(&str, &str)] = &[
    // Two years, and eligible for the browsers' preload lists (hstspreload.org asks for one).
    ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
    ("permissions-policy", PERMISSIONS_POLICY),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    // The old filter did harm; 0 switches it off where it still exists.
    ("x-xss-protection", "0"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];

/// Every powerful feature that browsers know, denied.
pub const PERMISSIONS_POLICY: &str = "accelerometer=(), ambient-light-sensor=(), attribution-reporting=(), \
autoplay=(), battery=(), bluetooth=(), browsing-topics=(), camera=(), clipboard-read=(), \
clipboard-write=(), compute-pressure=(), cross-origin-isolated=(), display-capture=(), \
encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
identity-credentials-get=(), idle-detection=(), interest-cohort=(), keyboard-map=(), \
local-fonts=(), magnetometer=(), microphone=(), midi=(), otp-credentials=(), payment=(), \
picture-in-picture=(), publickey-credentials-create=(), publickey-credentials-get=(), \
screen-wake-lock=(), serial=(), speaker-selection=(), storage-access=(), sync-xhr=(), usb=(), \
web-share=(), window-management=(), xr-spatial-tracking=()";

/// Names that must never appear: they tell a stranger what runs here.
pub const FORBIDDEN: &[&str] = &["server", "x-powered-by", "via", "x-aspnet-version"];

/// The Content-Security-Policy for one response.
///
/// Nothing may load except what carries this response's own nonce; nothing may frame it.
#[must_use]
pub fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_nonce_and_nothing_else_is_allowed() {
        let policy = content_security_policy("abc");
        assert!(policy.starts_with("default-src 'none'; "));
        assert_eq!(policy.matches("'nonce-abc'").count(), 2);
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe-inline"));
    }

    #[test]
    fn no_fixed_header_is_forbidden_or_given_twice() {
        for (index, (name, value)) in FIXED.iter().enumerate() {
            assert!(!FORBIDDEN.contains(name), "{name}");
            assert!(!value.is_empty());
            assert_eq!(name.to_ascii_lowercase(), *name);
            assert!(FIXED.iter().skip(index + 1).all(|(other, _)| other != name), "{name}");
        }
    }

    #[test]
    fn every_permission_is_denied() {
        for entry in PERMISSIONS_POLICY.split(", ") {
            assert!(entry.ends_with("=()"), "{entry}");
        }
    }
}
