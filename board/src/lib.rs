//! `cargo board`: the one door for everything a person does with this repository.
//!
//! For: a node on this machine (`host`), the main job in front of your eyes (`demo`), every test (`test`), every
//! measurement (`bench`), and the code of mec-api/ from the documents of openapi/ (`generate`). Refuses: to ship.
//! Nothing here runs on a device, and no device crate depends on this one; the tests do.
//!
//! Synchronous and single-threaded, with few dependencies, so that it builds in seconds. Programs of the machine are
//! called by name and installed by [`install`] first.
//!
//! Invariants: whatever `host` starts dies with it; whatever it makes in the kernel is gone when it ends.

pub mod bench;
pub mod check;
pub mod demo;
pub mod generate;
pub mod host;
pub mod image;
pub mod install;
pub mod python;
pub mod registry;
pub mod update;
pub mod workspace;

pub use board_node::{client, line, process};
