//! Whether the broker can be reached, and since when.

use std::time::SystemTime;

/// What the connection to the broker is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Requests are answered and events are confirmed.
    Connected {
        /// When the broker accepted the account and the subscription to its answers.
        since: SystemTime,
    },
    /// Requests fail, events wait in the outbox.
    Disconnected {
        /// When the last connection ended, or when this client was made.
        since: SystemTime,
        /// Why the newest attempt failed.
        reason: DisconnectReason,
    },
}

impl ConnectionState {
    /// Whether requests are answered.
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// The first attempt has not ended.
    #[error("no attempt has ended yet")]
    Starting,
    /// The broker answered CONNECT with a refusal.
    #[error("the broker refused the account ({0}): check its user name and password")]
    Refused(String),
    /// The account may not read the plugin's answers.
    #[error(
        "the broker refused access to $CONTROL/dynamic-security: load its plugin and give the account its role"
    )]
    NoControl,
    /// No connection, or it broke.
    #[error("the connection failed ({0}): see whether the broker runs")]
    Failed(String),
    /// Every handle was dropped.
    #[error("this client was ended")]
    Ended,
}
