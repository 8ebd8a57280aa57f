//! Why an answer from the network is not followed: a closed list, each with the word that the console shows.
//!
//! What a stranger wrote never reaches the console; the name of what was wrong with it does.

/// What was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It ends too soon.
    #[error("short")]
    Short,
    /// It is longer than any frame.
    #[error("long")]
    Long,
    /// The headers before it are wrong.
    #[error("header")]
    Header,
    /// It is a question, or of another kind of network.
    #[error("no_answer")]
    NoAnswer,
    /// The options do not begin as they must.
    #[error("cookie")]
    Cookie,
    /// An option of this number has another length or shape than its document says.
    #[error("option_{0}")]
    Option(u8),
    /// It does not say what kind of answer it is, or says something that a server does not say.
    #[error("kind")]
    Kind,
    /// It does not say whose it is, or an address that no server has.
    #[error("server")]
    Server,
    /// The address is nobody's, everybody's, or one that a machine cannot have.
    #[error("address")]
    Address,
    /// It is another address than the one that was offered, or that we have.
    #[error("other_address")]
    OtherAddress,
    /// The mask has a hole, or covers the world.
    #[error("mask")]
    Mask,
    /// A router's address is one that no router has, or ours.
    #[error("router")]
    Router,
    /// A route leads to a place that must not leave the machine.
    #[error("route")]
    Route,
    /// The largest packet is too small or too large.
    #[error("mtu")]
    Mtu,
    /// There is no lease, or one too short to live with.
    #[error("lease")]
    Lease,
    /// Nobody answered.
    #[error("silent")]
    Silent,
    /// It is not from a server, or of another version.
    #[error("mode")]
    Mode,
    /// It says that it does not know the time, or wants to be left alone.
    #[error("unsynchronised")]
    Unsynchronised,
    /// It answers another question than ours.
    #[error("number")]
    Number,
    /// Its own times go backwards, or it is too unsure of them.
    #[error("unsure")]
    Unsure,
    /// It took too long to say anything about the time.
    #[error("round_trip")]
    RoundTrip,
    /// The time is before [`ward_policy::limit::BUILD_DATE_S`].
    #[error("before_build")]
    BeforeBuild,
    /// The time is decades after it.
    #[error("after_build")]
    AfterBuild,
    /// The clock of a running machine is not moved this far, at once or in sum.
    #[error("too_far")]
    TooFar,
}

impl Refusal {
    /// Every one, in the order of [`Self::code`]; options last.
    const ALL: [Self; 23] = [
        Self::Short,
        Self::Long,
        Self::Header,
        Self::NoAnswer,
        Self::Cookie,
        Self::Kind,
        Self::Server,
        Self::Address,
        Self::OtherAddress,
        Self::Mask,
        Self::Router,
        Self::Route,
        Self::Mtu,
        Self::Lease,
        Self::Silent,
        Self::Mode,
        Self::Unsynchronised,
        Self::Number,
        Self::Unsure,
        Self::RoundTrip,
        Self::BeforeBuild,
        Self::AfterBuild,
        Self::TooFar,
    ];

    /// Two bytes that stand for it in a record.
    #[must_use]
    pub fn code(self) -> [u8; 2] {
        if let Self::Option(number) = self {
            return [u8::MAX, number];
        }
        let place = Self::ALL.iter().position(|one| *one == self);
        [place.and_then(|place| u8::try_from(place).ok()).unwrap_or(0), 0]
    }

    /// The refusal that two bytes stand for.
    #[must_use]
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        match code {
            [u8::MAX, number] => Some(Self::Option(number)),
            [place, 0] => Self::ALL.get(usize::from(place)).copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_comes_back_from_its_code() {
        for one in Refusal::ALL.into_iter().chain([Refusal::Option(0), Refusal::Option(121)]) {
            assert_eq!(Refusal::from_code(one.code()), Some(one));
        }
        assert_eq!(Refusal::from_code([25, 0]), None);
        assert_eq!(Refusal::from_code([0, 1]), None);
        assert!(size_of::<Refusal>() <= 4);
    }
}
