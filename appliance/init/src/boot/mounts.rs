//! The kernel's file systems, and a root that nobody writes to.
//!
//! The initramfs itself can be no process's old root: a cell that puts an empty root in its place needs one that hangs below another. So
//! the same files are mounted once more, read-only, and become the root.

use rustix::fs::CWD;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move, mount_remount, unmount};
use rustix::process::{chdir, chroot};

use super::fault::Fault;
use super::{Boot, Done};
use crate::code;

/// One file system.
struct Mount {
    kind: &'static str,
    place: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
}

const NOTHING_RUNS: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// In this order.
const MOUNTS: [Mount; 4] = [
    // Whoever is not root sees nobody but themselves.
    Mount { kind: "proc", place: "/proc", flags: NOTHING_RUNS, data: c"hidepid=invisible" },
    Mount {
        kind: "sysfs",
        place: "/sys",
        flags: NOTHING_RUNS.union(MountFlags::RDONLY),
        data: c"",
    },
    Mount {
        kind: "devtmpfs",
        place: "/dev",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: c"mode=0755",
    },
    // Nothing is kept in it: it is there so that nobody finds the root's own folder writable.
    Mount { kind: "tmpfs", place: "/run", flags: NOTHING_RUNS, data: c"mode=0700,size=64k" },
];

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    new_root().map_err(|error| refused("/", &error.into()))?;
    for Mount { kind, place, flags, data } in &MOUNTS {
        let mounted = mount("none", *place, *kind, *flags, Some(*data));
        mounted.map_err(|error| refused(place, &error.into()))?;
    }
    boot.console = crate::console::Console::open();
    boot.say(code::BOOT, &[("version", &env!("CARGO_PKG_VERSION"))]);
    boot.say(code::MOUNTED, &[("count", &MOUNTS.len())]);
    Ok(())
}

fn refused(place: &str, error: &std::io::Error) -> Fault {
    Fault::refused(code::MOUNT_REFUSED, place, error)
}

fn new_root() -> rustix::io::Result<()> {
    mount_bind("/", "/run")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RDONLY | MountFlags::BIND;
    mount_remount("/run", flags, c"")?;
    chdir("/run")?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")
}

/// Takes away what nothing more is read in: with it goes what the lab's secrets came by.
pub(super) fn take_away_sysfs() -> std::io::Result<()> {
    Ok(unmount("/sys", rustix::mount::UnmountFlags::DETACH)?)
}

/// Whether something is at `path`.
pub(super) fn is_there(path: &str) -> bool {
    rustix::fs::accessat(CWD, path, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty())
        .is_ok()
}
