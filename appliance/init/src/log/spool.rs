//! What waits for the log sink, in memory: records in their order, until the sink has said that it has them.
//!
//! It is bounded. A record that finds no room is not taken, and every one after it until there is some again: so what is
//! lost is one run of numbers, which a record of its own names. What was taken is never given up.

use std::collections::VecDeque;

use ward_policy::limit;

/// See the module.
#[derive(Debug)]
pub(super) struct Spool {
    /// Oldest first, each with its line feed.
    records: VecDeque<Box<[u8]>>,
    bytes: usize,
    bytes_max: usize,
    gap: Option<Gap>,
    lost: u64,
}

/// Records that were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The digest of the record before the first.
    pub(super) before: [u8; 32],
}

/// What one record takes.
const fn size(record: &[u8]) -> usize {
    record.len().saturating_add(limit::LOG_SPOOL_RECORD_BYTES)
}

impl Spool {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, bytes_max, gap: None, lost: 0 }
    }

    /// Takes the record with the number `sequence`, or counts it to the gap. `before` is the digest of the record before.
    pub(super) fn push(&mut self, sequence: u64, before: [u8; 32], record: &[u8]) {
        let has_room = self.bytes.saturating_add(size(record)) <= self.bytes_max;
        if let Some(gap) = &mut self.gap {
            gap.last = sequence;
        } else if has_room {
            return self.keep(record);
        } else {
            self.gap = Some(Gap { first: sequence, last: sequence, before });
        }
        self.lost = self.lost.saturating_add(1);
    }

    /// Takes a record whether or not there is room: one that names a gap, or the last of all.
    pub(super) fn keep(&mut self, record: &[u8]) {
        self.bytes = self.bytes.saturating_add(size(record));
        self.records.push_back(record.into());
    }

    /// The gap, once there is room enough again, or if `is_last`; from then on records are taken. Whoever takes it
    /// writes the record that names it.
    pub(super) fn take_gap(&mut self, is_last: bool) -> Option<Gap> {
        let room = self.bytes_max.saturating_sub(self.bytes);
        let wanted = (self.bytes_max / 4).saturating_mul(limit::LOG_SPOOL_ROOM_QUARTERS);
        if is_last || room >= wanted { self.gap.take() } else { None }
    }

    /// Appends the oldest records to `body`, as many as go into `bytes_max`, one at least; how many.
    pub(super) fn copy_oldest(&self, bytes_max: usize, body: &mut Vec<u8>) -> usize {
        let mut count = 0_usize;
        for record in &self.records {
            if count > 0 && body.len().saturating_add(record.len()) > bytes_max {
                break;
            }
            body.extend_from_slice(record);
            count = count.saturating_add(1);
        }
        count
    }

    /// Forgets the `count` oldest: the sink has them.
    pub(super) fn forget(&mut self, count: usize) {
        for record in self.records.drain(..count.min(self.records.len())) {
            self.bytes = self.bytes.saturating_sub(size(&record));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX)
    }

    /// How much memory they take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records were not taken, ever.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: [u8; 36] = [b'x'; 36];
    /// Ten records.
    const BYTES_MAX: usize = 1_000;

    fn full() -> Spool {
        let mut spool = Spool::new(BYTES_MAX);
        (0..10).for_each(|sequence| spool.push(sequence, [0; 32], &RECORD));
        assert_eq!((spool.waiting(), spool.bytes(), spool.lost()), (10, BYTES_MAX, 0));
        spool
    }

    #[test]
    fn records_come_out_in_order_and_stay_until_they_are_acknowledged() {
        let mut spool = Spool::new(BYTES_MAX);
        for (sequence, record) in [b"a\n", b"b\n", b"c\n"].iter().enumerate() {
            spool.push(u64::try_from(sequence).unwrap(), [0; 32], *record);
        }
        let oldest = |spool: &Spool, bytes_max| {
            let mut body = Vec::new();
            let count = spool.copy_oldest(bytes_max, &mut body);
            (count, String::from_utf8(body).unwrap())
        };
        // One at least, however long it is.
        assert_eq!(oldest(&spool, 1), (1, "a\n".to_owned()));
        assert_eq!(oldest(&spool, 4), (2, "a\nb\n".to_owned()));
        assert_eq!(oldest(&spool, 4), (2, "a\nb\n".to_owned()), "nothing is forgotten by reading");
        spool.forget(2);
        assert_eq!(oldest(&spool, 100), (1, "c\n".to_owned()));
        spool.forget(9);
        assert!(spool.is_empty() && spool.bytes() == 0 && spool.lost() == 0);
    }

    #[test]
    fn what_finds_no_room_is_one_gap_until_there_is_room_enough() {
        let mut spool = full();
        spool.push(10, [7; 32], &RECORD);
        spool.forget(1);
        // There would be room for this one, but not enough to begin again.
        spool.push(11, [8; 32], &RECORD);
        assert_eq!(spool.take_gap(false), None);
        spool.forget(2);
        let gap = Gap { first: 10, last: 11, before: [7; 32] };
        assert_eq!(spool.take_gap(false), Some(gap));
        assert_eq!(spool.take_gap(false), None, "named once");
        spool.push(12, [9; 32], &RECORD);
        assert_eq!((spool.waiting(), spool.lost()), (8, 2));
    }

    #[test]
    fn the_last_words_are_taken_even_when_it_is_full() {
        let mut spool = full();
        spool.push(10, [7; 32], &RECORD);
        assert!(spool.take_gap(true).is_some());
        spool.keep(&RECORD);
        assert_eq!(spool.waiting(), 11);
    }

    #[test]
    fn whatever_comes_it_takes_no_more_memory_than_it_may() {
        let mut spool = Spool::new(BYTES_MAX);
        for sequence in 0..10_000 {
            spool.push(sequence, [0; 32], &RECORD);
            assert!(spool.bytes() <= BYTES_MAX);
        }
        assert_eq!(spool.lost(), 9_990);
        assert_eq!(spool.take_gap(true).map(|gap| (gap.first, gap.last)), Some((10, 9_999)));
    }
}
