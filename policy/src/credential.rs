//! What kinds of credential a process can have, as the list of live ones names them. It holds none.

/// A kind of credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CredentialKind {
    /// A vendor's key that lasts: the broker's.
    VendorKey,
    /// What the broker asks a source of keys for a session with: it lasts, and every key of the source can be had with it.
    SourceSecret,
    /// What the broker is logged in to a source of keys with, for a while.
    SourceSession,
    /// A vendor's tokens that were given to media and are still good.
    VendorToken,
    /// The key of the TLS certificate.
    TlsKey,
    /// The handshake signatures that media expects, each a password.
    HandshakeValues,
    /// Twilio's auth token.
    AuthToken,
    /// The account at the authority that issues certificates, and its key: the broker's.
    AcmeAccount,
    /// The certificate that the authority issued; its key is a [`Self::TlsKey`].
    Certificate,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::VendorKey,
        Self::SourceSecret,
        Self::SourceSession,
        Self::VendorToken,
        Self::TlsKey,
        Self::HandshakeValues,
        Self::AuthToken,
        Self::AcmeAccount,
        Self::Certificate,
    ];

    /// The word in a log line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VendorKey => "vendor-key",
            Self::SourceSecret => "source-secret",
            Self::SourceSession => "source-session",
            Self::VendorToken => "vendor-token",
            Self::TlsKey => "tls-key",
            Self::HandshakeValues => "handshake-values",
            Self::AuthToken => "auth-token",
            Self::AcmeAccount => "acme-account",
            Self::Certificate => "certificate",
        }
    }
}
