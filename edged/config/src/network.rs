//! From two subnets to every address: parsed once, computed ever after.

use std::net::{Ipv4Addr, Ipv6Addr};

use edged_model::{Lease, LeaseNumber};

use crate::Network;

/// Longest prefix of link names; see [`Network::prefix`].
const PREFIX_MAX: usize = 8;

/// Why the application network cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The IPv4 subnet.
    #[error(
        "network.subnet4 = {0:?} must be NETWORK/LENGTH with a length of 16 to 29, as in 10.80.0.0/16"
    )]
    Subnet4(String),
    /// The IPv6 subnet.
    #[error(
        "network.subnet6 = {0:?} must be NETWORK/LENGTH with a length of 64 to 112, as in fd00:6d65:63::/64"
    )]
    Subnet6(String),
    /// The prefix.
    #[error(
        "network.prefix = {0:?} must be 1 to {PREFIX_MAX} of a-z and 0-9, starting with a letter"
    )]
    Prefix(String),
}

/// The address plan: place N of the network has the Nth address of each subnet, and place 1 is the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressing {
    /// Name of the gateway's interface and of the nftables table.
    pub prefix: String,
    /// IPv4 network and prefix length.
    pub subnet4: (Ipv4Addr, u8),
    /// IPv6 network and prefix length.
    pub subnet6: (Ipv6Addr, u8),
    /// The gateway's IPv4 address.
    pub gateway4: Ipv4Addr,
    /// The gateway's IPv6 address.
    pub gateway6: Ipv6Addr,
}

impl Addressing {
    pub(crate) fn parse(network: &Network) -> Result<Self, NetworkError> {
        let error4 = || NetworkError::Subnet4(network.subnet4.clone());
        let error6 = || NetworkError::Subnet6(network.subnet6.clone());
        let prefix_ok = network.prefix.len() <= PREFIX_MAX
            && network.prefix.starts_with(|c: char| c.is_ascii_lowercase())
            && network
                .prefix
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !prefix_ok {
            return Err(NetworkError::Prefix(network.prefix.clone()));
        }
        let (base4, len4) = network.subnet4.split_once('/').ok_or_else(error4)?;
        let base4: Ipv4Addr = base4.parse().map_err(|_| error4())?;
        let len4: u8 = len4
            .parse()
            .ok()
            .filter(|len| (16..=29).contains(len))
            .ok_or_else(error4)?;
        let base4 = Ipv4Addr::from_bits(base4.to_bits() & (u32::MAX << (32 - len4)));
        let (base6, len6) = network.subnet6.split_once('/').ok_or_else(error6)?;
        let base6: Ipv6Addr = base6.parse().map_err(|_| error6())?;
        let len6: u8 = len6
            .parse()
            .ok()
            .filter(|len| (64..=112).contains(len))
            .ok_or_else(error6)?;
        let base6 = Ipv6Addr::from_bits(base6.to_bits() & (u128::MAX << (128 - len6)));
        Ok(Self {
            prefix: network.prefix.clone(),
            subnet4: (base4, len4),
            subnet6: (base6, len6),
            gateway4: Ipv4Addr::from_bits(base4.to_bits() | 1),
            gateway6: Ipv6Addr::from_bits(base6.to_bits() | 1),
        })
    }

    /// The highest place: the IPv4 subnet's last address but the broadcast's.
    pub fn places(&self) -> u16 {
        let hosts = (1_u32 << (32 - self.subnet4.1)) - 2;
        u16::try_from(hosts).unwrap_or(u16::MAX)
    }

    /// The addresses of a place.
    pub fn lease(&self, number: LeaseNumber) -> Lease {
        Lease {
            number,
            v4: Ipv4Addr::from_bits(self.subnet4.0.to_bits() | u32::from(number.get())),
            v6: Ipv6Addr::from_bits(self.subnet6.0.to_bits() | u128::from(number.get())),
        }
    }

    /// The host's end of a place's link, within the kernel's 15 characters.
    pub fn link(&self, number: LeaseNumber) -> String {
        format!("{}v{}", self.prefix, number.get())
    }
}
