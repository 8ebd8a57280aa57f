//! What the image's kernel must be like before anything on it starts: its command line, and its settings one by one.
//!
//! PID 1 compares; the build of the kernel compiles the same command line in. This module holds data and reads nothing.

/// The kernel's command line, as it is compiled in: what a boot loader passes is ignored.
pub const COMMAND_LINE: &str = include_str!("../boot/cmdline");

/// The oldest version of Landlock: 6.12 has 6, which knows scopes of signals and abstract sockets.
pub const LANDLOCK_ABI_MIN: u32 = 6;

/// A setting of the kernel's, written at boot and read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sysctl {
    /// The file below `/proc/sys`.
    pub path: &'static str,
    /// What must be read back from it.
    pub value: &'static str,
    /// Why.
    pub why: &'static str,
    /// Whether a kernel that does not have it is as good, because it does not have what it would forbid either.
    pub may_be_absent: bool,
}

const fn set(path: &'static str, value: &'static str, why: &'static str) -> Sysctl {
    Sysctl { path, value, why, may_be_absent: false }
}

const fn set_if_there(path: &'static str, value: &'static str, why: &'static str) -> Sysctl {
    Sysctl { path, value, why, may_be_absent: true }
}

/// Every setting, sorted by path.
pub const SYSCTLS: &[Sysctl] = &[
    set_if_there(
        "dev/tty/ldisc_autoload",
        "0",
        "no line discipline is loaded because somebody asks for it",
    ),
    set_if_there("dev/tty/legacy_tiocsti", "0", "nobody types into another's terminal"),
    set("fs/protected_fifos", "2", "a pipe in a shared folder is opened by nobody but its owner"),
    set("fs/protected_hardlinks", "1", "no link to what one could not write"),
    set("fs/protected_regular", "2", "a file in a shared folder is opened by nobody but its owner"),
    set("fs/protected_symlinks", "1", "no link of another's is followed in a shared folder"),
    set("fs/suid_dumpable", "0", "what changed its rights is not dumped"),
    set_if_there("kernel/core_pattern", "", "no core file, and no program that is given one"),
    set_if_there("kernel/core_uses_pid", "0", "the file that there is not has no second name"),
    set("kernel/dmesg_restrict", "1", "the kernel's log holds addresses"),
    set_if_there("kernel/io_uring_disabled", "2", "a second way to every system call"),
    set_if_there("kernel/kexec_load_disabled", "1", "nobody starts another kernel"),
    set("kernel/kptr_restrict", "2", "addresses of the kernel are shown to nobody"),
    set_if_there("kernel/modules_disabled", "1", "the kernel is whole"),
    set_if_there(
        "kernel/oops_limit",
        "1",
        "after the first fault of the kernel the machine is started afresh",
    ),
    set(
        "kernel/panic",
        "-1",
        "a kernel that stopped starts afresh at once: a caller's next try finds it",
    ),
    set("kernel/panic_on_oops", "1", "nothing of a call goes on with a kernel that has failed"),
    set_if_there("kernel/perf_event_paranoid", "3", "counters tell one process about another"),
    set("kernel/randomize_va_space", "2", "addresses are hard to guess"),
    set_if_there("kernel/sysrq", "0", "nobody orders the kernel about from the console"),
    set_if_there("kernel/unprivileged_bpf_disabled", "2", "no programs in the kernel"),
    set_if_there("kernel/warn_limit", "1", "a warning of the kernel is a fault, too"),
    set(
        "kernel/yama/ptrace_scope",
        "3",
        "nobody looks into another process, and nothing turns that back",
    ),
    set("net/core/default_qdisc", "fq", "packets of a call leave evenly, as its pacing wants them"),
    set_if_there(
        "net/core/bpf_jit_harden",
        "2",
        "constants of a filter are no code of somebody's choice",
    ),
    set(
        "net/ipv4/conf/all/accept_redirects",
        "0",
        "a router does not say where else to send a call",
    ),
    set("net/ipv4/conf/all/accept_source_route", "0", "a packet does not say its own way"),
    set("net/ipv4/conf/all/log_martians", "0", "a stranger cannot fill the console"),
    set("net/ipv4/conf/all/rp_filter", "1", "a packet comes from where an answer would go"),
    set("net/ipv4/conf/all/secure_redirects", "0", "nor does a router that is known"),
    set("net/ipv4/conf/all/send_redirects", "0", "the machine is no router"),
    set("net/ipv4/conf/default/accept_redirects", "0", "the same for a link that appears later"),
    set("net/ipv4/conf/default/accept_source_route", "0", "the same for a link that appears later"),
    set("net/ipv4/conf/default/rp_filter", "1", "the same for a link that appears later"),
    set("net/ipv4/conf/default/secure_redirects", "0", "the same for a link that appears later"),
    set("net/ipv4/conf/default/send_redirects", "0", "the same for a link that appears later"),
    set("net/ipv4/icmp_echo_ignore_broadcasts", "1", "the machine amplifies nothing"),
    set(
        "net/ipv4/icmp_ignore_bogus_error_responses",
        "1",
        "a broken router cannot fill the console",
    ),
    set("net/ipv4/ip_forward", "0", "the machine is no router"),
    set(
        "net/ipv4/tcp_congestion_control",
        "bbr",
        "a lost packet does not halve the pace of a call",
    ),
    set("net/ipv4/tcp_rfc1337", "1", "a connection that is over is not ended twice"),
    set("net/ipv4/tcp_syncookies", "1", "half connections do not keep whole ones out"),
    set_if_there(
        "net/ipv6/conf/all/accept_ra",
        "0",
        "no address of IPv6 is asked for, and none is taken",
    ),
    set_if_there("net/ipv6/conf/all/disable_ipv6", "1", "what nobody uses answers nobody"),
    set_if_there(
        "net/ipv6/conf/default/disable_ipv6",
        "1",
        "the same for a link that appears later",
    ),
    set_if_there(
        "user/max_user_namespaces",
        "0",
        "nobody makes themselves root of a world of their own",
    ),
    set_if_there(
        "vm/mmap_rnd_bits",
        "32",
        "addresses are as hard to guess as the kernel can make them",
    ),
    set("vm/mmap_min_addr", "65536", "a null pointer of the kernel's leads nowhere"),
    set("vm/overcommit_memory", "0", "a wild claim of memory is refused, and an honest one is not"),
    set("vm/panic_on_oom", "0", "who uses too much ends, and not the machine"),
    set_if_there(
        "vm/unprivileged_userfaultfd",
        "0",
        "nobody holds the kernel up in the middle of a copy",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_stands_once_with_a_reason() {
        let paths: BTreeSet<&str> = SYSCTLS.iter().map(|row| row.path).collect();
        assert_eq!(paths.len(), SYSCTLS.len());
        for row in SYSCTLS {
            assert!(row.why.len() > 10 && !row.path.starts_with('/'), "{}", row.path);
            assert!(!row.path.contains(".."), "{}", row.path);
        }
    }

    #[test]
    fn the_command_line_is_one_line_that_locks_the_kernel_down() {
        assert_eq!(COMMAND_LINE.trim_end().lines().count(), 1);
        let words: Vec<&str> = COMMAND_LINE.split_ascii_whitespace().collect();
        for word in ["lockdown=confidentiality", "panic=-1", "oops=panic", "console=ttyS0,115200n8"]
        {
            assert!(words.contains(&word), "{word}");
        }
        for word in ["debug", "nokaslr", "mitigations=off", "nospectre_v2", "init=", "rdinit="] {
            assert!(!words.iter().any(|one| one.starts_with(word)), "{word}");
        }
    }
}
