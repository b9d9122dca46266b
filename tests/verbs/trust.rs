//! `trust`: what a node proves with a software TPM, and what it says without one.

use std::fs;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use umec_tests::images;
use umec_tests::lab::Lab;

use crate::box_of_rules::{Said, said};

const NONCE: &str = "00112233445566778899aabbccddeeff";

/// A node, and an operator who remembers boxes in a folder of the test.
struct Asker(Lab);

impl Asker {
    fn start(tpm: &str) -> anyhow::Result<Self> {
        Ok(Self(Lab::start_with(|command| {
            command.args(["--tpm", tpm]);
        })?))
    }

    fn edgectl(&self, words: &[&str]) -> Command {
        let mut command = self.0.node.edgectl(words);
        command.env("XDG_CONFIG_HOME", self.0.folder.path());
        command
    }

    fn says(&self, words: &[&str]) -> anyhow::Result<Said> {
        said(&mut self.edgectl(words), "")
    }

    fn json(&self, words: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.says(words)?.done()?)?)
    }

    /// A file of evidence, as the box gave it or changed.
    fn verify(&self, evidence: &Value, nonce: &str) -> anyhow::Result<Said> {
        let file = self.0.folder.path().join("evidence.json");
        fs::write(&file, evidence.to_string())?;
        let file = file.to_str().context("a path")?;
        self.says(&["trust", "verify", file, "--nonce", nonce])
    }

    /// The claims of an operator's token.
    fn claims(&self) -> anyhow::Result<Value> {
        use base64::Engine as _;
        let access = self.json(&["access", "-o", "json"])?;
        let token = access.get("token").and_then(Value::as_str);
        let token = token.context("no token")?;
        let body = token.split('.').nth(1).context("no claims")?;
        let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

fn states(findings: &Value) -> Vec<&str> {
    let all = findings.as_array().into_iter().flatten();
    all.filter_map(|one| one.get("state")?.as_str()).collect()
}

#[test]
fn without_a_tpm_everything_runs_and_status_says_what_is_off() -> anyhow::Result<()> {
    let asker = Asker::start("none")?;
    let findings = asker.json(&["trust", "status", "-o", "json"])?;
    let states = states(&findings);
    ensure!(
        states.len() > 5 && states.iter().all(|state| *state == "off"),
        "{findings}"
    );
    for finding in findings.as_array().into_iter().flatten() {
        let means = finding["means"].as_str().unwrap_or_default();
        let says_so = means.contains("software key")
            || means.contains("nothing measured")
            || means.contains("every image is taken");
        ensure!(says_so, "{finding}");
    }
    let keys = asker.json(&["trust", "keys", "-o", "json"])?;
    let keys = keys.as_array().context("no keys")?;
    ensure!(
        keys.len() == 5 && keys.iter().all(|key| key["place"] == "software"),
        "{keys:?}"
    );
    for words in [
        &["trust", "attest", "--nonce", NONCE][..],
        &["trust", "enrol"],
    ] {
        let refused = asker.says(words)?;
        ensure!(
            refused.code == Some(1) && refused.err.contains("software keys"),
            "{refused:?}"
        );
    }
    let claims = asker.claims()?;
    ensure!(
        claims["keys"] == "software" && claims.get("box").is_none(),
        "{claims}"
    );
    let image = asker.0.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    asker.0.run("web", &["--health-http", "8080/"], &image)?;
    ensure!(asker.0.get("web", 8080, "/")? == "busybox speaking\n");
    asker.0.node.stop()
}

#[test]
fn what_a_node_proves_is_believed_by_who_enrolled_it() -> anyhow::Result<()> {
    let asker = Asker::start("swtpm")?;
    let unknown = asker.says(&["trust", "verify"])?;
    ensure!(
        unknown.code == Some(1) && unknown.err.contains("not enrolled"),
        "{unknown:?}"
    );
    asker.says(&["trust", "enrol"])?.done()?;
    let verdict = asker.json(&["trust", "verify", "-o", "json"])?;
    ensure!(verdict["compared"] == false, "{verdict}");
    let findings = asker.json(&["trust", "status", "-o", "json"])?;
    ensure!(!states(&findings).contains(&"failed"), "{findings}");
    let keys = asker.json(&["trust", "keys", "-o", "json"])?;
    ensure!(
        keys[0]["place"] == "tpm" && keys[3]["place"] == "sealed" && keys[4]["place"] == "software",
        "{keys}"
    );
    let claims = asker.claims()?;
    ensure!(
        claims["box"]["boot"] == verdict["clock"]["resets"] && claims.get("keys").is_none(),
        "{claims}"
    );

    let evidence = asker.json(&["trust", "attest", "--nonce", NONCE])?;
    asker.verify(&evidence, NONCE)?.done()?;
    let refused = |said: Said, why: &str| {
        ensure!(said.code == Some(1) && said.err.contains(why), "{said:?}");
        Ok(())
    };
    let stale = asker.verify(&evidence, "ffeeddccbbaa99887766554433221100")?;
    refused(stale, "another question")?;
    let mut edited = evidence.clone();
    edited["registers"]["4"] = Value::from("11".repeat(32));
    refused(
        asker.verify(&edited, NONCE)?,
        "not those that the TPM signed",
    )?;
    let mut boasting = evidence.clone();
    boasting["statement"] = Value::from(r#"{"release":99}"#);
    refused(asker.verify(&boasting, NONCE)?, "another question")?;
    // An old answer, when a later one was seen.
    asker.says(&["trust", "verify"])?.done()?;
    refused(asker.verify(&evidence, NONCE)?, "clock went back")?;

    let other = Asker::start("swtpm")?;
    let theirs = other.json(&["trust", "attest", "--nonce", NONCE])?;
    refused(asker.verify(&theirs, NONCE)?, "another key")?;
    other.0.node.stop()?;
    asker.0.node.stop()
}

#[test]
fn a_node_is_the_same_one_after_a_restart_of_its_parts() -> anyhow::Result<()> {
    let asker = Asker::start("swtpm")?;
    asker.says(&["trust", "enrol"])?.done()?;
    let keys = asker.says(&["trust", "keys"])?.done()?;
    // As a cut of the power leaves the host key that has just been sealed: edged is to take it off the disk.
    let authority = &asker.0.node.line.ca;
    let folder = authority.ancestors().nth(2).context("no folder")?;
    let clear = folder.join("ssh_host_key");
    ensure!(fs::exists(folder.join("ssh_host_key.pub"))?, "{folder:?}");
    fs::write(&clear, "a key")?;
    for part in ["edged", "tpm"] {
        asker.0.node.kill(part)?;
        board::client::until(umec_tests::lab::SOON, || {
            let verified = asker.says(&["trust", "verify"])?;
            ensure!(verified.code == Some(0), "{verified:?}");
            Ok(Some(()))
        })?;
    }
    ensure!(!clear.exists(), "the host key is still in clear");
    ensure!(asker.says(&["trust", "keys"])?.done()? == keys);
    asker.0.node.stop()
}
