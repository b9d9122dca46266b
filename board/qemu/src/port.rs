//! Where the box's ports appear on this machine.

use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::Context;
use board_node::port::free_port;

/// Another TCP port of the box, and where it appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// On this machine.
    pub here: u16,
    /// In the box.
    pub there: u16,
}

impl FromStr for Forward {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (here, there) = text.split_once(':').context("write HERE:THERE")?;
        Ok(Self {
            here: here.parse().with_context(|| format!("{here} is no port"))?,
            there: there
                .parse()
                .with_context(|| format!("{there} is no port"))?,
        })
    }
}

/// A box's ports, as they appear on loopback. In the box they have their usual numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The operator's door.
    pub ssh: u16,
    /// HTTPS.
    pub https: u16,
    /// Names, UDP and TCP.
    pub dns: u16,
    /// The broker.
    pub mqtt: u16,
    /// The broker with TLS.
    pub mqtts: u16,
}

impl Ports {
    /// Ports that nobody has now.
    ///
    /// # Errors
    /// Almost everything is taken.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self {
            ssh: free_port()?,
            https: free_port()?,
            dns: free_port()?,
            mqtt: free_port()?,
            mqtts: free_port()?,
        })
    }

    /// As QEMU's user-mode network takes them (`-netdev user`).
    pub fn rules(&self, more: &[Forward]) -> String {
        let rules = [
            ("tcp", self.ssh, 22),
            ("tcp", self.https, 443),
            ("udp", self.dns, 53),
            ("tcp", self.dns, 53),
            ("tcp", self.mqtt, 1883),
            ("tcp", self.mqtts, 8883),
        ];
        let here = Ipv4Addr::LOCALHOST;
        let more = more.iter().map(|more| ("tcp", more.here, more.there));
        let rules = rules.into_iter().chain(more);
        let rules: Vec<_> = rules
            .map(|(kind, from, to)| format!(",hostfwd={kind}:{here}:{from}-:{to}"))
            .collect();
        rules.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_forwarded_from_loopback_and_names_by_both_protocols() {
        let ports = Ports {
            ssh: 1,
            https: 2,
            dns: 3,
            mqtt: 4,
            mqtts: 5,
        };
        let rules = ports.rules(&["6:8080".parse().unwrap()]);
        assert!(rules.contains(",hostfwd=udp:127.0.0.1:3-:53,hostfwd=tcp:127.0.0.1:3-:53"));
        assert!(rules.ends_with(",hostfwd=tcp:127.0.0.1:6-:8080"));
        assert_eq!(rules.matches("127.0.0.1").count(), 7);
        assert!("6".parse::<Forward>().is_err() && "6:x".parse::<Forward>().is_err());
    }
}
