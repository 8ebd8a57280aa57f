//! Which role may know which setting.
//!
//! Whoever starts a server cuts the settings to these tables, one document a role: the media server is never given an auth
//! token. This module holds names; values are judged by the role that gets them.

/// What the responder may know.
pub const TWIML: &[&str] = &[
    "MEDIA_WSS_URL",
    "MEDIA_PATH",
    "NEXT_PUBLIC_SITE_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_TWIML_APP_SID",
    "TWIML_PLAIN_HTTP",
    "STREAM_TICKET",
];

/// What only the responder may know.
pub const TWIML_SECRETS: &[&str] =
    &["TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT", "STREAM_TICKET_KEY"];

/// What the media server may know.
pub const MEDIA: &[&str] = &[
    "MEDIA_PATH",
    "TWILIO_ACCOUNT_SID",
    "MEDIA_AGENT",
    "MEDIA_GUESSING",
    "MEDIA_HANDSHAKE",
    "CALL_DURATION_MAX_S",
    "CALLS_PER_WORKER_MAX",
    "MEDIA_VENDORS",
];

/// What the media server is told beside its settings, because it may be replaced.
pub const PUBLIC_KEYS: &str = "STREAM_TICKET_PUBLIC_KEYS";

/// What the broker may know.
pub const BROKER: &[&str] = &[
    "BROKER_NAMESERVERS",
    "BROKER_HOSTS",
    "LOG_SINK",
    "ACME_CA",
    "ACME_NAMES",
    "ACME_TERMS",
    "ACME_CONTACT",
];
