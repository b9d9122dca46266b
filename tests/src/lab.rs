//! A registry and a node for the time of some tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::{Node, until};
use board::image::Image;
use board::registry::Registry;
use board::{check, process, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for what should be there at once; debug builds on two busy cores are slow.
pub const SOON: Duration = Duration::from_secs(30);

/// A folder, a registry and a node.
#[derive(Debug)]
pub struct Lab {
    /// The node.
    pub node: Node,
    /// The registry.
    pub registry: Registry,
    /// For everything else; goes last.
    pub folder: TempDir,
}

impl Lab {
    /// Starts a registry and a node that may pull from it.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| {})
    }

    /// The same with further options of `cargo board host`.
    pub fn start_with(configure: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let registry = Registry::start(&folder.path().join("registry"))?;
        let node = Node::start(&programs()?, |command| {
            command.args(["--plain-http", "--insecure-registry", &registry.address]);
            configure(command);
        })?;
        Ok(Self {
            node,
            registry,
            folder,
        })
    }

    /// Builds an image with a hand of the caller, pushes it, and returns its reference.
    pub fn image(
        &self,
        name: &str,
        build: impl FnOnce(&Path) -> anyhow::Result<Image>,
    ) -> anyhow::Result<String> {
        let image = build(&self.folder.path().join(name))?;
        self.registry.push(&image.layout, image.tag(), name)
    }

    /// `edgectl run`, waiting until the application is ready.
    pub fn run(&self, name: &str, options: &[&str], image: &str) -> anyhow::Result<()> {
        let words = [&["run", "--name", name], options, &[image]].concat();
        self.node.verb(&words).map(drop)
    }

    /// `edgectl inspect` of an application.
    pub fn inspect(&self, name: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.node.verb(&["inspect", name])?)?)
    }

    /// Process number of an application's init.
    pub fn init_of(&self, name: &str) -> anyhow::Result<u64> {
        let shown = self.inspect(name)?;
        let pid = shown.get("pid").and_then(Value::as_u64);
        pid.with_context(|| format!("{name} does not run: {shown}"))
    }

    /// The full name of an application.
    pub fn host_name(name: &str) -> String {
        format!("{name}.app.edge.mec.internal")
    }

    /// The IPv4 address that an application's name leads to.
    pub fn address(&self, name: &str) -> anyhow::Result<String> {
        let addresses = self.node.dig(&Self::host_name(name), "A")?;
        let first = addresses.into_iter().next();
        first.with_context(|| format!("{name} has no address"))
    }

    /// What an application answers to a GET from the box.
    pub fn get(&self, name: &str, port: u16, path: &str) -> anyhow::Result<String> {
        fetch(&format!("http://{}:{port}{path}", self.address(name)?))
    }

    /// Waits until an application is ready again.
    pub fn wait_ready(&self, name: &str) -> anyhow::Result<()> {
        until(SOON, || {
            let shown = self.inspect(name)?;
            ensure!(
                shown.get("state").and_then(Value::as_str) == Some("ready"),
                "{name}: {shown}"
            );
            Ok(Some(()))
        })
    }
}

/// A GET from the box, without any proxy.
pub fn fetch(url: &str) -> anyhow::Result<String> {
    process::output(Command::new("curl").args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "3",
        "--noproxy",
        "*",
        url,
    ]))
}

/// Where the built programs are: said by `cargo board test`, or beside the test itself.
pub fn programs() -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os(check::PROGRAMS) {
        Some(folder) => PathBuf::from(folder),
        None => workspace::target().join("debug"),
    };
    for program in [
        "board",
        "edged",
        "edged-worker",
        "edged-guardian",
        "edgectl",
    ] {
        ensure!(
            folder.join(program).exists(),
            "{program} is not built in {}: run `cargo board test`, or `cargo build --workspace` first",
            folder.display()
        );
    }
    Ok(folder)
}

/// Whether campaigns run at their whole size (`cargo board test --full`).
pub fn full() -> bool {
    std::env::var_os(check::FULL).is_some()
}
