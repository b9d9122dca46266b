//! From staged to confirmed, over as many starts of the box as it takes.
//!
//! ```text
//! Idle ─install─► Staged ─Write─► Written ─► Trying 1..3 ─healthy, Exchange─► Settling ─Mirror, Raise─► Idle, confirmed
//!                    └───────────────┴───────────┴─ failure, rollback ─► RollingBack ─Disarm, Mirror──► Idle, rolled back
//! ```
//!
//! [`step`] is pure. It is given what is recorded and what is seen and says what to record and then to do: one action at
//! a time, each of which may be done twice. Whoever carries it out makes the record durable first, so a cut of the power
//! at any moment leaves a record and a world from which the next start goes on.
//!
//! Invariants: an attempt is durable before B is armed, so there are never more than [`ATTEMPTS`]; nothing but
//! [`Action::Exchange`] makes a new image the one that starts by itself, unless nothing else starts; the counter is
//! raised after both slots hold the new image; and whoever comes back to `Idle` has both slots alike, so far as the
//! medium can be written.

mod state;
mod step;
mod world;

pub use state::{ATTEMPTS, Last, Outcome, State, Update};
pub use step::step;
pub use world::{Action, BootId, Failure, Health, Slot, Slots, Wish, World};
