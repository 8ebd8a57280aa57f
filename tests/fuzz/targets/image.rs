//! Machine images: whatever the bytes are, they are looked into in bounded time and memory, and what is said of them
//! holds together.
//!
//! A disk is too long for a fuzzer, so the bytes are also put where each reader would find them: the first one says
//! which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_image::inspect::inspect;
use ward_image::{compress, cpio, fat, gpt, pe, qcow2};
use ward_policy::limit;

/// A disk as ours, small, so that changing it here and there is all the fuzzer has to do.
fn disk(changes: &[u8]) -> Vec<u8> {
    let mut disk = gpt::write(&volume(&[]), 36 * 1024 * 1024).expect("a disk is written");
    change(&mut disk, changes, 34 * 512);
    disk
}

fn volume(changes: &[u8]) -> Vec<u8> {
    let files = ward_image::esp::Files { uki: b"boot".repeat(300), config: Some(b"role".to_vec()) };
    let mut volume = ward_image::esp::write(&files, 34 * 1024 * 1024).expect("it is written");
    // The boot sector, the table's beginning, and the directories, one after the other.
    let tables = 32 * 512;
    let data = tables + 2 * 536 * 512;
    let (boot, rest) = changes.split_at(changes.len().min(96));
    change(&mut volume, boot, 512);
    let (table, rows) = rest.split_at(rest.len().min(96));
    change(&mut volume[tables..], table, 64);
    change(&mut volume[data..], rows, 4 * 512);
    volume
}

/// Each three bytes change one byte among the first `reach`.
fn change(bytes: &mut [u8], changes: &[u8], reach: usize) {
    for three in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([three[0], three[1]])) % reach;
        bytes[at] = three[2];
    }
}

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
                    assert!(!entries.iter().any(|entry| entry.path == "/a"), "the planted bug");
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
        4 => {
            let disk = disk(rest);
            for partition in gpt::read(&disk).unwrap_or_default() {
                assert!(partition.bytes.end <= disk.len());
            }
        }
        5 => {
            for file in fat::read(&volume(rest)).unwrap_or_default() {
                assert!(file.content.len() <= limit::INSPECTED_BYTES_MAX);
                assert!(file.path.len() <= limit::IMAGE_PATH_BYTES_MAX);
            }
        }
        _ => {
            let seen = inspect(rest);
            assert_eq!(seen.items[0].bytes, rest.len());
            assert!(seen.verdict().is_some(), "bytes this short are no good image");
        }
    }
});
