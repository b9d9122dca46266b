//! Fixtures for tests: instances of a seed file, written into a node's state before it starts.
//!
//! A running node has no door for this; only `cargo board host --seed` calls it.

use std::sync::Arc;

use edged_model::{InstanceId, Rules};
use edged_notify::{Callback, Subscription, SubscriptionId};
use edged_store::{Store, StoredService, StoredSubscription};
use mec_api::app_support::{self, AppTerminationNotificationSubscription, DnsRule, TrafficRule};
use mec_api::common::{LinkType, SelfLinks};
use mec_api::service_management::{self, SerAvailabilityNotificationSubscription, ServiceInfo};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Application, Registration, dns, service_management as services, traffic};

/// A seed file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// Applications to begin with.
    pub instances: Vec<Instance>,
}

/// An application of a seed file, with objects of MEC 011.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Instance {
    app_instance_id: InstanceId,
    app_name: String,
    #[serde(default)]
    running: bool,
    #[serde(default)]
    traffic_rules: Vec<TrafficRule>,
    #[serde(default)]
    dns_rules: Vec<DnsRule>,
    #[serde(default)]
    services: Vec<ServiceInfo>,
    #[serde(default)]
    subscriptions: Vec<Value>,
}

/// Why a seed was not planted: the instance, the object and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("instance {instance}, {object}: {reason}")]
pub struct SeedError {
    instance: InstanceId,
    object: String,
    reason: String,
}

impl Seed {
    /// Writes everything into the state of a node that does not run. `origin` is what clients reach it by
    /// (`http://127.0.0.1:8080/prefix`).
    ///
    /// # Errors
    /// The first object that the interfaces would not have taken.
    pub fn plant(&self, store: &Store, origin: &str) -> Result<(), SeedError> {
        self.instances
            .iter()
            .try_for_each(|instance| instance.plant(store, origin))
    }
}

impl Instance {
    fn plant(&self, store: &Store, origin: &str) -> Result<(), SeedError> {
        let registration = Arc::new(self.registration()?);
        store
            .put_record(registration.as_ref())
            .map_err(self.failed("registration"))?;
        let application = Application::Registered(registration);
        for service in &self.services {
            self.service(store, service, &application)?;
        }
        for subscription in &self.subscriptions {
            self.subscription(store, subscription, origin)?;
        }
        Ok(())
    }

    fn failed<E: std::fmt::Display>(
        &self,
        object: impl Into<String>,
    ) -> impl FnOnce(E) -> SeedError {
        let (instance, object) = (self.app_instance_id.clone(), object.into());
        move |error| SeedError {
            instance,
            object,
            reason: error.to_string(),
        }
    }

    fn registration(&self) -> Result<Registration, SeedError> {
        let mut rules = Rules::default();
        for rule in &self.traffic_rules {
            let id = &rule.traffic_rule_id;
            let read = traffic::read(id, rule).map_err(|problem| problem.detail().to_owned());
            rules
                .traffic
                .push(read.map_err(self.failed(format!("trafficRules/{id}")))?);
        }
        for rule in &self.dns_rules {
            let id = &rule.dns_rule_id;
            let read = dns::read(id, rule).map_err(|problem| problem.detail().to_owned());
            rules
                .dns
                .push(read.map_err(self.failed(format!("dnsRules/{id}")))?);
        }
        Ok(Registration {
            id: self.app_instance_id.clone(),
            info: json!({
                "appName": self.app_name, "appInstanceId": self.app_instance_id,
                "isInsByMec": false, "endpoint": { "alternative": {} },
            }),
            rules,
            running: self.running,
        })
    }

    fn service(
        &self,
        store: &Store,
        service: &ServiceInfo,
        application: &Application,
    ) -> Result<(), SeedError> {
        let id = match &service.ser_instance_id {
            Some(id) => id.clone(),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let object = format!("services/{id}");
        let kept = services::kept(&id, service.clone(), application)
            .map_err(|problem| problem.detail().to_owned())
            .map_err(self.failed(object.clone()))?;
        let document = serde_json::to_string(&kept).map_err(self.failed(object.clone()))?;
        let stored = StoredService {
            id,
            instance: self.app_instance_id.clone(),
            document,
        };
        store.put_service(&stored).map_err(self.failed(object))
    }

    fn subscription(&self, store: &Store, wire: &Value, origin: &str) -> Result<(), SeedError> {
        let text = |member: &str| wire.get(member).and_then(Value::as_str).unwrap_or_default();
        let (given, kind) = (text("subscriptionId"), text("subscriptionType").to_owned());
        let object = format!("subscriptions/{given}");
        let id: SubscriptionId = given.parse().map_err(self.failed(object.clone()))?;
        let callback: Callback = text("callbackReference")
            .parse()
            .map_err(self.failed(object.clone()))?;
        let mut body = wire.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("subscriptionId");
            members
                .entry("appInstanceId")
                .or_insert_with(|| json!(self.app_instance_id));
        }
        let href = |base: &str| {
            let instance = &self.app_instance_id;
            format!("{origin}{base}/applications/{instance}/subscriptions/{id}")
        };
        let links = |href: &str| {
            Some(SelfLinks {
                itself: LinkType {
                    href: href.to_owned(),
                },
            })
        };
        let (api, href, filter) = match kind.as_str() {
            "AppTerminationNotificationSubscription" => {
                let mut body: AppTerminationNotificationSubscription =
                    serde_json::from_value(body).map_err(self.failed(object.clone()))?;
                let href = href(app_support::BASE);
                body.links = links(&href);
                (app_support::BASE, href, serde_json::to_value(body))
            }
            "SerAvailabilityNotificationSubscription" => {
                let mut body: SerAvailabilityNotificationSubscription =
                    serde_json::from_value(body).map_err(self.failed(object.clone()))?;
                let href = href(service_management::BASE);
                body.links = links(&href);
                (service_management::BASE, href, serde_json::to_value(body))
            }
            other => {
                return Err(self.failed(object)(format!(
                    "{other:?} is no subscriptionType of MEC 011"
                )));
            }
        };
        let subscription = Subscription {
            id,
            api: api.to_owned(),
            kind,
            owner: Some(self.app_instance_id.clone()),
            trusted: true,
            callback: Some(callback),
            websocket: false,
            expires: None,
            filter: filter.map_err(self.failed(object.clone()))?,
            href,
            created: 0,
        };
        let document = serde_json::to_string(&subscription).map_err(self.failed(object.clone()))?;
        let stored = StoredSubscription {
            id: given.to_owned(),
            owner: Some(self.app_instance_id.clone()),
            document,
        };
        store.put_subscription(&stored).map_err(self.failed(object))
    }
}
