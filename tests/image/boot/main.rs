//! The image in a virtual machine, from the flashable file on: firmware, stub, kernel, PID 1, a call.
//!
//! By name only, because it takes minutes without the processor's help: `cargo test -p ward-tests --test boot`, after
//! `nix/host/build image-raw` and `nix/host/build image-qcow2`. Every wait is bounded; nothing leaves this machine.

mod built;
mod call;
mod caller;
mod drills;
mod floor;
mod hunger;
mod inside;
mod lab;
mod machine;
mod memory;
mod outside;
mod ports;

use std::time::Duration;

use built::{Bare, folder};
use machine::{Disk, Machine, Plan};

/// From power-on to the first line of PID 1, under emulation on a machine with other work.
const BOOT: Duration = Duration::from_secs(90);

/// The stub's or the kernel's first line: firmware has handed over.
fn is_handed_over(text: &str) -> bool {
    text.contains("EFI stub")
}

#[test]
fn a_bare_image_of_this_kernel_boots_from_every_disk() {
    let folder = folder("disks");
    let bare = Bare::build(&folder);
    for disk in [Disk::Virtio, Disk::Nvme, Disk::Qcow2] {
        let own = folder.join(format!("{disk:?}"));
        std::fs::create_dir(&own).unwrap();
        let image = if disk == Disk::Qcow2 { &bare.qcow2 } else { &bare.raw };
        let mut machine = Machine::start(&Plan::new(disk, image), &own);
        let hello = machine.wait("hello", BOOT, |text| text == "hello");
        let handed_over = machine.wait("the hand-over", BOOT, is_handed_over);
        println!(
            "{disk:?}: firmware {:.2?}, then hello after {:.2?}",
            handed_over.at,
            hello.at - handed_over.at
        );
        // PID 1 ended: the kernel stops and the machine would start again.
        assert!(
            machine.ended(Duration::from_secs(20)).is_some_and(|status| status.success()),
            "{disk:?}"
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_disk_that_was_tampered_with_does_not_boot() {
    let folder = folder("tampered");
    let bare = Bare::build(&folder);
    let mut disk = std::fs::read(&bare.raw).unwrap();
    // The boot file's own first bytes.
    let at = disk
        .windows(4)
        .position(|four| four == b"MZ\x78\0" || four == b"MZ\x90\0")
        .unwrap_or_else(|| {
            disk.windows(2).skip(4_096).position(|two| two == b"MZ").expect("a boot file") + 4_096
        });
    disk[at] = b'Z';
    std::fs::write(&bare.raw, &disk).unwrap();
    let machine = Machine::start(&Plan::new(Disk::Virtio, &bare.raw), &folder);
    // Negative control of the test above: it does find a machine that never says hello.
    let firmware = machine.wait("firmware gives up", BOOT, |text| text.contains("BdsDxe: failed"));
    assert!(!machine.lines().iter().any(|line| line.text == "hello"), "{firmware:?}");
    std::fs::remove_dir_all(folder).unwrap();
}
