//! The initramfs beside GNU cpio and the reference Zstandard.

use std::process::{Command, Stdio};

use ward_image::{compress, cpio};

use crate::formats_support::{boot_file, codes, disk_with, entries, folder, said, tool, write};

/// What `cpio` says of an archive: whether it was content, its list, and its complaints.
fn listed(name: &str, archive: &[u8]) -> (bool, String) {
    let path = folder(name).join("archive");
    write(&path, archive);
    let input = std::fs::File::open(&path).unwrap();
    said(
        &Command::new("cpio")
            .args(["-tv", "--numeric-uid-gid", "--quiet"])
            .stdin(input)
            .output()
            .unwrap(),
    )
}

/// Mode, owner, size or device, and path of every entry, as `cpio -tv` prints them.
fn expected() -> Vec<String> {
    let mode = |mode: u32| {
        let kind = match mode & cpio::TYPE {
            cpio::DIRECTORY => 'd',
            cpio::CHARACTER_DEVICE => 'c',
            _ => '-',
        };
        let letter = |bit: u32, letter| if mode >> bit & 1 == 1 { letter } else { '-' };
        let letters =
            (0..9).map(|at| letter(8 - at, ['r', 'w', 'x'][usize::try_from(at % 3).unwrap()]));
        std::iter::once(kind).chain(letters).collect::<String>()
    };
    entries()
        .iter()
        .map(|entry| {
            let size = match entry.device {
                (0, 0) => entry.content.len().to_string(),
                (major, minor) => format!("{major},{minor}"),
            };
            format!("{} 0 0 {size} Jan 1 1970 {}", mode(entry.mode), &entry.path[1..])
        })
        .collect()
}

fn rows(list: &str) -> Vec<String> {
    let row = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.remove(1); // how many links
        words.join(" ").replace(", ", ",")
    };
    list.lines().map(row).collect()
}

#[test]
fn gnu_cpio_lists_what_was_put_in() {
    let archive = cpio::write(entries()).unwrap();
    let (is_content, list) = listed("cpio", &archive);
    assert!(is_content, "{list}");
    assert_eq!(rows(&list), expected());
    // And it notices: another mode, another owner, another name, a time, a damaged head.
    let noon = [&archive[..46], b"6553F100", &archive[54..]].concat();
    for (at, what) in [(20, b'1'), (29, b'7'), (110, b'x'), (0, b'9')] {
        let mut changed = archive.clone();
        changed[at] = what;
        let (is_content, list) = listed("cpio-changed", &changed);
        assert!(!is_content || rows(&list) != expected(), "{at}: {list}");
    }
    assert_ne!(rows(&listed("cpio-time", &noon).1), expected());
}

#[test]
fn gnu_cpio_takes_out_what_was_put_in() {
    let archive = cpio::write(entries()).unwrap();
    let path = folder("cpio-out").join("archive");
    write(&path, &archive);
    for entry in entries().iter().filter(|entry| !entry.content.is_empty()) {
        let output = Command::new("cpio")
            .args(["-i", "--to-stdout", "--quiet", &entry.path[1..]])
            .stdin(std::fs::File::open(&path).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stdout == entry.content, "{}", entry.path);
    }
}

#[test]
fn an_archive_with_times_is_read_and_found_not_to_be_ours() {
    // GNU cpio writes what is in a folder: the same files, and the times that they were made at.
    let folder = folder("cpio-times");
    for name in ["bin", "dev", "proc", "run", "sys"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    let files: Vec<_> = entries().into_iter().filter(|entry| !entry.content.is_empty()).collect();
    for entry in &files {
        write(&folder.join(&entry.path[1..]), &entry.content);
    }
    let names: String = files.iter().map(|entry| format!("{}\n", &entry.path[1..])).collect();
    let mut cpio = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet"])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut cpio.stdin.take().unwrap(), names.as_bytes()).unwrap();
    let archive = cpio.wait_with_output().unwrap().stdout;
    let read = cpio::read(&archive).unwrap();
    let contents = |entries: &[cpio::Entry]| -> Vec<(String, Vec<u8>)> {
        entries.iter().map(|entry| (entry.path.clone(), entry.content.clone())).collect()
    };
    assert_eq!(contents(&read), contents(&files));
    let image = disk_with(boot_file(&compress::pack(&archive).unwrap()));
    assert!(codes(&image).contains(&"not_as_written"), "{:?}", codes(&image));
}

#[test]
fn one_time_let_into_the_archive_is_caught() {
    let archive = cpio::write(entries()).unwrap();
    assert_eq!(codes(&disk_with(boot_file(&archive))), [] as [&str; 0]);
    let mut timed = archive;
    timed[46..54].copy_from_slice(b"6553F100");
    assert_eq!(codes(&disk_with(boot_file(&timed))), ["not_as_written"]);
}

#[test]
fn the_reference_zstandard_unpacks_what_was_packed() {
    let archive = cpio::write(entries()).unwrap();
    let packed = compress::pack(&archive).unwrap();
    let folder = folder("zstd");
    let path = write(&folder.join("packed.zst"), &packed);
    let out = folder.join("out");
    let (is_content, text) = tool("zstd", &["-q", "-d", "-f", &path, "-o", out.to_str().unwrap()]);
    assert!(is_content, "{text}");
    assert_eq!(std::fs::read(&out).unwrap(), archive);
    // Theirs is read as well, and one changed byte is noticed by both.
    let raw = write(&folder.join("raw"), &archive);
    let theirs = folder.join("theirs.zst");
    assert!(tool("zstd", &["-q", "-f", "-3", &raw, "-o", theirs.to_str().unwrap()]).0);
    let theirs = std::fs::read(&theirs).unwrap();
    assert_eq!(compress::unpack(&theirs, archive.len()).unwrap(), archive);
    let mut changed = packed;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let path = write(&folder.join("changed.zst"), &changed);
    assert!(!tool("zstd", &["-q", "-t", &path]).0);
    assert!(compress::unpack(&changed, archive.len()).is_err());
}
