//! The disk beside sgdisk, sfdisk, fsck.fat, mtools and qemu-img.

use std::path::Path;
use std::process::Command;

use ward_image::disk::DiskError;
use ward_image::esp::{CONFIG_PATH, Files, UKI_PATH};
use ward_image::inspect::{Class, inspect};
use ward_image::{disk, esp, fat, gpt, qcow2};
use ward_policy::limit;
use ward_tests::binaries::image_tool;

use crate::formats_support::{
    CONFIG, OS_RELEASE, STUB, boot_file, codes, codes_of, disk_with, entries, folder, good, kernel,
    packed, said, tool, write,
};

/// Whether the tools for partition tables find nothing wrong. Both mend in memory what they can, and call the
/// outcome good, so what they complain of counts.
fn table_is_good(path: &str) -> (bool, String) {
    let (_, sgdisk) = tool("sgdisk", &["-v", path]);
    let (is_content, sfdisk) = tool("sfdisk", &["--verify", path]);
    let text = format!("{sgdisk}\n{sfdisk}");
    let complaints = ["Caution", "Warning", "ERROR", "corrupt"];
    let is_good = is_content
        && sgdisk.contains("No problems found")
        && sfdisk.contains("No errors detected")
        && !complaints.iter().any(|word| text.contains(word));
    (is_good, text)
}

fn partition(disk: &[u8]) -> &[u8] {
    let [only] = &gpt::read(disk).unwrap()[..] else { panic!("one partition") };
    &disk[only.bytes.clone()]
}

#[test]
fn the_partition_table_is_good_for_sgdisk_and_sfdisk() {
    let folder = folder("table");
    let path = write(&folder.join("disk"), good());
    let (is_good, text) = table_is_good(&path);
    assert!(is_good, "{text}");
    let (_, row) = tool("sgdisk", &["-i", "1", &path]);
    assert!(row.contains("C12A7328-F81F-11D2-BA4B-00A0C93EC93B (EFI system partition)"), "{row}");
    assert!(row.contains("First sector: 2048 ") && row.contains("'ward'"), "{row}");
    assert_eq!(good().len(), limit::DISK_BYTES);
    // One byte: of each head, of each copy of the entries, of the protective record.
    let end = good().len();
    for at in [512 + 24, 1024 + 40, end - 512 + 24, end - 33 * 512 + 40, 510] {
        let mut changed = good().to_vec();
        changed[at] ^= 1;
        let path = write(&folder.join("changed"), &changed);
        let (is_good, text) = table_is_good(&path);
        assert!(!is_good, "{at}: {text}");
        assert!(inspect(&changed).verdict().is_some(), "{at}");
    }
}

#[test]
fn the_file_system_is_good_for_fsck_and_mtools_reads_it() {
    let folder = folder("esp");
    let bytes = partition(good()).to_vec();
    let path = write(&folder.join("esp"), &bytes);
    let (is_good, text) = tool("fsck.fat", &["-n", "-v", &path]);
    assert!(is_good && text.contains("6 files"), "{text}");
    for hint in ["uninitialized", "differences", "Bad", "Orphan", "wrong", "Expected"] {
        assert!(!text.contains(hint), "{text}");
    }
    let (is_good, list) = tool("mdir", &["-/", "-b", "-i", &path, "::"]);
    assert!(is_good, "{list}");
    assert!(
        list.contains("::/EFI/BOOT/BOOTX64.EFI") && list.contains("::/ward/ward.toml"),
        "{list}"
    );
    for (name, content) in
        [(UKI_PATH, boot_file(&packed(entries()))), (CONFIG_PATH, CONFIG.to_vec())]
    {
        let out = folder.join("out");
        let (is_good, text) =
            tool("mcopy", &["-n", "-o", "-i", &path, &format!("::{name}"), out.to_str().unwrap()]);
        assert!(is_good, "{text}");
        assert_eq!(std::fs::read(&out).unwrap(), content, "{name}");
    }
    // One byte: of the first table, of the copy of the boot sector, of a directory.
    let table = 32 * 512;
    let directory = (32 + 2 * 536 + 1) * 512;
    for at in [table + 9, 6 * 512 + 40, directory] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x11;
        let path = write(&folder.join("changed"), &changed);
        let (is_good, text) = tool("fsck.fat", &["-n", "-v", &path]);
        assert!(!is_good || text.contains("differences"), "{at}: {text}");
        let mut disk = good().to_vec();
        disk[gpt::FIRST + at] ^= 0x11;
        assert!(inspect(&disk).verdict().is_some(), "{at}");
    }
}

#[test]
fn a_disk_of_other_tools_is_read_and_found_not_to_be_ours() {
    // The same two files, by mkfs.fat, mtools and sgdisk, with the times at which they ran.
    let folder = folder("theirs");
    let uki = boot_file(&packed(entries()));
    let (uki_path, config) =
        (write(&folder.join("uki"), &uki), write(&folder.join("config"), CONFIG));
    let esp = write(&folder.join("esp"), &vec![0; gpt::room(limit::DISK_BYTES)]);
    assert!(tool("mkfs.fat", &["-F", "32", "-s", "1", &esp]).0);
    assert!(tool("mmd", &["-i", &esp, "::EFI", "::EFI/BOOT", "::ward"]).0);
    assert!(tool("mcopy", &["-i", &esp, &uki_path, "::EFI/BOOT/BOOTX64.EFI"]).0);
    assert!(tool("mcopy", &["-i", &esp, &config, "::ward/ward.toml"]).0);
    let esp = std::fs::read(&esp).unwrap();
    let files: Vec<(String, Vec<u8>)> =
        fat::read(&esp).unwrap().into_iter().map(|file| (file.path, file.content)).collect();
    assert_eq!(files, [(UKI_PATH.to_owned(), uki), (CONFIG_PATH.to_owned(), CONFIG.to_vec())]);
    let disk = write(&folder.join("disk"), &vec![0; limit::DISK_BYTES]);
    let (is_good, text) = tool("sgdisk", &["-o", "-n", "1:2048:71679", "-t", "1:ef00", &disk]);
    assert!(is_good, "{text}");
    let mut disk = std::fs::read(&disk).unwrap();
    disk[gpt::FIRST..gpt::FIRST + esp.len()].copy_from_slice(&esp);
    let inspection = inspect(&disk);
    assert_eq!(codes_of(&inspection), ["not_as_written"]);
    assert_eq!(inspection.verdict(), Some(Class::Contents));
    // And what is read from it makes a disk of ours.
    assert_eq!(disk::write(&disk::read(&disk).unwrap()).unwrap(), good());
}

#[test]
fn one_time_let_into_the_file_system_is_caught() {
    // The day on which the boot file was changed: bytes 24 and 25 of its entry, the third of its directory.
    let at = gpt::FIRST + (32 + 2 * 536 + 2) * 512 + 2 * 32;
    assert_eq!(&good()[at..at + 11], b"BOOTX64 EFI");
    let mut timed = good().to_vec();
    timed[at + 24] = 0x57;
    assert_eq!(codes(&timed), ["not_as_written"]);
}

#[test]
fn two_entries_of_one_name_are_told_and_not_configured() {
    // The boot file's entry, the third of its directory, and a copy behind it that is other bytes: the configuration's.
    let boot = gpt::FIRST + (32 + 2 * 536 + 2) * 512 + 2 * 32;
    let ward = gpt::FIRST + (32 + 2 * 536 + 3) * 512;
    let row = |at: usize| good()[at..at + 32].to_vec();
    let short = (ward..ward + 512).step_by(32).map(row).find(|row| {
        row[11] == 0x20 && row[28..32] == u32::try_from(CONFIG.len()).unwrap().to_le_bytes()
    });
    let (genuine, config) = (row(boot), short.unwrap());
    let mut other = genuine.clone();
    other[20..22].copy_from_slice(&config[20..22]);
    other[26..32].copy_from_slice(&config[26..32]);
    let with = |first: &[u8], second: &[u8]| {
        let mut disk = good().to_vec();
        disk[boot..boot + 64].copy_from_slice(&[first, second].concat());
        disk
    };
    let twice = with(&genuine, &other);
    assert_eq!(codes(&twice), ["path_twice", "not_as_written"]);
    assert_eq!(inspect(&twice).verdict(), Some(Class::Contents));
    // Firmware starts the first, and so that is what is looked into.
    let before = with(&other, &genuine);
    assert_eq!(codes(&before), ["path_twice", "pe_damaged", "not_as_written"]);
    for disk in [twice, before] {
        assert_eq!(disk::read(&disk), Err(DiskError::Twice(UKI_PATH.to_owned())));
        assert!(disk::configure(&disk, None).is_err());
    }
    // Small letters are the same name: two bits of Windows NT's say that a name has them.
    other[12] = 0x18;
    let small = with(&genuine, &other);
    assert_eq!(codes(&small), ["path_twice", "esp_file_unknown", "not_as_written"]);
}

#[test]
fn a_first_sector_with_more_than_the_protective_record_is_refused() {
    const ROWS: usize = 446;
    let changed = |at: usize, bytes: &[u8]| {
        let mut disk = good().to_vec();
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        disk
    };
    // A partition of type EF in the megabyte before ours: firmware takes it, and what is in it.
    let hidden = [&[0, 0, 0, 0, 0xef, 0, 0, 0], &64_u32.to_le_bytes()[..], &[0, 4, 0, 0]].concat();
    let cases: [(&str, usize, &[u8]); 7] = [
        ("a second partition", ROWS + 16, &hidden),
        ("a fourth partition", ROWS + 48, &hidden),
        ("another partition", ROWS, &hidden),
        ("active", ROWS, &[0x80]),
        ("from the second sector", ROWS + 8, &[2]),
        ("shorter", ROWS + 12, &[0, 4, 0, 0]),
        ("a program", 0, b"\xeb\xfe"),
    ];
    for (name, at, bytes) in cases {
        let disk = changed(at, bytes);
        assert_eq!(gpt::read(&disk), Err(gpt::GptError::NotProtective), "{name}");
        assert_eq!(codes(&disk), ["gpt_damaged"], "{name}");
        assert_eq!(inspect(&disk).verdict(), Some(Class::Damage), "{name}");
        assert!(disk::configure(&disk, None).is_err(), "{name}");
    }
    // As large as the field can say is right, too.
    assert_eq!(codes(&changed(ROWS + 12, &[0xff; 4])), ["not_as_written"]);
}

#[test]
fn qemu_reads_what_we_write_and_we_read_what_it_writes() {
    let folder = folder("qcow2");
    let raw = write(&folder.join("raw"), good());
    let file = qcow2::write(good()).unwrap();
    let ours = write(&folder.join("ours.qcow2"), &file);
    let (is_good, text) = tool("qemu-img", &["check", &ours]);
    assert!(is_good && text.contains("No errors were found"), "{text}");
    let same = ["compare", "-f", "raw", "-F", "qcow2", &raw, &ours];
    let (is_good, text) = tool("qemu-img", &same);
    assert!(is_good && text.contains("Images are identical"), "{text}");
    assert_eq!(codes(&file), [] as [&str; 0]);
    let theirs = folder.join("theirs.qcow2");
    let theirs = theirs.to_str().unwrap();
    for options in ["compat=1.1", "compat=0.10", "cluster_size=4096", "cluster_size=2097152"] {
        let (is_good, text) =
            tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-o", options, &raw, theirs]);
        assert!(is_good, "{text}");
        let theirs = std::fs::read(theirs).unwrap();
        assert!(qcow2::read(&theirs).unwrap() == good(), "{options}");
        assert_eq!(inspect(&theirs).verdict(), Some(Class::Form), "{options}");
        assert_eq!(codes(&theirs), ["qcow2_not_as_written"], "{options}");
    }
    // What a hostile one could ask for is refused by name.
    assert!(tool("qemu-img", &["create", "-f", "qcow2", "-b", &raw, "-F", "raw", theirs]).0);
    assert_eq!(qcow2::read(&std::fs::read(theirs).unwrap()), Err(qcow2::Qcow2Error::NamesAFile));
    assert!(tool("qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", &raw, theirs]).0);
    let packed = qcow2::read(&std::fs::read(theirs).unwrap());
    assert_eq!(packed, Err(qcow2::Qcow2Error::Feature("compression")));
    // One byte of the disk, of a table, of the count of references.
    for at in [file.len() - 4096, 4 * 65_536 + 16 * 8 + 6, 2 * 65_536] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let path = write(&folder.join("changed.qcow2"), &changed);
        let is_same = tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &raw, &path]).0;
        let is_whole = tool("qemu-img", &["check", &path]).0;
        assert!(!is_same || !is_whole, "{at}");
        assert!(inspect(&changed).verdict().is_some(), "{at}");
    }
}

#[test]
fn another_configuration_makes_another_disk_and_leaves_nothing_of_the_one_before() {
    let other = b"role = \"twiml\"\n".to_vec();
    let uki = boot_file(&packed(entries()));
    let made = disk::write(&Files { uki: uki.clone(), config: Some(other.clone()) }).unwrap();
    let configured = disk::configure(good(), Some(other)).unwrap();
    assert!(made == configured);
    assert!(!configured.windows(CONFIG.len()).any(|window| window == CONFIG));
    assert!(good().windows(CONFIG.len()).any(|window| window == CONFIG));
    let without = disk::configure(good(), None).unwrap();
    assert_eq!(codes(&without), [] as [&str; 0]);
    // Neither disks share an identifier, as they would if it were written down somewhere.
    assert!(without[512 + 56..512 + 72] != configured[512 + 56..512 + 72]);
    let too_long = Files { uki, config: Some(vec![b'#'; limit::CONFIGURATION_BYTES_MAX + 1]) };
    assert!(disk::write(&too_long).is_err());
    assert_eq!(
        esp::write(&Files { uki: vec![1; 4096], config: None }, 4096),
        Err(esp::EspError::NoRoom)
    );
}

#[test]
fn every_changed_byte_of_a_disk_is_found() {
    // Places that are anywhere, and the same every time.
    let mut place = 12_345_usize;
    for number in 0..48 {
        place = (place.wrapping_mul(1_103_515_245).wrapping_add(12_345)) % good().len();
        let at = if number % 2 == 0 { place } else { gpt::FIRST + place % 600_000 };
        let mut changed = good().to_vec();
        changed[at] ^= 0x20;
        assert!(inspect(&changed).verdict().is_some(), "byte {at}");
    }
}

/// The steps of an image by the program, in a folder, with an environment.
fn by_the_tool(folder: &Path, variables: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut list = String::new();
    for entry in entries() {
        let mode = entry.mode & 0o777;
        let source = match (entry.device, entry.content.is_empty()) {
            ((5, 1), _) => "char:5:1".to_owned(),
            (_, true) => "dir".to_owned(),
            (_, false) => {
                let name = entry.path.trim_start_matches('/').replace('/', "-");
                write(&folder.join(&name), &entry.content);
                name
            }
        };
        list.push_str(&format!("{} {mode:04o} {source}\n", entry.path));
    }
    write(&folder.join("list"), list.as_bytes());
    write(&folder.join("cmdline"), format!("{}\n", crate::formats_support::CMDLINE).as_bytes());
    write(&folder.join("os-release"), OS_RELEASE);
    write(&folder.join("kernel"), &kernel());
    write(&folder.join("ward.toml"), CONFIG);
    let steps: [&[&str]; 4] = [
        &["cpio", "--zstd", "list", "initrd"],
        &[
            "uki",
            "--stub",
            STUB,
            "--linux",
            "kernel",
            "--initrd",
            "initrd",
            "--cmdline",
            "cmdline",
            "--os-release",
            "os-release",
            "--uname",
            "6.12.9",
            "uki",
        ],
        &["disk", "--uki", "uki", "--config", "ward.toml", "raw"],
        &["qcow2", "raw", "qcow2"],
    ];
    for step in steps {
        let mut tool = Command::new(image_tool());
        tool.args(step).current_dir(folder).env_clear().envs(variables.iter().copied());
        let (is_content, text) = said(&tool.output().unwrap());
        assert!(is_content, "{step:?}: {text}");
    }
    ["initrd", "uki", "raw", "qcow2"].map(|name| std::fs::read(folder.join(name)).unwrap()).to_vec()
}

#[test]
fn the_program_makes_the_same_bytes_in_another_folder_time_zone_and_environment() {
    let first = by_the_tool(&folder("tool"), &[]);
    let second = by_the_tool(
        &folder("tool/another folder"),
        &[("TZ", "Asia/Tokyo"), ("SOURCE_DATE_EPOCH", "1700000000"), ("LANG", "tr_TR.UTF-8")],
    );
    assert!(first == second);
    assert!(first[2] == good() && first[3] == qcow2::write(good()).unwrap());
    // Another command line is another disk, all the way.
    let other = disk_with(boot_file(&packed(entries()[..9].to_vec())));
    assert!(other != good());
    // What cannot be made is not written.
    let folder = folder("tool-refused");
    write(&folder.join("list"), b"/init 4755 init\n");
    let refused = Command::new(image_tool())
        .args(["cpio", "list", "out"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(!folder.join("out").exists());
    assert_eq!(Command::new(image_tool()).arg("cpio").output().unwrap().status.code(), Some(2));
}
