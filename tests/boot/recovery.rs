//! The key for the day on which the TPM does not give the box's data: shown once, and good.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use board_qemu::tamper::copy_data_header;
use board_qemu::{Folder, Guest};

/// cryptsetup(8): no permission, which is its word for a key that opens nothing.
const NO_SUCH_KEY: i32 = 2;
/// Two letters of systemd's alphabet for recovery keys.
const LETTERS: [char; 2] = ['c', 'b'];

/// Neither the operator nor who holds the key of the image gets it a second time; the console never shows it.
pub fn the_recovery_key_of_the_box_is_shown_once(
    guest: &Guest,
    key: Option<&str>,
) -> anyhow::Result<()> {
    let key = key.context("the box was not commissioned")?;
    let (group, _) = key.split_once('-').context("the key has no groups")?;
    let door = guest.door()?;
    let operator = guest.folder.operator().with_extension("pub");
    for words in [
        &["commission", "-o", "json"][..],
        &["status"],
        &["status", "-o", "json"],
        &["access", "-o", "json"],
    ] {
        let answer = door.say(words, Some(&operator))?;
        for text in [answer.stdout, answer.stderr] {
            let shown = String::from_utf8_lossy(&text).contains(group);
            ensure!(!shown, "`{}` shows it again", words.join(" "));
        }
    }
    let lines = guest.machine.console.lines();
    let line = lines.iter().find(|line| line.text.contains(group));
    ensure!(line.is_none(), "the console shows it: {line:?}");
    Ok(())
}

/// On this machine, away from the box and its TPM, with Debian's own tool.
pub fn the_recovery_key_opens_the_data_of_the_box_and_no_other_key_does(
    folder: &Folder,
    key: Option<&str>,
) -> anyhow::Result<()> {
    let key = key.context("the box was not commissioned")?;
    let header = folder.path.join("data-header.img");
    copy_data_header(&folder.disk(), &header)?;
    ensure!(opens(&header, key)?, "the key that was shown does not open");
    for at in [0, key.len() - 1] {
        let mut letters: Vec<char> = key.chars().collect();
        let letter = letters.get_mut(at).context("the key is empty")?;
        let [usual, other] = LETTERS;
        *letter = if *letter == usual { other } else { usual };
        let wrong: String = letters.into_iter().collect();
        ensure!(!opens(&header, &wrong)?, "another key opens: {wrong}");
    }
    Ok(())
}

fn opens(header: &Path, key: &str) -> anyhow::Result<bool> {
    let mut open = Command::new("cryptsetup")
        .args(["open", "--test-passphrase", "--batch-mode"])
        .args(["--type", "luks2", "--key-file", "-"])
        .arg(header)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cryptsetup; install cryptsetup-bin")?;
    let mut input = open.stdin.take().context("cryptsetup has no input")?;
    input.write_all(key.as_bytes())?;
    drop(input);
    let answer = open.wait_with_output()?;
    match answer.status.code() {
        Some(0) => Ok(true),
        Some(NO_SUCH_KEY) => Ok(false),
        _ => bail!(
            "cryptsetup: {}",
            String::from_utf8_lossy(&answer.stderr).trim()
        ),
    }
}
