//! One system call, made by a child that may die of it, and what became of the child.

use std::time::Duration;

use ward_edge::cell::Entered;
use ward_policy::audit::Role;
use ward_policy::syscall::{Condition, Library, Profile, Rule};
use ward_sys::cell::Cell;

/// Numbers that are tried: more than any kernel has, and the same again with the bit of the x32 numbering.
const NUMBERS: i64 = 1_024;
const X32: i64 = 0x4000_0000;
/// A call that has not come back after so many looks waits for something: it was let through.
const LOOKS: u32 = 1_500;
const BETWEEN_LOOKS: Duration = Duration::from_micros(200);

/// What became of an attempt.
#[derive(Debug, Clone)]
pub struct Tried {
    /// What was tried.
    pub name: String,
    /// `sigsys`, `value N`, `errno N`, `signal N`, `exited` or `waiting`.
    pub outcome: String,
}

impl Tried {
    /// One line, in one write.
    pub fn write_to(&self, number: i32) {
        let line = format!("{} {}\n", self.name, self.outcome);
        // SAFETY: the pointer and length are those of a live string.
        unsafe { libc::write(number, line.as_ptr().cast(), line.len()) };
    }
}

/// Makes attempts, each sealed first if the cell is.
pub struct Attempts {
    cell: Option<Entered>,
}

impl Attempts {
    /// Attempts inside `cell`; without one, no filter is put on.
    pub const fn new(cell: Option<Entered>) -> Self {
        Self { cell }
    }

    /// Seals this process itself; children can be made no more.
    pub fn seal(&self) {
        let sealed = self.cell.as_ref().map(|cell| Cell::seal(cell.filter()));
        assert!(sealed.is_some_and(|sealed| sealed.is_ok()), "the filter");
    }

    /// Every number, with arguments that the role's table lets through where it lists the number.
    pub fn every_number(&self, role: Role, mut report: impl FnMut(Tried)) {
        let rules = Profile::of(role, Library::HERE)
            .and_then(|profile| profile.rules())
            .expect("the table");
        for number in (0..NUMBERS).chain(X32..X32 + NUMBERS) {
            let arguments = rules
                .iter()
                .find(|rule| rule.number == number)
                .map_or([0; 6], |rule| satisfying(rule, 0));
            report(self.call(&number.to_string(), number, arguments));
        }
    }

    /// Every argument rule: as it should be, and off by one.
    pub fn every_rule(&self, role: Role, mut report: impl FnMut(Tried)) {
        let rules = Profile::of(role, Library::HERE)
            .and_then(|profile| profile.rules())
            .expect("the table");
        for rule in &rules {
            for (index, all) in rule.any_of.iter().enumerate() {
                let right = satisfying(rule, index);
                report(self.call(&format!("{}.{index} right", rule.number), rule.number, right));
                for (place, one) in all.iter().enumerate() {
                    let mut wrong = right;
                    wrong[usize::from(one.index)] = off_by_one(one);
                    // Every other time in the upper half, where that counts.
                    if one.is_long && index % 2 == 1 {
                        wrong = right;
                        wrong[usize::from(one.index)] = one.value | 1 << 32;
                    }
                    let name = format!("{}.{index}.{place} wrong", rule.number);
                    // Another list of the same rule may allow just that.
                    let is_allowed =
                        rule.any_of.iter().any(|all| all.iter().all(|c| holds(c, &wrong)));
                    if !is_allowed {
                        report(self.call(&name, rule.number, wrong));
                    }
                }
            }
        }
    }

    /// Makes one system call in a child.
    pub fn call(&self, name: &str, number: i64, arguments: [u64; 6]) -> Tried {
        self.child(name, || {
            let [a, b, c, d, e, f] = arguments;
            // SAFETY: the child has memory of its own and makes nothing after this but a write and its end.
            let value = unsafe { libc::syscall(number, a, b, c, d, e, f) };
            if value == -1 { Err(errno()) } else { Ok(value) }
        })
    }

    /// Runs `attempt` in a child, sealed if the cell is.
    pub fn child(&self, name: &str, attempt: impl FnOnce() -> Result<i64, i32>) -> Tried {
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        let [reader, writer] = ends;
        // SAFETY: this program has one thread, so the child is a whole copy of it.
        let child = unsafe { libc::fork() };
        if child == 0 {
            if let Some(cell) = &self.cell {
                assert!(Cell::seal(cell.filter()).is_ok(), "the filter");
            }
            let outcome = attempt();
            let text = match outcome {
                Ok(value) => format!("value {value}"),
                Err(errno) => format!("errno {errno}"),
            };
            // SAFETY: a live string; and the end of a child that must run nothing more.
            unsafe {
                libc::write(writer, text.as_ptr().cast(), text.len());
                libc::_exit(0);
            }
        }
        // SAFETY: ours, and not used again.
        unsafe { libc::close(writer) };
        let status = wait(child);
        let mut text = [0_u8; 64];
        let told = if status == Status::Waiting {
            0
        } else {
            // SAFETY: the buffer has 64 bytes; every writer is gone or has written all it will.
            unsafe { libc::read(reader, text.as_mut_ptr().cast(), text.len()) }
        };
        // SAFETY: ours, and not used again.
        unsafe { libc::close(reader) };
        let told = usize::try_from(told).unwrap_or(0);
        let outcome = match status {
            Status::Killed(libc::SIGSYS) => "sigsys".to_owned(),
            Status::Killed(signal) => format!("signal {signal}"),
            Status::Waiting => "waiting".to_owned(),
            Status::Exited if told == 0 => "exited".to_owned(),
            Status::Exited => String::from_utf8_lossy(&text[..told]).into_owned(),
        };
        Tried { name: name.to_owned(), outcome }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Exited,
    Killed(i32),
    Waiting,
}

fn wait(child: i32) -> Status {
    let mut status = 0;
    for _ in 0..LOOKS {
        // SAFETY: our own child, and a place for its status.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if ended == child {
            let is_killed = libc::WIFSIGNALED(status);
            return if is_killed { Status::Killed(libc::WTERMSIG(status)) } else { Status::Exited };
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    // SAFETY: our own child, which has not been waited for yet.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &raw mut status, 0);
    }
    Status::Waiting
}

/// The kernel's error number of the last call.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Arguments that the rule's list `index` lets through.
fn satisfying(rule: &Rule, index: usize) -> [u64; 6] {
    let mut arguments = [0; 6];
    for one in rule.any_of.get(index).into_iter().flatten() {
        arguments[usize::from(one.index)] = one.value;
    }
    arguments
}

/// The nearest value that the condition refuses.
fn off_by_one(one: &Condition) -> u64 {
    let next = one.value.wrapping_add(1);
    if next & one.mask == one.value & one.mask {
        one.value | (one.mask & one.mask.wrapping_neg())
    } else {
        next
    }
}

fn holds(one: &Condition, arguments: &[u64; 6]) -> bool {
    let width = if one.is_long { u64::MAX } else { u64::from(u32::MAX) };
    let mask = one.mask & width;
    arguments[usize::from(one.index)] & mask == one.value & mask
}
