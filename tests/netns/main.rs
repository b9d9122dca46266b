//! What the MEC interfaces promise of the network, proven by packets, by names and by bytes a second.
//!
//! For: traffic rules (`traffic`, `hold`), DNS rules (`names`) and bandwidth (`bandwidth`): each is asked for over HTTP,
//! and then somebody sends. Senders and receivers are applications of the node and a host outside (`field`). Refuses: to
//! look into the node's table of rules; what packets do is what counts.

mod bandwidth;
mod field;
mod hold;
// The tests of the interfaces read more of an answer than these.
#[allow(dead_code)]
#[path = "../api/http.rs"]
mod http;
mod names;
mod outside;
mod rules;
mod traffic;
