//! Requests of tasks read: what this box cannot do is refused, and nothing is taken and forgotten.

use edged_model::{AppSpec, Rules};
use edged_package::AppDescriptor;
use mec_api::Problem;
use mec_api::lifecycle::{
    ConfigPlatformForAppRequest, InstantiateAppRequest, MECHostInformation, OperateAppRequest,
    OperationalState, StopType, TerminateAppRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::instance::Instance;
use crate::package_management::{OnboardedPackage, rules};
use crate::{Deployment, Facts, Picture, Platform};

fn refuse<T>(member: &str, why: &str) -> Result<T, Problem> {
    Err(Problem::bad_request(format!("{member}: {why}")))
}

/// Whether a name means this node: its site (`edge`), or its zone (`edge.mec.internal`).
pub fn is_here(facts: &Facts, name: &str) -> bool {
    let site = facts.zone.split('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case(site) || name.eq_ignore_ascii_case(&facts.zone)
}

/// Whether this box can do what an instantiation asks for.
///
/// # Errors
/// 400 naming the member that it cannot.
pub fn check_instantiation(facts: &Facts, body: &InstantiateAppRequest) -> Result<(), Problem> {
    if body.virtual_compute_descriptor.is_some() {
        return refuse(
            "virtualComputeDescriptor",
            "this node runs containers; leave it out",
        );
    }
    if has_some(body.virtual_storage_descriptor.as_ref()) {
        return refuse(
            "virtualStorageDescriptor",
            "containers of this node have no storage of their own; leave it out",
        );
    }
    if body.location_constraints.is_some() {
        return refuse(
            "locationConstraints",
            "this node was not told where it is; leave them out",
        );
    }
    // Without an id nothing says that another host is meant.
    let elsewhere = |host: &&MECHostInformation| {
        let id = host.host_id.get("id").and_then(Value::as_str);
        id.is_some_and(|id| !is_here(facts, id))
    };
    if let Some(host) = body.selected_mec_host_info.iter().find(elsewhere) {
        let id = host.host_id.get("id").cloned().unwrap_or_default();
        let zone = &facts.zone;
        return refuse(
            "selectedMECHostInfo/hostId/id",
            &format!("{id} is not this node, which is {zone}"),
        );
    }
    Ok(())
}

fn has_some<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// The same thing as another type: both are the JSON of MEC 010-2.
fn converted<T: DeserializeOwned>(member: &str, value: &impl Serialize) -> Result<T, Problem> {
    let json = serde_json::to_value(value);
    let read = json.and_then(serde_json::from_value);
    read.map_err(|error| Problem::bad_request(format!("{member}: {error}")))
}

/// What an instance becomes on the box.
///
/// # Errors
/// 400 for a container that cannot be had here, 422 for what its package wants and this box does not do.
pub fn deployment(
    instance: &Instance,
    package: &OnboardedPackage,
    body: &InstantiateAppRequest,
) -> Result<Deployment, Problem> {
    let mut appd = package.appd.clone();
    if let Some(containers) = &body.os_container_descriptor {
        appd.os_container_descriptor = converted("osContainerDescriptor", containers)?;
    }
    let spec: AppSpec = appd
        .spec(instance.host.clone(), package.image.clone())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(Deployment {
        id: instance.id.clone(),
        spec,
        rules: rules_of(&appd)?,
    })
}

fn rules_of(appd: &AppDescriptor) -> Result<Rules, Problem> {
    rules(appd).map_err(|fault| {
        let detail = format!("{}: {}", fault.field, fault.problem.detail());
        Problem::bad_request(detail)
    })
}

/// The rules that an instance is to have: a list that is given takes the place of the one it has.
///
/// # Errors
/// 400 naming the member that this box cannot do.
pub fn configuration<P: Platform>(
    platform: &P,
    picture: &Picture,
    mut appd: AppDescriptor,
    now: &Rules,
    body: &ConfigPlatformForAppRequest,
) -> Result<Rules, Problem> {
    for (member, given) in [
        (
            "appServiceProduced",
            has_some(body.app_service_produced.as_ref()),
        ),
        (
            "appFeatureRequired",
            has_some(body.app_feature_required.as_ref()),
        ),
        (
            "transportDependencies",
            has_some(body.transport_dependencies.as_ref()),
        ),
        ("appLatency", body.app_latency.is_some()),
        (
            "userContextTransferCapability",
            body.user_context_transfer_capability.is_some(),
        ),
        ("appNetworkPolicy", body.app_network_policy.is_some()),
    ] {
        if given {
            return refuse(
                member,
                "this node sets up traffic and DNS rules for an instance, and not this; leave it out",
            );
        }
    }
    for wanted in body.app_service_required.iter().flatten() {
        let is_there = |service: &_| {
            let service: &std::sync::Arc<crate::RegisteredService> = service;
            service.name() == wanted.ser_name
        };
        if !picture.services.iter().any(is_there) {
            return refuse(
                "appServiceRequired",
                &format!("nobody offers a service {:?} here", wanted.ser_name),
            );
        }
    }
    appd.app_traffic_rule = match &body.app_traffic_rule {
        Some(given) => converted("appTrafficRule", given)?,
        None => Vec::new(),
    };
    appd.app_dns_rule = match &body.app_dns_rule {
        Some(given) => converted("appDNSRule", given)?,
        None => Vec::new(),
    };
    let mut new = rules_of(&appd)?;
    if body.app_traffic_rule.is_none() {
        new.traffic.clone_from(&now.traffic);
    }
    if body.app_dns_rule.is_none() {
        new.dns.clone_from(&now.dns);
    }
    for rule in &new.traffic {
        platform.feasible(rule).map_err(|problem| {
            Problem::bad_request(format!("appTrafficRule {}: {}", rule.id, problem.detail()))
        })?;
    }
    Ok(new)
}

/// The rules of an operation's times that are only in the words of the standard (MEC 010-2, 6.2.2.9).
///
/// # Errors
/// 400 naming the member.
pub fn check_operation(body: &OperateAppRequest) -> Result<(), Problem> {
    let timeout = "gracefulStopTimeout";
    match (
        body.change_state_to,
        body.stop_type,
        body.graceful_stop_timeout,
    ) {
        (OperationalState::Started, Some(_), _) => {
            refuse("stopType", "starting takes none; leave it out")
        }
        (OperationalState::Started, None, Some(_)) => {
            refuse(timeout, "starting takes none; leave it out")
        }
        (OperationalState::Stopped, Some(StopType::Graceful), None) => {
            refuse(timeout, "GRACEFUL needs it; say how many seconds")
        }
        (OperationalState::Stopped, Some(StopType::Forceful) | None, Some(_)) => {
            refuse(timeout, "it goes with stopType GRACEFUL only")
        }
        (OperationalState::Started, None, None)
        | (OperationalState::Stopped, Some(StopType::Graceful), Some(_))
        | (OperationalState::Stopped, Some(StopType::Forceful) | None, None) => Ok(()),
    }
}

/// The same of a termination (MEC 010-2, 6.2.2.10).
///
/// # Errors
/// 400 naming the member.
pub fn check_termination(body: &TerminateAppRequest) -> Result<(), Problem> {
    match (body.termination_type, body.graceful_termination_timeout) {
        (StopType::Forceful, Some(_)) => refuse(
            "gracefulTerminationTimeout",
            "it goes with terminationType GRACEFUL only",
        ),
        (StopType::Forceful, None) | (StopType::Graceful, _) => Ok(()),
    }
}
