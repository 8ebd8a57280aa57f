//! Namespaces of our own, and an empty root. A listener that was made outside goes on working inside.

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, getgid, getuid, pivot_root};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use ward_policy::audit::Role;
use ward_policy::cell::{Target, has_network};

use crate::cell::LayerError;

/// Leaves the namespaces of mounts, IPC, host name and cgroups for new ones, and that of the network unless the
/// role dials.
///
/// A process namespace is not among them: it would bind children only, and there are none. Without root
/// this takes a user namespace, in which the user stays who they were.
pub(crate) fn leave(target: Target, role: Role) -> Result<(), LayerError> {
    let has_root = target.has_root();
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    // The image's kernel has no System V objects and no message queues, and so no namespace for them either.
    if target != Target::Image {
        flags |= UnshareFlags::NEWIPC;
    }
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    if !has_network(role) {
        flags |= UnshareFlags::NEWNET;
    }
    if !has_root {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: the flag that could break other threads, FILES, is not set; there are no other threads.
    unsafe { unshare_unsafe(flags) }?;
    if !has_root {
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("{user} {user} 1\n"))?;
        write("/proc/self/gid_map", &format!("{group} {group} 1\n"))?;
    }
    Ok(())
}

/// Writes one of the kernel's own files.
pub(crate) fn write(path: &str, text: &str) -> Result<(), LayerError> {
    let file = rustix::fs::openat(
        CWD,
        path,
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    // The kernel takes these files in one write or not at all.
    let written = rustix::io::write(&file, text.as_bytes())?;
    if written == text.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// Puts an empty, read-only file system in the place of the root, and detaches the old one.
pub(crate) fn empty_root() -> Result<(), LayerError> {
    // Nothing that is mounted here may appear outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Any directory will do as the place where the new root is put together; /proc is always there.
    mount("none", "/proc", "tmpfs", flags, Some(c"size=4096,nr_inodes=2,mode=0555"))?;
    chdir("/proc")?;
    // Both names mean the new root: the old one ends up on top of it and is taken off (pivot_root(2)).
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    mount_remount("/", flags | MountFlags::RDONLY, c"")?;
    Ok(())
}
