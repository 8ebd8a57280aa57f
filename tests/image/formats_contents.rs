//! Everything that may not be in an image, put into one: each is named, by its own word, and decides how the tool
//! ends.

use std::process::Command;

use serde_json::Value;
use ward_image::cpio::{self, DIRECTORY, Entry, FILE};
use ward_image::inspect::{Class, inspect};
use ward_image::{gpt, qcow2};
use ward_tests::binaries::{release, root};

use crate::formats_support::{
    CMDLINE, INTERP, STACK, boot_file, checksum_at, codes, codes_of, disk_with, elf, entries,
    entry, folder, good, kernel, packed, program, program_with, tool, write,
};

/// The good entries with one more, or one replaced.
fn with(one: Entry) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        entries().into_iter().filter(|entry| entry.path != one.path).collect();
    entries.push(one);
    entries
}

/// What is found in an image with this initramfs, beside what its bytes are like.
fn found(entries: Vec<Entry>) -> Vec<&'static str> {
    codes(&disk_with(boot_file(&packed(entries))))
}

#[test]
fn a_good_image_is_told_whole_and_nothing_is_found() {
    let inspection = inspect(good());
    assert_eq!(codes_of(&inspection), [] as [&str; 0]);
    assert_eq!((inspection.verdict(), inspection.executables()), (None, 4));
    let boot = inspection.boot.unwrap();
    assert_eq!((boot.uname.as_str(), boot.is_signed), ("6.12.9", false));
    assert_eq!(inspection.nodes.len(), entries().len());
    // Every digest is what sha256sum says of what was put in.
    let folder = folder("digests");
    for (node, entry) in inspection.nodes.iter().zip(entries()) {
        let Some(sha256) = &node.sha256 else { continue };
        let path = write(&folder.join("file"), &entry.content);
        assert!(tool("sha256sum", &[&path]).1.starts_with(sha256.as_str()), "{}", node.path);
    }
    for (what, content) in
        [("file", good()), ("kernel", &kernel()), (".cmdline", CMDLINE.as_bytes())]
    {
        let path = write(&folder.join("file"), content);
        let item = inspection.items.iter().find(|item| item.what == what).unwrap();
        assert!(tool("sha256sum", &[&path]).1.starts_with(item.sha256.as_str()), "{what}");
    }
}

#[test]
fn each_thing_that_may_not_be_in_it_is_named() {
    let bash = std::fs::read("/bin/bash").unwrap();
    let busybox = std::fs::read("/bin/busybox").expect("Debian's package busybox-static");
    let linked = std::fs::read("/bin/true").unwrap();
    let media = "/bin/ward-media";
    let mut device = entry("/dev/console", cpio::CHARACTER_DEVICE | 0o600, b"");
    device.device = (1, 1);
    let mut owned = entry(media, FILE | 0o555, &program("media"));
    owned.owner = (1000, 0);
    let cases: [(&str, Entry, &[&str]); 18] = [
        ("set user", entry(media, FILE | 0o4555, &program("x")), &["set_id"]),
        ("set group", entry(media, FILE | 0o2555, &program("x")), &["set_id"]),
        ("sticky", entry("/run", DIRECTORY | 0o1755, b""), &["set_id"]),
        ("others write", entry(media, FILE | 0o557, &program("x")), &["writable_by_others"]),
        ("group writes", entry("/run", DIRECTORY | 0o775, b""), &["writable_by_others"]),
        ("owner", owned, &["not_roots"]),
        (
            "bash in its clothes",
            entry(media, FILE | 0o555, &bash),
            &["interpreter", "wants_loader"],
        ),
        ("busybox in its clothes", entry(media, FILE | 0o555, &busybox), &["interpreter"]),
        (
            "a shell by name",
            entry("/bin/sh", FILE | 0o444, &program("x")),
            &["path_unknown", "interpreter"],
        ),
        ("a script", entry(media, FILE | 0o555, b"#!/bin/x\n"), &["script", "not_a_program"]),
        ("data", entry(media, FILE | 0o555, b"data"), &["not_a_program"]),
        ("linked", entry(media, FILE | 0o555, &linked), &["wants_loader"]),
        (
            "writable code",
            entry(media, FILE | 0o555, &program_with(1, 7, b"x")),
            &["writable_and_executable"],
        ),
        (
            "loader",
            entry(media, FILE | 0o555, &program_with(INTERP, 4, b"/lib/ld\0")),
            &["wants_loader"],
        ),
        (
            "executable stack",
            entry(media, FILE | 0o555, &elf(&[(STACK, 7, Vec::new())])),
            &["writable_and_executable"],
        ),
        ("another device", device, &["kind"]),
        (
            "a link",
            entry("/bin/ward-twiml", 0o120_777, b"ward-media"),
            &["kind", "writable_by_others"],
        ),
        (
            "one more",
            entry("/bin/extra", FILE | 0o555, &program("x")),
            &["path_unknown", "executables"],
        ),
    ];
    for (name, one, expected) in cases {
        let image = disk_with(boot_file(&packed(with(one))));
        let inspection = inspect(&image);
        assert_eq!(codes_of(&inspection), expected, "{name}");
        assert_eq!(inspection.verdict(), Some(Class::Contents), "{name}");
    }
    let without = entries().into_iter().filter(|entry| entry.path != "/init").collect();
    assert_eq!(found(without), ["path_missing"]);
}

#[test]
fn what_is_around_the_initramfs_is_looked_at_too() {
    // Another partition, another file, another section.
    let folder = folder("around");
    let path = write(&folder.join("disk"), good());
    let (is_good, text) = tool("sgdisk", &["-n", "2:40:2047", "-t", "2:8300", &path]);
    assert!(is_good, "{text}");
    assert_eq!(codes(&std::fs::read(&path).unwrap()), ["partition_unknown", "not_as_written"]);
    let [esp] = &gpt::read(good()).unwrap()[..] else { panic!("one partition") };
    let volume = write(&folder.join("esp"), &good()[esp.bytes.clone()]);
    let more = write(&folder.join("startup.nsh"), b"echo\n");
    assert!(tool("mcopy", &["-i", &volume, &more, "::startup.nsh"]).0);
    let mut disk = good().to_vec();
    disk[esp.bytes.clone()].copy_from_slice(&std::fs::read(&volume).unwrap());
    assert_eq!(codes(&disk), ["esp_file_unknown", "not_as_written"]);
    let uki = write(&folder.join("uki"), &boot_file(&packed(entries())));
    let out = folder.join("more");
    let add = format!(".dtb={more}");
    let (is_good, text) = tool(
        "objcopy",
        &[
            "--add-section",
            &add,
            "--change-section-vma",
            ".dtb=0x9000000",
            &uki,
            out.to_str().unwrap(),
        ],
    );
    assert!(is_good, "{text}");
    assert!(codes(&std::fs::read(&out).unwrap()).contains(&"section_unknown"));
}

#[test]
fn what_cannot_be_read_is_damage_and_the_rest_is_told_all_the_same() {
    let check = |image: &[u8], expected: &str| {
        let inspection = inspect(image);
        assert!(codes_of(&inspection).contains(&expected), "{:?}", inspection.findings);
        assert_eq!(inspection.verdict(), Some(Class::Damage), "{expected}");
        assert_eq!(inspection.verdict().map(Class::exit_status), Some(3));
        assert_eq!(inspection.items[0].bytes, image.len());
    };
    check(b"", "not_an_image");
    check(b"nothing of the kind", "not_an_image");
    check(&good()[..good().len() - 1], "gpt_damaged");
    check(&vec![0; 64 * 1024 * 1024 + 1], "too_large");
    let mut fat = good().to_vec();
    fat[gpt::FIRST + 12] = 0;
    check(&fat, "fat_damaged");
    // A directory whose clusters come back to themselves.
    let mut chain = good().to_vec();
    let table = gpt::FIRST + 32 * 512;
    chain[table + 2 * 4..table + 3 * 4].copy_from_slice(&2_u32.to_le_bytes());
    check(&chain, "fat_damaged");
    check(&disk_with(b"MZ".to_vec()), "pe_damaged");
    check(&disk_with(boot_file(b"070701")), "cpio_damaged");
    let mut cut = packed(entries());
    cut.pop();
    check(&disk_with(boot_file(&cut)), "packed_damaged");
    check(&qcow2::write(good()).unwrap()[..70_000], "qcow2_damaged");
    // A gigabyte of zeros in a few kilobytes: it stops where the limit is.
    let bomb = ward_image::compress::pack(&vec![0; 65 * 1024 * 1024]).unwrap();
    assert!(bomb.len() < 100_000);
    check(&disk_with(boot_file(&bomb)), "packed_damaged");
}

/// Where the entry of this path begins in an archive.
fn entry_at(archive: &[u8], path: &str) -> usize {
    let name = format!("{}\0", &path[1..]);
    let at = archive.windows(name.len()).position(|window| window == name.as_bytes());
    at.unwrap() - 110
}

#[test]
fn files_of_the_initramfs_that_share_their_contents_are_refused() {
    // The kernel makes one file of them, and what it writes last is what both have: `/init` would be another program.
    const NUMBER: usize = 6;
    const NAMES: usize = 6 + 4 * 8;
    let archive = cpio::write(entries()).unwrap();
    let init = entry_at(&archive, "/init");
    let twiml = entry_at(&archive, "/bin/ward-twiml");
    let verdict = |archive: &[u8]| {
        let inspection = inspect(&disk_with(boot_file(archive)));
        (codes_of(&inspection), inspection.verdict())
    };
    assert_eq!(verdict(&archive), (vec![], None));
    let number = archive[init + NUMBER..init + NUMBER + 8].to_vec();
    let mut shared = archive.clone();
    shared[twiml + NUMBER..twiml + NUMBER + 8].copy_from_slice(&number);
    assert_eq!(verdict(&shared), (vec!["cpio_damaged"], Some(Class::Damage)));
    for at in [init, twiml] {
        shared[at + NAMES..at + NAMES + 8].copy_from_slice(b"00000002");
    }
    assert_eq!(verdict(&shared), (vec!["cpio_damaged"], Some(Class::Damage)));
    // A name more is enough: the other one may be in an archive behind.
    let mut names = archive;
    names[init + NAMES..init + NAMES + 8].copy_from_slice(b"00000002");
    assert_eq!(verdict(&names), (vec!["cpio_damaged"], Some(Class::Damage)));
}

#[test]
fn a_path_of_the_initramfs_that_is_there_twice_is_told() {
    let twin = entry("/bin/ward-twimm", FILE | 0o444, &program("x"));
    let mut archive = cpio::write(with(twin)).unwrap();
    let at = entry_at(&archive, "/bin/ward-twimm");
    archive[at + 110 + "bin/ward-twim".len()] = b'l';
    let inspection = inspect(&disk_with(boot_file(&archive)));
    assert_eq!(codes_of(&inspection), ["path_twice", "not_as_written"]);
    assert_eq!(inspection.verdict(), Some(Class::Contents));
}

#[test]
fn the_tool_ends_with_the_status_of_the_class_and_says_the_same_in_json() {
    let folder = folder("tool-verify");
    let mut form = boot_file(&packed(entries()));
    let checksum = checksum_at(&form);
    form[checksum] ^= 1;
    // What is in a gap decides nothing for us; nobody knows for whom it does.
    let mut gap = good().to_vec();
    gap[500_000] = 1;
    let contents = disk_with(boot_file(&packed(with(entry("/bin/sh", FILE | 0o4555, b"x")))));
    let cases: [(&[u8], i32, &str); 5] = [
        (good(), 0, ""),
        (&gap, 1, "not_as_written"),
        (&contents, 1, "set_id"),
        (&good()[..1024 * 1024], 3, "gpt_damaged"),
        (&form, 4, "checksum"),
    ];
    for (image, status, code) in cases {
        let path = write(&folder.join("image"), image);
        let run = |more: &[&str]| {
            let mut ward = Command::new(release("ward"));
            ward.args(["verify-image", &path]).args(more).env_clear();
            let output = ward.output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (ended, text) = run(&[]);
        assert_eq!(ended, Some(status), "{text}");
        assert!(text.contains(code), "{text}");
        let (ended, text) = run(&["--json"]);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ended, Some(status));
        assert_eq!(object["ok"], Value::from(status == 0));
        let codes: Vec<&str> = object["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, codes_of(&inspect(image)));
        assert_eq!(object["items"][0]["sha256"], inspect(image).items[0].sha256.clone());
    }
    let nothing = Command::new(release("ward")).args(["verify-image", "/nowhere"]).output();
    assert_eq!(nothing.unwrap().status.code(), Some(2));
}

#[test]
fn every_finding_is_in_the_docs_with_its_class() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let source = read("appliance/image/src/inspect/finding.rs");
    let docs = read("docs/image.md");
    let codes: Vec<&str> = source
        .lines()
        .filter(|line| line.trim_start().starts_with("Self::"))
        .filter_map(|line| line.split_once("=> \"")?.1.split('"').next())
        .filter(|code| !["form", "contents", "damage"].contains(code))
        .collect();
    assert_eq!(codes.len(), 35);
    for code in &codes {
        let row = docs.lines().find(|line| line.starts_with(&format!("| `{code}` |")));
        let class = row.unwrap_or_else(|| panic!("{code}")).split(" | ").nth(1).unwrap();
        assert!(["damage", "contents", "form"].contains(&class), "{code}");
    }
    let rows =
        docs.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
    let rows = rows.filter(|line| {
        ["damage", "contents", "form"].contains(&line.split(" | ").nth(1).unwrap_or_default())
    });
    assert_eq!(rows.count(), codes.len(), "a row of a finding that there is not");
}
