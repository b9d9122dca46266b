//! Addresses and policy of the application network: edged's side, before the guardian is asked.
//!
//! Everything here is pure: from the instances that are wanted and the address plan to the one [`Policy`] of the box
//! ([`policy_of`]), to what an instance finds inside ([`network_of`], [`resolv_conf`], [`hosts`]), and to the reasons why
//! a specification's network is refused ([`validate`]).
//!
//! What it refuses to do: touch the network (the guardian does), choose places
//! ([`edged_model::LeaseNumber::lowest_free`] does), keep state. It has no tasks and no channels.
//!
//! Invariant: whatever the instances are, [`policy_of`] makes a policy that the guardian takes.
//!
//! [`Policy`]: edged_protocol::guardian::Policy

mod feasible;
mod inside;
mod policy;
pub mod shape;
mod validate;

pub use feasible::{
    Infeasible, can_be, decapsulates, family, feasible, inner, looks_at_tunnels, room, tunnel_of,
};
pub use inside::{hosts, network_of, resolv_conf};
pub use policy::{policy_of, rules_in_force};
pub use validate::{NetProblem, validate};
