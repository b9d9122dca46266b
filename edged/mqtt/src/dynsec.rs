//! The language of mosquitto's dynamic-security plugin, as far as edged speaks it.
//!
//! Source: mosquitto's plugins/dynamic-security README, "Control API".

use edged_protocol::Secret;
use serde::{Deserialize, Serialize};

use crate::username::Username;

/// Where commands go.
pub(crate) const CONTROL: &str = "$CONTROL/dynamic-security/v1";
/// Where every administrator sees the answers.
pub(crate) const RESPONSE: &str = "$CONTROL/dynamic-security/v1/response";

/// Above that of every rule that allows, which is 0.
const SHIELD_PRIORITY: i64 = 10;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AclType {
    PublishClientSend,
    PublishClientReceive,
    SubscribePattern,
    UnsubscribePattern,
    /// A kind that edged never writes; seeing it means that somebody else changed the role.
    #[serde(other)]
    Other,
}

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub(crate) acltype: AclType,
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) priority: i64,
    pub(crate) allow: bool,
}

impl Acl {
    /// A rule that allows.
    pub(crate) fn allow(acltype: AclType, topic: impl Into<String>) -> Self {
        Self {
            acltype,
            topic: topic.into(),
            priority: 0,
            allow: true,
        }
    }

    /// Forbids reading the broker's own topics, before any other rule is asked. The plugin lets a rule for `#` or `+/…`
    /// match a subscription to `$CONTROL/…`, where the answers for administrators come, so every role carries these.
    pub(crate) fn shield() -> [Self; 4] {
        let deny = |acltype, topic: &str| Self {
            priority: SHIELD_PRIORITY,
            allow: false,
            ..Self::allow(acltype, topic)
        };
        [
            deny(AclType::PublishClientReceive, "$CONTROL/#"),
            deny(AclType::PublishClientReceive, "$SYS/#"),
            deny(AclType::SubscribePattern, "$CONTROL/#"),
            deny(AclType::SubscribePattern, "$SYS/#"),
        ]
    }

    /// Subscribe, receive and unsubscribe.
    pub(crate) fn read(filter: &str) -> [Self; 3] {
        [
            AclType::PublishClientReceive,
            AclType::SubscribePattern,
            AclType::UnsubscribePattern,
        ]
        .map(|acltype| Self::allow(acltype, filter))
    }
}

/// What happens where no rule matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DefaultAccess {
    pub(crate) acltype: String,
    pub(crate) allow: bool,
}

/// The four kinds that have a default.
pub(crate) const DEFAULT_KINDS: [&str; 4] = [
    "publishClientSend",
    "publishClientReceive",
    "subscribe",
    "unsubscribe",
];

/// A role by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleName {
    pub(crate) rolename: String,
}

/// A command to the plugin.
#[derive(Debug, Serialize)]
#[serde(tag = "command", rename_all = "camelCase")]
pub(crate) enum Command {
    #[serde(rename = "getDefaultACLAccess")]
    GetDefaultAccess,
    #[serde(rename = "setDefaultACLAccess")]
    SetDefaultAccess {
        acls: Vec<DefaultAccess>,
    },
    CreateRole {
        rolename: String,
        acls: Vec<Acl>,
    },
    ModifyRole {
        rolename: String,
        acls: Vec<Acl>,
    },
    DeleteRole {
        rolename: String,
    },
    CreateClient(ClientCommand),
    ModifyClient(ClientCommand),
    EnableClient {
        username: String,
    },
    /// Throws the live connections of the account out, too.
    DeleteClient {
        username: String,
    },
    AddClientRole {
        username: Username,
        rolename: String,
    },
    ListClients(Page),
    ListRoles(Page),
}

/// What an account is to be.
#[derive(Debug, Serialize)]
pub(crate) struct ClientCommand {
    pub(crate) username: Username,
    pub(crate) password: Secret,
    pub(crate) textdescription: String,
    pub(crate) roles: Vec<RoleName>,
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    pub(crate) verbose: bool,
    pub(crate) count: usize,
    pub(crate) offset: usize,
}

/// A command with the word that its answer will carry.
#[derive(Debug, Serialize)]
pub(crate) struct Correlated<'a> {
    #[serde(flatten)]
    pub(crate) command: &'a Command,
    #[serde(rename = "correlationData")]
    pub(crate) correlation: &'a str,
}

/// What is published to [`CONTROL`]: executed in order, without anybody in between.
#[derive(Debug, Serialize)]
pub(crate) struct Batch<'a> {
    pub(crate) commands: Vec<Correlated<'a>>,
}

/// What comes on [`RESPONSE`].
#[derive(Debug, Deserialize)]
pub(crate) struct Answers {
    pub(crate) responses: Vec<Answer>,
}

/// The answer to one command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) command: String,
    pub(crate) correlation_data: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) data: serde_json::Value,
}

/// `data` of [`Command::GetDefaultAccess`].
#[derive(Debug, Deserialize)]
pub(crate) struct DefaultAccessList {
    pub(crate) acls: Vec<DefaultAccess>,
}

/// `data` of [`Command::ListClients`].
#[derive(Debug, Deserialize)]
pub(crate) struct ClientPage {
    pub(crate) clients: Vec<ClientRecord>,
}

/// An account as the plugin shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientRecord {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) textdescription: String,
    #[serde(default)]
    pub(crate) disabled: bool,
    #[serde(default)]
    pub(crate) roles: Vec<RoleName>,
    #[serde(default)]
    pub(crate) groups: Vec<serde_json::Value>,
}

impl ClientRecord {
    /// Whether the account has this role and no other rights.
    pub(crate) fn has_only(&self, rolename: &str) -> bool {
        self.groups.is_empty()
            && matches!(self.roles.as_slice(), [only] if only.rolename == rolename)
    }

    /// Whether the account has this role.
    pub(crate) fn has(&self, rolename: &str) -> bool {
        self.roles.iter().any(|role| role.rolename == rolename)
    }

    /// Whether the account has no rights at all.
    pub(crate) fn is_bare(&self) -> bool {
        self.groups.is_empty() && self.roles.is_empty()
    }
}

/// `data` of [`Command::ListRoles`].
#[derive(Debug, Deserialize)]
pub(crate) struct RolePage {
    pub(crate) roles: Vec<RoleRecord>,
}

/// A role as the plugin shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct RoleRecord {
    pub(crate) rolename: String,
    #[serde(default)]
    pub(crate) acls: Vec<Acl>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_carries_its_name_and_its_correlation() {
        let command = Command::DeleteClient {
            username: "x".to_owned(),
        };
        let text = serde_json::to_value(Correlated {
            command: &command,
            correlation: "me/1",
        })
        .unwrap();
        let expected = serde_json::json!({"command": "deleteClient", "username": "x", "correlationData": "me/1"});
        assert_eq!(text, expected);
    }

    #[test]
    fn a_debugged_command_hides_the_password() {
        let command = Command::CreateClient(ClientCommand {
            username: "x".parse().unwrap(),
            password: Secret::new("hush"),
            textdescription: String::new(),
            roles: Vec::new(),
        });
        assert!(!format!("{command:?}").contains("hush"));
        assert!(serde_json::to_string(&command).unwrap().contains("hush"));
    }

    #[test]
    fn an_unknown_rule_is_read_as_other() {
        let acl: Acl =
            serde_json::from_str(r#"{"acltype":"subscribeLiteral","topic":"a","allow":true}"#)
                .unwrap();
        assert_eq!(acl.acltype, AclType::Other);
    }
}
