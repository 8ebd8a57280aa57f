//! The layers that are one system call each: limits, privileges, dumps, executable memory, Landlock.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

use crate::cell::LayerError;

/// Sets the limits that can only be lowered again: descriptors, and nothing for what is never used.
///
/// The number of processes is not among them: it would count those of the same user elsewhere, and the
/// filter lets none be made.
pub(crate) fn limit_resources(descriptors_max: u64, file_bytes_max: u64) -> Result<(), LayerError> {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    for (resource, value) in [
        (Resource::Nofile, descriptors_max.min(most)),
        (Resource::Core, 0),
        (Resource::Fsize, file_bytes_max),
        (Resource::Msgqueue, 0),
        (Resource::Rtprio, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    Ok(())
}

/// Whatever becomes of the process, its memory is not written to a file.
pub(crate) fn no_core_file() -> Result<(), LayerError> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Nothing that is executed from here on gains privileges.
pub(crate) fn no_new_privileges() -> Result<(), LayerError> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// No core dump, and no look at memory or descriptors from a process of the same user.
pub(crate) fn not_dumpable() -> Result<(), LayerError> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Memory that was writable, or is new, never becomes executable (Linux 6.3).
pub(crate) fn no_executable_gain() -> Result<(), LayerError> {
    // SAFETY: the arguments are those of prctl(2) for PR_SET_MDWE; no pointer among them.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_MDWE, libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN), 0, 0, 0)
    };
    match std::io::Error::last_os_error().raw_os_error() {
        _ if outcome == 0 => Ok(()),
        Some(libc::EINVAL) | None => Err(LayerError::Unsupported),
        Some(errno) => Err(LayerError::Refused(errno)),
    }
}

/// What this needs: scopes for signals and abstract sockets came with ABI 6 (Linux 6.12).
const LANDLOCK: ABI = ABI::V6;

/// Handles every right of files and TCP, and every scope: all of it is denied but connecting to `ports`.
///
/// An older kernel gets what it knows of that and is still reported as not having it. Datagrams are not among
/// what Landlock knows.
pub(crate) fn landlock(ports: &[u16]) -> Result<(), LayerError> {
    let refused = || LayerError::Refused(Errno::PERM.raw_os_error());
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| {
            let rule =
                |port: &u16| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp));
            ruleset.add_rules(ports.iter().map(rule))
        })
        .and_then(landlock::RulesetCreated::restrict_self);
    match restricted.map_err(|_ruleset| refused())?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
            Err(LayerError::Unsupported)
        }
    }
}
