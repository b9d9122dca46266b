//! Images for the demo and the tests, built with Debian's umoci: a third party's hand, not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process;

mod signed;

pub use signed::maker;

/// An image in an OCI layout of its own.
#[derive(Debug, Clone)]
pub struct Image {
    /// The layout's folder.
    pub layout: PathBuf,
    tag: String,
}

impl Image {
    /// An image without layers.
    pub fn new(layout: &Path, tag: &str) -> anyhow::Result<Self> {
        if layout.exists() {
            fs::remove_dir_all(layout)
                .with_context(|| format!("cannot remove {}", layout.display()))?;
        }
        let image = Self::there(layout, tag);
        umoci(&["init", "--layout", &layout.to_string_lossy()])?;
        umoci(&["new", "--image", &image.name()])?;
        Ok(image)
    }

    /// One that was made before.
    pub fn there(layout: &Path, tag: &str) -> Self {
        Self {
            layout: layout.to_owned(),
            tag: tag.to_owned(),
        }
    }

    /// Its tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    fn name(&self) -> String {
        format!("{}:{}", self.layout.display(), self.tag)
    }

    /// Adds a file, or what is in a folder, as a layer. (`umoci insert` of Debian 12 leaves out the archive's end.)
    pub fn insert(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let bundle = self.layout.with_extension("bundle");
        let bundle_name = bundle.to_string_lossy();
        umoci(&["unpack", "--image", &self.name(), &bundle_name])?;
        let target = bundle.join("rootfs").join(to.trim_start_matches('/'));
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg("--no-target-directory");
        process::output(copy.arg(from).arg(&target))?;
        umoci(&["repack", "--image", &self.name(), &bundle_name])?;
        fs::remove_dir_all(&bundle).with_context(|| format!("cannot remove {}", bundle.display()))
    }

    /// Sets options of its configuration, as `umoci config` names them.
    pub fn configure(&self, options: &[&str]) -> anyhow::Result<()> {
        let name = self.name();
        let mut words = vec!["config", "--image", &name];
        words.extend(options);
        umoci(&words)
    }

    /// Writes it into an archive as `docker save` does, under a name.
    pub fn archive(&self, to: &Path, name: &str) -> anyhow::Result<()> {
        process::output(
            Command::new("skopeo")
                .args(["copy", "--quiet", "--insecure-policy"])
                .arg(format!("oci:{}", self.name()))
                .arg(format!("docker-archive:{}:{name}", to.display())),
        )
        .map(drop)
    }
}

fn umoci(words: &[&str]) -> anyhow::Result<()> {
    process::output(Command::new("umoci").args(words)).map(drop)
}

/// The sample application: one static program and nothing else.
pub fn sensor_page(program: &Path, layout: &Path) -> anyhow::Result<Image> {
    let image = Image::new(layout, "1")?;
    image.insert(program, "/sensor-page")?;
    image.configure(&[
        "--config.entrypoint=/sensor-page",
        "--config.user=65534:65534",
        "--config.exposedports=8080/tcp",
    ])?;
    Ok(image)
}
