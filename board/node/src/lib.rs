//! A node seen from outside: its line of JSON and how it is used.
//!
//! For: what `cargo board host` (a node on this machine), `cargo board qemu` (the same in a box of its own) and those
//! who use them have in common: the [`line::Line`] that a node prints, the [`client::Node`] that reads it, free
//! [`port`]s, a [`network`] of one's own, [`signals`] to end by, and [`process`]es run to their end. Refuses: to know how a node is made.

pub mod client;
pub mod line;
pub mod network;
pub mod port;
pub mod process;
pub mod signals;
