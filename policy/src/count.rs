//! What is counted in one call: a closed list, so that a counter can never be made from input.
//!
//! A message, frame or mark that is not acted on ends in exactly one of these; nothing is dropped
//! uncounted.

macro_rules! counters {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Count { $($(#[$doc])+ $variant,)+ }

        impl Count {
            /// Every counter, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in log lines and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// `media` messages accepted.
    FramesIn = "frames_in",
    /// `media` messages sent.
    FramesOut = "frames_out",
    /// Milliseconds of audio accepted.
    AudioInMs = "audio_in_ms",
    /// Milliseconds of audio sent.
    AudioOutMs = "audio_out_ms",
    /// Text that is no JSON object.
    BadJson = "bad_json",
    /// JSON whose known fields are missing or of the wrong type.
    BadMessage = "bad_message",
    /// An `event` that we do not know.
    UnknownEvent = "unknown_event",
    /// Binary WebSocket messages.
    Binary = "binary",
    /// Payload that is not canonical base64.
    BadBase64 = "bad_base64",
    /// Payload of no bytes.
    EmptyPayload = "empty_payload",
    /// Payload past its maximum.
    LongPayload = "long_payload",
    /// `media` of another track than `inbound`.
    ForeignTrack = "foreign_track",
    /// Messages of another stream.
    ForeignStream = "foreign_stream",
    /// Sequence numbers skipped.
    SequenceGap = "sequence_gap",
    /// Messages whose sequence number repeats or goes back.
    SequenceRepeat = "sequence_repeat",
    /// Holes in the caller's audio.
    Gap = "gap",
    /// Milliseconds of silence put into holes.
    GapFilledMs = "gap_filled_ms",
    /// Timestamps that went back or jumped too far: the clock was set again.
    ClockReset = "clock_reset",
    /// Milliseconds of audio dropped because it came faster than speech.
    OverRateMs = "over_rate_ms",
    /// Milliseconds of audio dropped because its recogniser was slow.
    BacklogDroppedMs = "backlog_dropped_ms",
    /// Messages of vendors that make no sense.
    VendorBadMessage = "vendor_bad_message",
    /// Times that the caller spoke.
    Utterance = "utterance",
    /// Times that the caller interrupted.
    BargeIn = "barge_in",
    /// `clear` messages sent.
    Clear = "clear",
    /// Key presses acted on.
    Dtmf = "dtmf",
    /// Digits that no telephone has.
    BadDtmf = "bad_dtmf",
    /// Marks sent.
    MarkSent = "mark_sent",
    /// Marks returned because their audio had been played.
    MarkPlayed = "mark_played",
    /// Marks returned because `clear` had flushed their audio.
    MarkFlushed = "mark_flushed",
    /// Marks that we never sent, or that came back before.
    MarkUnknown = "mark_unknown",
    /// Marks that never came back.
    MarkLost = "mark_lost",
    /// Mark names longer than we read.
    MarkNameLong = "mark_name_long",
    /// Turns of the caller that were taken.
    Turn = "turn",
    /// Replies begun before the turn was over.
    Guess = "guess",
    /// The same, thrown away.
    GuessDropped = "guess_dropped",
    /// Interruptions without a word, after which we went on.
    FalseInterruption = "false_interruption",
    /// Fillers played.
    Filler = "filler",
    /// Replies that the gate stopped.
    ReplyStopped = "reply_stopped",
    /// Emergencies named by the caller.
    Emergency = "emergency",
    /// Times that the caller spoke and no word came.
    NotUnderstood = "not_understood",
    /// Audio that the play-out queue refused, in milliseconds.
    PlayoutRefusedMs = "playout_refused_ms",
    /// Messages after `stop`.
    AfterStop = "after_stop",
    /// Pings answered.
    Ping = "ping",
    /// Pongs received.
    Pong = "pong",
    /// Connections that ended without TLS's own goodbye.
    TruncatedTls = "truncated_tls",
}

/// The counters of one call. They saturate: a counter never wraps and never stops a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts([u32; Count::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Count::ALL.len()])
    }
}

impl Counts {
    /// Adds one.
    pub const fn one(&mut self, count: Count) {
        self.add(count, 1);
    }

    /// Adds `amount`, at most to the counter's maximum.
    pub const fn add(&mut self, count: Count, amount: u32) {
        let slot = &mut self.0[count as usize];
        *slot = slot.saturating_add(amount);
    }

    /// Adds a number of milliseconds.
    pub fn add_ms(&mut self, count: Count, ms: u64) {
        self.add(count, u32::try_from(ms).unwrap_or(u32::MAX));
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (slot, more) in self.0.iter_mut().zip(other.0) {
            *slot = slot.saturating_add(more);
        }
    }

    /// The value of one counter.
    #[must_use]
    pub const fn of(&self, count: Count) -> u32 {
        self.0[count as usize]
    }

    /// Counters that are not zero, by name.
    pub fn nonzero(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        Count::ALL.iter().map(|count| (count.name(), self.of(*count))).filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_place_and_a_name_of_its_own() {
        for (index, count) in Count::ALL.iter().enumerate() {
            assert_eq!(*count as usize, index);
            assert!(Count::ALL.iter().skip(index + 1).all(|other| other.name() != count.name()));
        }
    }

    #[test]
    fn a_counter_saturates() {
        let mut counts = Counts::default();
        counts.add(Count::Gap, u32::MAX);
        counts.one(Count::Gap);
        counts.add_ms(Count::GapFilledMs, u64::MAX);
        assert_eq!(counts.of(Count::Gap), u32::MAX);
        assert_eq!(counts.of(Count::GapFilledMs), u32::MAX);
        assert_eq!(counts.nonzero().count(), 2);
    }
}
