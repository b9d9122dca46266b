//! The kernel's network settings, one file each (ip-sysctl of the kernel's documentation).

use std::io;
use std::path::{Path, PathBuf};

/// A setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {path} to {value}: {source}")]
pub struct SysctlError {
    /// Which file.
    pub path: PathBuf,
    /// To what.
    pub value: String,
    /// What the kernel said.
    pub source: io::Error,
}

/// The folder of settings.
#[derive(Debug, Clone)]
pub struct Sysctl {
    root: PathBuf,
}

impl Sysctl {
    /// The kernel's, of the network namespace of the process.
    pub fn of_kernel() -> Self {
        Self::at(Path::new("/proc/sys/net"))
    }

    /// Another folder: what is written without `force_forwarding` can be shown on a kernel that has it.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Whether there is such a setting, and it is not 0.
    pub fn is_on(&self, setting: &str) -> Option<bool> {
        let text = std::fs::read_to_string(self.root.join(setting)).ok()?;
        Some(text.trim() != "0")
    }

    /// Changes a setting.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), SysctlError> {
        let path = self.root.join(setting);
        std::fs::write(&path, value).map_err(|source| SysctlError {
            path,
            value: value.to_owned(),
            source,
        })
    }

    /// Whether IPv6 can be forwarded for one interface alone (Linux 6.17).
    pub fn has_force_forwarding(&self) -> bool {
        self.root.join("ipv6/conf/all/force_forwarding").exists()
    }

    /// Before IPv6 is forwarded everywhere: interfaces that take routes from advertisements go on taking them
    /// (a forwarding interface does so only with 2).
    pub fn keep_advertised_routes(&self) -> Result<(), SysctlError> {
        let conf = self.root.join("ipv6/conf");
        let Ok(interfaces) = std::fs::read_dir(&conf) else {
            return Ok(());
        };
        for interface in interfaces.flatten() {
            let setting = interface.path().join("accept_ra");
            let takes = std::fs::read_to_string(&setting).is_ok_and(|text| text.trim() == "1");
            if takes {
                std::fs::write(&setting, "2").map_err(|source| SysctlError {
                    path: setting,
                    value: "2".to_owned(),
                    source,
                })?;
            }
        }
        Ok(())
    }
}
