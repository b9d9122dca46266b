//! What this kernel can do beyond the plain rules, found out by asking for it.

use std::io;

use edged_protocol::guardian::Abilities;
use netlink_packet_route::link::InfoKind;

use crate::netlink::{Netlink, NetlinkError};
use crate::nft::{self, NftError};
use crate::ruleset::{Ruleset, traffic};

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub enum AbilityError {
    /// About links.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// About rules.
    #[error(transparent)]
    Nft(#[from] NftError),
}

/// Asks. The transaction is only checked, and the link carries nothing and is gone again when this returns.
pub fn ask(ruleset: &Ruleset, netlink: &mut Netlink) -> Result<Abilities, AbilityError> {
    let prefix = &ruleset.addressing().prefix;
    let copies = traffic::copy_tables(prefix, ruleset.marks());
    Ok(Abilities {
        gre: has_kind(netlink, &format!("{prefix}tprobe"), InfoKind::GreTun)?,
        // A rule names no endpoint identifiers, and the kernel's links of this kind know a user by nothing else.
        gtp: false,
        duplicate: nft::would_take(&copies)?,
        ..ruleset.abilities()
    })
}

fn has_kind(netlink: &mut Netlink, name: &str, kind: InfoKind) -> Result<bool, NetlinkError> {
    // Left behind by a guardian that was killed here.
    netlink.delete(name)?;
    match netlink.add_plain(name, kind) {
        Ok(()) => netlink.delete(name).map(|()| true),
        // A link that names no addresses is like the one that the kernel makes with the kind.
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) if error.is_unknown_kind() => Ok(false),
        Err(error) => Err(error),
    }
}
