//! Who a process is, and which of root's powers it keeps: none, or those of its row in `ward_policy::cell`.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use ward_policy::cell::Power;

use crate::cell::LayerError;

/// Becomes `user` and the group of the same number, and leaves every other group.
///
/// Unsupported without the right to change users. The capabilities stay until [`drop_all_but`], which needs one of them to shrink the bounding set.
pub(crate) fn become_user(user: u32) -> Result<(), LayerError> {
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    let may_change = |sets: CapabilitySets| {
        sets.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID)
    };
    if !rustix::thread::capabilities(None).is_ok_and(may_change) {
        return Err(LayerError::Unsupported);
    }
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Drops every capability but those of `kept`, in every set, for this process and whatever it would execute.
pub(crate) fn drop_all_but(kept: &[Power]) -> Result<(), LayerError> {
    let kept = kept.iter().fold(CapabilitySet::empty(), |all, power| all | capability(*power));
    let only = |set| CapabilitySets {
        effective: set,
        permitted: set,
        inheritable: CapabilitySet::empty(),
    };
    // Without it nothing can be taken out of the bounding set; without root in a namespace it is absent,
    // and then no capability can come back through it either: no_new_privileges is on.
    let has_setpcap = set_capabilities(None, only(kept | CapabilitySet::SETPCAP)).is_ok();
    if has_setpcap {
        for capability in CapabilitySet::all() {
            match remove_capability_from_bounding_set(capability) {
                // A kernel that does not know it cannot give it.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let locked = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        set_capabilities_secure_bits(locked)?;
    }
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    set_capabilities(None, only(kept))?;
    Ok(())
}

const fn capability(power: Power) -> CapabilitySet {
    match power {
        Power::Network => CapabilitySet::NET_ADMIN,
        Power::LowPort => CapabilitySet::NET_BIND_SERVICE,
        Power::Clock => CapabilitySet::SYS_TIME,
    }
}
