//! What ssh is told of the box's authority.

use std::net::IpAddr;

use edged_console::PlatformError;
use edged_trust::Purpose;

use super::{Trust, failed};

impl Trust {
    /// The line of `known_hosts` by which ssh believes the box under its own name and at these addresses.
    pub async fn known_hosts_line(&self, addresses: &[IpAddr]) -> Result<String, PlatformError> {
        let mut names = vec![self.config.node.zone()];
        names.extend(addresses.iter().map(|at| at.to_canonical().to_string()));
        let trust = self.clone();
        let asked = tokio::task::spawn_blocking(move || trust.key(Purpose::Ca));
        let key = asked.await.map_err(|error| failed(&error))?;
        let public = key.map_err(|error| failed(&error))?.public();
        edged_ssh::known_hosts_line(&public, &names).map_err(|error| failed(&error))
    }
}
