//! Where a server's certificate comes from. It decides nothing.

/// Who made the certificate that a server shows, and where it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateSource {
    /// The operator's own, as documents.
    Files,
    /// An authority that was asked for it over ACME (RFC 8555).
    Acme,
    /// A development CA, made for one run, which no telephone network trusts.
    DevelopmentCa,
}

impl CertificateSource {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Files, Self::Acme, Self::DevelopmentCa];

    /// The word in log lines and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Acme => "acme",
            Self::DevelopmentCa => "development_ca",
        }
    }

    /// The source called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}
