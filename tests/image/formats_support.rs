//! An image that is good, in pieces that a test can spoil, and the tools that look at it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ward_image::compress;
use ward_image::cpio::{self, CHARACTER_DEVICE, DIRECTORY, Entry, FILE};
use ward_image::disk;
use ward_image::esp::Files;
use ward_image::inspect::{Inspection, inspect};
use ward_image::uki::{self, Parts};
use ward_tests::binaries::root;
use ward_tests::python::python;

pub(crate) const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// A PE file that is not the stub.
const KERNEL: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
pub(crate) const OS_RELEASE: &[u8] = b"ID=ward\nNAME=Ward\n";
pub(crate) const CMDLINE: &str = "console=ttyS0 rdinit=/init";
pub(crate) const CONFIG: &[u8] = b"role = \"media\"\n";

/// A folder of this test's own, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = root().join("target/image-formats").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> String {
    std::fs::write(path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs a tool; whether it was content, and all it said.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> (bool, String) {
    said(
        &Command::new(name)
            .args(arguments)
            .env("PATH", PATH)
            .env("MTOOLS_SKIP_CHECK", "1")
            .output()
            .unwrap(),
    )
}

/// Tools for disks are root's, and so where root looks.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn said(output: &Output) -> (bool, String) {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&both).into_owned())
}

/// Asks `check_formats.py`.
pub(crate) fn check(arguments: &[&str]) -> (bool, String) {
    let mut python = python("image", "check_formats.py", "image-python", "cyclonedx");
    said(&python.args(arguments).output().unwrap())
}

/// A segment of a program: its type, its rights, its bytes.
type Segment = (u32, u32, Vec<u8>);

/// A program for x86-64 with these segments.
pub(crate) fn elf(segments: &[Segment]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2_u16.to_le_bytes(), 62_u16.to_le_bytes()].concat());
    file.extend(1_u32.to_le_bytes());
    for word in [0x40_1000_u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, u16::try_from(segments.len()).unwrap(), 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut at = 64 + 56 * u64::try_from(segments.len()).unwrap();
    for (kind, rights, bytes) in segments {
        let size = u64::try_from(bytes.len()).unwrap();
        file.extend(kind.to_le_bytes());
        file.extend(rights.to_le_bytes());
        for word in [at, 0x40_0000 + at, 0x40_0000 + at, size, size, 1] {
            file.extend(word.to_le_bytes());
        }
        at += size;
    }
    segments.iter().for_each(|(_, _, bytes)| file.extend(bytes));
    file
}

const LOAD: u32 = 1;
pub(crate) const INTERP: u32 = 3;
pub(crate) const STACK: u32 = 0x6474_e551;

/// A program that stands alone, with some text of its own.
pub(crate) fn program(text: &str) -> Vec<u8> {
    elf(&[(LOAD, 5, text.as_bytes().to_vec()), (STACK, 6, Vec::new())])
}

/// The same, and what it has beside.
pub(crate) fn program_with(kind: u32, rights: u32, bytes: &[u8]) -> Vec<u8> {
    elf(&[(kind, rights, bytes.to_vec()), (STACK, 6, Vec::new())])
}

pub(crate) fn entry(path: &str, mode: u32, content: &[u8]) -> Entry {
    let path = path.to_owned();
    Entry { path, mode, owner: (0, 0), device: (0, 0), content: content.to_vec() }
}

/// Everything that an initramfs has.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = vec![
        entry("/bin", DIRECTORY | 0o755, b""),
        entry("/bin/ward-broker", FILE | 0o555, &program("broker")),
        entry("/bin/ward-media", FILE | 0o555, &program("media")),
        entry("/bin/ward-twiml", FILE | 0o555, &program("twiml")),
        entry("/dev", DIRECTORY | 0o755, b""),
        entry("/dev/console", CHARACTER_DEVICE | 0o600, b""),
        entry("/init", FILE | 0o555, &program("init")),
        entry("/proc", DIRECTORY | 0o555, b""),
        entry("/run", DIRECTORY | 0o755, b""),
        entry("/sys", DIRECTORY | 0o555, b""),
    ];
    entries[5].device = (5, 1);
    entries
}

pub(crate) fn packed(entries: Vec<Entry>) -> Vec<u8> {
    compress::pack(&cpio::write(entries).unwrap()).unwrap()
}

pub(crate) fn stub() -> Vec<u8> {
    std::fs::read(STUB).expect("Debian's package systemd-boot-efi")
}

/// Without what is behind its last section: a kernel has nothing there.
pub(crate) fn kernel() -> Vec<u8> {
    let mut file = std::fs::read(KERNEL).expect("Debian's package systemd-boot-efi");
    file.truncate(ward_image::pe::read(&file).unwrap().end());
    file
}

pub(crate) fn boot_file(initrd: &[u8]) -> Vec<u8> {
    let (stub, linux) = (stub(), kernel());
    let parts = Parts {
        stub: &stub,
        os_release: OS_RELEASE,
        cmdline: CMDLINE,
        uname: "6.12.9",
        linux: &linux,
        initrd,
    };
    uki::write(&parts).unwrap()
}

/// Where a boot file's checksum is.
pub(crate) fn checksum_at(file: &[u8]) -> usize {
    header_at(file) + 24 + 64
}

/// Where its PE header begins.
pub(crate) fn header_at(file: &[u8]) -> usize {
    usize::try_from(u32::from_le_bytes(file[0x3c..0x40].try_into().unwrap())).unwrap()
}

/// A disk that is as it should be.
pub(crate) fn good() -> &'static [u8] {
    static DISK: OnceLock<Vec<u8>> = OnceLock::new();
    DISK.get_or_init(|| disk_with(boot_file(&packed(entries()))))
}

pub(crate) fn disk_with(uki: Vec<u8>) -> Vec<u8> {
    disk::write(&Files { uki, config: Some(CONFIG.to_vec()) }).unwrap()
}

/// The words of what is wrong with it.
pub(crate) fn codes(image: &[u8]) -> Vec<&'static str> {
    codes_of(&inspect(image))
}

pub(crate) fn codes_of(inspection: &Inspection) -> Vec<&'static str> {
    inspection.findings.iter().map(ward_image::inspect::Finding::code).collect()
}
