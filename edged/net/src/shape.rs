//! Why a bandwidth allocation (ETSI GS MEC 015) cannot be kept by this box.

use std::collections::{BTreeMap, BTreeSet};

use edged_model::{Allocation, AllocationId, IpProtocol, LeaseNumber, SessionFilter};
use edged_protocol::guardian::{Abilities, Shape};

/// Allocations on one link. Each is a queue of its own and a question to every packet, answered one after the other.
pub const ALLOCATIONS_PER_LINK: usize = 16;
/// Sessions of one allocation; each is a filter that a packet passes by.
pub const SESSIONS_PER_ALLOCATION: usize = 16;
/// Ranges in one list of ports: with two full lists a filter still fits one answer of the kernel (a page), without
/// which it could not be seen again.
pub const PORT_RANGES: usize = 16;

/// One reason, one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeProblem {
    /// The kernel lacks it.
    #[error(
        "bandwidth allocation {0} cannot be kept: this kernel has no rates on links; build it with CONFIG_NET_SCH_HTB, \
         CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF, CONFIG_NET_ACT_MIRRED and CONFIG_IFB"
    )]
    Unable(AllocationId),
    /// One id, two allocations of a link.
    #[error("bandwidth allocation {0} is there twice; give one of the two another id")]
    Twice(AllocationId),
    /// The link has its share.
    #[error(
        "bandwidth allocation {0} is one more than the {ALLOCATIONS_PER_LINK} of its application; delete another first"
    )]
    Allocations(AllocationId),
    /// Too long a list.
    #[error(
        "bandwidth allocation {0} names more than {SESSIONS_PER_ALLOCATION} sessions; allocate for fewer"
    )]
    Sessions(AllocationId),
    /// Too long a list.
    #[error(
        "bandwidth allocation {0} names more than {PORT_RANGES} ranges of ports; join neighbouring ports to ranges"
    )]
    Ports(AllocationId),
    /// Says nothing.
    #[error(
        "bandwidth allocation {0} has a session without an address, a port or a protocol; name one, or allocate for the \
         whole application"
    )]
    Empty(AllocationId),
    /// A packet of both families.
    #[error(
        "bandwidth allocation {0} has a session from IPv4 to IPv6 or back, which no packet is of; write both addresses in \
         one family"
    )]
    Families(AllocationId),
    /// Ports where there are none.
    #[error(
        "bandwidth allocation {id} has a session with ports of {protocol}, which has none; leave the ports out"
    )]
    Portless {
        /// Which allocation.
        id: AllocationId,
        /// Of what.
        protocol: IpProtocol,
    },
}

/// Whether a kernel with these abilities can keep all of these allocations together; the first reason why not.
///
/// What is feasible here is what the guardian takes: it asks the same question again.
pub fn feasible(shapes: &[Shape], abilities: Abilities) -> Result<(), ShapeProblem> {
    let mut links: BTreeMap<LeaseNumber, BTreeSet<&AllocationId>> = BTreeMap::new();
    for Shape { place, allocation } in shapes {
        let id = &allocation.id;
        if !abilities.bandwidth {
            return Err(ShapeProblem::Unable(id.clone()));
        }
        let link = links.entry(*place).or_default();
        if !link.insert(id) {
            return Err(ShapeProblem::Twice(id.clone()));
        }
        if link.len() > ALLOCATIONS_PER_LINK {
            return Err(ShapeProblem::Allocations(id.clone()));
        }
        describable(allocation)?;
    }
    Ok(())
}

/// Whether its sessions can be told from other packets.
fn describable(allocation: &Allocation) -> Result<(), ShapeProblem> {
    let id = || allocation.id.clone();
    if allocation.sessions.len() > SESSIONS_PER_ALLOCATION {
        return Err(ShapeProblem::Sessions(id()));
    }
    for session in &allocation.sessions {
        if *session == SessionFilter::default() {
            return Err(ShapeProblem::Empty(id()));
        }
        let ports = [&session.source_port, &session.destination_port];
        if ports.iter().any(|list| list.len() > PORT_RANGES) {
            return Err(ShapeProblem::Ports(id()));
        }
        if let (Some(source), Some(destination)) = (session.source, session.destination)
            && source.is_ipv4() != destination.is_ipv4()
        {
            return Err(ShapeProblem::Families(id()));
        }
        if let Some(protocol) = session.protocol
            && !protocol.has_ports()
            && ports.iter().any(|list| !list.is_empty())
        {
            return Err(ShapeProblem::Portless { id: id(), protocol });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Abilities {
        Abilities {
            bandwidth: true,
            ..Abilities::default()
        }
    }

    fn shape(id: &str, sessions: &str) -> Shape {
        serde_json::from_str(&format!(
            r#"{{"place":2,"allocation":{{"id":"{id}","instance":"0195a0f0-0000-7000-8000-000000000001",
            "direction":"both","rate":"8000000","sessions":{sessions}}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn an_allocation_that_cannot_be_kept_is_named_with_its_reason() {
        let ports = (1..=17).map(|n| format!("\"{}\"", n * 2));
        let ports = ports.collect::<Vec<_>>().join(",");
        for (sessions, reason) in [
            ("[{}]".to_owned(), "without an address"),
            (
                r#"[{"source":"10.0.0.1","destination":"fd00::1"}]"#.to_owned(),
                "from IPv4 to IPv6",
            ),
            (
                r#"[{"protocol":"icmp","sourcePort":["7"]}]"#.to_owned(),
                "ports of icmp",
            ),
            (
                format!(r#"[{{"sourcePort":[{ports}]}}]"#),
                "ranges of ports",
            ),
            (
                format!("[{}]", [r#"{"protocol":"tcp"}"#; 17].join(",")),
                "more than 16 sessions",
            ),
        ] {
            let problem = feasible(&[shape("a1", &sessions)], able()).unwrap_err();
            let sentence = problem.to_string();
            assert!(
                sentence.contains("allocation a1") && sentence.contains(reason),
                "{sentence}"
            );
        }
    }

    #[test]
    fn a_link_holds_sixteen_allocations_and_each_once() {
        let many = |count: usize| -> Vec<Shape> {
            (0..count).map(|n| shape(&format!("a{n}"), "[]")).collect()
        };
        assert_eq!(feasible(&many(16), able()), Ok(()));
        let last: AllocationId = AllocationId("a16".parse().unwrap());
        assert_eq!(
            feasible(&many(17), able()),
            Err(ShapeProblem::Allocations(last))
        );
        let twice = [shape("a", "[]"), shape("a", "[]")];
        assert!(matches!(
            feasible(&twice, able()),
            Err(ShapeProblem::Twice(_))
        ));
    }

    #[test]
    fn a_kernel_without_rates_keeps_no_allocation() {
        assert_eq!(feasible(&[], Abilities::default()), Ok(()));
        let problem = feasible(&[shape("a", "[]")], Abilities::default()).unwrap_err();
        assert!(problem.to_string().contains("CONFIG_IFB"), "{problem}");
    }
}
