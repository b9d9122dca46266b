//! `update`, on a machine whose software comes another way.

use std::process::Command;

use anyhow::{Context, ensure};
use board::process;
use serde_json::Value;

use crate::box_of_rules::Seeded;

#[test]
fn a_machine_that_is_not_ours_says_that_there_is_nothing_to_update() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let status = node.says(&["update", "status", "-o", "json"])?.done()?;
    let status: Value = serde_json::from_str(&status)?;
    ensure!(
        status["state"] == "off" && status["running"].is_null(),
        "{status}"
    );
    ensure!(status["findings"][0]["state"] == "off", "{status}");
    let sentence = "there is nothing to update here";
    let shown = node.says(&["update", "status"])?.done()?;
    ensure!(shown.contains(sentence), "{shown}");
    let hint = "as it was installed";
    node.ssh("update install", "a bundle")?
        .refused(sentence, hint)?;
    node.says(&["update", "install", "stick"])?
        .refused(sentence, hint)?;
    for words in [["update", "confirm"], ["update", "rollback"]] {
        node.says(&words)?.refused(sentence, hint)?;
    }
    node.end()
}

#[test]
fn the_interface_says_the_same() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let ask = |method: &str, token: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--request", method, "--cacert"])
            .arg(&node.line().ca)
            .args(["--write-out", "\n%{http_code}", "--data-binary", "a bundle"]);
        if let Some(token) = token {
            curl.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let answer = process::output(curl.arg(format!("{}/api/v1/update", node.line().https)))?;
        let (body, status) = answer.rsplit_once('\n').context("no status")?;
        anyhow::Ok((status.parse::<u16>()?, serde_json::from_str::<Value>(body)?))
    };
    let token = node.line().token.clone();
    let (status, body) = ask("GET", Some(&token))?;
    ensure!(status == 200 && body["state"] == "off", "{status} {body}");
    for method in ["POST", "DELETE"] {
        let (status, body) = ask(method, Some(&token))?;
        let detail = body["detail"].as_str().unwrap_or_default();
        ensure!(
            status == 409 && detail.contains("nothing to update here"),
            "{status} {body}"
        );
        ensure!(ask(method, None)?.0 == 401);
    }
    node.end()
}
