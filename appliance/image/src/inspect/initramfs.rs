//! The initramfs' part of an inspection: each path with its mode and digest, and whether it may be there.

use std::collections::BTreeSet;

use ward_policy::limit;

use super::{Finding, Inspection, Item};
use crate::compress;
use crate::cpio::{self, CHARACTER_DEVICE, DIRECTORY, Entry, FILE, TYPE};
use crate::digest::sha256;
use crate::elf;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A character device, with its numbers.
    CharacterDevice(u32, u32),
    /// A link, a socket, a pipe or a block device.
    Other,
}

impl Kind {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::CharacterDevice(..) => "character device",
            Self::Other => "other",
        }
    }
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// From the root.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with those that make it run as somebody else.
    pub permissions: u32,
    /// How long a file is.
    pub bytes: usize,
    /// A file's SHA-256 in lower-case hex.
    pub sha256: Option<String>,
    /// What is in a file.
    pub content: Vec<u8>,
}

impl Node {
    /// Whether it is a file that anybody may execute.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.kind == Kind::File && self.permissions & 0o111 != 0
    }
}

/// Everything that the initramfs has, and nothing else.
const PATHS: [(&str, Kind); 10] = [
    ("/bin", Kind::Directory),
    ("/bin/ward-broker", Kind::File),
    ("/bin/ward-media", Kind::File),
    ("/bin/ward-twiml", Kind::File),
    ("/dev", Kind::Directory),
    ("/dev/console", Kind::CharacterDevice(5, 1)),
    ("/init", Kind::File),
    ("/proc", Kind::Directory),
    ("/run", Kind::Directory),
    ("/sys", Kind::Directory),
];
/// It runs as its owner or its group; the third bit has no meaning for what we have.
const SET_ID: u32 = 0o7_000;
const OTHERS_WRITE: u32 = 0o022;

impl Inspection {
    pub(super) fn initramfs(&mut self, packed: &[u8]) {
        let unpacked = if compress::is_packed(packed) {
            match compress::unpack(packed, limit::INITRAMFS_BYTES_MAX) {
                Ok(unpacked) => unpacked,
                Err(error) => return self.findings.push(Finding::Packed(error)),
            }
        } else {
            packed.to_vec()
        };
        self.items.push(Item::of("initramfs", &unpacked));
        let entries = match cpio::read(&unpacked) {
            Ok(entries) => entries,
            Err(error) => return self.findings.push(Finding::Cpio(error)),
        };
        let mut paths = BTreeSet::new();
        for entry in &entries {
            if !paths.insert(&entry.path) {
                self.findings.push(Finding::PathTwice(entry.path.clone()));
            }
            let node = node(entry);
            self.judge(&node, entry.owner);
            self.nodes.push(node);
        }
        for (path, _) in PATHS {
            if !entries.iter().any(|entry| entry.path == path) {
                self.findings.push(Finding::PathMissing(path));
            }
        }
        let executables = self.executables();
        if executables > limit::EXECUTABLES_MAX {
            self.findings.push(Finding::Executables(executables));
        }
        if cpio::write(entries).as_deref() != Ok(&unpacked) {
            self.findings.push(Finding::NotAsWritten("the initramfs"));
        }
    }

    fn judge(&mut self, node: &Node, owner: (u32, u32)) {
        let path = || node.path.clone();
        let mut found = |finding| self.findings.push(finding);
        match PATHS.iter().find(|(known, _)| *known == node.path) {
            None => found(Finding::Path(path())),
            Some((_, kind)) if *kind != node.kind => found(Finding::Kind(path(), node.kind.name())),
            Some(_) => {}
        }
        if node.permissions & SET_ID != 0 {
            found(Finding::SetId(path()));
        }
        if node.permissions & OTHERS_WRITE != 0 {
            found(Finding::WritableByOthers(path()));
        }
        if owner != (0, 0) {
            found(Finding::NotRoots(path()));
        }
        if node.kind != Kind::File {
            return;
        }
        // What cannot be executed can be a program all the same, for whoever can load one.
        if let Some(name) = elf::interpreter(&node.path, &node.content) {
            found(Finding::Interpreter(path(), name));
        }
        if node.content.starts_with(b"#!") {
            found(Finding::Script(path()));
        }
        match elf::read(&node.content) {
            None if node.is_executable() => found(Finding::NotAProgram(path())),
            None => {}
            Some(program) => {
                if program.wants_loader {
                    found(Finding::WantsLoader(path()));
                }
                if program.is_writable_and_executable {
                    found(Finding::WritableAndExecutable(path()));
                }
            }
        }
    }
}

fn node(entry: &Entry) -> Node {
    let kind = match entry.mode & TYPE {
        DIRECTORY => Kind::Directory,
        FILE => Kind::File,
        CHARACTER_DEVICE => Kind::CharacterDevice(entry.device.0, entry.device.1),
        _ => Kind::Other,
    };
    Node {
        path: entry.path.clone(),
        kind,
        permissions: entry.mode & !TYPE,
        bytes: entry.content.len(),
        sha256: (kind == Kind::File).then(|| sha256(&entry.content)),
        content: entry.content.clone(),
    }
}
