//! Bandwidth on links: rates that the kernel's packet schedulers hold to (tc(8)).
//!
//! To an application, its packets leave the box by the host's end of its link, and the rates are there. From it they
//! come in there, where the kernel cannot hold packets back: they are led over a device of kind `ifb` and come back to
//! the link from there, as if nothing had been. The rates are on that device, `PREFIXiN` for place N.
//!
//! On either device HTB has one class an allocation, with a queue of its own. What no allocation concerns passes at
//! once. Packets are led to classes by programs of the kernel's packet filter (`cls_bpf`), one a session, rather than by
//! `u32` matches: a program finds the ports behind options of IPv4 and headers of IPv6, so that nobody leaves a session
//! by adding some, does not take the middle of a datagram for ports, compares ranges as they are, and is shown by the
//! kernel as it was given, so that it can be compared.
//!
//! It is done through rtnetlink: `tc` would be another program to ship and its output another language to read, and
//! would not tell which of many lines the kernel did not take.
//!
//! A session is described as seen on the link: an application is known there by its own address and port, not by a
//! published one. Fragments behind the first are of no session with ports.
//!
//! Invariants:
//! - A failure leaves what was there before, or says in the log that it could not.
//! - What is there already is not touched: neither its queue nor its counters are lost.
//! - The rates wanted are kept here only. After a restart they go on in the kernel; until edged has said them again
//!   they are not put on links that come.

mod kernel;
mod plan;
mod program;
mod tree;
mod wire;

use std::collections::BTreeMap;

use edged_model::LeaseNumber;
use edged_net::shape::{ShapeProblem, feasible};
use edged_protocol::guardian::{Abilities, Shape};

use crate::netlink::NetlinkError;
use kernel::Kernel;
use plan::{Action, plan};
use tree::{Want, wanted};

/// Why bandwidth was not shaped.
#[derive(Debug, thiserror::Error)]
pub enum ShapeError {
    /// It cannot be.
    #[error(transparent)]
    Problem(#[from] ShapeProblem),
    /// The kernel did not.
    #[error(transparent)]
    Kernel(#[from] NetlinkError),
}

impl ShapeError {
    /// Whether it would fail again.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Problem(_))
    }
}

/// What was there before a change, to go back to.
#[derive(Debug)]
pub struct Before {
    kernel: BTreeMap<LeaseNumber, Want>,
    wanted: Option<BTreeMap<LeaseNumber, Want>>,
}

/// Keeps the rates of all links.
pub struct Shaper {
    kernel: Kernel,
    /// Whether this kernel can; asked once.
    able: bool,
    /// What edged said last; `None`: nothing since the start.
    wanted: Option<BTreeMap<LeaseNumber, Want>>,
}

impl Shaper {
    /// Tries out what the kernel can, on a device of its own.
    pub fn open(prefix: &str) -> Result<Self, NetlinkError> {
        let mut kernel = Kernel::open(prefix)?;
        let tried = kernel.try_out();
        if let Err(error) = &tried {
            tracing::warn!(%error, "this kernel keeps no bandwidth allocations");
        }
        Ok(Self {
            kernel,
            able: tried.is_ok(),
            wanted: None,
        })
    }

    /// Whether this kernel can keep allocations.
    pub fn is_able(&self) -> bool {
        self.able
    }

    /// Whether edged has said since the start what it wants.
    pub fn is_told(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether allocations can be kept; nothing is changed.
    pub fn check(&self, shapes: &[Shape]) -> Result<(), ShapeError> {
        let abilities = Abilities {
            bandwidth: self.able,
            ..Abilities::default()
        };
        Ok(feasible(shapes, abilities)?)
    }

    /// Puts exactly these allocations on the links that are there, and later on those that come. All or nothing.
    pub fn apply(&mut self, shapes: &[Shape]) -> Result<Before, ShapeError> {
        self.check(shapes)?;
        let wanted = wanted(shapes);
        let kernel = self.reach(&wanted, None)?;
        Ok(Before {
            kernel,
            wanted: self.wanted.replace(wanted),
        })
    }

    /// Goes back to what was before [`Shaper::apply`], because what belongs to it failed.
    pub fn go_back(&mut self, before: Before) {
        self.wanted = before.wanted;
        self.restore(&before.kernel, None);
    }

    /// The link of a place came or went: it gets its rates, or what it has left is taken away.
    pub fn follow(&mut self, place: LeaseNumber) -> Result<(), NetlinkError> {
        if let Some(wanted) = self.wanted.clone() {
            return self.reach(&wanted, Some(place)).map(drop);
        }
        self.sweep()
    }

    /// What links that went have left is taken away, and nothing is made: whoever is told of every change of a link, also
    /// of one made here, would make it again and again where that fails.
    pub fn sweep(&mut self) -> Result<(), NetlinkError> {
        let mut left = self.kernel.left()?.into_iter();
        left.try_for_each(|place| self.kernel.perform(&Action::RemoveDetour(place)))
    }

    /// Takes all of it away.
    pub fn purge(&mut self) -> Result<(), NetlinkError> {
        self.wanted = None;
        self.reach(&BTreeMap::new(), None).map(drop)
    }

    /// From what is there, which is returned, to what is wanted, at one place or at all.
    fn reach(
        &mut self,
        wanted: &BTreeMap<LeaseNumber, Want>,
        only: Option<LeaseNumber>,
    ) -> Result<BTreeMap<LeaseNumber, Want>, NetlinkError> {
        if !self.able {
            // Nothing is wanted then, and where a part is missing there may be nobody to ask what is there.
            return Ok(BTreeMap::new());
        }
        let seen = self.kernel.look(only)?;
        let before = seen.iter().map(|(place, seen)| (*place, seen.as_wanted()));
        let before = before.collect();
        for action in plan(wanted, &seen) {
            if let Err(error) = self.kernel.perform(&action) {
                self.restore(&before, only);
                return Err(error);
            }
        }
        Ok(before)
    }

    fn restore(&mut self, before: &BTreeMap<LeaseNumber, Want>, only: Option<LeaseNumber>) {
        if !self.able {
            return;
        }
        let restored = self.kernel.look(only).and_then(|seen| {
            let mut actions = plan(before, &seen).into_iter();
            actions.try_for_each(|action| self.kernel.perform(&action))
        });
        if let Err(error) = restored {
            tracing::error!(%error, "the rates of links are not as they were before");
        }
    }
}
