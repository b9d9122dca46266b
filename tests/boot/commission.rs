//! A fresh box becomes its operator's.

use std::process::Output;

use anyhow::{Context, ensure};
use board_qemu::{Door, Guest, is_refused_key};
use serde_json::Value;

use umec_tests::ground::Ground;

fn sentence(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("this is no JSON: {text}"))
}

/// Who holds the key that stands in the image.
fn commissioner(guest: &Guest, ground: &Ground) -> anyhow::Result<Door> {
    Ok(guest.door()?.with(&ground.parts.commissioning))
}

/// Only looking and commissioning is allowed.
pub fn a_fresh_box_does_nothing_but_be_commissioned(
    guest: &Guest,
    ground: &Ground,
) -> anyhow::Result<()> {
    let door = commissioner(guest, ground)?;
    for words in [&["ps"][..], &["access"], &["load"], &["poweroff"]] {
        let answer = door.say(words, None)?;
        ensure!(
            !answer.status.success() && sentence(&answer).contains("nobody's yet"),
            "{words:?}: {}",
            sentence(&answer)
        );
    }
    let status = json(&door.told(&["status", "-o", "json"], None)?)?;
    ensure!(
        status.get("commissioned") == Some(&Value::Bool(false)),
        "{status}"
    );
    Ok(())
}

/// A key that nobody knows does not open, and the operator's does not yet.
pub fn a_key_that_the_box_does_not_know_is_refused(guest: &Guest) -> anyhow::Result<()> {
    let answer = guest.door()?.say(&["status"], None)?;
    ensure!(is_refused_key(&answer), "{}", sentence(&answer));
    Ok(())
}

/// The door offers public keys and nothing else.
pub fn the_box_takes_no_password(guest: &Guest) -> anyhow::Result<()> {
    let mut ssh = guest.door()?.ssh(&["status"]);
    // The first value of an option counts for ssh(1), so these go in front of the door's own.
    let words: Vec<_> = ssh.get_args().map(ToOwned::to_owned).collect();
    ssh = std::process::Command::new("ssh");
    ssh.args([
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
    ]);
    ssh.args(["-o", "PubkeyAuthentication=no"]).args(words);
    let answer = ssh.stdin(std::process::Stdio::null()).output()?;
    ensure!(
        is_refused_key(&answer),
        "the door offers another way in: {}",
        sentence(&answer)
    );
    Ok(())
}

/// The operator's key goes in, the recovery key comes out.
pub fn the_box_is_commissioned_with_openssh(
    guest: &Guest,
    ground: &Ground,
    shown: &mut Option<String>,
) -> anyhow::Result<()> {
    let answer = json(&guest.commission(&ground.parts.commissioning)?)?;
    let recovery = answer.get("recoveryKey").and_then(Value::as_str);
    let recovery = recovery.with_context(|| format!("there is no recovery key: {answer}"))?;
    // systemd-cryptenroll(1): eight groups of eight modhex letters.
    let groups: Vec<_> = recovery.split('-').collect();
    ensure!(
        groups.len() == 8 && groups.iter().all(|group| group.len() == 8),
        "not a recovery key of systemd: {recovery}"
    );
    *shown = Some(recovery.to_owned());
    Ok(())
}

/// The key of the image is worth nothing from then on.
pub fn a_commissioned_box_refuses_the_commissioning_key(
    guest: &Guest,
    ground: &Ground,
) -> anyhow::Result<()> {
    let answer = commissioner(guest, ground)?.say(&["status"], None)?;
    ensure!(is_refused_key(&answer), "{}", sentence(&answer));
    let again = guest.door()?.say(&["commission"], None)?;
    ensure!(!again.status.success(), "it was commissioned twice");
    Ok(())
}

/// The status names the image, says DEVELOPMENT, and every part works.
pub fn the_status_of_the_box_says_what_it_is(guest: &Guest) -> anyhow::Result<()> {
    let door = guest.door()?;
    let text = door.told(&["status"], None)?;
    ensure!(text.contains("DEVELOPMENT"), "{text}");
    let status = json(&door.told(&["status", "-o", "json"], None)?)?;
    ensure!(
        status.get("commissioned") == Some(&Value::Bool(true))
            && status.pointer("/build/board") == Some(&Value::from("qemu-aarch64")),
        "{status}"
    );
    let parts = status.get("parts").and_then(Value::as_array);
    let broken = parts
        .into_iter()
        .flatten()
        .find(|part| part.get("ok") != Some(&Value::Bool(true)));
    ensure!(broken.is_none(), "{broken:?}");
    Ok(())
}
