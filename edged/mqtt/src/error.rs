//! What can go wrong between edged and the broker.

use std::time::Duration;

use edged_model::InstanceId;

use crate::event::EventTopic;
use crate::state::DisconnectReason;
use crate::username::Username;

/// Why a request to the broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Nothing was sent.
    #[error("the broker cannot be asked: {reason}")]
    Disconnected {
        /// Why there is no connection.
        reason: DisconnectReason,
    },
    /// The connection broke after sending: observe before trying again.
    #[error("the broker's answer was lost: {reason}; observe the accounts and apply again")]
    Interrupted {
        /// Why the connection ended.
        reason: DisconnectReason,
    },
    /// No answer came.
    #[error("the broker gave no answer within {} ms: see whether it is overloaded", .after.as_millis())]
    Timeout {
        /// How long it was awaited.
        after: Duration,
    },
    /// The plugin refused a command.
    #[error("the broker refused {command} with {message:?}: observe the accounts and apply again")]
    Refused {
        /// The command's name in the plugin's language.
        command: String,
        /// The plugin's words.
        message: String,
    },
    /// The answer is not what the plugin's documentation says.
    #[error(
        "the broker answered {command} in an unknown form ({detail}): use mosquitto 2.0 or later"
    )]
    Answer {
        /// The command's name.
        command: &'static str,
        /// What was wrong.
        detail: String,
    },
    /// The broker has more accounts than this client reads.
    #[error("the broker lists more than {limit} {what}: remove those that edged did not make")]
    TooMany {
        /// `clients` or `roles`.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The user name belongs to an account with other roles.
    #[error("user name {username} belongs to another account on the broker: choose another one")]
    UsernameTaken {
        /// The name.
        username: Username,
    },
    /// A password that the broker would cut or refuse.
    #[error(
        "the password of {username} must have 1 to 256 bytes without control characters: choose another one"
    )]
    Password {
        /// Whose.
        username: Username,
    },
    /// More filters than a role should hold.
    #[error("{instance} asks for {count} topic filters: at most {limit} are taken")]
    TooManyFilters {
        /// Who asks.
        instance: InstanceId,
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes for a salt: see whether the system's random source works")]
    Random,
}

/// Why an event was not taken or not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not a topic under `events/`.
    #[error(
        "event topic {0:?} must be 'events/' and levels without '+', '#' or control characters, 256 bytes at most"
    )]
    Topic(String),
    /// Too big for the outbox.
    #[error("the event on {topic} has {size} bytes: at most {limit} are taken")]
    TooLarge {
        /// Where it was to go.
        topic: EventTopic,
        /// Its size in bytes.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The payload has no JSON form.
    #[error("the event on {topic} is no JSON: {source}")]
    Json {
        /// Where it was to go.
        topic: EventTopic,
        /// What the serializer said.
        source: serde_json::Error,
    },
    /// The broker has been away for too many different topics.
    #[error(
        "the event on {topic} was dropped, {waiting} others wait for the broker: announce it again later"
    )]
    QueueFull {
        /// Where it was to go.
        topic: EventTopic,
        /// How many topics wait.
        waiting: usize,
    },
    /// The task ended first.
    #[error("the event was not confirmed before the connection's task ended")]
    Ended,
}
