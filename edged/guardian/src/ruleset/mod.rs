//! From a policy to the text of one nftables transaction. Pure.
//!
//! The table's chains stay and their rules are replaced, because the kernel switches rules between two packets but
//! unhooks a deleted chain a little after it has hooked its successor. Every set is written into its rule, so it goes
//! with it. A request is judged by the policy in force for every packet, not only for its first, and a reply is let
//! through only where the policy in force allows the request: an entry of the connection table that has outlived its
//! policy opens nothing, even to the next owner of an address.
//!
//! Traffic rules are the one part that may be long: of them only what changes is written ([`traffic`]).

mod base;
pub mod course;
mod filter;
pub mod traffic;
mod tunnelled;
mod words;

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use edged_config::{Addressing, Config, NetworkError};
use edged_model::Lease;
use edged_net::Infeasible;
use edged_protocol::guardian::{Abilities, OwnedRule, Policy};

use crate::opening::Opening;
use course::{Course, Courses, Marks, Way};
use traffic::Traffic;
use words::{Family, line};

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
    /// A traffic rule that this kernel does not have the means for.
    #[error(transparent)]
    Rule(#[from] Infeasible),
}

/// What a transaction has put in the kernel.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The chains that are there whatever the policy is, and their rules.
    chains: Vec<(&'static str, Vec<String>)>,
    /// Traffic rules.
    pub traffic: Traffic,
}

/// What the kernel has, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct There {
    /// What this process has loaded; `None`: somebody else has, or something was changed since.
    pub written: Option<Written>,
    /// Courses that have numbers, where `written` does not say so.
    pub courses: Courses,
    /// Chains of rules that may be there.
    pub chains: BTreeSet<String>,
    /// Numbers of courses that routes are there for.
    pub taken: BTreeSet<u16>,
}

/// A policy in the kernel's words.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The transaction.
    pub text: String,
    /// What the kernel has after it.
    pub written: Written,
}

/// How the comment of a policy ends that has more than rules: bandwidth, or ways of traffic rules.
pub const MORE: &str = " and more";

/// A policy whose text shows how traffic rules are written.
const SAMPLE: &str = r#"{"apps":[],"rules":[{"owner":"o","rule":{"id":"r","filterType":"flow","priority":0,
    "filters":[{"destination":["192.0.2.1"],"destinationPort":["1"],"dscp":1}],
    "action":{"duplicate-encapsulated":[{"ip":"192.0.2.2"},{"ip":"192.0.2.3"}]},"active":true}}]}"#;

/// What every ruleset of this box has in common.
#[derive(Debug, Clone)]
pub struct Ruleset {
    addressing: Addressing,
    uplink: Option<String>,
    mqtt_port: u16,
    http_port: u16,
    marks: Marks,
    abilities: Abilities,
    /// See [`Ruleset::base`].
    base: u64,
}

impl Ruleset {
    /// From the configuration.
    pub fn of(config: &Config) -> Result<Self, NetworkError> {
        let addressing = config.addressing()?;
        let abilities = Abilities {
            neighbour: config.network.uplink.is_some(),
            ..Abilities::default()
        };
        let ruleset = Self {
            base: 0,
            marks: Marks::of(&addressing.prefix),
            abilities,
            addressing,
            uplink: config.network.uplink.clone(),
            mqtt_port: config.mqtt.app_port,
            http_port: config.http.app_port,
        };
        Ok(ruleset.based())
    }

    fn based(self) -> Self {
        let base = self.base();
        Self { base, ..self }
    }

    /// The same for a kernel that can this.
    #[must_use]
    pub fn able(self, abilities: Abilities) -> Self {
        Self { abilities, ..self }.based()
    }

    /// What the kernel can.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// The marks of its packets.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// The link that a way leads by; `None`: it leads by the routes that everybody uses.
    pub fn link_of(&self, way: &Way) -> Option<String> {
        match way {
            Way::Address(_) => None,
            Way::Neighbour(_) => self.uplink.clone(),
            Way::Tunnel(ends) => Some(self.tunnel(ends)),
        }
    }

    /// The name of the link of a tunnel: from what it connects (FNV-1a), so that it is found again.
    pub fn tunnel(&self, ends: &edged_model::TunnelEnds) -> String {
        let text = format!("{} {}", ends.source, ends.destination);
        let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        // With the longest prefix this is as long as the kernel takes.
        format!("{}t{:06x}", self.addressing.prefix, hash & 0x00ff_ffff)
    }

    /// Whether a link of this name is one of the tunnels of our making.
    pub fn is_tunnel(&self, name: &str) -> bool {
        let hex = name
            .strip_prefix(&self.addressing.prefix)
            .and_then(|rest| rest.strip_prefix('t'));
        hex.is_some_and(|hex| hex.len() == 6 && hex.chars().all(|c| c.is_ascii_hexdigit()))
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
        let routed = |owned: &OwnedRule| {
            let course = Course::of(&owned.rule);
            course.is_some_and(|course| !matches!(course.way, Way::Address(_)))
                || course::taken_out_of(&owned.rule).next().is_some()
        };
        let plain = policy.bandwidth.is_empty() && !policy.rules.iter().any(routed);
        let more = if plain { "" } else { MORE };
        format!("policy {} {:016x}{more}", policy.fingerprint(), self.base)
    }

    /// What tells the rules around a policy from those of another version, configuration or kernel.
    fn base(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.uplink.hash(&mut hasher);
        let sample = serde_json::from_str(SAMPLE).unwrap_or_default();
        for policy in [Policy::default(), sample] {
            let written = self.written(&policy, "", &There::default());
            self.text(&written, None).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The fingerprint in a comment of [`Ruleset::mark`], where the rules around it are today's.
    pub fn fingerprint_in<'a>(&self, mark: &'a str) -> Option<&'a str> {
        let base = format!("{:016x}", self.base);
        let (fingerprint, marked) = mark.strip_prefix("policy ")?.split_once(' ')?;
        (marked.strip_suffix(MORE).unwrap_or(marked) == base).then_some(fingerprint)
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

    /// The transaction that puts a policy in force: what is not `there` yet.
    pub fn compile(&self, policy: &Policy, there: &There) -> Result<Compiled, PolicyError> {
        self.check(policy)?;
        let written = self.written(policy, &self.mark(policy), there);
        let mut text = self.text(&written, there.written.as_ref());
        let before = there.written.iter();
        let chains = before.flat_map(|before| before.traffic.chains());
        let chains: BTreeSet<&String> = chains.chain(&there.chains).collect();
        text.push_str(&written.traffic.departures(chains, &self.addressing.prefix));
        Ok(Compiled { text, written })
    }

    fn written(&self, policy: &Policy, mark: &str, there: &There) -> Written {
        let before = there.written.as_ref();
        let traffic = Traffic::of(
            &policy.rules,
            self.marks,
            before.map_or(&there.courses, |before| &before.traffic.courses),
            &there.taken,
            |way| self.link_of(way),
        );
        let mut chains = self.chains(policy);
        chains.extend(traffic.fixed(&self.links(), self.published(policy), self.marks));
        chains.push(("marks", vec![format!("return comment \"{mark}\"")]));
        Written { chains, traffic }
    }

    fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
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
        for owned in &policy.rules {
            edged_net::feasible(&owned.rule, &self.abilities)?;
        }
        edged_net::room(policy.rules.iter().map(|owned| &owned.rule), [])?;
        Ok(())
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
        ["inet", "ip", "ip6"]
            .map(|family| format!("table {family} {table}\ndelete table {family} {table}\n"))
            .concat()
    }

    /// What `before` does not have; without it, everything.
    fn text(&self, written: &Written, before: Option<&Written>) -> String {
        let mut text = match before {
            Some(_) => String::new(),
            None => self.declarations(),
        };
        let table = &self.addressing.prefix;
        let had = |chain: &&(&'static str, Vec<String>)| {
            before.is_some_and(|before| before.chains.contains(*chain))
        };
        // Everything but `opened`, which outlives policies.
        let chains: Vec<_> = written.chains.iter().filter(|chain| !had(chain)).collect();
        for (name, _) in &chains {
            line(&mut text, format_args!("flush chain inet {table} {name}"));
        }
        let nothing = Written::default();
        let before = before.unwrap_or(&nothing);
        text.push_str(&written.traffic.arrivals(&before.traffic, table));
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

    /// The tables with their chains and sets, the sets empty.
    fn declarations(&self) -> String {
        let table = &self.addressing.prefix;
        let sets = traffic::declared_sets();
        let mut text = format!(
            "table inet {table} {{\n\
             {sets}\
             chain source {{ type filter hook prerouting priority raw; policy accept; }}\n\
             chain traffic {{ type filter hook prerouting priority mangle; policy accept; }}\n\
             chain input {{ type filter hook input priority filter; policy accept; }}\n\
             chain forward {{ type filter hook forward priority filter; policy accept; }}\n\
             chain lead {{ type nat hook prerouting priority -101; policy accept; }}\n\
             chain publish {{ type nat hook prerouting priority dstnat; policy accept; }}\n\
             chain readdress {{ type filter hook prerouting priority -99; policy accept; }}\n\
             chain publish_here {{ type nat hook output priority -100; policy accept; }}\n\
             chain leave {{ type nat hook postrouting priority srcnat; policy accept; }}\n\
             chain gateway {{ }}\nchain apps {{ }}\nchain requests {{ }}\nchain replies {{ }}\n\
             chain to_box {{ }}\nchain decide {{ }}\nchain remember {{ }}\n\
             chain opened {{ }}\nchain marks {{ }}\n}}\n"
        );
        if self.abilities.duplicate {
            text.push_str(&traffic::copy_tables(table, self.marks));
        }
        for (kind, name) in traffic::set_names() {
            line(&mut text, format_args!("flush {kind} inet {table} {name}"));
        }
        let families = Family::ALL.into_iter().filter(|_| self.abilities.duplicate);
        for family in families.map(Family::word) {
            line(&mut text, format_args!("flush map {family} {table} copies"));
        }
        text
    }
}
