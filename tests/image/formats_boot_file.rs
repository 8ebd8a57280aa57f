//! The boot file beside binutils and pefile.

use std::path::Path;

use ward_image::inspect::{Class, inspect};
use ward_image::pe;
use ward_image::uki::{self, Parts, UkiError};

use crate::formats_support::{
    CMDLINE, OS_RELEASE, boot_file, check, checksum_at, codes_of, entries, folder, header_at,
    kernel, packed, stub, tool, write,
};

/// Name, size, address and place in the file of every section, as objdump has them.
fn sections(path: &str) -> Vec<(String, u64, u64, u64)> {
    let (is_content, text) = tool("objdump", &["-h", path]);
    assert!(is_content, "{text}");
    let hex = |word: &str| u64::from_str_radix(word, 16).unwrap();
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_row = words.first().is_some_and(|word| word.parse::<u32>().is_ok());
            is_row.then(|| (words[1].to_owned(), hex(words[2]), hex(words[3]), hex(words[5])))
        })
        .collect()
}

/// The bytes of one section, as objcopy takes them out.
fn section(path: &str, name: &str, out: &Path) -> Vec<u8> {
    let dump = format!("{name}={}", out.display());
    // objcopy replaces what it writes to, so it gets a file of its own.
    let copy = out.with_extension("copy");
    let (is_content, text) =
        tool("objcopy", &["--dump-section", &dump, path, copy.to_str().unwrap()]);
    assert!(is_content, "{text}");
    std::fs::read(out).unwrap()
}

#[test]
fn binutils_and_pefile_find_every_part_where_it_belongs() {
    let folder = folder("uki");
    let initrd = packed(entries());
    let path = write(&folder.join("uki.efi"), &boot_file(&initrd));
    assert_eq!(check(&["pe", &path]), (true, "ok\n".to_owned()));
    let all = sections(&path);
    let names: Vec<&str> = all.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(names[names.len() - 5..], uki::SECTIONS);
    // In memory: in order, on pages of their own, one after the other.
    for pair in all.windows(2) {
        assert!(pair[0].2 + pair[0].1 <= pair[1].2, "{pair:?}");
    }
    assert!(all[all.len() - 5..].iter().all(|row| row.2.is_multiple_of(4096)), "{all:?}");
    let kernel = kernel();
    let parts: [(&str, &[u8]); 5] = [
        (".osrel", OS_RELEASE),
        (".cmdline", CMDLINE.as_bytes()),
        (".uname", b"6.12.9"),
        (".initrd", &initrd),
        (".linux", &kernel),
    ];
    for (name, content) in parts {
        let out = folder.join("section");
        let path_out = out.to_str().unwrap();
        assert_eq!(check(&["section", &path, name, path_out]).1, "ok\n", "{name}");
        let seen = std::fs::read(&out).unwrap();
        assert_eq!(&seen[..content.len()], content, "{name}");
        assert!(seen[content.len()..].iter().all(|byte| *byte == 0), "{name}");
        let seen = section(&path, name, &out);
        assert_eq!(&seen[..content.len()], content, "{name} by objcopy");
    }
}

#[test]
fn the_stub_is_in_it_byte_for_byte() {
    let folder = folder("uki-stub");
    let path = write(&folder.join("uki.efi"), &boot_file(&packed(entries())));
    let stub = write(&folder.join("stub.efi"), &stub());
    let of_stub = sections(&stub);
    assert!(of_stub.len() >= 5, "{of_stub:?}");
    for (row, now) in of_stub.iter().zip(sections(&path)) {
        assert_eq!(*row, now);
        let out = folder.join("section");
        assert_eq!(section(&stub, &row.0, &out), section(&path, &row.0, &out), "{}", row.0);
    }
}

#[test]
fn one_changed_byte_is_found_by_pefile_and_by_ours() {
    let folder = folder("uki-changed");
    let good = boot_file(&packed(entries()));
    let verdict = |file: &[u8]| {
        let inspection = inspect(file);
        (inspection.verdict(), codes_of(&inspection))
    };
    assert_eq!(verdict(&good), (None, Vec::new()));
    // A time in the header is eight bytes behind the signature.
    for at in [header_at(&good) + 8, 0x500, good.len() / 2, good.len() - 600] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let path = write(&folder.join("uki.efi"), &changed);
        let (is_content, text) = check(&["pe", &path]);
        assert!(!is_content && text.contains("checksum"), "{at}: {text}");
        let (class, codes) = verdict(&changed);
        assert!(codes.contains(&"checksum"), "{at}: {codes:?}");
        assert!(class >= Some(Class::Form));
    }
    let mut longer = good;
    longer.extend([0; 8]);
    assert!(verdict(&longer).1.contains(&"outside_of_sections"));
}

/// The boot file with `more` at `at`, which is in its headers: whatever is behind moves, and the headers say so.
fn with_room_in_the_headers(at: usize, more: &[u8]) -> Vec<u8> {
    let good = boot_file(&packed(entries()));
    let sections = pe::read(&good).unwrap().sections;
    let mut file = [&good[..at], more, &good[at..]].concat();
    let moved = u32::try_from(more.len()).unwrap();
    let mut add = |at: usize| {
        let field: [u8; 4] = file[at..at + 4].try_into().unwrap();
        file[at..at + 4].copy_from_slice(&(u32::from_le_bytes(field) + moved).to_le_bytes());
    };
    if at <= header_at(&good) {
        add(0x3c);
    }
    let header = header_at(&good) + if at <= header_at(&good) { more.len() } else { 0 };
    add(header + 24 + 60);
    for number in 0..sections.len() {
        add(header + 24 + 240 + 40 * number + 20);
    }
    with_checksum(file)
}

fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let at = checksum_at(&file);
    let checksum = pe::checksum(&file).unwrap();
    file[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    file
}

#[test]
fn nothing_hides_in_the_headers() {
    let folder = folder("uki-headers");
    let good = boot_file(&packed(entries()));
    let boot = pe::read(&good).unwrap();
    let headers = usize::try_from(boot.headers).unwrap();
    let rows_end = header_at(&good) + 24 + 240 + 40 * boot.sections.len();
    assert!(rows_end < headers, "there is no room to hide in");
    let mut behind = good.clone();
    behind[headers - 1] = b'x';
    let cases = [
        ("behind the rows", with_checksum(behind)),
        ("before the first section", with_room_in_the_headers(headers, &[b'x'; 65_536])),
        ("before the header", with_room_in_the_headers(header_at(&good), &[b'x'; 65_536])),
    ];
    for (name, file) in cases {
        // It is a boot file all the same, for others too.
        let path = write(&folder.join("uki.efi"), &file);
        assert_eq!(check(&["pe", &path]), (true, "ok\n".to_owned()), "{name}");
        assert_eq!(codes_of(&inspect(&file)), ["outside_of_sections"], "{name}");
    }
    // Zeros hide nothing: how much room there is was the linker's choice.
    let zeros = with_room_in_the_headers(headers, &[0; 512]);
    assert_eq!(codes_of(&inspect(&zeros)), [] as [&str; 0]);
}

#[test]
fn what_is_no_boot_file_is_not_made() {
    let (stub, kernel, initrd) = (stub(), kernel(), packed(entries()));
    let good = Parts {
        stub: &stub,
        os_release: OS_RELEASE,
        cmdline: CMDLINE,
        uname: "6.12.9",
        linux: &kernel,
        initrd: &initrd,
    };
    let finished = uki::write(&good).unwrap();
    assert_eq!(uki::write(&good).unwrap(), finished);
    let refused = |parts: Parts<'_>| uki::write(&parts).unwrap_err();
    assert_eq!(refused(Parts { stub: &finished, ..good }), UkiError::NotAStub(".osrel"));
    assert!(matches!(refused(Parts { stub: b"MZ", ..good }), UkiError::Unreadable("stub", _)));
    assert!(matches!(refused(Parts { linux: b"ELF", ..good }), UkiError::Unreadable("kernel", _)));
    assert_eq!(refused(Parts { cmdline: "a\nb", ..good }), UkiError::Text("the command line"));
    assert_eq!(refused(Parts { uname: "", ..good }), UkiError::Text("the release"));
    let large = vec![1; 8_000_000];
    assert!(matches!(refused(Parts { initrd: &large, ..good }), UkiError::TooLarge(_)));
}
