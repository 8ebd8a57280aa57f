//! Who writes into the log: the processes, by what each is for. It starts none.

/// Which process writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Starts the others, and starts them again.
    Init,
    /// Brings the image onto the network and sets its clock. It writes no log: it is there before the log is.
    Net,
    /// The one writer of the log.
    Log,
    /// The holder of the TLS key.
    Sign,
    /// Dials vendors.
    Broker,
    /// `ward-media`.
    Media,
    /// `ward-twiml`.
    Twiml,
}

impl Role {
    /// Every role that writes into the log, in the order in which they are started.
    pub const ALL: [Self; 6] =
        [Self::Init, Self::Log, Self::Sign, Self::Broker, Self::Media, Self::Twiml];

    /// The role called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The word in a log line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Net => "net",
            Self::Log => "log",
            Self::Sign => "sign",
            Self::Broker => "broker",
            Self::Media => "media",
            Self::Twiml => "twiml",
        }
    }
}
