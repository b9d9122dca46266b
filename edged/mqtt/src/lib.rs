//! Accounts on the broker and the announcements under `events/`.
//!
//! edged drives mosquitto through its dynamic-security plugin: JSON commands to `$CONTROL/dynamic-security/v1`,
//! answers on `…/response`. The broker keeps the accounts; [`BrokerClient::observe_accounts`] reads them back, so
//! that a reconciler needs no memory of its own.
//!
//! What it refuses: a filter under `$` cannot be written (the model's `TopicFilter`), a user name outside a small
//! alphabet is no [`Username`], an event outside `events/` is no [`EventTopic`], and an account of somebody else is
//! never changed ([`BrokerError::UsernameTaken`]).
//!
//! One task: the future of [`BrokerTask::run`], owned by whoever called [`BrokerClient::connect`]. Handles reach it
//! through a bounded channel of requests and a bounded map of events, newest state of a topic wins; it reports
//! through a `watch`. It ends when the last handle is dropped and everything queued is confirmed.
//!
//! Invariants: an event counts as delivered only after its PUBACK; applying an account that is already as wanted
//! sends no command, so no live client is disturbed and the broker writes nothing.

mod account;
mod backoff;
mod client;
mod connection;
mod dynsec;
mod error;
mod event;
pub mod mosquitto;
mod outbox;
mod password;
mod session;
mod state;
mod username;

pub use account::{Account, AccountState};
pub use client::{BrokerClient, BrokerConfig};
pub use connection::BrokerTask;
pub use error::{BrokerError, EventError};
pub use event::{Confirmation, Delivery, EventTopic};
pub use state::{ConnectionState, DisconnectReason};
pub use username::{ParseUsernameError, Username};
