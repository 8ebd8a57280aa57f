//! The time, as a server tells it (SNTP, RFC 4330; packet of RFC 5905 §7.3), and what may be made of it.
//!
//! The question carries a random number in the place of our own time, which the answer must repeat: nobody who has not seen the question
//! can answer it, and nobody learns our clock. Whoever has seen it can; so what they may do is bounded. It opens nothing and asks no
//! clock.

use std::time::Duration;

use ward_policy::limit;

use super::refusal::Refusal;

/// A question or an answer, in bytes.
pub const BYTES: usize = 48;
/// From 1900 to 1970, in seconds.
const EPOCH_S: i64 = 2_208_988_800;
const NS: i64 = 1_000_000_000;

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// What our clock is behind by, in nanoseconds.
    pub offset_ns: i64,
    /// How long the answer took, in nanoseconds: half of it is what the offset can be wrong by.
    pub round_trip_ns: i64,
}

/// The question that carries this number.
#[must_use]
pub fn question(number: [u8; 8]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    // Version 4, client.
    bytes[0] = 0x23;
    bytes[40..].copy_from_slice(&number);
    bytes
}

/// Reads the answer to the question with this number, sent when our clock showed `sent_ns` and answered `took` later.
///
/// # Errors
/// [`Refusal`].
pub fn answer(
    bytes: &[u8],
    number: [u8; 8],
    sent_ns: i64,
    took: Duration,
) -> Result<Sample, Refusal> {
    let bytes = bytes.first_chunk::<BYTES>().ok_or(Refusal::Short)?;
    let (leap, version, mode) = (bytes[0] >> 6, bytes[0] >> 3 & 7, bytes[0] & 7);
    if mode != 4 || !(3..=4).contains(&version) {
        return Err(Refusal::Mode);
    }
    if bytes[24..32] != number {
        return Err(Refusal::Number);
    }
    // Stratum 0 wants to be left alone; 16 does not know.
    if leap == 3 || !(1..=15).contains(&bytes[1]) {
        return Err(Refusal::Unsynchronised);
    }
    let short = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(u32::MAX, |four| u32::from_be_bytes(*four))
    };
    // Delay to the source of the time and its dispersion, in 1/65,536 s: more than a second of either is no time.
    if short(4) > 0x0001_0000 || short(8) > 0x0001_0000 {
        return Err(Refusal::Unsure);
    }
    let (received, transmitted) = (time(bytes, 32)?, time(bytes, 40)?);
    let processing = transmitted.checked_sub(received).filter(|time| *time >= 0);
    let processing = processing.ok_or(Refusal::Unsure)?;
    let took_ns = i64::try_from(took.as_nanos()).map_err(|_long| Refusal::RoundTrip)?;
    let round_trip_ns = took_ns.checked_sub(processing).filter(|time| *time >= 0);
    let round_trip_ns = round_trip_ns.ok_or(Refusal::Unsure)?;
    if took > limit::SNTP_ROUND_TRIP_MAX {
        return Err(Refusal::RoundTrip);
    }
    // Both ways are taken to be as long: then it was this late here when it was received there.
    let here = sent_ns.checked_add(round_trip_ns / 2).ok_or(Refusal::Unsure)?;
    let offset_ns = received.checked_sub(here).ok_or(Refusal::Unsure)?;
    Ok(Sample { offset_ns, round_trip_ns })
}

/// A time of 32 bits of seconds since 1900, which begin anew in 2036, and 32 bits of their parts; nanoseconds since 1970.
fn time(bytes: &[u8; BYTES], at: usize) -> Result<i64, Refusal> {
    let word = |at: usize| {
        let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        found.map_or(0, |four| u32::from_be_bytes(*four))
    };
    let (seconds, parts) = (word(at), word(at.saturating_add(4)));
    if seconds == 0 && parts == 0 {
        return Err(Refusal::Unsynchronised);
    }
    let mut unix = i64::from(seconds).saturating_sub(EPOCH_S);
    // Before this program was written it was another era.
    if unix < limit::BUILD_DATE_S {
        unix = unix.saturating_add(1 << 32);
    }
    let parts = i64::from(parts).saturating_mul(NS) >> 32;
    Ok(unix.saturating_mul(NS).saturating_add(parts))
}

/// What is done with the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// It is right enough.
    Nothing,
    /// It is corrected without a jump, by so many microseconds.
    Slew(i64),
    /// It is set, to nanoseconds since 1970.
    Set(i64),
}

/// How far servers have moved a running clock within [`limit::STEP_WINDOW`]: many small steps lead as far as a large one.
#[derive(Debug, Default)]
pub struct Moved {
    since: Duration,
    sum: Duration,
}

impl Moved {
    /// How far they may move it yet, at `now`.
    pub fn left(&mut self, now: Duration) -> Duration {
        if now.saturating_sub(self.since) >= limit::STEP_WINDOW {
            (self.since, self.sum) = (now, Duration::ZERO);
        }
        limit::STEP_MAX_RUNNING.saturating_sub(self.sum)
    }

    /// They have moved it by this, forward or back.
    pub fn add(&mut self, by: Duration) {
        self.sum = self.sum.saturating_add(by);
    }
}

/// What to do with a clock that shows `now_ns` and is behind by `offset_ns`; one that others go by already is moved by `most` at most.
///
/// # Errors
/// [`Refusal`]: nothing is done.
pub fn judge(now_ns: i64, offset_ns: i64, most: Option<Duration>) -> Result<Move, Refusal> {
    let right = now_ns.checked_add(offset_ns).ok_or(Refusal::AfterBuild)?;
    is_plausible(right)?;
    let wrong_by = Duration::from_nanos(offset_ns.unsigned_abs());
    if wrong_by < RIGHT_ENOUGH {
        return Ok(Move::Nothing);
    }
    if most.is_some_and(|most| wrong_by > most) {
        return Err(Refusal::TooFar);
    }
    if most.is_some() && wrong_by <= limit::SLEW_MAX {
        return Ok(Move::Slew(offset_ns / 1_000));
    }
    Ok(Move::Set(right))
}

/// A difference that no one notices.
const RIGHT_ENOUGH: Duration = Duration::from_millis(2);

/// Whether a date can be: not before [`limit::BUILD_DATE_S`], when this was written, and not decades after.
///
/// # Errors
/// [`Refusal`].
pub fn is_plausible(now_ns: i64) -> Result<(), Refusal> {
    let seconds = now_ns / NS;
    if seconds < limit::BUILD_DATE_S {
        return Err(Refusal::BeforeBuild);
    }
    if seconds > limit::BUILD_DATE_S.saturating_add(limit::BUILD_AGE_S_MAX) {
        return Err(Refusal::AfterBuild);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    /// A day after the build.
    const NOW_S: i64 = limit::BUILD_DATE_S + 86_400;
    const NOW: i64 = NOW_S * NS;
    const TOOK: Duration = Duration::from_millis(10);
    const MOST: Option<Duration> = Some(limit::STEP_MAX_RUNNING);

    fn stamp(bytes: &mut [u8; BYTES], at: usize, unix_s: i64) {
        let seconds = u32::try_from((unix_s + EPOCH_S) & 0xffff_ffff).unwrap();
        bytes[at..at + 4].copy_from_slice(&seconds.to_be_bytes());
    }

    fn right() -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        (bytes[0], bytes[1]) = (0x24, 2);
        bytes[24..32].copy_from_slice(&NUMBER);
        stamp(&mut bytes, 32, NOW_S + 5);
        stamp(&mut bytes, 40, NOW_S + 5);
        bytes
    }

    #[test]
    fn an_answer_says_how_far_behind_we_are() {
        let sample = answer(&right(), NUMBER, NOW, TOOK).unwrap();
        assert_eq!(sample, Sample { offset_ns: 5 * NS - 5_000_000, round_trip_ns: 10_000_000 });
        assert_eq!(question(NUMBER)[40..], NUMBER);
    }

    #[test]
    fn a_second_era_begins_in_2036() {
        let mut bytes = right();
        // 2036-02-07 06:28:26, ten seconds into it.
        let later = (1_i64 << 32) - EPOCH_S + 10;
        stamp(&mut bytes, 32, later);
        stamp(&mut bytes, 40, later);
        let sample = answer(&bytes, NUMBER, later * NS, TOOK).unwrap();
        assert_eq!(sample.offset_ns, -5_000_000);
    }

    #[test]
    fn hostile_answers_are_refused_by_name() {
        let check = |change: fn(&mut [u8; BYTES])| {
            let mut bytes = right();
            change(&mut bytes);
            answer(&bytes, NUMBER, NOW, TOOK).err()
        };
        for (got, name) in [
            (check(|bytes| bytes[0] = 0x23), Refusal::Mode),
            (check(|bytes| bytes[0] = 0x14), Refusal::Mode),
            (check(|bytes| bytes[0] = 0xe4), Refusal::Unsynchronised),
            (check(|bytes| bytes[1] = 0), Refusal::Unsynchronised),
            (check(|bytes| bytes[1] = 16), Refusal::Unsynchronised),
            (check(|bytes| bytes[31] = 0), Refusal::Number),
            (check(|bytes| bytes[4] = 1), Refusal::Unsure),
            (check(|bytes| bytes[8] = 1), Refusal::Unsure),
            (check(|bytes| bytes[32..].fill(0)), Refusal::Unsynchronised),
            (check(|bytes| bytes[43] = bytes[43].wrapping_sub(9)), Refusal::Unsure),
            (check(|bytes| bytes[43] = bytes[43].wrapping_add(9)), Refusal::Unsure),
        ] {
            assert_eq!(got, Some(name));
        }
        assert_eq!(answer(&right()[..47], NUMBER, NOW, TOOK), Err(Refusal::Short));
        let slow = answer(&right(), NUMBER, NOW, Duration::from_secs(1));
        assert_eq!(slow, Err(Refusal::RoundTrip));
    }

    #[test]
    fn the_clock_never_goes_back_before_the_build() {
        let before = -(86_400 + 1) * NS;
        assert_eq!(judge(NOW, before, None), Err(Refusal::BeforeBuild));
        // From before it, it goes forward.
        let old = 1_000 * NS;
        assert_eq!(judge(old, NOW - old, None), Ok(Move::Set(NOW)));
        assert_eq!(judge(NOW, 30 * 365 * 86_400 * NS, None), Err(Refusal::AfterBuild));
        assert_eq!(judge(NOW, i64::MAX, None), Err(Refusal::AfterBuild));
    }

    #[test]
    fn a_running_clock_is_moved_gently_and_not_far() {
        assert_eq!(judge(NOW, 1_000_000, MOST), Ok(Move::Nothing));
        assert_eq!(judge(NOW, -400_000_000, MOST), Ok(Move::Slew(-400_000)));
        assert_eq!(judge(NOW, 2 * NS, MOST), Ok(Move::Set(NOW + 2 * NS)));
        assert_eq!(judge(NOW, 1_001 * NS, MOST), Err(Refusal::TooFar));
        assert_eq!(judge(NOW, 1_001 * NS, None), Ok(Move::Set(NOW + 1_001 * NS)));
    }
}
