//! A real registry on loopback: Debian's docker-registry with its state in a folder.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use crate::client::until;
use crate::host::{dies_with_us, free_port};
use crate::process;

/// Longest start.
const START: Duration = Duration::from_secs(10);

/// A registry that runs as long as this value lives.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
}

impl Registry {
    /// Starts one with its state, its configuration and its log in a folder.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        Self::start_at(folder, port)
    }

    /// The same at a port that is known already.
    pub fn start_at(folder: &Path, port: u16) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("config.yml");
        let blobs = folder.join("blobs");
        let text = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            blobs.display()
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let log = File::create(folder.join("log"))?;
        let child = dies_with_us(Path::new("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Self { child, address };
        until(START, || Ok(Some(TcpStream::connect(&registry.address)?)))
            .context("docker-registry does not listen")?;
        Ok(registry)
    }

    /// Pushes an image of an OCI layout and returns the reference to pull it by.
    pub fn push(&self, layout: &Path, tag: &str, repository: &str) -> anyhow::Result<String> {
        let reference = format!("{}/{repository}:{tag}", self.address);
        process::output(
            Command::new("skopeo")
                .args(["copy", "--quiet", "--insecure-policy"])
                .arg("--dest-tls-verify=false")
                .arg(format!("oci:{}:{tag}", layout.display()))
                .arg(format!("docker://{reference}")),
        )?;
        Ok(reference)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It keeps nothing that a sudden end would harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
