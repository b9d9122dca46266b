//! Whether a box can keep a traffic rule: asked before a package or a change is taken. Pure.

use edged_model::{Destination, RuleId, TrafficAction, TrafficRule, TunnelKind};
use edged_protocol::guardian::Abilities;

/// Why this box cannot keep a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("traffic rule {rule} cannot be kept on this box: {reason}")]
pub struct Infeasible {
    rule: RuleId,
    reason: &'static str,
}

/// Whether a kernel with these abilities can keep a rule.
pub fn feasible(rule: &TrafficRule, abilities: &Abilities) -> Result<(), Infeasible> {
    let no = |reason| {
        Err(Infeasible {
            rule: rule.id.clone(),
            reason,
        })
    };
    for filter in &rule.filters {
        if filter.qci.is_some() {
            return no("qCI belongs to a mobile network, and none ends here");
        }
        if !filter.tag.is_empty() {
            return no("nothing on this box gives packets a tag");
        }
    }
    let copies = matches!(
        rule.action,
        TrafficAction::DuplicateDecapsulated(_) | TrafficAction::DuplicateEncapsulated(_)
    );
    if copies && !abilities.duplicate {
        return no("its kernel cannot copy packets");
    }
    for destination in destinations(&rule.action) {
        if let Destination::Tunnel(tunnel) = destination {
            match tunnel.kind {
                TunnelKind::Gre if !abilities.gre => return no("its kernel has no GRE tunnels"),
                TunnelKind::GtpU if !abilities.gtp => return no("its kernel has no GTP-U tunnels"),
                TunnelKind::Gre | TunnelKind::GtpU => {}
            }
        }
    }
    Ok(())
}

fn destinations(action: &TrafficAction) -> &[Destination] {
    match action {
        TrafficAction::Drop | TrafficAction::Passthrough => &[],
        TrafficAction::ForwardDecapsulated(one) | TrafficAction::ForwardEncapsulated(one) => {
            std::slice::from_ref(one)
        }
        TrafficAction::DuplicateDecapsulated(two) | TrafficAction::DuplicateEncapsulated(two) => {
            two
        }
    }
}
