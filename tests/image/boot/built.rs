//! What `nix/host/build` left behind, and a bare image made of the same kernel: the measure for what ours costs.
//!
//! It builds nothing of Nix's: a file that is not there is named with the command that makes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use ward_image::{compress, cpio, disk, esp, qcow2, uki};
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
        let hello = folder.join("hello");
        let status = Command::new("rustc")
            .args([
                "--target",
                "x86_64-unknown-linux-musl",
                "-O",
                "-C",
                "panic=abort",
                "--edition",
                "2024",
                "-o",
            ])
            .arg(&hello)
            .arg(root().join("tests/image/boot/hello.rs"))
            .status();
        assert!(status.is_ok_and(|s| s.success()), "hello.rs does not compile");
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
        let init = cpio::Entry {
            mode: cpio::FILE | 0o555,
            content: std::fs::read(hello).unwrap(),
            ..directory("/init")
        };
        let archive = cpio::write(vec![directory("/dev"), console, init]).unwrap();
        let kernel = output("kernel", "bzImage");
        let boot_file = uki::write(&uki::Parts {
            stub: &std::fs::read("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
                .expect("package systemd-boot-efi"),
            os_release: b"ID=hello\n",
            cmdline: "hello",
            uname: std::fs::read_to_string(kernel.with_file_name("release")).unwrap().trim_end(),
            linux: &std::fs::read(&kernel).unwrap(),
            initrd: &compress::pack(&archive).unwrap(),
        });
        let disk = disk::write(&esp::Files { uki: boot_file.unwrap(), config: None }).unwrap();
        let (raw, other) = (folder.join("hello.raw"), folder.join("hello.qcow2"));
        std::fs::write(&raw, &disk).unwrap();
        std::fs::write(&other, qcow2::write(&disk).unwrap()).unwrap();
        Self { raw, qcow2: other }
    }
}
