//! Where Debian comes from: the machine's own apt says.

use std::process::Command;

use anyhow::bail;

use crate::output;

/// The mirrors of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Of the releases, without a slash at the end.
    pub main: String,
    /// Of their security updates, where the machine has one.
    pub security: Option<String>,
}

impl Mirror {
    /// Read from apt's configuration.
    ///
    /// # Errors
    /// apt is not there or knows no Debian mirror.
    pub fn of_machine() -> anyhow::Result<Self> {
        Self::from_targets(&output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)",
            "Created-By: Packages",
        ]))?)
    }

    fn from_targets(text: &str) -> anyhow::Result<Self> {
        let find = |label: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(&format!("Debian\t{label}\t")))
                .map(|uri| uri.trim_end_matches('/').to_owned())
        };
        let Some(main) = find("Debian") else {
            bail!("apt knows no Debian mirror; add one to its sources and run: apt-get update");
        };
        Ok(Self {
            main,
            security: find("Debian-Security"),
        })
    }

    /// Lines of a sources.list for a release.
    pub fn lines(&self, suite: &str, options: &str) -> Vec<String> {
        let components = "main non-free-firmware";
        let mut lines = vec![format!("deb {options} {} {suite} {components}", self.main)];
        // Unstable has no security updates of its own.
        if let (Some(security), false) = (&self.security, suite == "sid") {
            lines.push(format!(
                "deb {options} {security} {suite}-security {components}"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirrors_are_the_machine_s_own() {
        let text = "Other\tThing\thttp://other/\nDebian\tDebian-Security\thttp://one/sec/\nDebian\tDebian\thttp://one/deb/\n";
        let mirror = Mirror::from_targets(text).unwrap();
        assert_eq!(mirror.main, "http://one/deb");
        assert_eq!(mirror.security.as_deref(), Some("http://one/sec"));
        assert!(Mirror::from_targets("Other\tDebian\thttp://x\n").is_err());
    }
}
