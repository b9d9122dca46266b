//! `umec-init names`: the C library's resolvers follow what the uplink's DHCP says.

use std::fs;
use std::path::Path;

/// systemd-networkd's summary of all links.
const STATE: &str = "/run/systemd/netif/state";
/// What `/etc/resolv.conf` of the image points to.
const TARGET: &str = "/run/umec/resolv.conf";
/// glibc reads no more (resolv.conf(5), `MAXNS`).
const MOST: usize = 3;

/// Writes the file anew, whole or not at all.
pub fn run() -> Result<(), String> {
    let state =
        fs::read_to_string(STATE).map_err(|error| format!("cannot read {STATE}: {error}"))?;
    let target = Path::new(TARGET);
    let aside = target.with_extension("new");
    target
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&aside, render(&state)))
        .and_then(|()| fs::rename(&aside, target))
        .map_err(|error| format!("cannot write {TARGET}: {error}"))
}

fn render(state: &str) -> String {
    let servers = state
        .lines()
        .find_map(|line| line.strip_prefix("DNS="))
        .unwrap_or_default();
    let lines: Vec<_> = servers
        .split_whitespace()
        // networkd may add a port, an interface or a server's name: glibc takes addresses alone.
        .filter(|server| server.parse::<std::net::IpAddr>().is_ok())
        .take(MOST)
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_taken_from_what_networkd_knows() {
        let state = "OPER_STATE=routable\nDNS=10.0.2.3 fec0::3 dns.example\nNTP=";
        assert_eq!(render(state), "nameserver 10.0.2.3\nnameserver fec0::3\n");
        assert_eq!(render("OPER_STATE=carrier"), "");
    }
}
