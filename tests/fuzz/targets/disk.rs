//! Disks: partition tables and file systems from anyone. No crash, a bounded number of reads, and never more than was asked for.
#![no_main]

use std::cell::Cell;
use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use ward_init::disk::fat::Volume;
use ward_init::disk::{ReadAt, gpt};

/// The input at the beginning of a disk that is otherwise empty.
struct Disk<'b>(&'b [u8], Cell<u32>);

impl ReadAt for Disk<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        self.1.set(self.1.get() + 1);
        // Past its end, and past the last offset that there is.
        if offset >= 1 << 31 {
            return false;
        }
        for (place, at) in buffer.iter_mut().zip(offset..) {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            *place = self.0.get(at).copied().unwrap_or(0);
        }
        true
    }
}

/// CRC-32, so that a table with a right sum is reached.
fn sum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _bit| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

fuzz_target!(|bytes: &[u8]| {
    let disk = Disk(bytes, Cell::new(0));
    if let Ok(volume) = Volume::open(&disk, 0) {
        let found = volume.file(&["ward", "ward.toml"], 4_096);
        if let Ok(content) = found {
            assert!(content.len() <= 4_096);
            assert!(!cfg!(feature = "planted-bug"), "the planted bug");
        }
    }
    assert!(disk.1.get() < 1_000_000, "{} reads", disk.1.get());
    let mut table = bytes.to_vec();
    if table.len() >= 604 {
        table[528..532].fill(0);
        let sum = sum(&table[512..604]).to_le_bytes();
        table[528..532].copy_from_slice(&sum);
    }
    let _ = black_box(gpt::system_partition(&Disk(&table, Cell::new(0))));
});
