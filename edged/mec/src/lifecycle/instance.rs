//! An instance that an orchestrator created: its record, and what is shown of it.

use edged_model::{AppInstance, AppName, ExitCode, Goal, InstanceId, InstanceState};
use edged_package::AppDescriptor;
use edged_store::Record;
use mec_api::common::{LinkType, TimeStamp};
use mec_api::lifecycle::{
    AppInstanceInfo, AppInstanceLinks, AppInstanceState, BASE, CommunicationInterface, EntryPoint,
    InstantiatedAppState, InstantiationState, OperationalState,
};
use serde::{Deserialize, Serialize};

use super::operation::{Operation, Task};
use crate::Application;

/// Longest readable part of a name: with `-` and six characters it is one DNS label (RFC 1035, 2.3.4).
const READABLE_MAX: usize = 56;
/// Characters of the id that make a name unique: 16 million of them for at most some hundred instances.
const SUFFIX: usize = 6;

/// An instance as it was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// `appInstanceId`.
    pub id: InstanceId,
    /// The name that it has on the box once it is there.
    pub host: AppName,
    /// `appInstanceName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `appInstanceDescription`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `appPkgId`.
    pub package: String,
    /// `appDId`.
    pub descriptor: String,
    /// `appProvider`.
    pub provider: String,
    /// `appName`.
    pub application: String,
    /// `appSoftVersion`.
    pub software: String,
    /// `appDVersion`.
    pub version: String,
    /// When it was created.
    pub created: TimeStamp,
}

impl Record for Instance {
    const KIND: &'static str = "app-instance";
    fn key(&self) -> &str {
        self.id.as_str()
    }
}

/// How an instance is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is not in being; a run that is to bring it there has not done so.
    NotInstantiated,
    /// It is in being and runs.
    Started,
    /// It is in being and does not run.
    Stopped,
}

impl Condition {
    /// The word of notifications.
    pub fn word(self) -> AppInstanceState {
        match self {
            Self::NotInstantiated => AppInstanceState::NotInstantiated,
            Self::Started => AppInstanceState::Started,
            Self::Stopped => AppInstanceState::Stopped,
        }
    }

    /// What follows from the application on the box and the run that is not over.
    pub fn of(hosted: Option<&Application>, open: Option<&Operation>) -> Self {
        let comes = open.is_some_and(|run| matches!(run.task, Task::Instantiate(_)));
        match hosted {
            Some(Application::Hosted {
                instance,
                state,
                running,
            }) if !comes => {
                // While the worker is away nobody sees whether it runs, and its last state is the best that is known.
                let serves = matches!(state, InstanceState::Ready | InstanceState::Unready);
                if instance.goal == Goal::Running && (*running || serves) {
                    Self::Started
                } else {
                    Self::Stopped
                }
            }
            _ => Self::NotInstantiated,
        }
    }
}

/// Whether an application that is meant to run does: `None` while that is not known.
pub fn came_up(state: &InstanceState, node_is_well: bool) -> Option<Result<(), String>> {
    match state {
        InstanceState::Ready => Some(Ok(())),
        InstanceState::Ended { code } => Some(Err(ended(*code))),
        // What fails for want of a part of the node is tried again when that is back.
        InstanceState::BackOff { reason, .. } if node_is_well => Some(Err(reason.clone())),
        InstanceState::BackOff { .. }
        | InstanceState::Starting
        | InstanceState::Waiting { .. }
        | InstanceState::Unready
        | InstanceState::Stopping
        | InstanceState::Stopped => None,
    }
}

fn ended(code: ExitCode) -> String {
    format!("its container ended ({code})")
}

impl Instance {
    /// A fresh instance of a package.
    pub fn new(
        package: String,
        descriptor: &AppDescriptor,
        name: Option<String>,
        description: Option<String>,
    ) -> Result<Self, edged_model::ParseIdError> {
        let id = InstanceId::random();
        let readable = name.as_deref().unwrap_or(&descriptor.app_name);
        Ok(Self {
            host: host_name(readable, &id)?,
            id,
            name,
            description,
            package,
            descriptor: descriptor.app_d_id.clone(),
            provider: descriptor.app_provider.clone(),
            application: descriptor.app_name.clone(),
            software: descriptor.app_soft_version.clone(),
            version: descriptor.app_d_version.clone(),
            created: super::operation::now(),
        })
    }

    /// What is answered: links begin with `origin`, and lead to the tasks that are possible now.
    pub fn shown(
        &self,
        origin: &str,
        zone: &str,
        hosted: Option<&Application>,
        open: Option<&Operation>,
    ) -> AppInstanceInfo {
        let condition = Condition::of(hosted, open);
        let own = format!("{origin}{BASE}/app_instances/{}", self.id);
        let link = |possible: bool, task: &str| {
            (possible && open.is_none()).then(|| LinkType {
                href: format!("{own}/{task}"),
            })
        };
        let is_there = condition != Condition::NotInstantiated;
        let state = |operational_state| InstantiatedAppState {
            operational_state,
            app_inst_location: None,
            mcio_info: None,
        };
        AppInstanceInfo {
            id: self.id.to_string(),
            app_instance_name: self.name.clone(),
            app_instance_description: self.description.clone(),
            appd_id: self.descriptor.clone(),
            app_provider: self.provider.clone(),
            app_name: self.application.clone(),
            app_soft_version: self.software.clone(),
            appd_version: self.version.clone(),
            app_pkg_id: self.package.clone(),
            vim_connection_info: None,
            ns_instance_id: None,
            vnf_instance_id: None,
            instantiation_state: if is_there {
                InstantiationState::Instantiated
            } else {
                InstantiationState::NotInstantiated
            },
            instantiated_app_state: match condition {
                Condition::NotInstantiated => None,
                Condition::Started => Some(state(OperationalState::Started)),
                Condition::Stopped => Some(state(OperationalState::Stopped)),
            },
            communication_interface: match hosted {
                Some(Application::Hosted { instance, .. }) if is_there => reached(instance, zone),
                _ => None,
            },
            links: AppInstanceLinks {
                itself: LinkType { href: own.clone() },
                instantiate: link(hosted.is_none(), "instantiate"),
                terminate: link(is_there, "terminate"),
                operate: link(is_there, "operate"),
                configure_platform_for_app: link(is_there, "configure_platform_for_app"),
            },
        }
    }
}

/// Where others reach it: its name with each port that it serves or publishes.
fn reached(instance: &AppInstance, zone: &str) -> Option<CommunicationInterface> {
    let spec = &instance.spec;
    let served = spec.services.iter().map(|service| service.port);
    let published = spec.network.publish.iter().map(|port| port.container);
    let ports: std::collections::BTreeSet<u16> = served.chain(published).collect();
    let entry = |port| EntryPoint {
        host: format!("{}.app.{zone}", spec.name),
        port,
    };
    (!ports.is_empty()).then(|| CommunicationInterface {
        ip_addresses: Some(ports.into_iter().map(entry).collect()),
    })
}

/// One DNS label of what people call it, and a piece of its id.
fn host_name(readable: &str, id: &InstanceId) -> Result<AppName, edged_model::ParseIdError> {
    let mut label = String::new();
    for c in readable.chars().take(READABLE_MAX) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    let label = label.trim_end_matches('-');
    let label = if label.is_empty() { "app" } else { label };
    let suffix: String = id.as_str().chars().take(SUFFIX).collect();
    format!("{label}-{suffix}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_call_it_the_name_is_one_label() {
        let id: InstanceId = "5d3b0a7e-6a0c-4c39-9f6a-0e1f5f1d2c11".parse().unwrap();
        let long = "x".repeat(200);
        for (readable, label) in [
            ("Entrance camera", "entrance-camera-5d3b0a"),
            ("--a..b--", "a-b-5d3b0a"),
            ("Tür", "t-r-5d3b0a"),
            ("", "app-5d3b0a"),
            ("日本", "app-5d3b0a"),
            (&long, &format!("{}-5d3b0a", "x".repeat(56))),
        ] {
            assert_eq!(host_name(readable, &id).unwrap().as_str(), label);
        }
    }

    #[test]
    fn a_start_that_fails_for_want_of_the_worker_is_waited_for() {
        let state = InstanceState::BackOff {
            reason: "the worker is away".to_owned(),
            retry_ms: 500,
        };
        assert_eq!(came_up(&state, false), None);
        assert_eq!(
            came_up(&state, true),
            Some(Err("the worker is away".to_owned()))
        );
    }
}
