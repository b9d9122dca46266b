//! Values of a specification: each parsed once, by the rule that its error tells.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a value of an application's specification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct ParseValueError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

fn refuse(what: &'static str, text: &str, rule: &'static str) -> ParseValueError {
    ParseValueError {
        what,
        text: text.to_owned(),
        rule,
    }
}

/// A count of bytes; parsed from `64m`, `1g`, `512k` (powers of 1024, as docker has them) or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "size",
                text,
                "write a number with an optional k, m or g, as in 64m",
            )
        };
        let lower = text.to_ascii_lowercase();
        let (digits, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
            Some(digits) if lower.ends_with('k') => (digits, 10),
            Some(digits) if lower.ends_with('m') => (digits, 20),
            Some(digits) => (digits, 30),
            None => (lower.as_str(), 0),
        };
        let count: u64 = digits.parse().map_err(|_| error())?;
        count.checked_mul(1 << shift).map(Bytes).ok_or_else(error)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{}.{} GiB", n >> 30, ((n % (1 << 30)) * 10) >> 30),
            n if n >= 1 << 20 => write!(f, "{}.{} MiB", n >> 20, ((n % (1 << 20)) * 10) >> 20),
            n if n >= 1 << 10 => write!(f, "{}.{} KiB", n >> 10, ((n % (1 << 10)) * 10) >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

/// Thousandths of a processor (the unit of MEC 010-2 `requestedCpuResources`); parsed from `0.5` or `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MilliCpus(pub u32);

impl FromStr for MilliCpus {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "cpus",
                text,
                "write processors with at most three decimals, as in 0.5",
            )
        };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        let whole: u32 = whole.parse().map_err(|_| error())?;
        let thousandths: u32 = format!("{part:0<3}").parse().map_err(|_| error())?;
        match whole
            .checked_mul(1000)
            .and_then(|n| n.checked_add(thousandths))
        {
            Some(0) | None => Err(error()),
            Some(n) => Ok(Self(n)),
        }
    }
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
}

/// A port of the box that leads to a port of the application: `8080:80` or `5353:53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedPort {
    /// On the box.
    pub host: u16,
    /// In the container.
    pub container: u16,
    /// Which protocol.
    pub protocol: Protocol,
}

impl FromStr for PublishedPort {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "published port",
                text,
                "write HOST:CONTAINER or HOST:CONTAINER/udp, ports 1 to 65535",
            )
        };
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(error()),
        };
        let (host, container) = ports.split_once(':').ok_or_else(error)?;
        let port = |text: &str| {
            text.parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(error)
        };
        Ok(Self {
            host: port(host)?,
            container: port(container)?,
            protocol,
        })
    }
}

/// An MQTT topic filter (MQTT 3.1.1, 4.7): `+` alone in a level, `#` alone and last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicFilter(String);

/// Longest topic filter taken here; the protocol's own limit of 65,535 bytes only serves attackers.
const TOPIC_FILTER_MAX: usize = 256;

impl TopicFilter {
    /// The filter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicFilter {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || {
            refuse(
                "topic filter",
                text,
                "write levels separated by '/', with + or # alone in a level, # last",
            )
        };
        let levels: Vec<&str> = text.split('/').collect();
        let last = levels.len().saturating_sub(1);
        let level_ok = |(at, level): (usize, &&str)| match *level {
            "+" => true,
            "#" => at == last,
            other => !other.contains(['+', '#']),
        };
        // '$' starts the broker's own topics ($CONTROL, $SYS): never an application's business.
        let sane = !text.is_empty()
            && text.len() <= TOPIC_FILTER_MAX
            && !text.starts_with('$')
            && !text.contains(|c: char| c.is_control());
        if sane && levels.iter().enumerate().all(level_ok) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl TryFrom<String> for TopicFilter {
    type Error = ParseValueError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TopicFilter> for String {
    fn from(filter: TopicFilter) -> Self {
        filter.0
    }
}

/// The name of an environment variable: no '=' and no NUL, and not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

impl EnvName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = ParseValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.contains(['=', '\0']) {
            return Err(refuse("environment variable", text, "write NAME=VALUE"));
        }
        if text.starts_with("MEC_") || text.starts_with("MQTT_") {
            return Err(refuse(
                "environment variable",
                text,
                "MEC_… and MQTT_… are set by the platform",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for EnvName {
    type Error = ParseValueError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_docker_writes_them() {
        assert_eq!("64m".parse::<Bytes>().unwrap(), Bytes(64 << 20));
        assert_eq!("0.5".parse::<MilliCpus>().unwrap(), MilliCpus(500));
        let port: PublishedPort = "5353:53/udp".parse().unwrap();
        assert_eq!(
            (port.host, port.container, port.protocol),
            (5353, 53, Protocol::Udp)
        );
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_rule() {
        for bad in [
            "",
            "m",
            "1t",
            "-1",
            "99999999999999999999",
            "18446744073709551615g",
        ] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
        for bad in ["", "0", "0.0", ".5.", "1.2345", "-1", "x"] {
            assert!(bad.parse::<MilliCpus>().is_err(), "{bad:?}");
        }
        for bad in ["", "80", "0:80", "80:0", "80:80/sctp", "65536:1", "a:b"] {
            assert!(bad.parse::<PublishedPort>().is_err(), "{bad:?}");
        }
        for bad in ["", "a#", "a/#/b", "a+", "$SYS/#", "$CONTROL/x", "a\0b"] {
            assert!(bad.parse::<TopicFilter>().is_err(), "{bad:?}");
        }
        for bad in ["", "A=B", "MEC_HOST", "MQTT_URL"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
        }
    }
}
