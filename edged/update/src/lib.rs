//! Signed updates of a box: the bundle, and the state machine from staged to confirmed.
//!
//! Pure: a bundle is read from whatever reads and seeks, and the machine says one action at a time, which somebody else
//! does. A bundle is nothing until [`Bundle::open`] has verified all of it, so whoever holds one may use any part.
//!
//! It refuses whatever is not signed by the box's update key (or a successor that this key signed), not for this board,
//! not newer than what the box has confirmed, or not whole: one [`Refusal`] a reason, each a sentence.

mod bundle;
mod hash;
mod health;
mod machine;
mod record;
mod refusal;
mod release;

pub use bundle::{
    Bundle, FORMAT, Here, Intake, MANIFEST_MAX, Manifest, Part, PartEntry, Schema, SchemaHere,
    Succession, Successor, UpdateKey, assemble, signed,
};
pub use hash::{Hash, ParseHashError};
pub use health::{Before, HOLD, Watch};
pub use machine::{
    ATTEMPTS, Action, BootId, Failure, Health, Last, Outcome, Slot, Slots, State, Update, Wish,
    World, step,
};
pub use record::Record;
pub use refusal::Refusal;
pub use release::{LEAP, Release};
