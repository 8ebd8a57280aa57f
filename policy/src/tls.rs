//! How TLS is spoken, towards Twilio and towards vendors: versions, suites, groups, key sizes, roots, and the module that does
//! the arithmetic.
//!
//! The one place. It decides; `ward-edge` makes a TLS library obey (`tls.rs`, `vendor_tls.rs`), and a test there fails when the
//! library would do anything that is not listed here. Numbers are IANA's. It knows no library and makes no connection.

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// RFC 8446.
    Tls13,
    /// RFC 5246, with the suites below only: every one has forward secrecy and authenticates what it encrypts.
    Tls12,
}

/// Every version, best first. Twilio and some vendors still speak 1.2; nobody is offered less.
pub const VERSIONS: [Version; 2] = [Version::Tls13, Version::Tls12];

/// A cipher suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// The version that it is of.
    pub version: Version,
}

/// Every suite, best first: AEAD with ephemeral keys (NIST SP 800-52r2 §3.3.1 lists no other for these versions).
pub const SUITES: [Suite; 9] = [
    Suite { number: 0x1302, name: "TLS_AES_256_GCM_SHA384", version: Version::Tls13 },
    Suite { number: 0x1301, name: "TLS_AES_128_GCM_SHA256", version: Version::Tls13 },
    Suite { number: 0x1303, name: "TLS_CHACHA20_POLY1305_SHA256", version: Version::Tls13 },
    Suite {
        number: 0xc02c,
        name: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        version: Version::Tls12,
    },
    Suite {
        number: 0xc02b,
        name: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        version: Version::Tls12,
    },
    Suite {
        number: 0xcca9,
        name: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        version: Version::Tls12,
    },
    Suite {
        number: 0xc030,
        name: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        version: Version::Tls12,
    },
    Suite {
        number: 0xc02f,
        name: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        version: Version::Tls12,
    },
    Suite {
        number: 0xcca8,
        name: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        version: Version::Tls12,
    },
];

/// A group in which keys are agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
}

/// Every group, best first.
pub const GROUPS: [Group; 3] = [
    Group { number: 0x001d, name: "x25519" },
    Group { number: 0x0017, name: "secp256r1" },
    Group { number: 0x0018, name: "secp384r1" },
];

/// Every scheme that a certificate's key may sign a handshake with, best first.
pub const SCHEMES: [u16; 9] = [
    0x0807, // ed25519
    0x0403, // ecdsa_secp256r1_sha256
    0x0503, // ecdsa_secp384r1_sha384
    0x0804, // rsa_pss_rsae_sha256
    0x0805, // rsa_pss_rsae_sha384
    0x0806, // rsa_pss_rsae_sha512
    0x0401, // rsa_pkcs1_sha256
    0x0501, // rsa_pkcs1_sha384
    0x0601, // rsa_pkcs1_sha512
];

/// The shortest RSA key that is believed, in bits (NIST SP 800-57 part 1, 112 bits of security); elliptic curves begin at P-256 and
/// Ed25519. Nothing here enforces it: it is what the library's checks of signatures come to, and `tests/tls/refused.rs` shows that a peer
/// with a shorter one is refused. A key of ours must be as long, but for one bit: ring takes 2,047.
pub const RSA_BITS_MIN: u16 = 2_048;

/// What a connection is negotiated for, by its ALPN word (RFC 7301).
pub const ALPN_HTTP: &[u8] = b"http/1.1";
/// The word of a certificate authority that checks a name (RFC 8737 §6.2). Whoever asks for it gets a challenge's certificate or none.
pub const ALPN_ACME: &[u8] = b"acme-tls/1";

/// Whom a vendor's certificate must lead to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roots<'a> {
    /// Those that browsers trust, as they come with the program.
    Browsers,
    /// The entry's own, in PEM, and nobody else's.
    Entry(&'a str),
}

impl<'a> Roots<'a> {
    /// What an entry's `roots_pem` means: without it, those that browsers trust.
    #[must_use]
    pub const fn of(roots_pem: &'a str) -> Self {
        if roots_pem.is_empty() { Self::Browsers } else { Self::Entry(roots_pem) }
    }
}

/// The module that does the arithmetic of TLS, signatures and digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module {
    /// Its name.
    pub name: &'static str,
    /// Its version, as in the lock file; a test compares them.
    pub version: &'static str,
    /// Whether what is built here is a module that has been validated to FIPS 140.
    pub is_fips_validated: bool,
}

/// ring is not validated to FIPS 140, nor is what it is made from in the form that it has here.
pub const MODULE: Module = Module { name: "ring", version: "0.17.14", is_fips_validated: false };
