//! The operator's verb: the same packages over SSH.

use std::fs;

use anyhow::ensure;
use serde_json::Value;

use crate::desk::{Desk, ONBOARDED, text};

#[test]
fn the_operator_installs_disables_and_removes_the_same_packages() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    desk.package("page", "")?;
    let file = text(&desk.path("page.csar"));
    let verb = |words: &[&str]| desk.node.verb(&[&["package"], words].concat());
    ensure!(verb(&["install", &file])?.trim() == "page-1.0.0");
    let shown = desk.get(&format!("{ONBOARDED}/page-1.0.0"))?;
    ensure!(shown["operationalState"] == "ENABLED", "{shown}");
    let list: Value = serde_json::from_str(&verb(&["ls", "-o", "json"])?)?;
    ensure!(
        list[0]["id"] == shown["id"] && list[0]["signer"] == "CN=works",
        "{list}"
    );
    let detail: Value = serde_json::from_str(&verb(&["inspect", "page-1.0.0"])?)?;
    ensure!(detail["descriptor"]["appDId"] == "page-1.0.0", "{detail}");

    let refused = |words: &[&str]| -> anyhow::Result<String> {
        let output = desk
            .node
            .edgectl(&[&["package"], words].concat())
            .output()?;
        ensure!(!output.status.success(), "{words:?} was done");
        Ok(String::from_utf8(output.stderr)?)
    };
    let image = list[0]["image"].as_str().unwrap_or_default();
    let output = desk.node.edgectl(&["rmi", image]).output()?;
    ensure!(
        !output.status.success(),
        "the image of a package was removed"
    );
    ensure!(refused(&["install", &file])?.contains("/appDId"));
    ensure!(refused(&["rm", "page-1.0.0"])?.contains("disable"));
    let run = |name: &str| desk.node.edgectl(&["run", "--name", name, image]).output();
    ensure!(run("first")?.status.success(), "no instance of a package");
    verb(&["trust", "rm", "works"])?;
    let output = run("second")?;
    let says = String::from_utf8(output.stderr)?;
    ensure!(
        !output.status.success() && says.contains("not trusted"),
        "{says}"
    );
    verb(&["trust", "add", "works", &text(&desk.path("works.cert"))])?;
    ensure!(run("second")?.status.success(), "the signer is back");
    for name in ["first", "second"] {
        desk.node.verb(&["rm", "-f", name])?;
    }
    verb(&["disable", "page-1.0.0"])?;
    verb(&["rm", "page-1.0.0"])?;
    desk.is_empty()?;

    ensure!(verb(&["trust", "ls"])?.contains("works"));
    verb(&["trust", "rm", "works"])?;
    ensure!(refused(&["install", &file])?.contains("not trusted"));
    let key = text(&desk.path("works.key"));
    ensure!(refused(&["trust", "add", "key", &key])?.contains("certificate"));
    fs::write(desk.path("junk"), "junk")?;
    ensure!(refused(&["install", &text(&desk.path("junk"))])?.contains("package"));
    desk.is_empty()?;
    desk.node.stop()
}
