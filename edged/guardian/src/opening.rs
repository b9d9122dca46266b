//! What of the host is opened for the applications, and has to stay closed for everybody else.

use std::collections::BTreeSet;

use crate::sysctl::{Sysctl, SysctlError};

/// A setting of the host that forwards more than it did. Linux asks the interface by which a packet comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opening {
    /// IPv4 packets that come in by the uplink are forwarded.
    UplinkV4,
    /// IPv6 packets that come in by the uplink are forwarded.
    UplinkV6,
    /// IPv6 packets are forwarded whatever they come in by (before Linux 6.17 there is no other way).
    AllV6,
}

impl Opening {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::UplinkV4, Self::UplinkV6, Self::AllV6];

    /// The comment by which the kernel remembers it.
    pub fn mark(self) -> &'static str {
        match self {
            Self::UplinkV4 => "opened uplink ipv4",
            Self::UplinkV6 => "opened uplink ipv6",
            Self::AllV6 => "opened all ipv6",
        }
    }

    /// Those that applications need and that are closed now.
    pub fn missing(sysctl: &Sysctl, uplink: Option<&str>) -> BTreeSet<Self> {
        let closed = |opening: Self| sysctl.is_on(&opening.setting(uplink)) == Some(false);
        let one_by_one = sysctl.has_force_forwarding();
        let everything_closed = closed(Self::AllV6);
        let needed = |opening: &Self| match opening {
            Self::UplinkV4 => uplink.is_some(),
            Self::UplinkV6 => uplink.is_some() && one_by_one && everything_closed,
            // Links of applications need it themselves.
            Self::AllV6 => !one_by_one,
        };
        Self::ALL
            .into_iter()
            .filter(|opening| needed(opening) && closed(*opening))
            .collect()
    }

    /// Opens it, unless it is open or the uplink is not there now.
    pub fn open(self, sysctl: &Sysctl, uplink: Option<&str>) -> Result<(), SysctlError> {
        let setting = self.setting(uplink);
        if sysctl.is_on(&setting) != Some(false) {
            return Ok(());
        }
        if self == Self::AllV6 {
            sysctl.keep_advertised_routes()?;
        }
        sysctl.set(&setting, "1")
    }

    /// Closes it again.
    pub fn close(self, sysctl: &Sysctl, uplink: Option<&str>) -> Result<(), SysctlError> {
        let setting = self.setting(uplink);
        if sysctl.is_on(&setting).is_none() {
            // The uplink is not there, and its settings went with it.
            return Ok(());
        }
        sysctl.set(&setting, "0")
    }

    fn setting(self, uplink: Option<&str>) -> String {
        let uplink = uplink.unwrap_or_default();
        match self {
            Self::UplinkV4 => format!("ipv4/conf/{uplink}/forwarding"),
            Self::UplinkV6 => format!("ipv6/conf/{uplink}/force_forwarding"),
            Self::AllV6 => "ipv6/conf/all/forwarding".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A folder of settings as a kernel has them, closed.
    fn kernel(force_forwarding: bool) -> (tempfile::TempDir, Sysctl) {
        let folder = tempfile::tempdir().unwrap();
        for interface in ["all", "eth0", "eth1"] {
            let [v4, v6] =
                ["ipv4", "ipv6"].map(|ip| folder.path().join(ip).join("conf").join(interface));
            for conf in [&v4, &v6] {
                std::fs::create_dir_all(conf).unwrap();
                std::fs::write(conf.join("forwarding"), "0\n").unwrap();
            }
            let accept_ra = if interface == "eth1" { "0\n" } else { "1\n" };
            std::fs::write(v6.join("accept_ra"), accept_ra).unwrap();
            if force_forwarding {
                std::fs::write(v6.join("force_forwarding"), "0\n").unwrap();
            }
        }
        let sysctl = Sysctl::at(folder.path());
        (folder, sysctl)
    }

    #[test]
    fn a_new_kernel_opens_the_uplink_alone() {
        let (_folder, sysctl) = kernel(true);
        let missing = Opening::missing(&sysctl, Some("eth0"));
        assert_eq!(missing, [Opening::UplinkV4, Opening::UplinkV6].into());
        for opening in missing {
            opening.open(&sysctl, Some("eth0")).unwrap();
        }
        assert!(Opening::missing(&sysctl, Some("eth0")).is_empty());
        assert_eq!(sysctl.is_on("ipv6/conf/all/forwarding"), Some(false));
        assert_eq!(sysctl.is_on("ipv4/conf/eth1/forwarding"), Some(false));
        assert!(Opening::missing(&sysctl, None).is_empty());
    }

    #[test]
    fn an_older_kernel_opens_ipv6_and_keeps_its_advertised_routes() {
        let (folder, sysctl) = kernel(false);
        assert_eq!(Opening::missing(&sysctl, None), [Opening::AllV6].into());
        Opening::AllV6.open(&sysctl, None).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("ipv6/conf/all/forwarding"), "1");
        assert_eq!(read("ipv6/conf/eth0/accept_ra"), "2");
        assert_eq!(read("ipv6/conf/eth1/accept_ra"), "0\n");
        Opening::AllV6.close(&sysctl, None).unwrap();
        assert_eq!(read("ipv6/conf/all/forwarding"), "0");
    }

    #[test]
    fn what_was_open_before_is_not_ours_to_close() {
        let (_folder, sysctl) = kernel(true);
        sysctl.set("ipv4/conf/eth0/forwarding", "1").unwrap();
        sysctl.set("ipv6/conf/all/forwarding", "1").unwrap();
        assert!(Opening::missing(&sysctl, Some("eth0")).is_empty());
        assert!(Opening::missing(&sysctl, Some("away0")).is_empty());
    }
}
