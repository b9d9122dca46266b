//! `update`, on a machine whose software comes another way.

use anyhow::ensure;
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
    for words in [["update", "confirm"], ["update", "rollback"]] {
        node.says(&words)?.refused(sentence, hint)?;
    }
    node.end()
}
