//! Why the network that a specification asks for cannot be given.

use std::collections::{BTreeMap, BTreeSet};

use edged_config::Config;
use edged_model::{AppInstance, AppName, AppSpec, Goal, Protocol};

/// One reason, one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetProblem {
    /// Twice in the same specification.
    #[error("port {host}/{} of the box is published twice; publish it once", word(*.protocol))]
    Twice {
        /// Which port.
        host: u16,
        /// Which protocol.
        protocol: Protocol,
    },
    /// Another application has it.
    #[error("port {host}/{} of the box leads to application {owner} already; publish another port", word(*.protocol))]
    Taken {
        /// Which port.
        host: u16,
        /// Which protocol.
        protocol: Protocol,
        /// Whose it is.
        owner: AppName,
    },
    /// The box needs it.
    #[error("port {host}/{} of the box belongs to {service}; publish another port", word(*.protocol))]
    Reserved {
        /// Which port.
        host: u16,
        /// Which protocol.
        protocol: Protocol,
        /// What answers there.
        service: &'static str,
    },
    /// Port 0.
    #[error("port 0 cannot be published; write 1 to 65535")]
    Zero,
    /// There is no way outside.
    #[error(
        "application {0} asks for egress and this box has no uplink; set network.uplink in its configuration or ask without egress"
    )]
    NoUplink(AppName),
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// Everything that is wrong with the network of a specification, beside instances that exist; empty: it can be given.
/// An instance of the same name is what the specification replaces, so it is in nobody's way.
pub fn validate<'a>(
    spec: &AppSpec,
    others: impl IntoIterator<Item = &'a AppInstance>,
    config: &Config,
) -> Vec<NetProblem> {
    let reserved = reserved(config);
    let taken: BTreeMap<(u16, Protocol), &AppName> = others
        .into_iter()
        .filter(|other| other.goal != Goal::Removed && other.spec.name != spec.name)
        .flat_map(|other| {
            let ports = other.spec.network.publish.iter();
            ports.map(|port| ((port.host, port.protocol), &other.spec.name))
        })
        .collect();
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for port in &spec.network.publish {
        let (host, protocol) = (port.host, port.protocol);
        if host == 0 || port.container == 0 {
            problems.push(NetProblem::Zero);
        } else if !seen.insert((host, protocol)) {
            problems.push(NetProblem::Twice { host, protocol });
        } else if let Some(service) = reserved.get(&(host, protocol)) {
            problems.push(NetProblem::Reserved {
                host,
                protocol,
                service,
            });
        } else if let Some(owner) = taken.get(&(host, protocol)) {
            problems.push(NetProblem::Taken {
                host,
                protocol,
                owner: (*owner).clone(),
            });
        }
    }
    if spec.network.egress && config.network.uplink.is_none() {
        problems.push(NetProblem::NoUplink(spec.name.clone()));
    }
    problems
}

/// Ports of the box that lead to edged, the broker or a person's way in. What listens on the gateway's address alone
/// is not among them: published ports leave that address out.
fn reserved(config: &Config) -> BTreeMap<(u16, Protocol), &'static str> {
    let tcp = |port| (port, Protocol::Tcp);
    let mut reserved = BTreeMap::from([
        (tcp(22), "the door (SSH)"),
        (tcp(53), "the resolver"),
        ((53, Protocol::Udp), "the resolver"),
        (tcp(config.mqtt.port), "the broker"),
    ]);
    let ports = |listen: &[std::net::SocketAddr]| -> Vec<u16> {
        listen.iter().map(std::net::SocketAddr::port).collect()
    };
    for port in ports(&config.ssh.listen) {
        reserved.insert(tcp(port), "the door (SSH)");
    }
    for port in ports(&config.dns.listen) {
        reserved.insert(tcp(port), "the resolver");
        reserved.insert((port, Protocol::Udp), "the resolver");
    }
    for port in [ports(&config.http.listen), ports(&config.http.plain)].concat() {
        reserved.insert(tcp(port), "the HTTP interfaces");
    }
    reserved
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config(more: &str) -> Config {
        let text = format!("version = 1\n[node]\nstate = \"/s\"\nrun = \"/r\"\n{more}");
        toml::from_str(&text).unwrap()
    }

    /// An instance whose specification has this `network`, as JSON.
    pub(crate) fn instance(name: &str, lease: u16, network: &str) -> AppInstance {
        let digest = format!("sha256:{}", "0".repeat(64));
        let text = format!(
            r#"{{"id":"i{lease}","spec":{{"name":"{name}","image":"localhost:5000/{name}:1","network":{network}}},
                "image":{{"manifest":"{digest}","layers":[]}},"goal":"running","lease":{lease},"created":0}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const WEB: &str = r#"{"publish":[{"host":8080,"container":80,"protocol":"tcp"}]}"#;

    fn problems(network: &str, others: &[AppInstance], more: &str) -> Vec<String> {
        let spec = instance("page", 9, network).spec;
        let problems = validate(&spec, others, &config(more));
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_port_is_one_applications_until_that_is_removed() {
        let mut other = instance("shop", 2, WEB);
        assert_eq!(
            problems(WEB, std::slice::from_ref(&other), ""),
            ["port 8080/tcp of the box leads to application shop already; publish another port"]
        );
        let udp = WEB.replace("tcp", "udp");
        assert!(problems(&udp, std::slice::from_ref(&other), "").is_empty());
        other.goal = Goal::Stopped;
        assert_eq!(problems(WEB, std::slice::from_ref(&other), "").len(), 1);
        other.goal = Goal::Removed;
        assert!(problems(WEB, std::slice::from_ref(&other), "").is_empty());
        assert!(problems(WEB, &[instance("page", 2, WEB)], "").is_empty());
    }

    #[test]
    fn ports_of_the_box_itself_are_reserved() {
        for (port, protocol, service) in [
            (22, "tcp", "the door (SSH)"),
            (2222, "tcp", "the door (SSH)"),
            (53, "udp", "the resolver"),
            (1883, "tcp", "the broker"),
            (8443, "tcp", "the HTTP interfaces"),
        ] {
            let network = format!(
                r#"{{"publish":[{{"host":{port},"container":80,"protocol":"{protocol}"}}]}}"#
            );
            let more = "[ssh]\nlisten = [\"0.0.0.0:2222\"]\n[http]\nlisten = [\"0.0.0.0:8443\"]\n";
            assert_eq!(
                problems(&network, &[], more),
                [format!(
                    "port {port}/{protocol} of the box belongs to {service}; publish another port"
                )]
            );
        }
        let gateways = WEB.replace("8080", "80");
        assert!(problems(&gateways, &[], "").is_empty());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let network = r#"{"egress":true,"publish":[
            {"host":8080,"container":80,"protocol":"tcp"},
            {"host":8080,"container":81,"protocol":"tcp"},
            {"host":0,"container":81,"protocol":"tcp"}]}"#;
        let told = problems(network, &[], "");
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("twice") && told[1].contains("port 0"));
        assert!(told[2].contains("no uplink"), "{told:?}");
        let uplink = "[network]\nuplink = \"eth0\"\n";
        assert_eq!(problems(network, &[], uplink).len(), 2);
    }
}
