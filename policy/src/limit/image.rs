//! Sizes and counts of the machine image, for what builds it and for what looks into one that may be hostile.
//!
//! They bound what is read and what is shipped; they say nothing of how the formats are laid out.

// --- What ships ---

/// The boot file, in bytes: kernel, initramfs and stub. Firmware reads all of it before anything runs.
pub const UKI_BYTES_MAX: usize = 8_000_000;
/// The disk, in bytes, whatever is on it: FAT32 needs 65,525 clusters (Microsoft, *FAT32 File System
/// Specification*), which are 33 MiB of the smallest, and the rest is the tables around it.
pub const DISK_BYTES: usize = 36 * 1024 * 1024;
/// Executables in the initramfs: `init` and the three servers.
pub const EXECUTABLES_MAX: usize = 4;
/// The kernel's command line, in bytes: `COMMAND_LINE_SIZE` of x86, less the zero at its end.
pub const CMDLINE_BYTES_MAX: usize = 2_047;

// --- What is read ---

/// A disk that is looked into, in bytes, and what a qcow2 file may say it is. Ours are 36 MiB.
pub const INSPECTED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// An initramfs after it is unpacked, in bytes: a few kilobytes can say they are gigabytes.
pub const INITRAMFS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries of an initramfs. Ours has a dozen.
pub const INITRAMFS_ENTRIES_MAX: usize = 256;
/// A path in an initramfs or on the disk, in bytes.
pub const IMAGE_PATH_BYTES_MAX: usize = 255;
/// Entries of all directories of a file system together. Ours has six.
pub const FAT_ENTRIES_MAX: usize = 1_024;
/// Directories inside one another. Ours has two.
pub const FAT_DEPTH_MAX: usize = 8;
/// Sections of a boot file: the PE format's own limit for loaders is 96.
pub const PE_SECTIONS_MAX: usize = 96;
/// Bytes of a boot file before its PE header: what says to DOS that it is not DOS's. systemd-stub has 128.
pub const PE_DOS_BYTES_MAX: usize = 256;
/// Partitions of a table: what every tool makes room for.
pub const GPT_ENTRIES_MAX: u32 = 128;
/// What `cargo auditable` left in one binary, unpacked, in bytes. Ours is about 20 KiB.
pub const AUDIT_BYTES_MAX: usize = 1024 * 1024;
/// Components of a bill of materials. Ours has about two hundred.
pub const COMPONENTS_MAX: usize = 4_096;
