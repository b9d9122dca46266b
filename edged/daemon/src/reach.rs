//! Where notifications may go: names of the zone, and for each application only what it could reach itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use edged_config::Addressing;
use edged_dns::Directory;
use edged_mec::{Application, Picture};
use edged_model::{AppInstance, InstanceId};
use edged_notify::Reach;
use tokio::sync::watch;

/// The node's names and its policy, as the sender of notifications needs them.
#[derive(Debug)]
pub struct NodeReach {
    zone: String,
    directory: Directory,
    addressing: Arc<Addressing>,
    pictures: watch::Receiver<Arc<Picture>>,
}

impl NodeReach {
    /// With the names in `directory` and the applications in `pictures`.
    pub fn new(
        zone: String,
        directory: Directory,
        addressing: Arc<Addressing>,
        pictures: watch::Receiver<Arc<Picture>>,
    ) -> Self {
        Self {
            zone,
            directory,
            addressing,
            pictures,
        }
    }

    fn is_of(&self, instance: &AppInstance, address: IpAddr) -> bool {
        let lease = self.addressing.lease(instance.lease);
        address == IpAddr::V4(lease.v4) || address == IpAddr::V6(lease.v6)
    }

    fn is_outside(&self, address: IpAddr) -> bool {
        let own = match address {
            IpAddr::V4(v4) => {
                let (net, bits) = self.addressing.subnet4;
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                v4.to_bits() & mask == net.to_bits() & mask
                    || v4.is_link_local()
                    || v4.is_broadcast()
            }
            IpAddr::V6(v6) => {
                let (net, bits) = self.addressing.subnet6;
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                v6.to_bits() & mask == net.to_bits() & mask || v6.is_unicast_link_local()
            }
        };
        !own && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
    }
}

impl Reach for NodeReach {
    fn lookup(&self, host: &str) -> Option<Vec<IpAddr>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let name = host.strip_suffix(&self.zone)?.strip_suffix('.')?;
        let name = name.strip_suffix(".app").and_then(|name| name.parse().ok());
        let records = self.directory.observe();
        let addresses = name.and_then(|name| records.instances().get(&name));
        Some(addresses.into_iter().flatten().copied().collect())
    }

    fn permits(&self, owner: Option<&InstanceId>, to: SocketAddr) -> bool {
        let Some(owner) = owner else {
            return true;
        };
        let picture = self.pictures.borrow();
        // One that runs elsewhere has no token, so what it subscribed to was subscribed for it.
        let Some(Application::Hosted { instance, .. }) = picture.applications.get(owner) else {
            return false;
        };
        let network = &instance.spec.network;
        let reached = |other: &Application| match other {
            Application::Hosted {
                instance: other, ..
            } => network.reach.contains(&other.spec.name) && self.is_of(other, to.ip()),
            Application::Registered(_) => false,
        };
        self.is_of(instance, to.ip())
            || picture.applications.values().any(reached)
            || (network.egress && self.is_outside(to.ip()))
    }
}
