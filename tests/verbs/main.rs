//! The operator's verbs over what the MEC interfaces own: services, traffic rules and DNS rules; and those of
//! updates where there are none.
//!
//! For: what `service`, `rule` and `dns` promise, asked for with `edgectl` and with plain `ssh`, and seen by nft and
//! dig. Refuses: the interfaces themselves (`api`), and what packets do (`netns`).

mod box_of_rules;
mod dns;
mod rule;
mod service;
mod trust;
mod update;
