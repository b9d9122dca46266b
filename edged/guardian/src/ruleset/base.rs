//! The chains that stand between applications, the box and the outside: default deny.

use std::collections::BTreeSet;
use std::net::IpAddr;

use edged_model::{Lease, Protocol, PublishedPort};
use edged_protocol::guardian::{AppPolicy, Policy};

use super::Ruleset;
use super::course::Kind;
use super::words::{Family, set};

impl Ruleset {
    /// The chains and their rules, beside those of traffic rules.
    pub(super) fn chains(&self, policy: &Policy) -> Vec<(&'static str, Vec<String>)> {
        let led = !policy.rules.is_empty();
        vec![
            ("source", self.source(policy)),
            ("input", self.input(led)),
            ("forward", self.forward(led)),
            ("gateway", self.gateway()),
            ("apps", apps()),
            ("requests", self.requests(policy)),
            ("replies", self.replies(policy)),
            ("lead", lead(led)),
            ("publish", self.publish(policy, true)),
            ("readdress", self.readdress(led)),
            ("publish_here", self.publish(policy, false)),
            ("leave", self.leave(policy)),
        ]
    }

    /// Every link of ours, whether a policy names it or not.
    pub(super) fn links(&self) -> String {
        format!("\"{}v*\"", self.addressing.prefix)
    }

    /// Every tunnel of our making.
    fn tunnels(&self) -> String {
        format!("\"{}t*\"", self.addressing.prefix)
    }

    /// Before connection tracking: who says to be somebody else does not even get an entry there.
    fn source(&self, policy: &Policy) -> Vec<String> {
        let link = |app: &AppPolicy| self.addressing.link(app.lease.number);
        let apps4 = set(policy
            .apps
            .iter()
            .map(|app| format!("\"{}\" . {}", link(app), app.lease.v4)));
        let apps6 = set(policy
            .apps
            .iter()
            .map(|app| format!("\"{}\" . {}", link(app), app.lease.v6)));
        let tunnels = self.tunnels();
        let ((v4, length4), (v6, length6)) = (self.addressing.subnet4, self.addressing.subnet6);
        let mut rules = vec![
            // Whoever is at the other end of a tunnel is no application.
            format!("iifname {tunnels} ip saddr {v4}/{length4} counter drop comment \"spoofed in a tunnel\""),
            format!("iifname {tunnels} ip6 saddr {v6}/{length6} counter drop comment \"spoofed in a tunnel\""),
            format!("iifname != {} return", self.links()),
            "ip6 saddr { ::, fe80::/10 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
                .to_owned(),
            "ip6 saddr { ::, fe80::/10 } counter drop comment \"link-local\"".to_owned(),
            // route_localnet is on for published ports; from an application nothing goes to the loopback network.
            "ip daddr 127.0.0.0/8 counter drop comment \"loopback\"".to_owned(),
        ];
        rules.extend(apps4.map(|set| format!("iifname . ip saddr {set} accept")));
        rules.extend(apps6.map(|set| format!("iifname . ip6 saddr {set} accept")));
        rules.push("counter drop comment \"spoofed\"".to_owned());
        rules
    }

    fn input(&self, led: bool) -> Vec<String> {
        let all = self.marks.all();
        let none =
            format!("meta mark {all} counter drop comment \"a rule leads nowhere on the box\"");
        let mut rules = Vec::from_iter(led.then_some(none));
        let tunnels = self.tunnels();
        rules.push(format!("iifname {tunnels} counter drop comment \"tunnel\""));
        rules.push(format!("iifname {} goto gateway", self.links()));
        rules
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

    fn forward(&self, led: bool) -> Vec<String> {
        let links = self.links();
        let mut rules = Vec::new();
        if led {
            for family in Family::ALL {
                let (word, digit) = (family.word(), family.digit());
                rules.push(format!("meta mark . {word} daddr @led{digit} accept"));
                rules.push(format!("meta mark . {word} saddr @answer{digit} accept"));
            }
            rules.push("meta mark . oifname @routed accept".to_owned());
            rules.push("meta mark . iifname @routed_answer accept".to_owned());
            // A connection that began before the rule, or a route that is not there: not where the rule says.
            rules.push(format!(
                "meta mark {} counter drop comment \"led astray\"",
                self.marks.all()
            ));
        }
        rules.extend([
            format!("iifname {} counter drop comment \"tunnel\"", self.tunnels()),
            format!("iifname {links} goto apps"),
            format!("oifname {links} goto apps"),
            "jump opened".to_owned(),
        ]);
        rules
    }

    /// Where single packets of traffic rules go.
    fn readdress(&self, led: bool) -> Vec<String> {
        if !led {
            return Vec::new();
        }
        let packets = self.marks.kind(Kind::Packet);
        Family::ALL
            .map(|family| {
                let (word, digit) = (family.word(), family.digit());
                format!("meta mark {packets} {word} daddr set meta mark map @readdress{digit}")
            })
            .into()
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
            if !policy.rules.is_empty() {
                rules.push(format!("meta mark {} return", self.marks.all()));
            }
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

    /// Packets from outside for ports that are published, which traffic rules are about.
    pub(super) fn published(&self, policy: &Policy) -> Vec<String> {
        let ports: Vec<String> = PROTOCOLS
            .iter()
            .flat_map(|(protocol, word)| {
                published(policy, *protocol).map(move |(_, port)| format!("{word} . {}", port.host))
            })
            .collect();
        let Some(ports) = set(ports) else {
            return Vec::new();
        };
        let but = [
            format!("ip daddr != {}", self.addressing.gateway4),
            format!("ip6 daddr != {}", self.addressing.gateway6),
        ];
        but.map(|but| format!("{but} meta l4proto . th dport {ports} goto decide"))
            .into()
    }

    fn leave(&self, policy: &Policy) -> Vec<String> {
        // 127.0.0.1:PORT of the box: the answer has to find the way back.
        let mut rules = vec![format!(
            "oifname {} ip saddr 127.0.0.0/8 snat ip to {}",
            self.links(),
            self.addressing.gateway4
        )];
        if !policy.rules.is_empty() {
            // The answer to a flow that a rule leads outside has to come by here.
            let flows = self.marks.kind(Kind::Flow);
            rules.push(format!(
                "oifname != {} meta mark {flows} ct status dnat masquerade",
                self.links()
            ));
        }
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

/// Where flows of traffic rules go: before ports are published, because the first translation is the only one.
fn lead(led: bool) -> Vec<String> {
    let families = Family::ALL.into_iter().filter(|_| led);
    families
        .map(|family| {
            let (word, digit) = (family.word(), family.digit());
            format!("dnat {word} to meta mark map @lead{digit}")
        })
        .collect()
}

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
