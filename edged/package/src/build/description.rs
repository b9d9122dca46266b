//! The short description that a developer writes, in TOML.

use std::collections::BTreeMap;

use edged_model::{
    AppName, Bytes, EnvName, MilliCpus, PublishedPort, RestartPolicy, ServiceName, TopicFilter,
};
use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::appd::{
    DnsRuleDescriptor, Extensions, FeatureDependency, Seconds, ServiceDependency,
    ServiceDescriptor, TrafficRuleDescriptor, probe, service_port,
};
use crate::error::PackageError;
use crate::yaml;

/// What a package is made from, beside the image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// `appDId`; NAME-VERSION where it is left out.
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) version: String,
    pub(super) descriptor_version: Option<String>,
    #[serde(rename = "description")]
    pub(super) about: String,
    pub(super) title: Option<String>,
    #[serde(default = "mec_versions")]
    pub(super) mec_versions: Vec<String>,
    /// RFC 3339; a fixed time where it is left out, so that the same input gives the same package.
    #[serde(default = "first_moment")]
    pub(super) released: String,
    #[serde(default)]
    pub(super) confirm_ready: bool,
    #[serde(default)]
    pub(super) egress: bool,
    #[serde(default)]
    pub(super) writable: bool,
    #[serde(default)]
    pub(super) restart: RestartPolicy,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(default, deserialize_with = "parsed_list")]
    pub(super) publish: Vec<PublishedPort>,
    #[serde(default)]
    pub(super) reach: Vec<AppName>,
    #[serde(default)]
    pub(super) env: BTreeMap<EnvName, String>,
    #[serde(default)]
    pub(super) resources: Resources,
    #[serde(default)]
    pub(super) probes: ProbeTexts,
    #[serde(default)]
    pub(super) mqtt: Mqtt,
    #[serde(default)]
    pub(super) services: Services,
    #[serde(default)]
    pub(super) features: Features,
    #[serde(default)]
    pub(super) traffic_rules: Vec<TrafficRuleDescriptor>,
    #[serde(default)]
    pub(super) dns_rules: Vec<DnsRuleDescriptor>,
    pub(super) stop_grace: Option<Seconds>,
    pub(super) max_latency_ns: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "parsed")]
    pub(super) cpus: Option<MilliCpus>,
    #[serde(deserialize_with = "parsed")]
    pub(super) memory: Option<Bytes>,
    #[serde(deserialize_with = "parsed")]
    pub(super) requested_cpus: Option<MilliCpus>,
    #[serde(deserialize_with = "parsed")]
    pub(super) requested_memory: Option<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProbeTexts {
    readiness: Option<String>,
    liveness: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mqtt {
    subscribe: Vec<TopicFilter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Services {
    pub(super) required: Vec<ServiceDependency>,
    pub(super) optional: Vec<ServiceDependency>,
    pub(super) produced: Vec<Produced>,
}

/// A produced service and, where the platform registers it, its port.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Produced {
    ser_name: String,
    version: String,
    port: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Features {
    pub(super) required: Vec<FeatureDependency>,
    pub(super) optional: Vec<FeatureDependency>,
}

fn mec_versions() -> Vec<String> {
    vec!["3.1.1".to_owned()]
}

fn first_moment() -> String {
    "1980-01-01T00:00:00Z".to_owned()
}

fn parsed<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom))
        .transpose()
}

fn parsed_list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    let texts: Vec<String> = Vec::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(de::Error::custom))
        .collect()
}

impl Description {
    /// Reads the description; `file` is its name for errors, which have the line and the field.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, PackageError> {
        let syntax = |error: toml::de::Error, path: Option<String>| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1);
            let path = path.filter(|path| path != ".");
            if let Some(name) = yaml::missing_field(error.message()) {
                // What is not there has no line.
                let place = path.map_or_else(|| name.to_owned(), |path| format!("{path}.{name}"));
                return PackageError::field_of(file, place, "this field is missing; add it");
            }
            let place = match (path, line) {
                (Some(path), Some(line)) => format!("{path} (line {line})"),
                (Some(path), None) => path,
                (None, Some(line)) => format!("line {line}"),
                (None, None) => "its beginning".to_owned(),
            };
            PackageError::field_of(
                file,
                place,
                format!("{}; correct the description", error.message()),
            )
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|error| syntax(error, None))?;
        let own: Self = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = error.path().to_string();
            syntax(error.into_inner(), Some(path))
        })?;
        own.check()
            .map_err(|(field, reason)| PackageError::field_of(file, field, reason))?;
        Ok(own)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for (field, value) in [
            ("id", self.id.as_deref()),
            ("name", Some(self.name.as_str())),
            ("provider", Some(self.provider.as_str())),
            ("version", Some(self.version.as_str())),
            ("descriptor_version", self.descriptor_version.as_deref()),
            ("description", Some(self.about.as_str())),
            ("title", self.title.as_deref()),
        ] {
            // Each is a line of the manifest.
            if value.is_some_and(|value| {
                value.trim() != value || value.is_empty() || value.contains(char::is_control)
            }) {
                return Err((
                    field.to_owned(),
                    "this is one line of text, not empty, without spaces around it; correct it"
                        .to_owned(),
                ));
            }
        }
        if OffsetDateTime::parse(&self.released, &Rfc3339).is_err() {
            return Err((
                "released".to_owned(),
                "this is no time of RFC 3339; write it as 2026-01-31T12:00:00Z".to_owned(),
            ));
        }
        let fault = |list: &str, at: usize, (field, reason): (&str, &str)| {
            (format!("{list}[{at}].{field}"), reason.to_owned())
        };
        for (at, rule) in self.traffic_rules.iter().enumerate() {
            rule.fault()
                .map_or(Ok(()), |found| Err(fault("traffic_rules", at, found)))?;
        }
        for (at, rule) in self.dns_rules.iter().enumerate() {
            rule.fault()
                .map_or(Ok(()), |found| Err(fault("dns_rules", at, found)))?;
        }
        self.extensions().map(|_| ())
    }

    /// `appDId`.
    pub(super) fn id(&self) -> String {
        self.id
            .clone()
            .unwrap_or_else(|| format!("{}-{}", self.name, self.version))
    }

    pub(super) fn descriptor_version(&self) -> &str {
        self.descriptor_version.as_deref().unwrap_or(&self.version)
    }

    pub(super) fn produced(&self) -> Vec<ServiceDescriptor> {
        self.services
            .produced
            .iter()
            .map(|service| ServiceDescriptor {
                ser_name: service.ser_name.clone(),
                ser_category: None,
                version: service.version.clone(),
                transports_supported: Vec::new(),
            })
            .collect()
    }

    /// The wishes that TOSCA has no word for.
    pub(super) fn extensions(&self) -> Result<Extensions, (String, String)> {
        let asked = |field: &str, text: &Option<String>| {
            text.as_deref()
                .map(|text| probe(text).map_err(|reason| (format!("probes.{field}"), reason)))
                .transpose()
        };
        let mut services = BTreeMap::new();
        for (at, service) in self.services.produced.iter().enumerate() {
            let Some(port) = &service.port else {
                continue;
            };
            let place = |field: &str| format!("services.produced[{at}].{field}");
            let name: ServiceName = service
                .ser_name
                .parse()
                .map_err(|error| (place("ser_name"), format!("{error}")))?;
            let port = service_port(port).map_err(|reason| (place("port"), reason))?;
            services.insert(name, port);
        }
        Ok(Extensions {
            confirm_ready: self.confirm_ready,
            mqtt_subscribe: self.mqtt.subscribe.clone(),
            publish: self.publish.clone(),
            egress: self.egress,
            reach: self.reach.clone(),
            writable: self.writable,
            restart: self.restart,
            env: self.env.clone(),
            args: self.args.clone(),
            entrypoint: self.entrypoint.clone(),
            readiness: asked("readiness", &self.probes.readiness)?,
            liveness: asked("liveness", &self.probes.liveness)?,
            services,
        })
    }
}
