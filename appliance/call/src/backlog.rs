//! Audio that waits for a recogniser, bounded in time: the oldest is dropped first.
//!
//! The socket is drained whatever the recogniser does, because a phone network that meets
//! back-pressure throws speech away without saying so.

use std::collections::VecDeque;

use ward_policy::count::{Count, Counts};
use ward_policy::limit;

const BYTES_MAX: usize = limit::bytes_in_ms(limit::BACKLOG_MS_MAX);

/// A ring of at most [`limit::BACKLOG_MS_MAX`] milliseconds.
#[derive(Default)]
pub struct Backlog {
    audio: VecDeque<u8>,
    /// Bytes dropped that do not make a whole millisecond yet.
    dropped_bytes: usize,
}

impl Backlog {
    /// Adds audio, dropping the oldest beyond the bound.
    pub fn push(&mut self, audio: &[u8], counts: &mut Counts) {
        let fresh = audio.len().min(BYTES_MAX);
        let skipped = audio.len().saturating_sub(fresh);
        let excess = self.audio.len().saturating_add(fresh).saturating_sub(BYTES_MAX);
        self.audio.drain(..excess.min(self.audio.len()));
        self.audio.extend(audio.iter().skip(skipped));
        let dropped = self.dropped_bytes.saturating_add(excess).saturating_add(skipped);
        counts.add_ms(
            Count::BacklogDroppedMs,
            u64::try_from(dropped / limit::BYTES_PER_MS).unwrap_or(u64::MAX),
        );
        self.dropped_bytes = dropped % limit::BYTES_PER_MS;
    }

    /// Moves the oldest audio into `taken`, and says how much there was.
    pub fn take(&mut self, taken: &mut [u8]) -> usize {
        let count = taken.len().min(self.audio.len());
        for (slot, byte) in taken.iter_mut().zip(self.audio.drain(..count)) {
            *slot = byte;
        }
        count
    }

    /// Milliseconds waiting.
    #[must_use]
    pub fn waiting_ms(&self) -> usize {
        self.audio.len() / limit::BYTES_PER_MS
    }
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backlog({} ms)", self.waiting_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_and_counted() {
        let mut backlog = Backlog::default();
        let mut counts = Counts::default();
        for number in 0..25_u8 {
            backlog.push(&[number; 160], &mut counts);
        }
        assert_eq!(backlog.waiting_ms(), 400);
        assert_eq!(counts.of(Count::BacklogDroppedMs), 100);
        let mut taken = [0; 320];
        assert_eq!(backlog.take(&mut taken), 320);
        assert_eq!((taken[0], taken[319]), (5, 6));
        backlog.push(&[9; 8_000], &mut counts);
        assert_eq!(backlog.waiting_ms(), 400);
        assert_eq!(counts.of(Count::BacklogDroppedMs), 100 + 960);
    }
}
