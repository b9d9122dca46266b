//! Packages, instances and operations of MEC 010-2 in the states that calls need.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use board::client::until;
use board::process;
use edged_package::{Image, PackageBuilder, SigningIdentity};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use umec_tests::images;

use crate::bench::{Bench, Call};

/// Longest on-boarding, and longest operation.
const LATER: Duration = Duration::from_secs(60);

const PACKAGES: &str = "mec010-2-package-management";
/// Packages whose content comes at once.
const ARRIVALS: u32 = 4;
/// More than a node has room for of anything.
const ROOM: u32 = 600;

const LIFECYCLE: &str = "mec010-2-lifecycle";

/// A package that is on-boarded.
#[derive(Debug, Clone)]
pub struct Package {
    pub id: String,
    pub descriptor: String,
}

impl Bench {
    fn announced(&self, checksum: &str) -> anyhow::Result<String> {
        let call = self.call([]).json(&announcement(self, checksum));
        self.made(&format!("{PACKAGES}/createPackage"), &call)
    }

    /// A package whose content has not come.
    pub fn empty_package(&self) -> anyhow::Result<String> {
        self.announced(&"0".repeat(64))
    }

    fn onboard(&self, name: &str) -> anyhow::Result<Package> {
        let csar = self.csar(name)?;
        let id = self.announced(&csar.sha256)?;
        let call = self.call([&id]).bytes("application/zip", csar.bytes);
        self.done(&format!("{PACKAGES}/uploadPackage"), &call, 202)?;
        let shown = self.wait(&format!("{PACKAGES}/readPackage"), &id, |shown| {
            let failure = &shown["onboardingFailureDetails"];
            ensure!(failure.is_null(), "not on-boarded: {failure}");
            Ok(shown["onboardingState"] == "ONBOARDED")
        })?;
        Ok(Package {
            id,
            descriptor: text(&shown, "appDId")?,
        })
    }

    /// An on-boarded package, enabled or not.
    pub fn package(&self) -> anyhow::Result<Package> {
        let known = self.kept.kinds.borrow().get("good").cloned();
        if let Some(package) = known {
            return Ok(package);
        }
        let package = self.onboard("good")?;
        let mut kinds = self.kept.kinds.borrow_mut();
        Ok(kinds.entry("good".to_owned()).or_insert(package).clone())
    }

    /// The same, enabled.
    pub fn enabled_package(&self) -> anyhow::Result<Package> {
        let package = self.package()?;
        self.enable(&package, "ENABLED")?;
        Ok(package)
    }

    /// An on-boarded package from which no instance may be made.
    pub fn disabled_package(&self) -> anyhow::Result<Package> {
        if self.kept.disabled.get().is_none() {
            let package = self.onboard("disabled")?;
            self.enable(&package, "DISABLED")?;
            let _ = self.kept.disabled.set(package);
        }
        self.kept.disabled.get().cloned().context("no package")
    }

    /// The state that a package is not in.
    pub fn other_state(&self, package: &Package) -> anyhow::Result<&'static str> {
        let call = self.call([&package.id]);
        let shown = self.done(&format!("{PACKAGES}/readPackage"), &call, 200)?;
        let is_enabled = shown.json()?["operationalState"] == "ENABLED";
        Ok(if is_enabled { "DISABLED" } else { "ENABLED" })
    }

    fn enable(&self, package: &Package, state: &str) -> anyhow::Result<()> {
        if self.other_state(package)? != state {
            return Ok(());
        }
        let call = self
            .call([&package.id])
            .json(&json!({"operationalState": state}));
        self.done(&format!("{PACKAGES}/changePackage"), &call, 200)
            .map(drop)
    }

    /// A new instance that is not instantiated.
    pub fn instance(&self) -> anyhow::Result<String> {
        self.created("good")
    }

    /// An instance that runs.
    pub fn running(&self) -> anyhow::Result<String> {
        let read = format!("{LIFECYCLE}/readInstance");
        if let Some(id) = self.kept.instance.borrow().as_ref() {
            let shown = self.done(&read, &self.call([id]), 200)?.json()?;
            if shown["instantiatedAppState"]["operationalState"] == "STARTED" {
                return Ok(id.clone());
            }
        }
        let id = self.instance()?;
        let operation = self.begin("instantiateInstance", &id, &instantiation())?;
        self.wait(&format!("{LIFECYCLE}/readOperation"), &operation, completed)?;
        self.kept.instance.replace(Some(id.clone()));
        let _ = self.kept.operation.set(operation);
        Ok(id)
    }

    /// An operation that is over.
    pub fn completed(&self) -> anyhow::Result<String> {
        self.running()?;
        self.kept.operation.get().cloned().context("no operation")
    }

    /// Begins an operation on an instance; the name of its run.
    pub fn begin(&self, task: &str, instance: &str, body: &Value) -> anyhow::Result<String> {
        let call = self.call([instance]).json(body);
        let answer = self.done(&format!("{LIFECYCLE}/{task}"), &call, 202)?;
        let location = answer.header("location").context("no Location")?;
        let (_, last) = location.rsplit_once('/').context("no path")?;
        Ok(last.to_owned())
    }

    /// An operation that goes on until it is cancelled: its application never says that it is ready.
    pub fn lasting(&self) -> anyhow::Result<(String, String)> {
        let id = self.created("silent")?;
        let operation = self.begin("instantiateInstance", &id, &instantiation())?;
        self.wait(&format!("{LIFECYCLE}/readOperation"), &operation, |shown| {
            Ok(shown["operationState"] == "PROCESSING")
        })?;
        Ok((id, operation))
    }

    /// A new instance of a package of this kind.
    fn created(&self, kind: &str) -> anyhow::Result<String> {
        let known = self.kept.kinds.borrow().get(kind).cloned();
        let package = match known {
            Some(package) => package,
            None => self.onboard(kind)?,
        };
        self.enable(&package, "ENABLED")?;
        let body = json!({"appDId": package.descriptor});
        self.kept
            .kinds
            .borrow_mut()
            .insert(kind.to_owned(), package);
        let call = self.call([]).json(&body);
        self.made(&format!("{LIFECYCLE}/createInstance"), &call)
    }

    /// An operation that failed and may be tried again: the program of its application is not in the image.
    pub fn failed(&self) -> anyhow::Result<String> {
        let id = self.created("broken")?;
        let operation = self.begin("instantiateInstance", &id, &instantiation())?;
        self.wait(&format!("{LIFECYCLE}/readOperation"), &operation, |shown| {
            Ok(shown["operationState"] == "FAILED_TEMP")
        })?;
        Ok(operation)
    }

    /// Reads a resource until it is as wanted.
    fn wait(
        &self,
        read: &str,
        id: &str,
        mut is_there: impl FnMut(&Value) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Value> {
        until(LATER, || {
            let shown = self.done(read, &self.call([id]), 200)?.json()?;
            Ok(is_there(&shown)?.then_some(shown))
        })
        .with_context(|| format!("{read} {id}"))
    }
}

fn completed(shown: &Value) -> anyhow::Result<bool> {
    ensure!(shown["operationState"] != "FAILED_TEMP", "{shown}");
    Ok(shown["operationState"] == "COMPLETED")
}

/// A body of `createPackage` with a name that no package has.
pub fn announcement(bench: &Bench, checksum: &str) -> Value {
    let number = bench.kept.packages.get() + 1;
    bench.kept.packages.set(number);
    json!({
        "appPkgName": format!("package-{number}"), "appPkgVersion": "1.0.0",
        "checksum": {"algorithm": "SHA-256", "hash": checksum},
    })
}

/// A body of `instantiate`.
pub fn instantiation() -> Value {
    json!({"selectedMECHostInfo": [{"hostName": "here", "hostId": {"id": "edge"}}]})
}

fn text(shown: &Value, name: &str) -> anyhow::Result<String> {
    let text = shown.get(name).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("no {name}: {shown}"))?
        .to_owned())
}

impl Bench {
    /// Makes resources until there is no room for one more; `drain` takes them away.
    pub fn fill(
        &self,
        create: &str,
        delete: &'static str,
        call: impl Fn(&Self) -> anyhow::Result<Call>,
    ) -> anyhow::Result<()> {
        let operation = self.contract.operation(create)?;
        for _ in 0..ROOM {
            let answer = self.send(operation, &call(self)?)?;
            if answer.status == 503 {
                return Ok(());
            }
            let answer = answer.expect(201)?;
            let location = answer.header("location").unwrap_or_default();
            let (_, id) = location.rsplit_once('/').context("no Location")?;
            let mut filled = self.kept.filled.borrow_mut();
            filled.push((delete, id.to_owned()));
        }
        bail!("{ROOM} times {create}, and there is room for more")
    }

    /// As many packages as may come at once, whose ends do not.
    pub fn arrivals(&self) -> anyhow::Result<()> {
        for _ in 0..ARRIVALS {
            let id = self.empty_package()?;
            let head = format!(
                "PUT {}/app_pkgm/v1/app_packages/{id}/package_content HTTP/1.1",
                self.prefix
            );
            let stream = self.hesitate(&head, &self.all, "application/zip")?;
            self.kept.arriving.borrow_mut().push(stream);
            self.wait(&format!("{PACKAGES}/readPackage"), &id, |shown| {
                Ok(shown["onboardingState"] == "UPLOADING")
            })?;
        }
        Ok(())
    }

    /// Takes away what `fill` and `arrivals` made.
    pub fn drain(&self) -> anyhow::Result<()> {
        self.kept.arriving.take();
        for (delete, id) in self.kept.filled.take() {
            self.done(delete, &self.call([&id]), 204)?;
        }
        Ok(())
    }

    /// A signed package of a web server; the last words of its description make it what its name says.
    fn csar(&self, name: &str) -> anyhow::Result<Csar> {
        let layout = self.lab.folder.path().join(format!("{name}-package"));
        images::busybox(&layout, "exec httpd -f -p 8080 -h /srv")?;
        let archive = layout.with_extension("tar");
        let mut tar = Command::new("tar");
        process::output(tar.arg("-cf").arg(&archive).arg("-C").arg(&layout).arg("."))?;
        let more = match name {
            "broken" => "entrypoint = [\"/no/such/program\"]",
            "silent" => "confirm_ready = true",
            _ => "",
        };
        let description = format!(
            "name = \"{name}\"\nprovider = \"Example Works\"\nversion = \"1.0.0\"\n\
             description = \"A package of the tests\"\n{more}\n"
        );
        let identity = SigningIdentity::generate("Example Works", SystemTime::now())?;
        let signers = self.lab.node.line.dir.join("state/edged/signers");
        fs::create_dir_all(&signers)?;
        fs::write(
            signers.join(format!("{name}.pem")),
            identity.certificate_pem(),
        )?;
        let path = layout.with_extension("csar");
        let image = Image::Archive(File::open(&archive)?);
        PackageBuilder::from_toml("package.toml", &description)?.build(
            image,
            &identity,
            &mut File::create(&path)?,
        )?;
        let bytes = fs::read(&path)?;
        let digest = digest(&SHA256, &bytes);
        let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        Ok(Csar {
            sha256: digits.collect(),
            bytes,
        })
    }
}

/// A package file.
#[derive(Debug)]
pub struct Csar {
    pub bytes: Vec<u8>,
    pub sha256: String,
}
