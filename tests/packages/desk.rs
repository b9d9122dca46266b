//! A node, a developer's key that it trusts, and requests with the token for everything.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use board::client::{Node, until};
use board::process;
use serde_json::{Value, json};
use tempfile::TempDir;
use umec_tests::images;
use umec_tests::lab::programs;

use crate::http::{Answer, Request};

/// Longest on-boarding: debug builds on two busy cores are slow.
pub const LATER: Duration = Duration::from_secs(90);
/// The collection by package.
pub const PACKAGES: &str = "/app_pkgm/v1/app_packages";
/// The collection by descriptor.
pub const ONBOARDED: &str = "/app_pkgm/v1/onboarded_app_packages";

/// A node and a developer.
#[derive(Debug)]
pub struct Desk {
    pub node: Node,
    pub folder: TempDir,
    announced: std::cell::Cell<u32>,
}

impl Desk {
    /// A node that trusts the developer's key.
    pub fn start() -> anyhow::Result<Self> {
        let node = Node::start(&programs()?, |command| {
            command.arg("--plain-http");
        })?;
        let desk = Self {
            node,
            folder: tempfile::tempdir()?,
            announced: std::cell::Cell::default(),
        };
        desk.keygen("works")?;
        let certificate = desk.path("works.cert");
        let added = ["package", "trust", "add", "works", &text(&certificate)];
        desk.node.verb(&added)?;
        let image = images::busybox(&desk.path("image"), "exec httpd -f -p 8080 -h /srv")?;
        process::output(Command::new("tar").arg("-C").arg(&image.layout).args([
            "-cf",
            &text(&desk.path("image.tar")),
            ".",
        ]))?;
        Ok(desk)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `edgectl package keygen`.
    pub fn keygen(&self, name: &str) -> anyhow::Result<()> {
        let (key, cert) = (
            text(&self.path(&format!("{name}.key"))),
            text(&self.path(&format!("{name}.cert"))),
        );
        let words = [
            "package", "keygen", "--name", name, "--key", &key, "--cert", &cert,
        ];
        self.node.verb(&words).map(drop)
    }

    /// `edgectl package create`, with an image and more TOML behind what every description has.
    pub fn create(&self, name: &str, image: &str, more: &str) -> anyhow::Result<Vec<u8>> {
        let (manifest, output) = (
            self.path(&format!("{name}.toml")),
            text(&self.path(&format!("{name}.csar"))),
        );
        let description = format!(
            "name = \"{name}\"\nprovider = \"Example Works\"\nversion = \"1.0.0\"\ndescription = \"A page.\"\n{more}"
        );
        fs::write(&manifest, description)?;
        let (key, cert) = (
            text(&self.path("works.key")),
            text(&self.path("works.cert")),
        );
        let words = [
            "package",
            "create",
            "--image",
            image,
            "--manifest",
            &text(&manifest),
            "--key",
            &key,
            "--cert",
            &cert,
            "-o",
            &output,
        ];
        self.node.verb(&words)?;
        Ok(fs::read(output)?)
    }

    /// The same with the sample image inside.
    pub fn package(&self, name: &str, more: &str) -> anyhow::Result<Vec<u8>> {
        self.create(name, &text(&self.path("image.tar")), more)
    }

    /// Host and port of plain HTTP.
    pub fn authority(&self) -> anyhow::Result<&str> {
        let http = self.node.line.http.as_deref().context("no plain HTTP")?;
        Ok(http.trim_start_matches("http://"))
    }

    pub fn send(&self, request: Request) -> anyhow::Result<Answer> {
        request
            .bearer(&self.node.line.token)
            .send(self.authority()?)
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Request::new("GET", path))?.expect(200)?.json()
    }

    /// Announces content; the package's path.
    pub fn announce(&self, checksum: &str) -> anyhow::Result<String> {
        let number = self.announced.get() + 1;
        self.announced.set(number);
        let body = json!({"appPkgName": format!("announced-{number}"), "appPkgVersion": "1",
            "checksum": {"algorithm": "SHA-256", "hash": checksum}});
        let made = self
            .send(Request::new("POST", PACKAGES).json(&body))?
            .expect(201)?;
        let location = made.header("location").context("no Location")?;
        let at = location.find(PACKAGES).context("a Location elsewhere")?;
        Ok(location.get(at..).unwrap_or_default().to_owned())
    }

    /// Uploads content to an announced package.
    pub fn put(&self, package: &str, content: &[u8]) -> anyhow::Result<Answer> {
        let path = format!("{package}/package_content");
        let mut request = Request::new("PUT", &path).header("Content-Type", "application/zip");
        request.body = content.to_vec();
        self.send(request)
    }

    /// Waits until a package is on-boarded or refused.
    pub fn settled(&self, package: &str) -> anyhow::Result<Value> {
        until(LATER, || {
            let shown = self.get(package)?;
            let over = shown["onboardingState"] == "ONBOARDED"
                || !shown["onboardingFailureDetails"].is_null();
            Ok(over.then_some(shown))
        })
        .with_context(|| format!("{package} is not settled"))
    }

    /// On-boards a package, which has to be good; its path.
    pub fn onboard(&self, content: &[u8]) -> anyhow::Result<String> {
        let package = self.announce(&sha256(content))?;
        self.put(&package, content)?.expect(202)?;
        let shown = self.settled(&package)?;
        ensure!(shown["onboardingState"] == "ONBOARDED", "{shown}");
        Ok(package)
    }

    /// Enables or disables a package.
    pub fn switch(&self, package: &str, state: &str, status: u16) -> anyhow::Result<Answer> {
        let body = json!({"operationalState": state});
        self.send(Request::new("PATCH", package).json(&body))?
            .expect(status)
    }

    pub fn delete(&self, package: &str, status: u16) -> anyhow::Result<Answer> {
        self.send(Request::new("DELETE", package))?.expect(status)
    }

    /// Files of packages on the node's disk.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.node.line.dir.join("state/edged/packages");
        let names = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    /// Nothing of any package is on the node.
    pub fn is_empty(&self) -> anyhow::Result<()> {
        for list in [PACKAGES, ONBOARDED] {
            let shown = self.get(list)?;
            ensure!(shown == json!([]), "{list}: {shown}");
        }
        let files = self.files()?;
        ensure!(files.is_empty(), "files stay: {files:?}");
        let images = self.node.verb(&["images", "-o", "json"])?;
        ensure!(images.trim() == "[]", "images stay: {images}");
        Ok(())
    }
}

/// A path for a command line.
pub fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}
