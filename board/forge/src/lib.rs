//! Build steps kept by the hash of what went into them.
//!
//! Everything of a box that is compiled or packed is made by a *step*: a name, [`Inputs`], and a closure that fills a
//! folder. A [`Cache`] outside the checkout keeps each result under the hash of its inputs and checks every byte of
//! it before it is used again. Programs run in a [`DebianRoot`]: a Debian of a known release in a folder, so that the
//! machine's own compilers and libraries have no part in the result.

mod both;
mod cache;
mod command;
mod debs;
mod hold;
mod inputs;
mod mirror;
pub mod progress;
mod root;
mod source;
mod tools;

pub use both::both;
pub use cache::{Cache, Made};
pub use command::{output, run, shown};
pub use debs::{Debs, Package, debs};
pub use hold::hold;
pub use inputs::{Digest, Inputs};
pub use mirror::Mirror;
pub use root::{Bind, DebianRoot, RootSpec};
pub use source::{SourceFile, source};
pub use tools::{NEEDS, tools};

/// `SOURCE_DATE_EPOCH` of everything that is built: 2026-11-01 00:00 UTC. One fixed moment, so that two builds of the
/// same sources are the same bits (reproducible-builds.org's specification of the variable).
pub const EPOCH: u64 = 1_793_491_200;
