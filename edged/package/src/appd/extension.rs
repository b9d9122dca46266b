//! What our applications need and TOSCA has no word for: `metadata:` of the application's node, names `umec.*`.

use std::collections::BTreeMap;

use edged_model::{
    AppName, EnvName, Probe, ProbeKind, Protocol, PublishedPort, RestartPolicy, ServiceName,
    TopicFilter,
};
use serde::{Deserialize, Serialize};

use crate::error::PackageError;
use crate::yaml::Node;

const PREFIX: &str = "umec.";
/// Time between two questions of a probe, milliseconds, as docker's HEALTHCHECK interval divided by three: a readiness
/// that comes after half a minute is felt.
const PROBE_INTERVAL_MS: u32 = 10_000;
/// One answer's time, milliseconds.
const PROBE_TIMEOUT_MS: u32 = 2_000;
/// Failures in a row that make the verdict.
const PROBE_FAILURES: u32 = 3;

/// The application's wishes beyond MEC 010-2; the crate's documentation lists the names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extensions {
    /// It is ready only when it says so by `confirm_ready` of MEC 011.
    pub confirm_ready: bool,
    /// What it may hear on the bus.
    pub mqtt_subscribe: Vec<TopicFilter>,
    /// Ports of the box that lead to it.
    pub publish: Vec<PublishedPort>,
    /// Whether it may leave the box.
    pub egress: bool,
    /// Applications that it may open connections to.
    pub reach: Vec<AppName>,
    /// Whether its root file system takes writes.
    pub writable: bool,
    /// What happens when it ends.
    pub restart: RestartPolicy,
    /// Added to the image's environment.
    pub env: BTreeMap<EnvName, String>,
    /// Replaces the image's command.
    pub args: Vec<String>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Decides about the name and the registry entry.
    pub readiness: Option<Probe>,
    /// Decides about a restart.
    pub liveness: Option<Probe>,
    /// The ports of produced services: these are registered by the platform itself.
    pub services: BTreeMap<ServiceName, ServicePort>,
}

/// Where a produced service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// In the container.
    pub port: u16,
    /// Which protocol.
    pub protocol: Protocol,
}

impl Extensions {
    /// Reads the `umec.*` names of a node's metadata; other names are the writer's own business.
    pub(crate) fn read(metadata: &Node<'_>) -> Result<Self, PackageError> {
        let mut own = Self::default();
        for (key, node) in metadata.members()? {
            let text = node.text()?;
            if let Some(name) = key.strip_prefix(PREFIX) {
                own.set(name, text).map_err(|reason| node.error(reason))?;
            }
        }
        Ok(own)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        if let Some(variable) = name.strip_prefix("env.") {
            let variable = variable.parse().map_err(|error| format!("{error}"))?;
            self.env.insert(variable, text.to_owned());
            return Ok(());
        }
        if let Some(service) = name.strip_prefix("service.") {
            let service = service.parse().map_err(|error| format!("{error}"))?;
            self.services.insert(service, service_port(text)?);
            return Ok(());
        }
        match name {
            "confirm_ready" => self.confirm_ready = yes_or_no(text)?,
            "egress" => self.egress = yes_or_no(text)?,
            "writable" => self.writable = yes_or_no(text)?,
            "mqtt_subscribe" => self.mqtt_subscribe = list(text)?,
            "publish" => self.publish = list(text)?,
            "reach" => self.reach = list(text)?,
            "restart" => {
                self.restart = match text {
                    "always" => RestartPolicy::Always,
                    "on-failure" => RestartPolicy::OnFailure,
                    "never" => RestartPolicy::Never,
                    _ => return Err("write always, on-failure or never".to_owned()),
                }
            }
            "args" => self.args = command(text)?,
            "entrypoint" => self.entrypoint = Some(command(text)?),
            "readiness" => self.readiness = Some(probe(text)?),
            "liveness" => self.liveness = Some(probe(text)?),
            _ => {
                return Err(
                    "this name of umec is not known; the documentation of packages lists those that are".to_owned(),
                );
            }
        }
        Ok(())
    }

    /// The same wishes as metadata; reading it gives these wishes again.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut put = |name: &str, text: String| {
            if !text.is_empty() {
                all.insert(format!("{PREFIX}{name}"), text);
            }
        };
        let yes = |wish: bool| {
            if wish {
                "true".to_owned()
            } else {
                String::new()
            }
        };
        put("confirm_ready", yes(self.confirm_ready));
        put("egress", yes(self.egress));
        put("writable", yes(self.writable));
        put(
            "mqtt_subscribe",
            joined(self.mqtt_subscribe.iter().map(TopicFilter::as_str)),
        );
        put(
            "publish",
            joined(self.publish.iter().copied().map(published)),
        );
        put("reach", joined(self.reach.iter().map(AppName::as_str)));
        put(
            "restart",
            match self.restart {
                RestartPolicy::Always => String::new(),
                RestartPolicy::OnFailure => "on-failure".to_owned(),
                RestartPolicy::Never => "never".to_owned(),
            },
        );
        let command = |words: &[String]| serde_json::Value::from(words).to_string();
        if !self.args.is_empty() {
            put("args", command(&self.args));
        }
        if let Some(words) = &self.entrypoint {
            put("entrypoint", command(words));
        }
        put(
            "readiness",
            self.readiness.as_ref().map(probe_text).unwrap_or_default(),
        );
        put(
            "liveness",
            self.liveness.as_ref().map(probe_text).unwrap_or_default(),
        );
        for (name, at) in &self.services {
            put(
                &format!("service.{name}"),
                format!("{}/{}", at.port, protocol_text(at.protocol)),
            );
        }
        for (name, value) in &self.env {
            // An empty variable is not an absent one.
            all.insert(format!("{PREFIX}env.{}", name.as_str()), value.clone());
        }
        all
    }
}

fn joined<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.as_ref().to_owned()).collect();
    items.join(",")
}

fn protocol_text(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn published(port: PublishedPort) -> String {
    format!(
        "{}:{}/{}",
        port.host,
        port.container,
        protocol_text(port.protocol)
    )
}

fn probe_text(probe: &Probe) -> String {
    let what = match &probe.kind {
        ProbeKind::Http { port, path } => format!("http:{port}{path}"),
        ProbeKind::Tcp { port } => format!("tcp:{port}"),
        ProbeKind::Exec { command } => {
            format!("exec:{}", serde_json::Value::from(command.as_slice()))
        }
    };
    format!(
        "interval_ms={},timeout_ms={},failures={} {what}",
        probe.interval_ms, probe.timeout_ms, probe.failures
    )
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("write \"true\" or \"false\"".to_owned()),
    }
}

fn list<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String>
where
    T::Err: std::fmt::Display,
{
    text.split(',')
        .map(|item| item.trim().parse().map_err(|error| format!("{error}")))
        .collect()
}

fn command(text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|_| {
        "write the words as a JSON list in one text, as in '[\"--port\", \"80\"]'".to_owned()
    })
}

pub(crate) fn service_port(text: &str) -> Result<ServicePort, String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    };
    match (port_number(port), protocol) {
        (Some(port), Some(protocol)) => Ok(ServicePort { port, protocol }),
        _ => Err("write PORT or PORT/udp, 1 to 65535".to_owned()),
    }
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// `[interval_ms=N,timeout_ms=N,failures=N ]KIND`.
pub(crate) fn probe(text: &str) -> Result<Probe, String> {
    let rule = || {
        "write http:PORT/PATH, tcp:PORT or exec:[\"PROGRAM\"], before it perhaps \
         interval_ms=10000,timeout_ms=2000,failures=3 and a space"
            .to_owned()
    };
    let (pace, what) = match text.split_once(' ') {
        Some((pace, what)) if pace.contains('=') => (pace, what),
        _ => ("", text),
    };
    let mut probe = Probe {
        kind: probe_kind(what.trim()).ok_or_else(rule)?,
        interval_ms: PROBE_INTERVAL_MS,
        timeout_ms: PROBE_TIMEOUT_MS,
        failures: PROBE_FAILURES,
    };
    for setting in pace.split(',').filter(|setting| !setting.is_empty()) {
        let (name, number) = setting.split_once('=').ok_or_else(rule)?;
        let number: u32 = number
            .parse()
            .ok()
            .filter(|number| *number != 0)
            .ok_or_else(rule)?;
        match name {
            "interval_ms" => probe.interval_ms = number,
            "timeout_ms" => probe.timeout_ms = number,
            "failures" => probe.failures = number,
            _ => return Err(rule()),
        }
    }
    Ok(probe)
}

fn probe_kind(text: &str) -> Option<ProbeKind> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "http" => {
            let slash = rest.find('/').unwrap_or(rest.len());
            let (port, path) = rest.split_at_checked(slash)?;
            let path = if path.is_empty() { "/" } else { path };
            // A probe's path goes into a request line as it is.
            let sane = path.bytes().all(|b| b.is_ascii_graphic());
            sane.then_some(ProbeKind::Http {
                port: port_number(port)?,
                path: path.to_owned(),
            })
        }
        "tcp" => Some(ProbeKind::Tcp {
            port: port_number(rest)?,
        }),
        "exec" => Some(ProbeKind::Exec {
            command: command(rest).ok().filter(|words| !words.is_empty())?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(metadata: &serde_json::Value) -> Result<Extensions, PackageError> {
        Extensions::read(&Node::root("a.yaml", metadata))
    }

    #[test]
    fn wishes_survive_their_metadata() {
        let given = serde_json::json!({
            "umec.confirm_ready": "true", "umec.egress": "true", "umec.mqtt_subscribe": "sensors/#, a/+",
            "umec.publish": "8080:80,5353:53/udp", "umec.env.A": "", "umec.env.B": "x y", "umec.reach": "db",
            "umec.args": "[\"--port\", \"80\"]", "umec.readiness": "http:80/healthz", "umec.restart": "never",
            "umec.liveness": "interval_ms=500,failures=9 exec:[\"true\"]", "umec.service.page": "80", "other": "kept",
        });
        let own = read(&given).unwrap();
        assert_eq!(own.publish[1].protocol, Protocol::Udp);
        assert_eq!(own.liveness.as_ref().unwrap().failures, 9);
        let again = serde_json::to_value(own.metadata()).unwrap();
        assert_eq!(read(&again).unwrap(), own);
    }

    #[test]
    fn a_wish_that_makes_no_sense_is_told_with_its_place() {
        for (name, text) in [
            ("umec.confirm_ready", "yes"),
            ("umec.mqtt_subscribe", "a#"),
            ("umec.publish", "80"),
            ("umec.env.MEC_HOST", "x"),
            ("umec.args", "--port 80"),
            ("umec.readiness", "http:0/"),
            ("umec.readiness", "http:80/ x"),
            ("umec.liveness", "failures=0 tcp:80"),
            ("umec.service.page", "80/sctp"),
            ("umec.servce", "x"),
        ] {
            let error = read(&serde_json::json!({ name: text })).unwrap_err();
            assert_eq!(error.field(), Some(format!("/{name}").as_str()), "{text:?}");
        }
    }
}
