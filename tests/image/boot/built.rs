//! What `nix/host/build` left behind, and images made of the same kernel: a bare one, the measure for what ours costs, and one for drills,
//! which has a program more than what ships.
//!
//! It builds nothing of Nix's: a file that is not there is named with the command that makes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use ward_image::{compress, cpio, disk, esp, qcow2, uki};
use ward_policy::limit;
use ward_tests::binaries::root;

/// A file of an output, with its own name.
pub(crate) fn output(attribute: &str, file: &str) -> PathBuf {
    let path = root().join(".cache/host/out").join(attribute).join(file);
    assert!(path.exists(), "{}: nix/host/build {attribute}", path.display());
    path
}

/// An empty folder of this test's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("boot-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The image of the smallest program there can be, `hello.rs`: same stub, same kernel, same disk.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) raw: PathBuf,
    pub(crate) qcow2: PathBuf,
}

impl Bare {
    pub(crate) fn build(folder: &Path) -> Self {
        let hello = program("hello", folder);
        let directory = |path: &str| cpio::Entry {
            path: path.to_owned(),
            mode: cpio::DIRECTORY | 0o755,
            owner: (0, 0),
            device: (0, 0),
            content: Vec::new(),
        };
        let console = cpio::Entry {
            mode: cpio::CHARACTER_DEVICE | 0o600,
            device: (5, 1),
            ..directory("/dev/console")
        };
        let init = cpio::Entry { mode: cpio::FILE | 0o555, content: hello, ..directory("/init") };
        let archive = cpio::write(vec![directory("/dev"), console, init]).unwrap();
        let disk = disk_of(archive.as_slice());
        let (raw, other) = (folder.join("hello.raw"), folder.join("hello.qcow2"));
        std::fs::write(&raw, &disk).unwrap();
        std::fs::write(&other, qcow2::write(&disk).unwrap()).unwrap();
        Self { raw, qcow2: other }
    }
}

/// A program of this folder, compiled as what ships is linked: static, for musl.
fn program(name: &str, folder: &Path) -> Vec<u8> {
    let file = folder.join(name);
    let status = Command::new("rustc")
        .args(["--target", "x86_64-unknown-linux-musl", "-O", "--edition", "2024"])
        .args(["-C", "panic=abort", "-C", "strip=symbols", "-o"])
        .arg(&file)
        .arg(root().join(format!("tests/image/boot/{name}.rs")))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{name}.rs does not compile");
    std::fs::read(file).unwrap()
}

/// A disk with the kernel and the stub that ship, and another archive.
fn disk_of(archive: &[u8]) -> Vec<u8> {
    let kernel = output("kernel", "bzImage");
    let boot_file = uki::write(&uki::Parts {
        stub: &std::fs::read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
            .expect("package systemd-boot-efi"),
        os_release: b"ID=test\n",
        // The kernel has its own, and takes no other.
        cmdline: "test",
        uname: std::fs::read_to_string(kernel.with_file_name("release")).unwrap().trim_end(),
        linux: &std::fs::read(&kernel).unwrap(),
        initrd: &compress::pack(archive).unwrap(),
    });
    disk::write(&esp::Files { uki: boot_file.unwrap(), config: None }).unwrap()
}

/// The name that the shipped PID 1 has in the image for drills, where `drill.rs` is `/init`.
pub(crate) const SHIPPED_INIT: &str = "/ward-init";

/// The image for drills: what ships, byte for byte, with `drill.rs` started before it.
pub(crate) fn drill_image(folder: &Path) -> PathBuf {
    let shipped = std::fs::read(output("initramfs", "initramfs")).unwrap();
    let shipped = compress::unpack(&shipped, limit::INITRAMFS_BYTES_MAX).unwrap();
    let mut entries = cpio::read(&shipped).unwrap();
    let init = entries.iter_mut().find(|entry| entry.path == "/init").expect("PID 1");
    let drill = cpio::Entry { content: program("drill", folder), ..init.clone() };
    SHIPPED_INIT.clone_into(&mut init.path);
    entries.push(drill);
    let file = folder.join("drill.raw");
    std::fs::write(&file, disk_of(&cpio::write(entries).unwrap())).unwrap();
    file
}
