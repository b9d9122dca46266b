//! What must be this node's alone on the machine: names, addresses, ports.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use anyhow::{Context, bail};
use board_node::port::{free_pair, free_port, random};

/// Tries before giving up: with half of everything taken, one in 2^64 fails.
const TRIES: u32 = 64;

/// A node's own names, addresses and ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Four hexadecimal digits that tell two nodes apart.
    pub tag: String,
    /// Prefix of link names, name of the firewall's table.
    pub prefix: String,
    /// Parent of the applications' cgroups.
    pub cgroup: String,
    /// IPv4 addresses of applications.
    pub subnet4: String,
    /// IPv6 addresses of applications.
    pub subnet6: String,
    /// Ports on loopback.
    pub ports: Ports,
}

/// A node's ports on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// HTTPS.
    pub https: u16,
    /// Plain HTTP.
    pub http: u16,
    /// The operator's door.
    pub ssh: u16,
    /// Names, UDP and TCP.
    pub dns: u16,
    /// The broker.
    pub mqtt: u16,
    /// The broker with TLS.
    pub mqtts: u16,
    /// The TPM; the next one is its power switch.
    pub tpm: u16,
}

impl Place {
    /// Finds a place that nobody has. Names and subnets are random, so two nodes that start at once do not meet.
    pub fn find() -> anyhow::Result<Self> {
        let routes =
            std::fs::read_to_string("/proc/net/route").context("cannot read the routes")?;
        for _ in 0..TRIES {
            let bytes: [u8; 8] = random()?;
            let [high, low, second, third, ..] = bytes;
            let tag = format!("{high:02x}{low:02x}");
            let subnet = Ipv4Addr::new(10, 80 + (second % 128), third, 0);
            if overlaps_a_route(&routes, subnet) {
                continue;
            }
            let prefix = format!("mec{tag}");
            if std::path::Path::new("/sys/class/net")
                .join(&prefix)
                .exists()
            {
                continue;
            }
            return Ok(Self {
                cgroup: format!("/edged-{tag}"),
                subnet4: format!("{subnet}/24"),
                subnet6: format!("{}/64", unique_local(bytes)),
                ports: free_ports()?,
                prefix,
                tag,
            });
        }
        bail!("no free subnet in 10.80.0.0/9 after {TRIES} tries; look at `ip route`")
    }
}

/// A network of `fd00::/8` (RFC 4193, 3.2).
fn unique_local(bytes: [u8; 8]) -> Ipv6Addr {
    let network = u64::from_be_bytes(bytes) >> 8 | 0xfd << 56;
    Ipv6Addr::from_bits(u128::from(network) << 64)
}

/// Whether a /24 meets a route of the kernel's table (proc(5), /proc/net/route: addresses in the machine's order).
fn overlaps_a_route(routes: &str, subnet: Ipv4Addr) -> bool {
    let parse = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let destination = fields.next().and_then(parse);
        let mask = fields.nth(5).and_then(parse);
        match (destination, mask) {
            // The default route meets everything and is less specific than anything.
            (_, Some(0) | None) | (None, _) => false,
            (Some(destination), Some(mask)) => {
                let common = mask & 0xffff_ff00;
                destination & common == subnet.to_bits() & common
            }
        }
    })
}

fn free_ports() -> anyhow::Result<Ports> {
    Ok(Ports {
        https: free_port()?,
        http: free_port()?,
        ssh: free_port()?,
        dns: free_port()?,
        mqtt: free_port()?,
        mqtts: free_port()?,
        tpm: free_pair()?,
    })
}

/// The first address of a subnet, which is the gateway's.
pub fn is_here(gateway: Ipv4Addr) -> bool {
    UdpSocket::bind((gateway, 0)).is_ok()
}

/// The same for IPv6.
pub fn is_here6(gateway: Ipv6Addr) -> bool {
    UdpSocket::bind((gateway, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n\
        eth0\t0000500A\t00000000\t0001\t0\t0\t0\t0000FFFF\n\
        mecv2\t0203520A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\n";

    #[test]
    fn a_subnet_that_meets_a_route_is_not_taken() {
        assert!(
            overlaps_a_route(ROUTES, Ipv4Addr::new(10, 80, 7, 0)),
            "inside 10.80.0.0/16"
        );
        assert!(
            overlaps_a_route(ROUTES, Ipv4Addr::new(10, 82, 3, 0)),
            "around 10.82.3.2/32"
        );
        assert!(!overlaps_a_route(ROUTES, Ipv4Addr::new(10, 81, 0, 0)));
    }

    #[test]
    fn two_nodes_never_get_the_same_place() {
        let (one, two) = (Place::find().unwrap(), Place::find().unwrap());
        assert_ne!(one.prefix, two.prefix);
        assert_ne!(one.ports, two.ports);
        assert!(
            one.prefix.len() <= 8,
            "{} is too long for link names",
            one.prefix
        );
    }
}
