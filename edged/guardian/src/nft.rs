//! `nft`, run once a transaction: the one program the guardian starts.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::{Child, Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use crate::opening::Opening;
use crate::watch::Watch;

/// Where Debian and Yocto put nft; the environment's own search path is not trusted.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What nft did not do.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// It did not run.
    #[error("cannot run nft: {0}; install nftables")]
    Run(#[source] io::Error),
    /// It ran and said no.
    #[error("nft refused to {operation}: {message}")]
    Refused {
        /// In words.
        operation: &'static str,
        /// The first line of what it said.
        message: String,
    },
    /// It said something that is not understood.
    #[error("nft answered with what is no list of rules: {0}; check its version (1.0.6 or newer)")]
    Answer(#[source] serde_json::Error),
}

/// Loads a transaction: all of it or nothing. It is in force when this returns; the process that loaded it may take
/// some milliseconds more to end, because the kernel makes it wait until the rules that went away are out of use.
pub fn load(
    text: &str,
    operation: &'static str,
    watch: &mut Watch,
) -> Result<Option<Child>, NftError> {
    let mut child = start(&["-f", "-"], text)?;
    let pid = Some(child.id());
    let over = child.stdout.take();
    loop {
        let [rules, _] = watch.sockets();
        let mut waiting = vec![PollFd::new(&rules, PollFlags::IN)];
        if let Some(over) = &over {
            waiting.push(PollFd::new(over, PollFlags::IN));
        }
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(NftError::Run(error.into())),
        }
        let ended = waiting.get(1).is_none_or(|fd| !fd.revents().is_empty());
        if watch.committed_by(pid) {
            return Ok(Some(child));
        }
        if ended {
            // It has nothing more to say, or nothing was changed, or the kernel knows it by another number.
            let output = child.wait_with_output().map_err(NftError::Run)?;
            watch.committed_by(pid);
            return if output.status.success() {
                Ok(None)
            } else {
                Err(refused(operation, &output))
            };
        }
    }
}

/// The comment by which the kernel remembers the policy; `None` where there is no such table or no such comment.
pub fn policy_mark(table: &str) -> Result<Option<String>, NftError> {
    let comments = comments(table, "marks")?;
    Ok(comments
        .into_iter()
        .find(|text| text.starts_with("policy ")))
}

/// What was opened for the applications, as the kernel remembers it.
pub fn openings(table: &str) -> Result<BTreeSet<Opening>, NftError> {
    let comments = comments(table, "opened")?;
    let known = Opening::ALL.into_iter();
    Ok(known
        .filter(|opening| comments.iter().any(|text| text == opening.mark()))
        .collect())
}

/// Whether the kernel would take a transaction; nothing is changed.
pub fn would_take(text: &str) -> Result<bool, NftError> {
    Ok(run(&["-c", "-f", "-"], text)?.status.success())
}

/// The chains of a table of ours; none where there is no such table.
pub fn chains(table: &str) -> Result<Vec<String>, NftError> {
    let output = run(&["-j", "list", "chains", "inet"], "")?;
    if !output.status.success() {
        return Err(refused("list the chains", &output));
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(NftError::Answer)?;
    let objects = answer.get("nftables").and_then(Value::as_array);
    let name = |object: &Value| {
        let chain = object.get("chain")?;
        (chain.get("table")?.as_str()? == table)
            .then(|| chain.get("name")?.as_str().map(str::to_owned))?
    };
    Ok(objects.into_iter().flatten().filter_map(name).collect())
}

/// The comments of a chain's rules; none where there is no such chain.
fn comments(table: &str, chain: &str) -> Result<Vec<String>, NftError> {
    let output = run(&["-j", "list", "chain", "inet", table, chain], "")?;
    if !output.status.success() {
        // nft has one exit code for everything; this text comes from strerror(ENOENT) in the C locale.
        let missing = String::from_utf8_lossy(&output.stderr).contains("No such file");
        return if missing {
            Ok(Vec::new())
        } else {
            Err(refused("list the rules", &output))
        };
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(NftError::Answer)?;
    let objects = answer.get("nftables").and_then(Value::as_array);
    let comment = |object: &Value| Some(object.get("rule")?.get("comment")?.as_str()?.to_owned());
    Ok(objects.into_iter().flatten().filter_map(comment).collect())
}

fn run(arguments: &[&str], input: &str) -> Result<Output, NftError> {
    start(arguments, input)?
        .wait_with_output()
        .map_err(NftError::Run)
}

fn start(arguments: &[&str], input: &str) -> Result<Child, NftError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // nft reads all of its input before it writes; if it ended instead, its exit code says so.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(child)
}

fn refused(operation: &'static str, output: &Output) -> NftError {
    let text = String::from_utf8_lossy(&output.stderr);
    NftError::Refused {
        operation,
        message: text.lines().next().unwrap_or("without a word").to_owned(),
    }
}
