//! What is known of an executable without running it: whether it stands alone, what memory it asks for, what it
//! gives itself away as.
//!
//! Reading is `object`'s, which is made for hostile input. It never says that a program is good, only what it is.

use object::LittleEndian as LE;
use object::elf::{FileHeader64, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// It asks for another program to load it: it does not stand alone.
    pub wants_loader: bool,
    /// A piece of it can be written and executed, or its stack can be executed.
    pub is_writable_and_executable: bool,
}

/// What a file is, if it is a program for 64-bit machines of this kind.
#[must_use]
pub fn read(file: &[u8]) -> Option<Program> {
    let head = FileHeader64::<LE>::parse(file).ok()?;
    let endian = head.endian().ok()?;
    let segments = head.program_headers(endian, file).ok()?;
    let mut program = Program { wants_loader: false, is_writable_and_executable: false };
    let mut says_stack = false;
    for segment in segments {
        let flags = segment.p_flags(endian);
        let is = |flag: object::elf::ProgramFlags| flags & flag == flag;
        match segment.p_type(endian) {
            PT_INTERP => program.wants_loader = true,
            PT_LOAD => program.is_writable_and_executable |= is(PF_W) && is(PF_X),
            PT_GNU_STACK => {
                says_stack = true;
                program.is_writable_and_executable |= is(PF_X);
            }
            _ => {}
        }
    }
    // Linux gives a program that does not say otherwise a stack that can be executed.
    program.is_writable_and_executable |= !says_stack;
    Some(program)
}

/// Words that are in an interpreter's or a shell's own bytes, and its name.
const INTERPRETERS: [(&[u8], &str); 12] = [
    (b"BusyBox v", "busybox"),
    (b"Toybox ", "toybox"),
    (b"@(#)Bash version", "bash"),
    (b"GNU bash, version", "bash"),
    (b"HISTFILE\0ENV\0PS1", "sh"),
    (b"PS1=$ \0", "dash"),
    (b"@(#)MIRBSD KSH", "mksh"),
    (b"Py_InitializeEx", "python"),
    (b"PERL5LIB", "perl"),
    (b"$LuaVersion: Lua", "lua"),
    (b"RUBYOPT", "ruby"),
    (b"mksnapshot", "v8"),
];

/// Names that programs of this kind have.
const NAMES: [&str; 27] = [
    "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "lua", "mksh", "node", "perl", "php",
    "python", "python3", "ruby", "sh", "ssh", "sshd", "su", "sudo", "tclsh", "toybox", "zsh",
    "awk", "login", "getty", "dropbear",
];

/// Which shell or interpreter a file is, as far as its name or its bytes say.
#[must_use]
pub fn interpreter(path: &str, content: &[u8]) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let by_name = NAMES.into_iter().find(|one| *one == name);
    by_name.or_else(|| {
        INTERPRETERS.iter().find(|(mark, _)| contains(content, mark)).map(|(_, name)| *name)
    })
}

fn contains(content: &[u8], mark: &[u8]) -> bool {
    let Some(first) = mark.first() else { return false };
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let Some(from) = rest.get(at..) else { return false };
        if from.starts_with(mark) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}
