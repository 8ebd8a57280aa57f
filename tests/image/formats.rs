//! What `ward-image` writes, read by other people's tools; what they write, read by ours; and every check with
//! something that must make it fail.
//!
//! Nothing is booted here. Programs are the smallest that the format allows, made in the test; the stub is Debian's, and
//! systemd-boot stands in for the kernel: both are PE files, and neither is run.

mod formats_bom;
mod formats_boot_file;
mod formats_contents;
mod formats_disk;
mod formats_initramfs;
mod formats_support;
