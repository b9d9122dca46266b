//! Real images as running, addressed, named applications; and what a node does when something is killed or missing.
//!
//! Every test has a node of its own: what one kills, no other misses.

mod contract;
mod image_trust;
mod isolation;
mod streams;
mod survival;
mod third_party;
mod trouble;
