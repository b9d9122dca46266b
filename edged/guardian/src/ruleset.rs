//! From a policy to the text of one nftables transaction. Pure.
//!
//! The table's chains stay and their rules are replaced, because the kernel switches rules between two packets but
//! unhooks a deleted chain a little after it has hooked its successor. Every set is written into its rule, so it goes
//! with it. A request is judged by the policy in force for every packet, not only for its first, and a reply is let
//! through only where the policy in force allows the request: an entry of the connection table that has outlived its
//! policy opens nothing, even to the next owner of an address.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{Display, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use edged_config::{Addressing, Config, NetworkError};
use edged_model::{Lease, Protocol, PublishedPort};
use edged_protocol::guardian::{AppPolicy, Policy};

use crate::opening::Opening;

/// Why a policy is not taken. The guardian does not rely on edged having checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Addresses that are not the place's.
    #[error(
        "lease {} is not a place of this network: {} and {} do not belong to it; give both processes the same configuration",
        .0.number.get(), .0.v4, .0.v6
    )]
    Lease(Lease),
    /// One place, two instances.
    #[error("lease {0} belongs to two instances; give one of them another place")]
    Twice(u16),
    /// An address to reach that is no application's.
    #[error("{0} is not an address of an application of this policy; leave it out of reach")]
    Reach(IpAddr),
    /// One port of the box, two applications.
    #[error("port {0} of the box is published twice; publish one of the two elsewhere")]
    Published(u16),
    /// Port 0 is no port.
    #[error("port 0 cannot be published; write 1 to 65535")]
    PortZero,
}

/// What every ruleset of this box has in common.
#[derive(Debug, Clone)]
pub struct Ruleset {
    addressing: Addressing,
    uplink: Option<String>,
    mqtt_port: u16,
    http_port: u16,
}

impl Ruleset {
    /// From the configuration.
    pub fn of(config: &Config) -> Result<Self, NetworkError> {
        Ok(Self {
            addressing: config.addressing()?,
            uplink: config.network.uplink.clone(),
            mqtt_port: config.mqtt.app_port,
            http_port: config.http.app_port,
        })
    }

    /// The address plan.
    pub fn addressing(&self) -> &Addressing {
        &self.addressing
    }

    /// The interface that leads outside.
    pub fn uplink(&self) -> Option<&str> {
        self.uplink.as_deref()
    }

    /// The comment by which the kernel remembers a policy: its fingerprint, and that of the rules around it, so that
    /// a guardian of another version or configuration does not take old rules for its own.
    pub fn mark(&self, policy: &Policy) -> String {
        let mut hasher = DefaultHasher::new();
        self.text(&Policy::default(), "").hash(&mut hasher);
        self.uplink.hash(&mut hasher);
        format!("policy {} {:016x}", policy.fingerprint(), hasher.finish())
    }

    /// The fingerprint in a comment of [`Ruleset::mark`], where the rules around it are today's.
    pub fn fingerprint_in<'a>(&self, mark: &'a str) -> Option<&'a str> {
        let own = self.mark(&Policy::default());
        let base = own.rsplit_once(' ')?.1;
        let (fingerprint, marked) = mark.strip_prefix("policy ")?.split_once(' ')?;
        (marked == base).then_some(fingerprint)
    }

    /// Whether a lease is what the address plan says.
    pub fn check_lease(&self, lease: Lease) -> Result<(), PolicyError> {
        let number = lease.number;
        if number.get() <= self.addressing.places() && self.addressing.lease(number) == lease {
            Ok(())
        } else {
            Err(PolicyError::Lease(lease))
        }
    }

    /// The transaction that puts a policy in force.
    pub fn compile(&self, policy: &Policy) -> Result<String, PolicyError> {
        let mut places = HashSet::new();
        let mut addresses = HashSet::new();
        let mut ports = HashSet::new();
        for app in &policy.apps {
            self.check_lease(app.lease)?;
            if !places.insert(app.lease.number) {
                return Err(PolicyError::Twice(app.lease.number.get()));
            }
            addresses.extend([IpAddr::V4(app.lease.v4), IpAddr::V6(app.lease.v6)]);
            for port in &app.publish {
                if port.host == 0 || port.container == 0 {
                    return Err(PolicyError::PortZero);
                }
                if !ports.insert((port.host, port.protocol)) {
                    return Err(PolicyError::Published(port.host));
                }
            }
        }
        let mut reached = policy.apps.iter().flat_map(|app| &app.reach);
        if let Some(stranger) = reached.find(|address| !addresses.contains(address)) {
            return Err(PolicyError::Reach(*stranger));
        }
        Ok(self.text(policy, &self.mark(policy)))
    }

    /// The transaction that remembers what was opened, and keeps it closed for others.
    pub fn openings(&self, openings: &BTreeSet<Opening>) -> String {
        let table = &self.addressing.prefix;
        let uplink = self.uplink().unwrap_or_default();
        let mut text = format!("flush chain inet {table} opened\n");
        for opening in openings {
            let packets = match opening {
                Opening::UplinkV4 => format!("iifname \"{uplink}\" meta nfproto ipv4"),
                Opening::UplinkV6 => format!("iifname \"{uplink}\" meta nfproto ipv6"),
                Opening::AllV6 => "meta nfproto ipv6".to_owned(),
            };
            line(
                &mut text,
                format_args!(
                    "add rule inet {table} opened {packets} counter drop comment \"{}\"",
                    opening.mark()
                ),
            );
        }
        text
    }

    /// The transaction that makes the table anew, for one that has other chains under our names.
    pub fn removal(&self) -> String {
        let table = &self.addressing.prefix;
        format!("table inet {table}\ndelete table inet {table}\n")
    }

    fn text(&self, policy: &Policy, mark: &str) -> String {
        let table = &self.addressing.prefix;
        let mut text = format!(
            "table inet {table} {{\n\
             chain source {{ type filter hook prerouting priority raw; policy accept; }}\n\
             chain input {{ type filter hook input priority filter; policy accept; }}\n\
             chain forward {{ type filter hook forward priority filter; policy accept; }}\n\
             chain publish {{ type nat hook prerouting priority dstnat; policy accept; }}\n\
             chain publish_here {{ type nat hook output priority -100; policy accept; }}\n\
             chain leave {{ type nat hook postrouting priority srcnat; policy accept; }}\n\
             chain gateway {{ }}\nchain apps {{ }}\nchain requests {{ }}\nchain replies {{ }}\n\
             chain opened {{ }}\nchain marks {{ }}\n}}\n"
        );
        // Everything but `opened`, which outlives policies.
        for chain in [
            "source",
            "input",
            "forward",
            "publish",
            "publish_here",
            "leave",
            "gateway",
            "apps",
            "requests",
            "replies",
            "marks",
        ] {
            line(&mut text, format_args!("flush chain inet {table} {chain}"));
        }
        let chains = [
            ("source", self.source(policy)),
            ("input", self.input()),
            ("forward", self.forward()),
            ("gateway", self.gateway()),
            ("apps", apps()),
            ("requests", self.requests(policy)),
            ("replies", self.replies(policy)),
            ("publish", self.publish(policy, true)),
            ("publish_here", self.publish(policy, false)),
            ("leave", self.leave(policy)),
            ("marks", vec![format!("return comment \"{mark}\"")]),
        ];
        line(&mut text, format_args!("table inet {table} {{"));
        for (name, rules) in chains {
            line(&mut text, format_args!("chain {name} {{"));
            for rule in rules {
                line(&mut text, format_args!("{rule}"));
            }
            text.push_str("}\n");
        }
        text.push_str("}\n");
        text
    }

    /// Every link of ours, whether a policy names it or not.
    fn links(&self) -> String {
        format!("\"{}v*\"", self.addressing.prefix)
    }

    /// Before connection tracking: who says to be somebody else does not even get an entry there.
    fn source(&self, policy: &Policy) -> Vec<String> {
        let link = |app: &AppPolicy| self.addressing.link(app.lease.number);
        let v4 = set(policy
            .apps
            .iter()
            .map(|app| format!("\"{}\" . {}", link(app), app.lease.v4)));
        let v6 = set(policy
            .apps
            .iter()
            .map(|app| format!("\"{}\" . {}", link(app), app.lease.v6)));
        let mut rules = vec![
            format!("iifname != {} return", self.links()),
            "ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
                .to_owned(),
            "ip6 saddr { ::, fe80::/10 } counter drop comment \"link-local\"".to_owned(),
            // route_localnet is on for published ports; from an application nothing goes to the loopback network.
            "ip daddr 127.0.0.0/8 counter drop comment \"loopback\"".to_owned(),
        ];
        rules.extend(v4.map(|set| format!("iifname . ip saddr {set} accept")));
        rules.extend(v6.map(|set| format!("iifname . ip6 saddr {set} accept")));
        rules.push("counter drop comment \"spoofed\"".to_owned());
        rules
    }

    fn input(&self) -> Vec<String> {
        vec![format!("iifname {} goto gateway", self.links())]
    }

    /// What an application may say to the box.
    fn gateway(&self) -> Vec<String> {
        let mut rules = vec![
            "ct direction reply ct state established,related accept".to_owned(),
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept".to_owned(),
        ];
        let ports: BTreeSet<u16> = [53, self.mqtt_port, self.http_port].into();
        let ports = set(ports).unwrap_or_default();
        for (family, gateway, echo) in [
            ("ip", IpAddr::V4(self.addressing.gateway4), "icmp"),
            ("ip6", IpAddr::V6(self.addressing.gateway6), "icmpv6"),
        ] {
            let to = format!("{family} daddr {gateway}");
            rules.push(format!("{to} udp dport 53 accept"));
            rules.push(format!("{to} tcp dport {ports} accept"));
            rules.push(format!("{to} {echo} type echo-request accept"));
        }
        rules.push("counter drop comment \"box\"".to_owned());
        rules
    }

    fn forward(&self) -> Vec<String> {
        let links = self.links();
        vec![
            format!("iifname {links} goto apps"),
            format!("oifname {links} goto apps"),
            "jump opened".to_owned(),
        ]
    }

    fn requests(&self, policy: &Policy) -> Vec<String> {
        let links = self.links();
        let mut rules = Vec::new();
        for (family, pairs) in pairs(policy) {
            rules.extend(pairs.map(|set| {
                format!(
                    "iifname {links} oifname {links} {family} saddr . {family} daddr {set} accept"
                )
            }));
        }
        if let Some(uplink) = self.uplink() {
            for (family, leaving) in leaving(policy) {
                rules.extend(leaving.map(|set| {
                    format!("iifname {links} oifname \"{uplink}\" {family} saddr {set} accept")
                }));
            }
        }
        for (family, ends) in ends(policy) {
            rules.extend(ends.map(|set| {
                format!(
                    "iifname != {links} ct status dnat {family} daddr . meta l4proto . th dport {set} accept"
                )
            }));
        }
        rules
    }

    fn replies(&self, policy: &Policy) -> Vec<String> {
        let links = self.links();
        let mut rules = Vec::new();
        for (family, pairs) in pairs(policy) {
            rules.extend(pairs.map(|set| {
                format!(
                    "iifname {links} oifname {links} {family} daddr . {family} saddr {set} accept"
                )
            }));
        }
        if let Some(uplink) = self.uplink() {
            for (family, leaving) in leaving(policy) {
                rules.extend(leaving.map(|set| {
                    format!("iifname \"{uplink}\" oifname {links} {family} daddr {set} accept")
                }));
            }
        }
        for (family, ends) in ends(policy) {
            rules.extend(ends.map(|set| {
                format!(
                    "oifname != {links} ct status dnat {family} saddr . meta l4proto . th sport {set} accept"
                )
            }));
        }
        rules
    }

    /// Ports of the box: for packets from `outside`, or for the box's own.
    fn publish(&self, policy: &Policy, outside: bool) -> Vec<String> {
        let mut rules = Vec::new();
        if outside {
            rules.push(format!("iifname {} return", self.links()));
        }
        // The gateway's ports are edged's, and nothing finds its way back to ::1 (there is no route_localnet for IPv6).
        let (gateway4, gateway6) = (self.addressing.gateway4, self.addressing.gateway6);
        let but4 = format!("ip daddr != {gateway4}");
        let but6 = format!("ip6 daddr != {{ ::1, {gateway6} }}");
        for (protocol, word) in PROTOCOLS {
            for (family, but) in [("ip", &but4), ("ip6", &but6)] {
                let ports = set(published(policy, protocol).map(|(app, port)| {
                    let address = address(app.lease, family);
                    format!("{} : {address} . {}", port.host, port.container)
                }));
                rules.extend(ports.map(|map| {
                    format!("{but} fib daddr type local dnat {family} to {word} dport map {map}")
                }));
            }
        }
        rules
    }

    fn leave(&self, policy: &Policy) -> Vec<String> {
        // 127.0.0.1:PORT of the box: the answer has to find the way back.
        let mut rules = vec![format!(
            "oifname {} ip saddr 127.0.0.0/8 snat ip to {}",
            self.links(),
            self.addressing.gateway4
        )];
        if let Some(uplink) = self.uplink() {
            for (family, leaving) in leaving(policy) {
                rules
                    .extend(leaving.map(|set| {
                        format!("oifname \"{uplink}\" {family} saddr {set} masquerade")
                    }));
            }
        }
        rules
    }
}

const PROTOCOLS: [(Protocol, &str); 2] = [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp")];

/// Everything that a link of ours has an end of: its request, its reply, or its end.
fn apps() -> Vec<String> {
    vec![
        "ct direction original jump requests".to_owned(),
        "ct direction reply ct state established,related jump replies".to_owned(),
        "counter drop comment \"denied\"".to_owned(),
    ]
}

/// Who may open connections to whom.
fn pairs(policy: &Policy) -> [(&'static str, Option<String>); 2] {
    let reach = |v4: bool| {
        set(policy.apps.iter().flat_map(move |app| {
            let targets = app.reach.iter().filter(move |to| to.is_ipv4() == v4);
            let from = address(app.lease, if v4 { "ip" } else { "ip6" });
            targets.map(move |to| format!("{from} . {to}"))
        }))
    };
    [("ip", reach(true)), ("ip6", reach(false))]
}

/// Who may leave the box.
fn leaving(policy: &Policy) -> [(&'static str, Option<String>); 2] {
    ["ip", "ip6"].map(|family| {
        let apps = policy.apps.iter().filter(|app| app.egress);
        (family, set(apps.map(|app| address(app.lease, family))))
    })
}

/// Where published ports lead.
fn ends(policy: &Policy) -> [(&'static str, Option<String>); 2] {
    ["ip", "ip6"].map(|family| {
        let ends = PROTOCOLS.iter().flat_map(|(protocol, word)| {
            published(policy, *protocol).map(move |(app, port)| {
                format!(
                    "{} . {word} . {}",
                    address(app.lease, family),
                    port.container
                )
            })
        });
        (family, set(ends.collect::<BTreeSet<_>>()))
    })
}

fn published(
    policy: &Policy,
    protocol: Protocol,
) -> impl Iterator<Item = (&AppPolicy, &PublishedPort)> {
    policy.apps.iter().flat_map(move |app| {
        let ports = app
            .publish
            .iter()
            .filter(move |port| port.protocol == protocol);
        ports.map(move |port| (app, port))
    })
}

fn address(lease: Lease, family: &str) -> IpAddr {
    if family == "ip" {
        IpAddr::V4(lease.v4)
    } else {
        IpAddr::V6(lease.v6)
    }
}

/// `{ a, b }`; `None` where there is nothing, which nft does not take for a set.
fn set<T: Display>(elements: impl IntoIterator<Item = T>) -> Option<String> {
    let elements: Vec<String> = elements.into_iter().map(|e| e.to_string()).collect();
    (!elements.is_empty()).then(|| format!("{{ {} }}", elements.join(", ")))
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{arguments}");
}
