//! `nft`, run once a transaction: the one program the guardian starts.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::opening::Opening;

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

/// Loads a transaction: all of it or nothing.
pub fn load(text: &str, operation: &'static str) -> Result<(), NftError> {
    let output = run(&["-f", "-"], text)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(refused(operation, &output))
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
    child.wait_with_output().map_err(NftError::Run)
}

fn refused(operation: &'static str, output: &Output) -> NftError {
    let text = String::from_utf8_lossy(&output.stderr);
    NftError::Refused {
        operation,
        message: text.lines().next().unwrap_or("without a word").to_owned(),
    }
}
