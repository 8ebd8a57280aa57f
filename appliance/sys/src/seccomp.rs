//! System-call filters, made of the tables in `policy` by seccompiler. Whatever is not listed, on any
//! architecture and any numbering, ends the process.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};
use ward_policy::syscall::{Condition, Rule};

use crate::cell::LayerError;

/// A compiled filter.
#[derive(Debug, Clone)]
pub struct Filter(BpfProgram);

/// seccompiler could not make a filter of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rules make no filter")]
pub struct FilterError;

impl Filter {
    /// Compiles rules.
    ///
    /// # Errors
    /// [`FilterError`] for rules that no filter can have.
    pub fn compile(rules: &[Rule]) -> Result<Self, FilterError> {
        let mut map = BTreeMap::new();
        for rule in rules {
            let any_of = rule.any_of.iter().map(|all| {
                let all = all.iter().map(condition).collect::<Result<Vec<_>, _>>();
                all.and_then(|all| SeccompRule::new(all).map_err(|_rule| FilterError))
            });
            map.insert(rule.number, any_of.collect::<Result<Vec<_>, _>>()?);
        }
        let (otherwise, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
        let filter = SeccompFilter::new(map, otherwise, listed, TargetArch::x86_64);
        let program = filter.map_err(|_filter| FilterError)?.try_into();
        program.map(Self).map_err(|_program| FilterError)
    }

    /// Binds every thread of the process.
    pub(crate) fn bind_all_threads(&self) -> Result<(), LayerError> {
        apply_filter_all_threads(&self.0).map_err(|error| match error {
            Error::Prctl(cause) | Error::Seccomp(cause) => {
                let errno = cause.raw_os_error().unwrap_or(0);
                if errno == libc::ENOSYS {
                    LayerError::Unsupported
                } else {
                    LayerError::Refused(errno)
                }
            }
            _ => LayerError::Refused(0),
        })
    }

    /// How many instructions it has; the kernel takes 4,096.
    #[must_use]
    pub const fn instructions(&self) -> usize {
        self.0.len()
    }

    /// The program as the kernel gets it, for a digest.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let instructions = self.0.iter().flat_map(|one| {
            let [low, high] = one.code.to_ne_bytes();
            let operand = one.k.to_ne_bytes();
            [low, high, one.jt, one.jf].into_iter().chain(operand)
        });
        instructions.collect()
    }
}

fn condition(one: &Condition) -> Result<SeccompCondition, FilterError> {
    let low = u64::from(u32::MAX);
    let made = if one.is_long {
        let compare = SeccompCmpOp::MaskedEq(one.mask);
        SeccompCondition::new(one.index, SeccompCmpArgLen::Qword, compare, one.value)
    } else {
        let compare = SeccompCmpOp::MaskedEq(one.mask & low);
        SeccompCondition::new(one.index, SeccompCmpArgLen::Dword, compare, one.value & low)
    };
    made.map_err(|_condition| FilterError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::audit::Role;
    use ward_policy::syscall::{CONSTANTS, Library, NUMBERS, Profile};

    #[test]
    fn every_roles_table_makes_a_filter_that_the_kernel_could_take() {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Init) {
            let filter =
                Filter::compile(&Profile::of(role, Library::HERE).unwrap().rules().unwrap())
                    .unwrap();
            assert!((20..4_096).contains(&filter.instructions()), "{}", filter.instructions());
            assert_eq!(filter.bytes().len(), 8 * filter.instructions());
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one arm a name")]
    fn numbers_and_constants_are_libcs() {
        for (name, number) in NUMBERS {
            let expected = match *name {
                "accept4" => libc::SYS_accept4,
                "bind" => libc::SYS_bind,
                "brk" => libc::SYS_brk,
                "clock_adjtime" => libc::SYS_clock_adjtime,
                "clock_gettime" => libc::SYS_clock_gettime,
                "clock_settime" => libc::SYS_clock_settime,
                "close" => libc::SYS_close,
                "connect" => libc::SYS_connect,
                "getsockopt" => libc::SYS_getsockopt,
                "ppoll" => libc::SYS_ppoll,
                "pwrite64" => libc::SYS_pwrite64,
                "read" => libc::SYS_read,
                "recvmsg" => libc::SYS_recvmsg,
                "sendmsg" => libc::SYS_sendmsg,
                "socket" => libc::SYS_socket,
                "epoll_ctl" => libc::SYS_epoll_ctl,
                "epoll_pwait" => libc::SYS_epoll_pwait,
                "epoll_wait" => libc::SYS_epoll_wait,
                "exit_group" => libc::SYS_exit_group,
                "futex" => libc::SYS_futex,
                "getrandom" => libc::SYS_getrandom,
                "madvise" => libc::SYS_madvise,
                "mmap" => libc::SYS_mmap,
                "mprotect" => libc::SYS_mprotect,
                "munmap" => libc::SYS_munmap,
                "recvfrom" => libc::SYS_recvfrom,
                "restart_syscall" => libc::SYS_restart_syscall,
                "rt_sigreturn" => libc::SYS_rt_sigreturn,
                "sendto" => libc::SYS_sendto,
                "setsockopt" => libc::SYS_setsockopt,
                "shutdown" => libc::SYS_shutdown,
                "write" => libc::SYS_write,
                "writev" => libc::SYS_writev,
                other => panic!("{other} is not checked"),
            };
            assert_eq!(*number, expected, "{name}");
        }
        for (name, value) in CONSTANTS {
            let expected = match *name {
                "ALL_BUT_READ_WRITE" => {
                    i64::from(u32::MAX) & !i64::from(libc::PROT_READ | libc::PROT_WRITE)
                }
                "AF_INET" => i64::from(libc::AF_INET),
                "AF_INET6" => i64::from(libc::AF_INET6),
                "MSG_CMSG_CLOEXEC" => i64::from(libc::MSG_CMSG_CLOEXEC),
                "SHUT_RDWR" => i64::from(libc::SHUT_RDWR),
                "SOCK_DGRAM" => i64::from(libc::SOCK_DGRAM),
                "SOCK_STREAM" => i64::from(libc::SOCK_STREAM),
                "SO_ERROR" => i64::from(libc::SO_ERROR),
                "CLOCK_MONOTONIC" => i64::from(libc::CLOCK_MONOTONIC),
                "CLOCK_REALTIME" => i64::from(libc::CLOCK_REALTIME),
                "GRND_INSECURE" => i64::from(libc::GRND_INSECURE),
                "GRND_NONBLOCK" => i64::from(libc::GRND_NONBLOCK),
                "IPPROTO_TCP" => i64::from(libc::IPPROTO_TCP),
                "MADV_DONTNEED" => i64::from(libc::MADV_DONTNEED),
                "MADV_FREE" => i64::from(libc::MADV_FREE),
                "MAP_ANONYMOUS" => i64::from(libc::MAP_ANONYMOUS),
                "MAP_NORESERVE" => i64::from(libc::MAP_NORESERVE),
                "MAP_PRIVATE" => i64::from(libc::MAP_PRIVATE),
                "MSG_DONTWAIT" => i64::from(libc::MSG_DONTWAIT),
                "MSG_NOSIGNAL" => i64::from(libc::MSG_NOSIGNAL),
                "MSG_TRUNC" => i64::from(libc::MSG_TRUNC),
                "PROT_EXEC" => i64::from(libc::PROT_EXEC),
                "SHUT_WR" => i64::from(libc::SHUT_WR),
                "SOCK_CLOEXEC" => i64::from(libc::SOCK_CLOEXEC),
                "SOCK_NONBLOCK" => i64::from(libc::SOCK_NONBLOCK),
                "SOL_SOCKET" => i64::from(libc::SOL_SOCKET),
                "SO_SNDBUF" => i64::from(libc::SO_SNDBUF),
                "TCP_NODELAY" => i64::from(libc::TCP_NODELAY),
                other => panic!("{other} is not checked"),
            };
            assert_eq!(i64::try_from(*value).unwrap(), expected, "{name}");
        }
    }
}
