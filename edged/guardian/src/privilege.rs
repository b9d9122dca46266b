//! Giving up everything but `CAP_NET_ADMIN`.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Why the process may not go on.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Started by somebody who may not change the network.
    #[error(
        "edged-guardian needs CAP_NET_ADMIN and does not have it; start it as root or from its systemd unit"
    )]
    Missing,
    /// The kernel did not take a right away.
    #[error(
        "cannot {operation}: {source}; edged-guardian does not run with more rights than it needs"
    )]
    Kept {
        /// In words.
        operation: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

/// Keeps `CAP_NET_ADMIN`, for this process and for `nft`, and nothing else; there is no way back.
///
/// A root user without capabilities still owns root's files: that is how it reads its configuration and the folder of
/// pinned namespaces. The kernel lets `CAP_NET_ADMIN` write the network's sysctls.
pub fn keep_net_admin() -> Result<(), PrivilegeError> {
    let kept = |operation| move |source| PrivilegeError::Kept { operation, source };
    let own = capabilities(None).map_err(kept("read the capabilities"))?;
    let only = CapabilitySet::NET_ADMIN;
    if !own.permitted.contains(only) {
        return Err(PrivilegeError::Missing);
    }
    set_no_new_privs(true).map_err(kept("set no_new_privs"))?;
    // Without CAP_SETPCAP the bounding set cannot shrink: then whoever started us has chosen it.
    if own.effective.contains(CapabilitySet::SETPCAP) {
        let others = (0..u64::BITS).map(|n| CapabilitySet::from_bits_retain(1 << n));
        for bit in others.filter(|bit| *bit != only) {
            match remove_capability_from_bounding_set(bit) {
                // Capabilities that this kernel does not know.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(source) => return Err(kept("shrink the bounding set")(source)),
            }
        }
    }
    let sets = CapabilitySets {
        effective: only,
        permitted: only,
        inheritable: only,
    };
    set_capabilities(None, sets).map_err(kept("drop capabilities"))?;
    configure_capability_in_ambient_set(only, true).map_err(kept("pass CAP_NET_ADMIN on to nft"))
}
