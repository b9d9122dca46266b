//! A host beside the machine: a network namespace with one link to the machine's own.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use board::process;

/// Networks of benchmarks (RFC 2544, C.2.2): no route of any machine leads there.
const NETWORKS: u32 = 0xc612_0000;
/// As many networks of four addresses.
const PLACES: u32 = 1 << 15;
/// As many hosts of one process, until their networks meet those of the next.
const HOSTS: u32 = 16;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The host; it goes with this value.
#[derive(Debug)]
pub struct Outside {
    name: String,
    /// The machine's address on the link.
    pub machine: Ipv4Addr,
    /// The host's own.
    pub address: Ipv4Addr,
}

impl Outside {
    /// Makes it, with a route to `subnet` by the machine.
    pub fn new(subnet: &str) -> anyhow::Result<Self> {
        let number = std::process::id() * HOSTS + COUNT.fetch_add(1, Ordering::Relaxed) % HOSTS;
        let network = NETWORKS + (number % PLACES) * 4;
        let host = Self {
            name: format!("um{number:x}"),
            machine: Ipv4Addr::from_bits(network + 1),
            address: Ipv4Addr::from_bits(network + 2),
        };
        let Self {
            name,
            machine,
            address,
        } = &host;
        for line in [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name eth0 netns {name}"),
            format!("addr add {machine}/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} addr add {address}/30 dev eth0"),
            format!("-n {name} link set lo up"),
            format!("-n {name} link set eth0 up"),
            format!("-n {name} route add {subnet} via {machine}"),
        ] {
            ip(&line)?;
        }
        // What a node does for its uplink; the nodes of these tests have none.
        let setting = format!("/proc/sys/net/ipv4/conf/{name}/forwarding");
        std::fs::write(&setting, "1").with_context(|| setting)?;
        Ok(host)
    }

    /// Its namespace.
    pub fn space(&self) -> anyhow::Result<File> {
        let path = format!("/run/netns/{}", self.name);
        File::open(&path).with_context(|| path)
    }
}

fn ip(line: &str) -> anyhow::Result<String> {
    process::output(Command::new("ip").args(line.split(' ')))
}

impl Drop for Outside {
    fn drop(&mut self) {
        // The kernel takes the namespace's links away some time after it; by its name this one goes now.
        for line in [
            format!("link del {}", self.name),
            format!("netns del {}", self.name),
        ] {
            if let Err(error) = ip(&line) {
                eprintln!("ip {line}: {error:#}");
            }
        }
    }
}
