//! What edged may ask of the guardian: links and one policy, nothing else.

use std::net::IpAddr;

use edged_model::{Allocation, InstanceId, Lease, LeaseNumber, PublishedPort, TrafficRule};
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "command",
    content = "data",
    rename_all = "kebab-case",
    deny_unknown_fields
)]
pub enum Command {
    /// What is there?
    Observe {},
    /// Make the link of a place and move its far end into the instance's network namespace. Idempotent.
    Attach {
        /// Whose namespace.
        instance: InstanceId,
        /// Which place.
        lease: Lease,
    },
    /// Take the link of a place away. Idempotent.
    Detach {
        /// Which place.
        lease: Lease,
    },
    /// Replace the whole policy in one transaction of the kernel.
    Apply {
        /// The policy of the whole node.
        policy: Policy,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", content = "data", rename_all = "kebab-case")]
pub enum Reply {
    /// It is done: the kernel has it.
    Done {},
    /// What the kernel shows.
    Observed {
        /// Places whose link is up on the host and whose far end is in a namespace.
        links: Vec<LeaseNumber>,
        /// [`Policy::fingerprint`] of the policy in force, kept by the kernel beside the rules; `None`: no table.
        policy: Option<String>,
        /// What this kernel can do beyond the plain rules.
        #[serde(default)]
        abilities: Abilities,
    },
    /// It was not done.
    Refused(Refusal),
}

/// Everything the firewall must hold: one entry an instance, default deny.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Instances, ordered by place.
    pub apps: Vec<AppPolicy>,
    /// Traffic rules in force, ordered by priority, then owner, then id: the first that matches decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<OwnedRule>,
    /// Bandwidth in force, ordered by place, then id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bandwidth: Vec<Shape>,
}

/// A traffic rule and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnedRule {
    /// Whose: a hosted or a registered application.
    pub owner: InstanceId,
    /// The rule, active.
    pub rule: TrafficRule,
}

/// An allocation on the link of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// Whose link.
    pub place: LeaseNumber,
    /// What is allocated.
    pub allocation: Allocation,
}

/// What a kernel can do beyond the plain rules; asked of it once, when the guardian starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // independent facts of one kernel, each true or not
pub struct Abilities {
    /// Links of kind `gre` and `ip6gre`.
    pub gre: bool,
    /// Links of kind `gtp`.
    pub gtp: bool,
    /// Copies of packets (`dup` of nftables).
    pub duplicate: bool,
    /// Packets to a neighbour on the uplink by its link-layer address: there is an uplink.
    pub neighbour: bool,
    /// Rates on links, both ways (HTB and IFB).
    pub bandwidth: bool,
}

/// What one instance may do. It may always reach the gateway's own services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppPolicy {
    /// Whose.
    pub instance: InstanceId,
    /// Its place; packets from its link with another source address are dropped.
    pub lease: Lease,
    /// Addresses of other instances that it may open connections to.
    pub reach: Vec<IpAddr>,
    /// Ports of the box that lead to it.
    pub publish: Vec<PublishedPort>,
    /// Whether it may leave through the uplink.
    pub egress: bool,
}

impl Policy {
    /// A short text that differs when the policy does (FNV-1a over its JSON): compared with what the kernel keeps.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let hash = json.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}
