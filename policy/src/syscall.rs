//! The system-call tables in `policy/seccomp/`, parsed strictly.
//!
//! A profile is what one role may ask of the kernel once it serves. Everything else ends the process.
//! Each row has a reason; a row that ordinary calls do not reach says so under `rare`. This module knows
//! names and constants; `ward-sys` makes a filter of them.

use serde::Deserialize;

use crate::audit::Role;

/// One role's table.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the table is for, in a sentence.
    pub purpose: String,
    /// The calls, sorted by name.
    pub calls: Vec<Call>,
}

/// One row.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The system call's name.
    pub call: String,
    /// Why the role needs it.
    pub why: String,
    /// Why ordinary calls do not reach it, where that is so.
    #[serde(default)]
    pub rare: Option<String>,
    /// Only with this C library: the two spell some things differently.
    #[serde(default)]
    pub only: Option<Library>,
    /// What its arguments must be; all of one list, and any of the lists. None: anything.
    #[serde(default)]
    pub arguments: Vec<Vec<Argument>>,
}

/// A C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    /// glibc: development and tests.
    Gnu,
    /// musl: what ships.
    Musl,
}

impl Library {
    /// The one that this program is linked with.
    pub const HERE: Self = if cfg!(target_env = "musl") { Self::Musl } else { Self::Gnu };
}

/// What one argument must be.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Which, counted from 0.
    pub index: u8,
    /// Whether all 64 bits count, as in a pointer. The upper half of an `int` is undefined.
    #[serde(default)]
    pub long: bool,
    /// The bits that are looked at; without them, all.
    #[serde(default)]
    pub mask: Vec<String>,
    /// The constants whose union it must equal; none is 0.
    pub is: Vec<String>,
}

/// Why a table is unusable. Each names what to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The role has no table.
    #[error("the role has no table")]
    Absent,
    /// Not the documented shape.
    #[error("not a system-call table: line {0}")]
    Shape(usize),
    /// A call that this module has no number for.
    #[error("unknown system call {0}")]
    Call(String),
    /// A constant that this module has no value for.
    #[error("unknown constant {0}")]
    Constant(String),
    /// Rows out of order, repeated, or without a reason.
    #[error("the row {0} is out of order, repeated, or has no reason")]
    Row(String),
    /// An argument that system calls have not.
    #[error("{0} has an argument past the sixth")]
    Index(String),
}

/// One condition in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument.
    pub index: u8,
    /// Whether all 64 bits count.
    pub is_long: bool,
    /// The bits that are looked at.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// A row in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The call's number.
    pub number: i64,
    /// Any of these must hold, each as a whole; none is no condition.
    pub any_of: Vec<Vec<Condition>>,
}

/// The text of a role's table; `init` has none.
#[must_use]
pub const fn source(role: Role) -> Option<&'static str> {
    Some(match role {
        // It starts processes that then confine themselves: a filter of its own would bind them all.
        Role::Init => return None,
        Role::Net => include_str!("../seccomp/net.json"),
        Role::Log => include_str!("../seccomp/log.json"),
        Role::Sign => include_str!("../seccomp/sign.json"),
        Role::Broker => include_str!("../seccomp/broker.json"),
        Role::Media => include_str!("../seccomp/media.json"),
        Role::Twiml => include_str!("../seccomp/twiml.json"),
    })
}

impl Profile {
    /// A role's table in a program that is linked with `library`.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn of(role: Role, library: Library) -> Result<Self, ProfileError> {
        let mut profile = Self::parse(source(role).ok_or(ProfileError::Absent)?)?;
        profile.calls.retain(|row| row.only.is_none_or(|only| only == library));
        Ok(profile)
    }

    /// Parses a table.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self =
            serde_json::from_str(text).map_err(|error| ProfileError::Shape(error.line()))?;
        let mut before = "";
        for row in &profile.calls {
            let is_sorted = before < row.call.as_str();
            let has_reason = !row.why.trim().is_empty()
                && row.rare.as_ref().is_none_or(|rare| !rare.trim().is_empty());
            if !is_sorted || !has_reason {
                return Err(ProfileError::Row(row.call.clone()));
            }
            before = &row.call;
        }
        profile.rules()?;
        Ok(profile)
    }

    /// The table in numbers.
    ///
    /// # Errors
    /// [`ProfileError`] for a name that this module does not know.
    pub fn rules(&self) -> Result<Vec<Rule>, ProfileError> {
        self.calls.iter().map(Call::rule).collect()
    }
}

impl Call {
    fn rule(&self) -> Result<Rule, ProfileError> {
        let number = number(&self.call).ok_or_else(|| ProfileError::Call(self.call.clone()))?;
        let list =
            |list: &Vec<Argument>| list.iter().map(|one| one.condition(&self.call)).collect();
        let any_of = self.arguments.iter().map(list).collect::<Result<_, _>>()?;
        Ok(Rule { number, any_of })
    }
}

impl Argument {
    fn condition(&self, call: &str) -> Result<Condition, ProfileError> {
        if self.index > 5 {
            return Err(ProfileError::Index(call.to_owned()));
        }
        let mask = if self.mask.is_empty() { u64::MAX } else { union(&self.mask)? };
        let value = union(&self.is)?;
        Ok(Condition { index: self.index, is_long: self.long, mask, value })
    }
}

fn union(names: &[String]) -> Result<u64, ProfileError> {
    let value = |name: &String| {
        let found = CONSTANTS.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value).ok_or_else(|| ProfileError::Constant(name.clone()))
    };
    names.iter().try_fold(0, |all, name| Ok(all | value(name)?))
}

/// The number of a call on x86-64.
#[must_use]
pub fn number(call: &str) -> Option<i64> {
    NUMBERS.iter().find(|(name, _)| *name == call).map(|(_, number)| *number)
}

/// Linux, `arch/x86/entry/syscalls/syscall_64.tbl`; checked against libc's constants in `ward-sys`.
pub const NUMBERS: &[(&str, i64)] = &[
    ("accept4", 288),
    ("bind", 49),
    ("brk", 12),
    ("clock_adjtime", 305),
    ("clock_gettime", 228),
    ("clock_settime", 227),
    ("close", 3),
    ("connect", 42),
    ("epoll_ctl", 233),
    ("epoll_pwait", 281),
    ("epoll_wait", 232),
    ("exit_group", 231),
    ("futex", 202),
    ("getrandom", 318),
    ("getsockopt", 55),
    ("madvise", 28),
    ("mmap", 9),
    ("mprotect", 10),
    ("munmap", 11),
    ("ppoll", 271),
    ("pwrite64", 18),
    ("read", 0),
    ("recvfrom", 45),
    ("recvmsg", 47),
    ("restart_syscall", 219),
    ("rt_sigreturn", 15),
    ("sendmsg", 46),
    ("sendto", 44),
    ("setsockopt", 54),
    ("shutdown", 48),
    ("socket", 41),
    ("write", 1),
    ("writev", 20),
];

/// Linux's headers for x86-64; checked against libc's constants in `ward-sys`.
pub const CONSTANTS: &[(&str, u64)] = &[
    // Every bit of a protection but those of reading and writing.
    ("ALL_BUT_READ_WRITE", 0xffff_fffc),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("CLOCK_MONOTONIC", 1),
    ("CLOCK_REALTIME", 0),
    ("GRND_INSECURE", 4),
    ("GRND_NONBLOCK", 1),
    ("IPPROTO_TCP", 6),
    ("MADV_DONTNEED", 4),
    ("MADV_FREE", 8),
    ("MAP_ANONYMOUS", 0x20),
    ("MAP_NORESERVE", 0x4000),
    ("MAP_PRIVATE", 2),
    ("MSG_CMSG_CLOEXEC", 0x4000_0000),
    ("MSG_DONTWAIT", 0x40),
    ("MSG_NOSIGNAL", 0x4000),
    ("MSG_TRUNC", 0x20),
    ("PROT_EXEC", 4),
    ("SHUT_RDWR", 2),
    ("SHUT_WR", 1),
    ("SOCK_CLOEXEC", 0x8_0000),
    ("SOCK_DGRAM", 2),
    ("SOCK_NONBLOCK", 0x800),
    ("SOCK_STREAM", 1),
    ("SOL_SOCKET", 1),
    ("SO_ERROR", 4),
    ("SO_SNDBUF", 7),
    ("TCP_NODELAY", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Result<Vec<Rule>, ProfileError> {
        Profile::parse(&format!(r#"{{"purpose": "a test", "calls": [{rows}]}}"#))?.rules()
    }

    #[test]
    fn a_row_becomes_numbers() {
        let rows = r#"{"call": "close", "why": "x"},
            {"call": "mmap", "why": "x", "rare": "y",
             "arguments": [[{"index": 2, "mask": ["PROT_EXEC"], "is": []},
                            {"index": 3, "is": ["MAP_PRIVATE", "MAP_ANONYMOUS"]}]]}"#;
        let protection = Condition { index: 2, is_long: false, mask: 4, value: 0 };
        let flags = Condition { index: 3, is_long: false, mask: u64::MAX, value: 0x22 };
        let expected = vec![
            Rule { number: 3, any_of: vec![] },
            Rule { number: 9, any_of: vec![vec![protection, flags]] },
        ];
        assert_eq!(table(rows), Ok(expected));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let row = |name: &str| ProfileError::Row(name.to_owned());
        for (rows, error) in [
            (r#"{"call": "close"}"#, ProfileError::Shape(1)),
            (r#"{"call": "close", "why": "x", "when": 1}"#, ProfileError::Shape(1)),
            (r#"{"call": "close", "why": " "}"#, row("close")),
            (r#"{"call": "close", "why": "x", "rare": ""}"#, row("close")),
            (r#"{"call": "mmap", "why": "x"}, {"call": "close", "why": "x"}"#, row("close")),
            (r#"{"call": "close", "why": "x"}, {"call": "close", "why": "x"}"#, row("close")),
            (r#"{"call": "reboot", "why": "x"}"#, ProfileError::Call("reboot".to_owned())),
            (
                r#"{"call": "close", "why": "x", "arguments": [[{"index": 0, "is": ["X"]}]]}"#,
                ProfileError::Constant("X".to_owned()),
            ),
            (
                r#"{"call": "close", "why": "x", "arguments": [[{"index": 6, "is": []}]]}"#,
                ProfileError::Index("close".to_owned()),
            ),
        ] {
            assert_eq!(table(rows), Err(error), "{rows}");
        }
    }

    #[test]
    fn the_tables_are_small_and_give_nothing_away() {
        assert_eq!(Profile::of(Role::Init, Library::HERE).err(), Some(ProfileError::Absent));
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Init) {
            let most = if role == Role::Broker { 30 } else { 20 };
            for library in [Library::Gnu, Library::Musl] {
                let calls = Profile::of(role, library).unwrap().calls.len();
                assert!(calls <= most, "{role:?} {library:?}: {calls}");
            }
            let profile = Profile::of(role, Library::HERE).unwrap();
            let has = |name: &str| profile.calls.iter().any(|row| row.call == name);
            for forbidden in ["listen", "openat", "execve", "clone", "clone3", "fork", "ptrace"] {
                assert!(!has(forbidden), "{role:?} {forbidden}");
            }
            // Only the role that dials makes sockets, and gives what it dialled away.
            for dialling in ["socket", "connect", "bind", "sendmsg"] {
                assert!(!has(dialling) || role == Role::Broker, "{role:?} {dialling}");
            }
            let memory = profile.calls.iter().filter(|row| row.call.starts_with("m"));
            for row in memory.filter(|row| ["mmap", "mprotect"].contains(&&*row.call)) {
                let checks = row.rule().unwrap().any_of;
                let never_executable = |all: &Vec<Condition>| {
                    all.iter().any(|one| one.index == 2 && one.mask & 4 != 0 && one.value & 4 == 0)
                };
                assert!(!checks.is_empty() && checks.iter().all(never_executable), "{}", row.call);
            }
        }
    }
}
