//! Machine images: whatever the bytes are, they are looked into in bounded time and memory, and what is said of them
//! holds together.
//!
//! The first byte says which reader is shown the rest. A disk is too long for a fuzzer: there the rest says what is
//! changed in one of ours.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use ward_image::esp::Files;
use ward_image::inspect::inspect;
use ward_image::{compress, cpio, esp, fat, gpt, pe, qcow2};
use ward_policy::limit;

/// A disk as ours, made once: whoever looks at it with changes puts back what was there.
fn disk() -> Vec<u8> {
    let files = Files { uki: b"boot".repeat(300), config: Some(b"role".to_vec()) };
    let esp = esp::write(&files, gpt::room(limit::DISK_BYTES)).expect("it is written");
    gpt::write(&esp, limit::DISK_BYTES).expect("a disk is written")
}

thread_local! {
    static DISK: RefCell<Vec<u8>> = RefCell::new(disk());
}

/// Shows the disk with changes: each three bytes change one byte among the first `reach` of one of `places`, in turn.
fn changed(changes: &[u8], places: &[(usize, usize)], look: impl FnOnce(&[u8])) {
    DISK.with_borrow_mut(|disk| {
        let mut undo = Vec::new();
        for (three, (from, reach)) in changes.chunks_exact(3).zip(places.iter().cycle()) {
            let at = from + usize::from(u16::from_le_bytes([three[0], three[1]])) % reach;
            undo.push((at, disk[at]));
            disk[at] = three[2];
        }
        look(disk);
        undo.into_iter().rev().for_each(|(at, was)| disk[at] = was);
    });
}

/// Where the table's two copies, the boot sector, the clusters' table and the directories are.
const HEAD: (usize, usize) = (512, 512);
const ENTRIES: (usize, usize) = (1024, 256);
const SECOND: (usize, usize) = (limit::DISK_BYTES - 512, 512);
const BOOT: (usize, usize) = (gpt::FIRST, 512);
const TABLE: (usize, usize) = (gpt::FIRST + 32 * 512, 64);
const ROWS: (usize, usize) = (gpt::FIRST + (32 + 2 * 536) * 512, 4 * 512);

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    match which % 8 {
        0 => {
            if let Ok(entries) = cpio::read(rest) {
                assert!(entries.len() <= limit::INITRAMFS_ENTRIES_MAX);
                assert!(entries.iter().all(|entry| entry.path.starts_with('/')));
                if let Ok(written) = cpio::write(entries.clone()) {
                    let mut again = cpio::read(&written).expect("what we write, we read");
                    again.iter_mut().for_each(|entry| entry.content.clear());
                    assert_eq!(again.len(), entries.len());
                }
                if cfg!(feature = "planted-bug") {
                    assert!(
                        entries.iter().all(|entry| entry.mode & 0o7000 == 0),
                        "the planted bug"
                    );
                }
            }
        }
        1 => {
            if let Ok(boot) = pe::read(rest) {
                assert!(boot.end() <= rest.len());
                for section in &boot.sections {
                    assert!(section.bytes(rest).len() <= rest.len());
                }
            }
        }
        2 => {
            if let Ok(disk) = qcow2::read(rest) {
                let written = qcow2::write(&disk).expect("what was read can be written");
                assert_eq!(qcow2::read(&written).as_ref(), Ok(&disk));
            }
        }
        3 => {
            if let Ok(unpacked) = compress::unpack(rest, 1 << 20) {
                assert!(unpacked.len() <= 1 << 20);
            }
        }
        4 => changed(rest, &[HEAD, ENTRIES, SECOND], |disk| {
            for partition in gpt::read(disk).unwrap_or_default() {
                assert!(partition.bytes.end <= disk.len());
            }
        }),
        5 => changed(rest, &[BOOT, TABLE, ROWS, ROWS], |disk| {
            for file in fat::read(&disk[gpt::FIRST..]).unwrap_or_default() {
                assert!(file.content.len() <= limit::INSPECTED_BYTES_MAX);
                assert!(file.path.len() <= limit::IMAGE_PATH_BYTES_MAX);
            }
        }),
        _ => {
            let seen = inspect(rest);
            assert_eq!(seen.items[0].bytes, rest.len());
            assert!(seen.verdict().is_some(), "bytes this short are no good image");
        }
    }
});
