//! Tests against file systems that `mkfs.fat` and mtools made, and against what is broken in them.

use super::*;
use crate::disk::file;
use crate::disk::gpt::tests::disk;
use std::process::Command;

/// A file system of this kind, made by others, with the configuration in it, and this as its boot file.
fn volume_with(bits: &str, sectors: u32, text: &[u8], boot_file: &str) -> Vec<u8> {
    let own = (std::process::id(), format!("{}-{}", text.len(), boot_file.replace('/', "-")));
    let path = std::env::temp_dir().join(format!("ward-fat-{}-{}-{bits}", own.0, own.1));
    let input = path.with_extension("toml");
    std::fs::write(&path, vec![0; sectors as usize * 512]).unwrap();
    std::fs::write(&input, text).unwrap();
    let image = path.to_str().unwrap().to_owned();
    let boot_file = format!("::/EFI/{boot_file}");
    let steps: [Vec<&str>; 6] = [
        vec!["mkfs.fat", "-F", bits, "-s", "1", &image],
        vec!["mmd", "-i", &image, "::/EFI"],
        vec!["mmd", "-i", &image, "::/EFI/BOOT"],
        vec!["mcopy", "-i", &image, input.to_str().unwrap(), &boot_file],
        vec!["mmd", "-i", &image, "::/ward"],
        vec!["mcopy", "-i", &image, input.to_str().unwrap(), "::/ward/ward.toml"],
    ];
    for step in steps {
        let output = Command::new(step[0]).args(&step[1..]).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", step[0]));
        assert!(output.status.success(), "{step:?} {output:?}");
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&input).unwrap();
    bytes
}

fn volume(bits: &str, sectors: u32, text: &[u8]) -> Vec<u8> {
    volume_with(bits, sectors, text, "BOOT/BOOTX64.EFI")
}

#[test]
fn a_disk_that_nothing_starts_from_configures_nothing() {
    let text = b"role = \"twiml\"\n";
    let data = disk(&volume_with("16", 16_384, text, "BOOT/GRUBX64.EFI"));
    assert_eq!(file(&data[..], &PATH, 65_536), Err(DiskError::BootFile));
    let other = disk(&volume_with("16", 16_384, text, "BOOTX64.EFI"));
    assert_eq!(file(&other[..], &PATH, 65_536), Err(DiskError::BootFile));
    let empty = disk(&volume("16", 16_384, b""));
    assert_eq!(file(&empty[..], &PATH, 65_536), Err(DiskError::BootFile));
    let ours = disk(&volume("16", 16_384, text));
    assert_eq!(file(&ours[..], &PATH, 65_536), Ok(text.to_vec()));
}

const PATH: [&str; 2] = ["ward", "ward.toml"];

#[test]
fn the_file_is_read_from_both_kinds() {
    for (bits, sectors) in [("16", 16_384), ("32", 70_000)] {
        let text = b"role = \"media\"\n".repeat(200);
        let disk = disk(&volume(bits, sectors, &text));
        assert_eq!(file(&disk[..], &PATH, 65_536), Ok(text.clone()), "{bits}");
        assert_eq!(file(&disk[..], &["WARD", "Ward.TOML"], 65_536), Ok(text), "{bits}");
        assert_eq!(file(&disk[..], &PATH, 2_999), Err(DiskError::Long));
        for path in [
            &["ward", "other.toml"][..],
            &["ward"],
            &["EFI", "ward.toml"],
            &[],
            &["ward", "ward.toml", "x"],
        ] {
            assert_eq!(file(&disk[..], path, 65_536), Err(DiskError::Absent), "{path:?}");
        }
    }
}

#[test]
fn a_broken_file_system_ends_in_an_error_and_in_time() {
    let whole = disk(&volume("16", 16_384, b"role = \"media\"\n"));
    let start = 64 * 512;
    for (at, value) in [(510, 0), (11, 1), (13, 0), (13, 3), (16, 0), (16, 9), (14, 0), (22, 0)] {
        let mut broken = whole.clone();
        broken[start + at] = value;
        if at == 14 || at == 22 {
            broken[start + at + 1] = 0;
        }
        assert!(file(&broken[..], &PATH, 65_536).is_err(), "{at}");
    }
    // A table that says each cluster follows itself: the folder has no end, and the looking has.
    let mut circle = whole.clone();
    let tables = start + usize::from(word(&whole[start..], 14)) * 512;
    for (cluster, place) in circle[tables..tables + 8_192].chunks_mut(2).enumerate() {
        place.copy_from_slice(&u16::try_from(cluster).unwrap().to_le_bytes());
    }
    assert_eq!(file(&circle[..], &["ward", "none"], 65_536), Err(DiskError::Absent));
    // A cut is an error, or lies behind the file; it is never a crash.
    let mut errors = 0;
    for length in (0..whole.len()).step_by(4_099) {
        match file(&whole[..length], &PATH, 65_536) {
            Ok(text) => assert_eq!(text, b"role = \"media\"\n"),
            Err(_cut) => errors += 1,
        }
    }
    assert!(errors > 10, "{errors}");
}
