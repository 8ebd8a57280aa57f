//! What works and should not be used in production, or should be known. It decides nothing.

/// Settings that are accepted and reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// Plain HTTP on loopback, behind somebody else's TLS.
    PlainHttp,
    /// Addresses of vendors that were given by hand, wherever they are.
    StaticHosts,
    /// The kernel has no `memfd_secret`: keys and tokens lie in memory that root can read.
    SecretsOnlyLocked,
    /// A certificate of a development CA, which no telephone network trusts.
    DevelopmentCa,
    /// Account, key and certificate are kept nowhere: every restart of the machine asks for new ones, and authorities limit that.
    AcmeNotKept,
    /// What was kept of an account, a key or a certificate cannot be opened, and is made anew.
    AcmeKeptUnreadable,
}

impl Finding {
    /// Every finding.
    pub const ALL: [Self; 6] = [
        Self::PlainHttp,
        Self::StaticHosts,
        Self::SecretsOnlyLocked,
        Self::DevelopmentCa,
        Self::AcmeNotKept,
        Self::AcmeKeptUnreadable,
    ];

    /// The stable code in log lines and reports.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::StaticHosts => "static_hosts",
            Self::SecretsOnlyLocked => "secrets_only_locked",
            Self::DevelopmentCa => "development_ca",
            Self::AcmeNotKept => "acme_not_kept",
            Self::AcmeKeptUnreadable => "acme_kept_unreadable",
        }
    }
}
