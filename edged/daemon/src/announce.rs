//! What the world hears: names and services in the zone, states on the bus. A view of the reconciler's instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use edged_config::Addressing;
use edged_dns::{Directory, InstanceName, Records, ServiceRecord, Transport};
use edged_mec::RegisteredService;
use edged_model::{AppInstance, DnsRule, InstanceId, InstanceState, Protocol, ServiceName};
use edged_mqtt::{BrokerClient, EventTopic};
use serde::Serialize;

/// Seconds: a day, the longest time to live of a rule.
const TTL_LONGEST: u32 = 86_400;

/// The resolver's table and the bus.
#[derive(Debug)]
pub struct Announcer {
    directory: Directory,
    broker: BrokerClient,
    addressing: Addressing,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InstanceEvent<'a> {
    app_instance_id: &'a InstanceId,
    name: &'a str,
    #[serde(flatten)]
    state: &'a InstanceState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceEvent<'a> {
    ser_instance_id: &'a str,
    ser_name: &'a str,
    state: &'a str,
    app_instance_id: &'a InstanceId,
}

impl Announcer {
    /// An announcer for this table and bus.
    pub fn new(directory: Directory, broker: BrokerClient, addressing: Addressing) -> Self {
        Self {
            directory,
            broker,
            addressing,
        }
    }

    /// Publishes exactly these ready instances, their services, and who may have names of others forwarded.
    pub fn publish(
        &self,
        ready: &[&AppInstance],
        services: &[Arc<RegisteredService>],
        rules: &[&DnsRule],
        forward: &[&AppInstance],
    ) -> Result<(), String> {
        let mut records = Records::new();
        for instance in ready {
            let lease = self.addressing.lease(instance.lease);
            let addresses = BTreeSet::from([lease.v4.into(), lease.v6.into()]);
            records = records.instance(InstanceName {
                name: instance.spec.name.clone(),
                addresses,
            });
            let own = |host: &str| self.is_of(instance, host);
            for service in services_of(instance, services, own) {
                records = records.service(service);
            }
        }
        for rule in rules {
            match self.record(rule) {
                Ok(record) => records = records.rule(record),
                Err(error) => {
                    tracing::warn!(%error, rule = %rule.id, "a rule has no place in the resolver");
                }
            }
        }
        let addresses = forward.iter().flat_map(|instance| {
            let lease = self.addressing.lease(instance.lease);
            [lease.v4.into(), lease.v6.into()]
        });
        self.directory
            .publish(records.allow_forward(addresses))
            .map_err(|error| error.to_string())
    }

    /// Whether a host in a URI is an instance: by its name in the zone, or by its address.
    fn is_of(&self, instance: &AppInstance, host: &str) -> bool {
        let lease = self.addressing.lease(instance.lease);
        if let Ok(address) = host.parse::<IpAddr>() {
            return address == lease.v4 || address == lease.v6;
        }
        let zone = self.directory.zone().apex().to_string();
        let name = format!("{}.app.{zone}", instance.spec.name);
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        plain(host) == plain(&name)
    }

    /// Whether the resolver can answer a rule, and if not, why.
    pub fn check(&self, rule: &DnsRule) -> Result<(), String> {
        self.record(rule)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn record(&self, rule: &DnsRule) -> Result<edged_dns::Rule, edged_dns::RecordError> {
        // Without a time to live an answer never expires (MEC 011): the longest that the resolver gives.
        let ttl = rule.ttl.unwrap_or(TTL_LONGEST);
        edged_dns::Rule::new(
            self.directory.zone(),
            rule.domain.as_str(),
            rule.address,
            ttl,
        )
    }

    /// Tells a state on `events/instances/ID`, retained. The newest waits while the broker is away.
    pub fn tell(&self, instance: &AppInstance, state: &InstanceState) {
        let event = InstanceEvent {
            app_instance_id: &instance.id,
            name: instance.spec.name.as_str(),
            state,
        };
        let told =
            topic(&instance.id).and_then(|topic| self.broker.publish_event(&topic, &event, true));
        if let Err(error) = told {
            tracing::warn!(%error, "an event was not queued");
        }
    }

    /// Tells a registered service on `events/services/ID`, retained.
    pub fn tell_service(&self, service: &RegisteredService) {
        let event = ServiceEvent {
            ser_instance_id: &service.id,
            ser_name: service.name(),
            state: service.state().as_str(),
            app_instance_id: &service.instance,
        };
        let told = service_topic(&service.id)
            .and_then(|topic| self.broker.publish_event(&topic, &event, true));
        if let Err(error) = told {
            tracing::warn!(%error, "an event was not queued");
        }
    }

    /// Takes a service from the bus.
    pub fn clear_service(&self, id: &str) {
        if let Err(error) = service_topic(id).and_then(|topic| self.broker.clear(&topic)) {
            tracing::warn!(%error, "an event was not cleared");
        }
    }

    /// Takes an instance's state from the bus.
    pub fn clear(&self, id: &InstanceId) {
        if let Err(error) = topic(id).and_then(|topic| self.broker.clear(&topic)) {
            tracing::warn!(%error, "an event was not cleared");
        }
    }
}

fn topic(id: &InstanceId) -> Result<EventTopic, edged_mqtt::EventError> {
    format!("events/instances/{id}").parse()
}

/// Declared services, and registered ones whose name and port have a place in DNS-SD.
fn services_of(
    instance: &AppInstance,
    registered: &[Arc<RegisteredService>],
    is_own: impl Fn(&str) -> bool,
) -> Vec<ServiceRecord> {
    let mut services: BTreeMap<(ServiceName, bool), u16> = BTreeMap::new();
    for service in registered
        .iter()
        .filter(|service| service.instance == instance.id)
    {
        let name = service.name().to_ascii_lowercase().parse();
        if let (Ok(name), Some(port), true) = (name, service.port(&is_own), service.is_active()) {
            services.insert((name, true), port);
        }
    }
    for service in &instance.spec.services {
        services.insert(
            (service.name.clone(), service.protocol == Protocol::Tcp),
            service.port,
        );
    }
    let record = |((name, tcp), port)| {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        let record = ServiceRecord::new(
            name,
            instance.spec.name.clone(),
            port,
            transport,
            BTreeMap::new(),
        );
        record
            .inspect_err(|error| tracing::warn!(%error, "a service has no place in DNS-SD"))
            .ok()
    };
    services.into_iter().filter_map(record).collect()
}

fn service_topic(id: &str) -> Result<EventTopic, edged_mqtt::EventError> {
    format!("events/services/{id}").parse()
}
