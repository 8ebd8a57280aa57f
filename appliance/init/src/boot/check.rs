//! The self-check: the kernel is the one that was built, and stays so. Anything that is not as it must be ends the boot.

use std::io;
use std::path::Path;

use ward_policy::boot::{COMMAND_LINE, LANDLOCK_ABI_MIN, SYSCTLS, Sysctl};
use ward_sys::machine;

use super::fault::Fault;
use super::mounts::is_there;
use super::{Boot, Done};
use crate::code;

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    command_line(&read("/proc/cmdline")?, COMMAND_LINE)?;
    // Faults of the kernel's own; what it says of the machine below it, and of how it was built, is not among them.
    let taint: u64 = read("/proc/sys/kernel/tainted")?.parse().unwrap_or(u64::MAX);
    if taint & !NO_FAULTS != 0 {
        return Err(Fault::new(code::TAINTED).with("bits", taint));
    }
    if is_there("/proc/modules") || is_there("/proc/kallsyms") && is_there("/proc/kcore") {
        return Err(Fault::new(code::MODULES));
    }
    if !machine::is_confidential() {
        return Err(Fault::new(code::LOCKDOWN).with("wanted", "confidentiality"));
    }
    let abi = machine::landlock_abi();
    if abi < LANDLOCK_ABI_MIN {
        return Err(Fault::new(code::LANDLOCK).with("abi", abi).with("wanted", LANDLOCK_ABI_MIN));
    }
    if machine::refuse_executable_gain().is_err() {
        return Err(Fault::new(code::EXECUTABLE_MEMORY));
    }
    if !machine::has_secret_memory() {
        return Err(Fault::new(code::SECRET_MEMORY));
    }
    let (mut set, mut absent) = (0_u32, 0_u32);
    for row in SYSCTLS {
        let place = if put(Path::new("/proc/sys"), row)? { &mut set } else { &mut absent };
        *place = place.saturating_add(1);
    }
    boot.say(code::CHECKED, &[("landlock", &abi), ("sysctls", &set), ("absent", &absent)]);
    Ok(())
}

/// `TAINT_CPU_OUT_OF_SPEC` and `TAINT_RANDSTRUCT` (`Documentation/admin-guide/tainted-kernels.rst`).
const NO_FAULTS: u64 = 1 << 2 | 1 << 17;

fn read(path: &'static str) -> Result<String, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| Fault::system(path, &error))?;
    Ok(text.trim().to_owned())
}

fn command_line(found: &str, wanted: &str) -> Done {
    // Where the two part, by words: what came from outside is not repeated.
    let words = || found.split_ascii_whitespace();
    let same = words().zip(wanted.split_ascii_whitespace()).take_while(|(one, other)| one == other);
    let same = same.count();
    if words().count() == same && wanted.split_ascii_whitespace().count() == same {
        return Ok(());
    }
    Err(Fault::new(code::COMMAND_LINE).with("word", same.saturating_add(1)))
}

/// Writes a setting below `folder` and reads it back; `false` where it may be absent, and is.
fn put(folder: &Path, row: &Sysctl) -> Result<bool, Fault> {
    let path = folder.join(row.path);
    // In the order of the kernel: some can be written once only, and are right already.
    let written = std::fs::write(&path, row.value);
    let found = match std::fs::read_to_string(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound && row.may_be_absent => {
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Fault::new(code::SYSCTL_ABSENT).with("name", row.path));
        }
        Err(error) => return Err(Fault::refused(code::SYSCTL, row.path, &error)),
    };
    if found.trim() == row.value {
        return Ok(true);
    }
    let errno = written.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
    let fault = Fault::new(code::SYSCTL).with("name", row.path).with("wanted", row.value);
    Err(fault.with("found", found.trim()).with("errno", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_command_line_is_refused_at_the_word_where_it_parts() {
        let word = |found: &str| command_line(found, "a b=1 c").err().map(|fault| fault.fields);
        assert_eq!(word("a b=1 c"), None);
        assert_eq!(word(" a  b=1 c \n"), None);
        for (found, place) in [("a b=1", 3), ("a b=2 c", 2), ("a b=1 c init=/bin/sh", 4), ("", 1)] {
            assert_eq!(word(found), Some(vec![("word", place.to_string())]), "{found}");
        }
    }

    #[test]
    fn a_setting_is_read_back_and_what_did_not_stay_is_refused() {
        let folder = std::env::temp_dir().join(format!("ward-sysctl-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("kernel")).unwrap();
        std::fs::write(folder.join("kernel/there"), "0\n").unwrap();
        let row = |path, may_be_absent| Sysctl { path, value: "1", why: "a test", may_be_absent };
        assert_eq!(put(&folder, &row("kernel/there", false)), Ok(true));
        assert_eq!(std::fs::read_to_string(folder.join("kernel/there")).unwrap(), "1");
        // `/dev/zero` takes what is written and gives something else.
        std::os::unix::fs::symlink("/proc/self/comm", folder.join("kernel/other")).unwrap();
        let found =
            put(&folder, &Sysctl { value: "xxxxxxxxxxxxxxxxxxxx", ..row("kernel/other", false) });
        assert_eq!(found.unwrap_err().code, code::SYSCTL);
        std::fs::create_dir_all(folder.join("net")).unwrap();
    }

    #[test]
    fn an_absent_setting_is_refused_unless_it_may_be() {
        let row =
            |may_be_absent| Sysctl { path: "no/such", value: "1", why: "a test", may_be_absent };
        let folder = std::env::temp_dir().join("ward-sysctl-nowhere");
        assert_eq!(put(&folder, &row(true)), Ok(false));
        assert_eq!(put(&folder, &row(false)).unwrap_err().code, code::SYSCTL_ABSENT);
    }
}
