//! An orchestrator and its node: packages on-boarded, instances created, operations begun and watched.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use board::client::{Node, until};
use board::process;
use edged_package::{Image, PackageBuilder, SigningIdentity};
use serde_json::{Value, json};
use tempfile::TempDir;
use umec_tests::images;
use umec_tests::lab::programs;

use crate::http::{Answer, Request};

/// Longest on-boarding and longest operation: debug builds on two busy cores are slow.
pub const LATER: Duration = Duration::from_secs(90);

/// A web server.
pub const WEB: &str = "exec httpd -f -p 8080 -h /srv";

/// Who holds the token for everything.
#[derive(Debug)]
pub struct Orchestrator {
    pub node: Node,
    identity: SigningIdentity,
    folder: TempDir,
}

impl Orchestrator {
    /// With a node of its own that takes its packages.
    pub fn start() -> anyhow::Result<Self> {
        let node = Node::start(&programs()?, |command| {
            command.arg("--plain-http");
        })?;
        let identity = SigningIdentity::generate("Example Works", SystemTime::now())?;
        let orchestrator = Self {
            node,
            identity,
            folder: tempfile::tempdir()?,
        };
        let certificate = orchestrator.certificate()?;
        let words = ["package", "trust", "add", "works"];
        let node = &orchestrator.node;
        node.verb(&[&words[..], &[&certificate.to_string_lossy()]].concat())?;
        Ok(orchestrator)
    }

    /// The certificate that its packages are signed by, in a file.
    pub fn certificate(&self) -> anyhow::Result<std::path::PathBuf> {
        let path = self.folder.path().join("works.pem");
        fs::write(&path, self.identity.certificate_pem())?;
        Ok(path)
    }

    /// A request with the token for everything; any answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let request = Request::new(method, path).bearer(&self.node.line.token);
        let request = request.header("Accept", "application/json");
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let http = self.node.line.http.as_deref().context("no plain HTTP")?;
        request.send(http.trim_start_matches("http://"))
    }

    /// A GET of what is there.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, None)?.expect(200)?.json()
    }

    /// A POST that has to be answered like this.
    pub fn post(&self, path: &str, body: &Value, status: u16) -> anyhow::Result<Answer> {
        let answer = self.ask("POST", path, Some(body))?.expect(status);
        answer.with_context(|| format!("POST {path} {body}"))
    }

    /// On-boards and enables a package; its descriptor. `more` is TOML behind name, provider and version.
    pub fn onboard(&self, name: &str, command: &str, more: &str) -> anyhow::Result<String> {
        let (bytes, descriptor) = self.package(name, command, more)?;
        let hash = sha256(&bytes);
        let announced = json!({ "appPkgName": name, "appPkgVersion": "1.0.0",
            "checksum": { "algorithm": "SHA-256", "hash": hash } });
        let made = self.post("/app_pkgm/v1/app_packages", &announced, 201)?;
        let package = format!("/app_pkgm/v1/app_packages/{}", last(&made)?);
        let http = self.node.line.http.as_deref().context("no plain HTTP")?;
        let mut upload = Request::new("PUT", &format!("{package}/package_content"))
            .bearer(&self.node.line.token)
            .header("Content-Type", "application/zip");
        upload.body = bytes;
        upload
            .send(http.trim_start_matches("http://"))?
            .expect(202)?;
        let shown = until(LATER, || {
            let shown = self.get(&package)?;
            let failure = &shown["onboardingFailureDetails"];
            ensure!(failure.is_null(), "not on-boarded: {failure}");
            Ok((shown["onboardingState"] == "ONBOARDED").then_some(shown))
        })?;
        if shown["operationalState"] != "ENABLED" {
            let enabled = json!({ "operationalState": "ENABLED" });
            self.ask("PATCH", &package, Some(&enabled))?.expect(200)?;
        }
        Ok(descriptor)
    }

    fn package(&self, name: &str, command: &str, more: &str) -> anyhow::Result<(Vec<u8>, String)> {
        let layout = self.folder.path().join(name);
        images::busybox(&layout, command)?;
        let archive = layout.with_extension("tar");
        let mut tar = Command::new("tar");
        process::output(tar.arg("-cf").arg(&archive).arg("-C").arg(&layout).arg("."))?;
        let toml = format!(
            "name = \"{name}\"\nprovider = \"Example Works\"\nversion = \"1.0.0\"\n\
             description = \"A package of the tests\"\n{more}"
        );
        let csar = layout.with_extension("csar");
        let builder = PackageBuilder::from_toml("package.toml", &toml)?;
        let image = Image::Archive(File::open(&archive)?);
        let built = builder.build(image, &self.identity, &mut File::create(&csar)?)?;
        Ok((fs::read(&csar)?, built.descriptor.app_d_id))
    }

    /// Creates an instance; its path.
    pub fn create(&self, descriptor: &str, name: &str) -> anyhow::Result<String> {
        let body = json!({ "appDId": descriptor, "appInstanceName": name });
        let made = self.post("/app_lcm/v1/app_instances", &body, 201)?;
        ensure!(made.json()?["instantiationState"] == "NOT_INSTANTIATED");
        Ok(format!("/app_lcm/v1/app_instances/{}", last(&made)?))
    }

    /// Begins a task on an instance; the path of its run.
    pub fn begin(&self, instance: &str, task: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.post(&format!("{instance}/{task}"), body, 202)?;
        ensure!(answer.body.is_empty(), "{}", answer.shown());
        Ok(format!("/app_lcm/v1/app_lcm_op_occs/{}", last(&answer)?))
    }

    /// Begins to instantiate; the path of its run.
    pub fn instantiate(&self, instance: &str) -> anyhow::Result<String> {
        self.begin(instance, "instantiate", &instantiation())
    }

    /// Waits until a run is in a state; what it is then.
    pub fn wait(&self, run: &str, state: &str) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let found = until(LATER, || {
            last = self.get(run)?;
            Ok((last["operationState"] == state).then(|| last.clone()))
        });
        found.with_context(|| format!("{state} was expected: {last}"))
    }

    /// Does a task to its good end.
    pub fn done(&self, instance: &str, task: &str, body: &Value) -> anyhow::Result<()> {
        let run = self.begin(instance, task, body)?;
        let shown = until(LATER, || {
            let shown = self.get(&run)?;
            let state = shown["operationState"].as_str().unwrap_or_default();
            Ok((!["STARTING", "PROCESSING"].contains(&state)).then_some(shown))
        })?;
        ensure!(shown["operationState"] == "COMPLETED", "{task}: {shown}");
        Ok(())
    }

    /// The name that an instance's application has on the box.
    pub fn host(&self, instance: &str) -> anyhow::Result<String> {
        let shown = self.get(instance)?;
        let host = &shown["communicationInterface"]["ipAddresses"][0]["host"];
        Ok(host
            .as_str()
            .with_context(|| format!("{shown}"))?
            .to_owned())
    }

    /// How an instance is doing: `NOT_INSTANTIATED`, `STARTED` or `STOPPED`.
    pub fn condition(&self, instance: &str) -> anyhow::Result<String> {
        let shown = self.get(instance)?;
        let state = match &shown["instantiatedAppState"]["operationalState"] {
            Value::Null => &shown["instantiationState"],
            state => state,
        };
        Ok(state.as_str().context("no state")?.to_owned())
    }

    /// A problem document with this status, whose detail has these words.
    pub fn refused(
        &self,
        (method, path): (&str, &str),
        body: Option<&Value>,
        (status, words): (u16, &str),
    ) -> anyhow::Result<()> {
        let answer = self.ask(method, path, body)?.expect(status);
        let answer = answer.with_context(|| format!("{method} {path}"))?;
        let detail = answer.json()?["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(detail.contains(words), "{words:?} is not in {detail:?}");
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut text = String::new();
    for byte in digest.as_ref() {
        // A String takes whatever is written.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The last segment of an answer's `Location`.
pub fn last(answer: &Answer) -> anyhow::Result<String> {
    let location = answer.header("location").context("no Location")?;
    let (_, last) = location.rsplit_once('/').context("no path")?;
    Ok(last.to_owned())
}

/// A body of `instantiate`.
pub fn instantiation() -> Value {
    json!({ "selectedMECHostInfo": [{ "hostName": "here", "hostId": { "id": "edge" } }] })
}

/// A body of `terminate` that asks nobody.
pub fn forceful() -> Value {
    json!({ "terminationType": "FORCEFUL" })
}
