//! A subscription as it is kept.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use edged_model::InstanceId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Callback;

/// The longest id: a UUID is 36; fixtures of conformance suites use longer readable names.
const ID_MAX: usize = 64;

/// Why a text is no id of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "subscription id {0:?} must be 1 to 64 of letters, digits, '.', '_' and '-', not only dots"
)]
pub struct ParseSubscriptionIdError(String);

/// The last part of a subscription's URI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionId(String);

impl SubscriptionId {
    /// A fresh random id (UUID version 4, RFC 9562).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// The text as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubscriptionId {
    type Err = ParseSubscriptionIdError;
    fn from_str(text: &str) -> Result<Self, ParseSubscriptionIdError> {
        let alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = text.contains(|c: char| c != '.');
        if is_name && text.len() <= ID_MAX && text.chars().all(alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseSubscriptionIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for SubscriptionId {
    type Error = ParseSubscriptionIdError;
    fn try_from(text: String) -> Result<Self, ParseSubscriptionIdError> {
        text.parse()
    }
}

impl From<SubscriptionId> for String {
    fn from(id: SubscriptionId) -> Self {
        id.0
    }
}

impl Borrow<str> for SubscriptionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who wants to be told what, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The interface it was made at, such as `mec_app_support`.
    pub api: String,
    /// `subscriptionType`, such as `AppTerminationNotificationSubscription`.
    pub kind: String,
    /// The application that made it; none for whoever holds the token of all.
    pub owner: Option<InstanceId>,
    /// It was made with the token of all, if on behalf of its owner: its callback may be anywhere.
    #[serde(default)]
    pub trusted: bool,
    /// Where notifications are posted.
    pub callback: Option<Callback>,
    /// Whether a WebSocket may be attached.
    pub websocket: bool,
    /// When it ends by itself, in seconds since 1970.
    pub expires: Option<u64>,
    /// What it is about, in the words of the interface. Not looked into here.
    pub filter: Value,
    /// Its URI as the subscriber knows it, for the links of notifications.
    pub href: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Subscription {
    /// By whose reach the callback is judged; none: by that of whoever holds the token of all.
    pub(crate) fn reach(&self) -> Option<&InstanceId> {
        self.owner.as_ref().filter(|_| !self.trusted)
    }

    /// The notification that a subscriber can ask for (MEC 009, `requestTestNotification`).
    pub(crate) fn test_notification(&self) -> Value {
        json!({
            "notificationType": "TestNotification",
            "_links": { "subscription": { "href": self.href } },
        })
    }

    /// The last notification of a subscription whose time is up (MEC 009).
    pub(crate) fn expiry_notification(&self, deadline: u64) -> Value {
        json!({
            "notificationType": "ExpiryNotification",
            "expiryDeadline": { "seconds": deadline, "nanoSeconds": 0 },
            "_links": { "subscription": { "href": self.href } },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_id_never_walks_a_path() {
        for bad in ["", ".", "..", "a/b", "a b", "a?b", "ä", &"a".repeat(65)] {
            assert!(bad.parse::<SubscriptionId>().is_err(), "{bad:?} was taken");
        }
        for good in ["41", "sub-1", "a.b_c"] {
            assert_eq!(good.parse::<SubscriptionId>().unwrap().as_str(), good);
        }
    }
}
