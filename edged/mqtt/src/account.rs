//! Accounts: what one should be, what the broker shows, and the commands that make them the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edged_model::{InstanceId, TopicFilter};
use edged_protocol::Secret;
use serde::de::DeserializeOwned;

use crate::client::BrokerClient;
use crate::dynsec::{
    Acl, AclType, Answer, ClientCommand, ClientPage, ClientRecord, Command, DEFAULT_KINDS,
    DefaultAccess, DefaultAccessList, Page, RoleName, RolePage,
};
use crate::error::BrokerError;
use crate::event::EVENTS_FILTER;
use crate::password::{self, Hashed};
use crate::username::Username;

/// Before the instance id in the name of an application's role.
const APP_ROLE_PREFIX: &str = "app-";
/// The one role of all operators.
const OPERATOR_ROLE: &str = "operator";
/// The role that lets edged announce.
pub(crate) const EVENTS_ROLE: &str = "edged-events";
/// Filters of one application: a role of 64 has about 200 rules, a list of them stays readable.
const FILTERS_MAX: usize = 64;
/// Records of one answer: 16 roles of 200 rules of 300 bytes stay below the packet's bound.
const PAGE: usize = 16;
/// Records read in all: a box holds hundreds of instances at most.
const RECORDS_MAX: usize = 4096;
/// How long to wait for the connection after the plugin threw edged out to give it a new role.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What an application's account should be.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose it is: owns `apps/INSTANCE/#`.
    pub instance: InstanceId,
    /// The name it connects with.
    pub username: Username,
    /// The password it connects with.
    pub password: Secret,
    /// What it may read beyond its own space.
    pub subscribe: Vec<TopicFilter>,
}

/// What the broker shows of an application's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// The name it connects with; `None` if only the role is there.
    pub username: Option<Username>,
    /// What it may read beyond its own space.
    pub subscribe: BTreeSet<TopicFilter>,
    /// Whether it is exactly what edged writes: one enabled account, these filters, no other right. If not, apply it
    /// again or remove it.
    pub intact: bool,
}

/// Everything the plugin keeps that matters here.
#[derive(Debug)]
struct Snapshot {
    clients: BTreeMap<String, ClientRecord>,
    roles: BTreeMap<String, BTreeSet<Acl>>,
}

impl BrokerClient {
    /// Makes the broker deny what no role allows, and gives edged's own account the right to announce. Changes
    /// nothing where that is so already, as after [`crate::mosquitto`] wrote the broker's files.
    pub async fn bootstrap(&self) -> Result<(), BrokerError> {
        let answers = self.request(vec![Command::GetDefaultAccess]).await?;
        let shown: DefaultAccessList = data("getDefaultACLAccess", answers)?;
        let denied = |kind: &&str| {
            shown
                .acls
                .iter()
                .any(|acl| acl.acltype == **kind && !acl.allow)
        };
        if !DEFAULT_KINDS.iter().all(denied) {
            let deny = |kind: &str| DefaultAccess {
                acltype: kind.to_owned(),
                allow: false,
            };
            let acls = DEFAULT_KINDS.map(deny).into();
            self.request(vec![Command::SetDefaultAccess { acls }])
                .await?;
        }
        match self.ensure_events_role().await {
            // The plugin throws an account out when its roles change: look again once we are back.
            Err(BrokerError::Interrupted { .. }) => {
                tokio::time::timeout(RECONNECT_TIMEOUT, self.connected())
                    .await
                    .map_err(|_| BrokerError::Timeout {
                        after: RECONNECT_TIMEOUT,
                    })??;
                self.ensure_events_role().await
            }
            other => other,
        }
    }

    async fn ensure_events_role(&self) -> Result<(), BrokerError> {
        let shown = self.snapshot().await?;
        let mut commands = Vec::from_iter(shown.role_command(EVENTS_ROLE, events_acls()));
        let own = shown.clients.get(self.username().as_str());
        if !own.is_some_and(|client| client.has(EVENTS_ROLE)) {
            let (username, rolename) = (self.username().clone(), EVENTS_ROLE.to_owned());
            commands.push(Command::AddClientRole { username, rolename });
        }
        self.execute(commands).await.map(|_| ())
    }

    /// Makes the account so. `true` if the broker had to change something; then a live client of the account may
    /// have been thrown out (it may connect again), otherwise none is disturbed.
    pub async fn apply_account(&self, account: &Account) -> Result<bool, BrokerError> {
        let count = account.subscribe.len();
        if count > FILTERS_MAX {
            let instance = account.instance.clone();
            return Err(BrokerError::TooManyFilters {
                instance,
                count,
                limit: FILTERS_MAX,
            });
        }
        let role = app_role(&account.instance);
        let shown = self.snapshot().await?;
        let acls = app_acls(&account.instance, account.subscribe.iter());
        let client = shown.client_commands(&role, &account.username, &account.password)?;
        let mut commands = shown.delete_clients(&role, Some(&account.username));
        commands.extend(shown.role_command(&role, acls));
        commands.extend(client);
        self.execute(commands).await
    }

    /// Throws the instance's clients out and removes its account and role; `false` if there was nothing.
    pub async fn remove_account(&self, instance: &InstanceId) -> Result<bool, BrokerError> {
        let role = app_role(instance);
        let shown = self.snapshot().await?;
        let mut commands = shown.delete_clients(&role, None);
        if shown.roles.contains_key(&role) {
            commands.push(Command::DeleteRole { rolename: role });
        }
        self.execute(commands).await
    }

    /// Every application's account on the broker, with what is left of half-made ones.
    pub async fn observe_accounts(
        &self,
    ) -> Result<BTreeMap<InstanceId, AccountState>, BrokerError> {
        let shown = self.snapshot().await?;
        let instances = shown.roles.iter().filter_map(|(role, acls)| {
            let instance: InstanceId = role.strip_prefix(APP_ROLE_PREFIX)?.parse().ok()?;
            let state = shown.account_state(&instance, role, acls);
            Some((instance, state))
        });
        Ok(instances.collect())
    }

    /// Makes an operator's account: publishes to `sensors/#`, reads everything but the broker's own topics. Same
    /// answer as [`BrokerClient::apply_account`].
    pub async fn apply_operator(
        &self,
        username: &Username,
        password: &Secret,
    ) -> Result<bool, BrokerError> {
        let mut acls = BTreeSet::from(Acl::read("#"));
        acls.extend(Acl::shield());
        acls.insert(Acl::allow(AclType::PublishClientSend, "sensors/#"));
        let shown = self.snapshot().await?;
        let mut commands = Vec::from_iter(shown.role_command(OPERATOR_ROLE, acls));
        commands.extend(shown.client_commands(OPERATOR_ROLE, username, password)?);
        self.execute(commands).await
    }

    /// Throws an operator out and removes the account; `false` if there was none, or it is not an operator's.
    pub async fn remove_operator(&self, username: &Username) -> Result<bool, BrokerError> {
        let shown = self.snapshot().await?;
        let client = shown.clients.get(username.as_str());
        if !client.is_some_and(|client| client.has_only(OPERATOR_ROLE)) {
            return Ok(false);
        }
        self.execute(vec![Command::DeleteClient {
            username: username.to_string(),
        }])
        .await
    }

    async fn execute(&self, commands: Vec<Command>) -> Result<bool, BrokerError> {
        if commands.is_empty() {
            return Ok(false);
        }
        self.request(commands).await.map(|_| true)
    }

    async fn snapshot(&self) -> Result<Snapshot, BrokerError> {
        let (mut clients, mut roles) = (BTreeMap::new(), BTreeMap::new());
        for offset in (0..).step_by(PAGE) {
            let answers = self
                .request(vec![Command::ListClients(page("clients", offset)?)])
                .await?;
            let shown: ClientPage = data("listClients", answers)?;
            let last = shown.clients.len() < PAGE;
            clients.extend(shown.clients.into_iter().map(|c| (c.username.clone(), c)));
            if last {
                break;
            }
        }
        for offset in (0..).step_by(PAGE) {
            let answers = self
                .request(vec![Command::ListRoles(page("roles", offset)?)])
                .await?;
            let shown: RolePage = data("listRoles", answers)?;
            let last = shown.roles.len() < PAGE;
            roles.extend(
                shown
                    .roles
                    .into_iter()
                    .map(|r| (r.rolename, BTreeSet::from_iter(r.acls))),
            );
            if last {
                break;
            }
        }
        Ok(Snapshot { clients, roles })
    }
}

impl Snapshot {
    /// What makes the role so, if anything is to be done.
    fn role_command(&self, role: &str, acls: BTreeSet<Acl>) -> Option<Command> {
        let rolename = role.to_owned();
        match self.roles.get(role) {
            Some(shown) if *shown == acls => None,
            Some(_) => Some(Command::ModifyRole {
                rolename,
                acls: acls.into_iter().collect(),
            }),
            None => Some(Command::CreateRole {
                rolename,
                acls: acls.into_iter().collect(),
            }),
        }
    }

    /// What makes the account so, with this role alone.
    fn client_commands(
        &self,
        role: &str,
        username: &Username,
        password: &Secret,
    ) -> Result<Vec<Command>, BrokerError> {
        if !password::is_acceptable(password) {
            return Err(BrokerError::Password {
                username: username.clone(),
            });
        }
        let wanted = || {
            let fingerprint = password::hash(password)
                .ok_or(BrokerError::Random)?
                .to_fingerprint();
            Ok::<_, BrokerError>(ClientCommand {
                username: username.clone(),
                password: password.clone(),
                textdescription: fingerprint,
                roles: vec![RoleName {
                    rolename: role.to_owned(),
                }],
            })
        };
        let Some(shown) = self.clients.get(username.as_str()) else {
            return Ok(vec![Command::CreateClient(wanted()?)]);
        };
        if !shown.has_only(role) && !shown.is_bare() {
            return Err(BrokerError::UsernameTaken {
                username: username.clone(),
            });
        }
        let mut commands = Vec::new();
        let known = Hashed::from_fingerprint(&shown.textdescription)
            .is_some_and(|hashed| password::verifies(password, &hashed));
        if !known || shown.is_bare() {
            commands.push(Command::ModifyClient(wanted()?));
        }
        if shown.disabled {
            commands.push(Command::EnableClient {
                username: username.to_string(),
            });
        }
        Ok(commands)
    }

    /// Deletes every account of the role but one.
    fn delete_clients(&self, role: &str, keep: Option<&Username>) -> Vec<Command> {
        let ours = self.clients.values().filter(|client| client.has_only(role));
        let others = ours.filter(|client| keep.is_none_or(|name| name.as_str() != client.username));
        others
            .map(|client| Command::DeleteClient {
                username: client.username.clone(),
            })
            .collect()
    }

    fn account_state(
        &self,
        instance: &InstanceId,
        role: &str,
        acls: &BTreeSet<Acl>,
    ) -> AccountState {
        let own = app_filter(instance);
        let subscribe: BTreeSet<TopicFilter> = acls
            .iter()
            .filter(|acl| acl.acltype == AclType::SubscribePattern && acl.allow && acl.topic != own)
            .filter_map(|acl| acl.topic.parse().ok())
            .collect();
        let clients: Vec<_> = self
            .clients
            .values()
            .filter(|client| client.has(role))
            .collect();
        let sole = match clients.as_slice() {
            [only] => only.has_only(role) && !only.disabled,
            _ => false,
        };
        AccountState {
            username: clients
                .first()
                .and_then(|client| client.username.parse().ok()),
            intact: sole && *acls == app_acls(instance, subscribe.iter()),
            subscribe,
        }
    }
}

fn app_role(instance: &InstanceId) -> String {
    format!("{APP_ROLE_PREFIX}{instance}")
}

fn app_filter(instance: &InstanceId) -> String {
    format!("apps/{instance}/#")
}

/// Its own space both ways, and what it may read.
fn app_acls<'a>(
    instance: &InstanceId,
    subscribe: impl Iterator<Item = &'a TopicFilter>,
) -> BTreeSet<Acl> {
    let own = app_filter(instance);
    let mut acls = BTreeSet::from(Acl::read(&own));
    acls.extend(subscribe.flat_map(|filter| Acl::read(filter.as_str())));
    acls.extend(Acl::shield());
    acls.insert(Acl::allow(AclType::PublishClientSend, own));
    acls
}

/// What edged's own account needs beyond `$CONTROL`.
pub(crate) fn events_acls() -> BTreeSet<Acl> {
    BTreeSet::from([Acl::allow(AclType::PublishClientSend, EVENTS_FILTER)])
}

fn page(what: &'static str, offset: usize) -> Result<Page, BrokerError> {
    if offset >= RECORDS_MAX {
        return Err(BrokerError::TooMany {
            what,
            limit: RECORDS_MAX,
        });
    }
    Ok(Page {
        verbose: true,
        count: PAGE,
        offset,
    })
}

/// The typed data of the only answer.
fn data<T: DeserializeOwned>(
    command: &'static str,
    answers: Vec<Answer>,
) -> Result<T, BrokerError> {
    let detail = |detail: String| BrokerError::Answer { command, detail };
    let answer = answers
        .into_iter()
        .next()
        .ok_or_else(|| detail("no answer in it".to_owned()))?;
    serde_json::from_value(answer.data).map_err(|error| detail(error.to_string()))
}
