//! What the daemon publishes: typed inputs, from which the table of answers is derived.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use edged_model::{AppName, ServiceName};

use crate::domain::{Domain, DomainError, LABEL_MAX, Zone};

/// The longest `key=value` of a TXT record (RFC 6763, 6.1: one character string).
const TEXT_PAIR_MAX: usize = 255;
/// The longest TXT record: RFC 6763, 6.2 says 400 octets suit one packet; applications with more have an API.
const TEXT_MAX: usize = 400;
/// A day: a rule that outlives its application in a client's cache for longer helps nobody.
const RULE_TTL_MAX: u32 = 86_400;

/// Why a record cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// With its underscore a service name is one label of at most 63.
    #[error("service name {0} is too long for DNS-SD, choose one of at most 62 characters")]
    ServiceName(ServiceName),
    /// RFC 6763 bounds keys and pairs.
    #[error(
        "text {key:?} of service {service} must be a key of printable ASCII without '=' and at most 255 bytes with its value"
    )]
    TextPair {
        /// The service.
        service: ServiceName,
        /// The key of the pair.
        key: String,
    },
    /// All pairs together are one small record.
    #[error("the texts of service {0} are over 400 bytes, shorten them")]
    TextLength(ServiceName),
    /// A TTL is in seconds and at most a day.
    #[error("rule for {domain} has a time to live of {ttl} seconds, choose at most 86400")]
    Ttl {
        /// The name of the rule.
        domain: Domain,
        /// What was asked.
        ttl: u32,
    },
    /// The name is not one that a rule can have.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

/// The transport of a service: the second label of its name in DNS-SD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `_tcp`
    Tcp,
    /// `_udp`, which stands for everything that is not TCP (RFC 6763, 7)
    Udp,
}

impl Transport {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tcp => "_tcp",
            Self::Udp => "_udp",
        }
    }
}

/// An instance that is ready: `NAME.app.ZONE` and the way back from each of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceName {
    /// The application's name.
    pub name: AppName,
    /// Where it is reached.
    pub addresses: BTreeSet<IpAddr>,
}

/// A service that an instance offers: `NAME._SERVICE._tcp.ZONE` (RFC 6763).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceRecord {
    service: ServiceName,
    instance: AppName,
    port: u16,
    transport: Transport,
    text: BTreeMap<String, String>,
}

impl ServiceRecord {
    /// Takes a service on `port` of `instance`, described by `text`.
    ///
    /// # Errors
    /// A name or a text that has no place in DNS-SD.
    pub fn new(
        service: ServiceName,
        instance: AppName,
        port: u16,
        transport: Transport,
        text: BTreeMap<String, String>,
    ) -> Result<Self, RecordError> {
        if service.as_str().len() >= LABEL_MAX {
            return Err(RecordError::ServiceName(service));
        }
        let printable = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '=');
        for (key, value) in &text {
            if key.is_empty()
                || !key.chars().all(printable)
                || key.len() + value.len() >= TEXT_PAIR_MAX
            {
                return Err(RecordError::TextPair {
                    service,
                    key: key.clone(),
                });
            }
        }
        // Each pair costs its '=' and its length octet.
        if text
            .iter()
            .map(|(key, value)| key.len() + value.len() + 2)
            .sum::<usize>()
            > TEXT_MAX
        {
            return Err(RecordError::TextLength(service));
        }
        Ok(Self {
            service,
            instance,
            port,
            transport,
            text,
        })
    }

    pub(crate) fn service_label(&self) -> String {
        format!("_{}", self.service)
    }

    pub(crate) fn instance(&self) -> &AppName {
        &self.instance
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The character strings of the TXT record; a service without texts has one empty string (RFC 6763, 6.1).
    pub(crate) fn strings(&self) -> Vec<String> {
        if self.text.is_empty() {
            return vec![String::new()];
        }
        self.text
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }
}

/// A name that an operator or an application wants answered with an address: a DNS rule of ETSI MEC 011.
///
/// Several rules may give one name several addresses. Other types of that name have no data, names beneath it are not
/// touched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    domain: Domain,
    address: IpAddr,
    ttl: u32,
}

impl Rule {
    /// Takes the rule that `domain` is at `address` for `ttl` seconds.
    ///
    /// # Errors
    /// A name that is none or that belongs to instances, and a time to live over a day.
    pub fn new(zone: &Zone, domain: &str, address: IpAddr, ttl: u32) -> Result<Self, RecordError> {
        let domain = zone.admit(domain.parse()?)?;
        if ttl > RULE_TTL_MAX {
            return Err(RecordError::Ttl { domain, ttl });
        }
        Ok(Self {
            domain,
            address,
            ttl,
        })
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn ttl(&self) -> u32 {
        self.ttl
    }
}

/// Everything there is to answer and who may ask further: one immutable view that replaces the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    pub(crate) names: Names,
    pub(crate) forward: BTreeSet<IpAddr>,
}

/// The part of [`Records`] that is zone content: a change of it raises the serial.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) instances: BTreeMap<AppName, BTreeSet<IpAddr>>,
    pub(crate) services: BTreeSet<ServiceRecord>,
    pub(crate) rules: BTreeSet<Rule>,
}

impl Records {
    /// No names, and nobody may forward.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an instance; given twice, its addresses add up.
    #[must_use]
    pub fn instance(mut self, instance: InstanceName) -> Self {
        self.names
            .instances
            .entry(instance.name)
            .or_default()
            .extend(instance.addresses);
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: ServiceRecord) -> Self {
        self.names.services.insert(service);
        self
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.names.rules.insert(rule);
        self
    }

    /// Lets queries from these source addresses for names of others go to the upstreams; all else is refused.
    #[must_use]
    pub fn allow_forward(mut self, sources: impl IntoIterator<Item = IpAddr>) -> Self {
        self.forward.extend(sources);
        self
    }

    /// The instances in this view with their addresses.
    pub fn instances(&self) -> &BTreeMap<AppName, BTreeSet<IpAddr>> {
        &self.names.instances
    }

    /// The services in this view.
    pub fn services(&self) -> &BTreeSet<ServiceRecord> {
        &self.names.services
    }

    /// The rules in this view.
    pub fn rules(&self) -> &BTreeSet<Rule> {
        &self.names.rules
    }

    /// The sources that may forward.
    pub fn forwarders(&self) -> &BTreeSet<IpAddr> {
        &self.forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, text: &[(&str, &str)]) -> Result<ServiceRecord, RecordError> {
        let text = text
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        ServiceRecord::new(
            name.parse().unwrap(),
            "web".parse().unwrap(),
            80,
            Transport::Tcp,
            text,
        )
    }

    #[test]
    fn a_service_without_texts_has_one_empty_string() {
        assert_eq!(service("http", &[]).unwrap().strings(), [""]);
        assert_eq!(
            service("http", &[("path", "/")]).unwrap().strings(),
            ["path=/"]
        );
    }

    #[test]
    fn texts_that_dns_sd_cannot_carry_are_refused() {
        let long = "v".repeat(254);
        assert!(matches!(
            service("http", &[("", "x")]),
            Err(RecordError::TextPair { .. })
        ));
        assert!(matches!(
            service("http", &[("a=b", "x")]),
            Err(RecordError::TextPair { .. })
        ));
        assert!(matches!(
            service("http", &[("a\nb", "x")]),
            Err(RecordError::TextPair { .. })
        ));
        assert!(matches!(
            service("http", &[("k", &long)]),
            Err(RecordError::TextPair { .. })
        ));
        assert!(matches!(
            service("http", &[("a", &long[4..]), ("b", &long[4..])]),
            Err(RecordError::TextLength(_))
        ));
        assert!(matches!(
            service(&"s".repeat(63), &[]),
            Err(RecordError::ServiceName(_))
        ));
    }

    #[test]
    fn a_rule_lives_at_most_a_day() {
        let zone = Zone::new("edge.mec.internal", &[]).unwrap();
        let rule = |ttl| Rule::new(&zone, "www.example.com", "192.0.2.1".parse().unwrap(), ttl);
        assert!(rule(86_400).is_ok());
        assert!(matches!(rule(86_401), Err(RecordError::Ttl { .. })));
    }
}
