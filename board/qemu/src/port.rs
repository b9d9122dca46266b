//! Where the box's ports appear on this machine.

use std::net::Ipv4Addr;

use board_node::port::free_port;

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
        let mut held = Vec::new();
        let mut next = || free_port(&mut held);
        Ok(Self {
            ssh: next()?,
            https: next()?,
            dns: next()?,
            mqtt: next()?,
            mqtts: next()?,
        })
    }

    /// As QEMU's user-mode network takes them (`-netdev user`).
    pub fn rules(&self) -> String {
        let rules = [
            ("tcp", self.ssh, 22),
            ("tcp", self.https, 443),
            ("udp", self.dns, 53),
            ("tcp", self.dns, 53),
            ("tcp", self.mqtt, 1883),
            ("tcp", self.mqtts, 8883),
        ];
        let here = Ipv4Addr::LOCALHOST;
        let rules = rules.map(|(kind, from, to)| format!(",hostfwd={kind}:{here}:{from}-:{to}"));
        rules.concat()
    }
}
