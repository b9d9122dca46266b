//! Delivers the notifications of MEC 009 (subscribe and notify). What a notification says is somebody else's business.
//!
//! [`Subscriptions`] owns who wants to be told: durable before it answers, bounded for each application and in all, and
//! ended at its deadline. [`Deliverer`] carries what they are told: by POST to the callback, or as text frames of a
//! WebSocket while one is attached.
//!
//! Tasks: one for each subscription that has something to send, ended when it has nothing more; one for the deadlines
//! ([`Subscriptions::run_expiry`]). A task waits for its own receiver and for nothing else.
//!
//! Invariants
//! - [`Deliverer::deliver`] never waits. A queue that is full loses its oldest notification, counted and said once.
//! - Within one subscription order is kept. A notification may arrive twice (an answer was lost), and those that wait
//!   are lost with the process; the subscriptions are not.
//! - Every address is put before [`Reach::permits`] in the form it is connected in: a subscriber reaches through a
//!   callback what it could reach itself.
//! - Refused: redirects, proxies, callbacks with query, fragment or userinfo, answers beyond their bound.

mod backoff;
mod callback;
mod clock;
mod connect;
mod counters;
mod deliver;
mod expiry;
mod lane;
mod limits;
mod places;
mod post;
mod queue;
mod steps;
mod subscription;
mod subscriptions;
mod tls;
mod websocket;

pub use callback::{Callback, CallbackError};
pub use clock::{Clock, SystemClock};
pub use connect::Reach;
pub use counters::Counts;
pub use deliver::{Deliverer, NotifyError};
pub use limits::Limits;
pub use steps::Steps;
pub use subscription::{ParseSubscriptionIdError, Subscription, SubscriptionId};
pub use subscriptions::{SubscribeError, Subscriptions};
pub use tls::Identity;
pub use websocket::AttachError;

#[cfg(test)]
mod tests;
