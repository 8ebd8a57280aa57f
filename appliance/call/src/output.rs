//! Everything a call can ask for. Nothing here carries it out.

use ward_policy::fault::CallEnd;

use crate::playout::MarkName;

/// Something to do, in the order it is given.
#[derive(PartialEq, Eq)]
pub enum Output<'a> {
    /// Send this audio: µ-law, 8,000 Hz, a multiple of 160 bytes.
    Play(&'a [u8]),
    /// Ask to be told when everything sent so far has been played.
    Mark(MarkName),
    /// Tell the peer to drop the audio it has not played yet.
    Clear,
    /// End the call.
    HangUp(CallEnd),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Play(audio) => write!(f, "Play({} bytes)", audio.len()),
            Self::Mark(name) => write!(f, "Mark({})", name.as_str()),
            Self::Clear => f.write_str("Clear"),
            Self::HangUp(reason) => write!(f, "HangUp({})", reason.code()),
        }
    }
}
