//! What a container finds of the network.

use edged_config::Addressing;
use edged_model::{AppName, LeaseNumber};
use edged_protocol::worker::ContainerNetwork;

/// The inside end of a place's link.
pub fn network_of(lease: LeaseNumber, addressing: &Addressing) -> ContainerNetwork {
    ContainerNetwork {
        lease: addressing.lease(lease),
        gateway_v4: addressing.gateway4,
        gateway_v6: addressing.gateway6,
    }
}

/// Text of /etc/resolv.conf (resolv.conf(5)): edged's resolver, and other applications by their bare names.
pub fn resolv_conf(zone: &str, addressing: &Addressing) -> String {
    let Addressing {
        gateway4, gateway6, ..
    } = addressing;
    format!("search app.{zone}\nnameserver {gateway4}\nnameserver {gateway6}\n")
}

/// Text of /etc/hosts (hosts(5)): the loopback addresses and the application's own.
pub fn hosts(name: &AppName, zone: &str, lease: LeaseNumber, addressing: &Addressing) -> String {
    let own = addressing.lease(lease);
    format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{} {name}.app.{zone} {name}\n{} {name}.app.{zone} {name}\n",
        own.v4, own.v6
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::tests::config;

    #[test]
    fn a_container_finds_the_resolver_and_itself() {
        let config = config("");
        let addressing = config.addressing().unwrap();
        let lease = LeaseNumber::try_from(7).unwrap();
        assert_eq!(
            resolv_conf(&config.node.zone(), &addressing),
            "search app.edge.mec.internal\nnameserver 10.80.0.1\nnameserver fd00:6d65:63::1\n"
        );
        let name = "page".parse().unwrap();
        assert_eq!(
            hosts(&name, &config.node.zone(), lease, &addressing),
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\
             10.80.0.7 page.app.edge.mec.internal page\nfd00:6d65:63::7 page.app.edge.mec.internal page\n"
        );
        let network = network_of(lease, &addressing);
        assert_eq!(network.lease.v4.to_string(), "10.80.0.7");
        assert_eq!(network.gateway_v4, addressing.gateway4);
        assert_eq!(network.gateway_v6, addressing.gateway6);
    }
}
