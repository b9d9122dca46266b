//! Why there was no answer.

use std::io;
use std::path::PathBuf;

use crate::target::{ParseTargetError, Target};

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CtlError {
    #[error(
        "no box is named; write --host admin@BOX, or `edgectl context add NAME --host admin@BOX`"
    )]
    NoTarget,
    #[error("{0}")]
    Target(ParseTargetError),
    #[error("there is no home folder; set HOME, or name the files with options")]
    NoHome,
    #[error("no context is called {0:?}; `edgectl context list` shows them")]
    UnknownContext(String),
    #[error("cannot use contexts file {}: {source}", path.display())]
    ContextsFile { path: PathBuf, source: io::Error },
    #[error("contexts file {} is not valid: {reason}", path.display())]
    Contexts { path: PathBuf, reason: String },
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    #[error("cannot reach {target}: {reason}; check the address and that the box is on")]
    Connect { target: Target, reason: String },
    #[error(
        "the host key of {target} is not known: {fingerprint}; compare it with what the box shows, then add --accept-new once"
    )]
    UnknownHost { target: Target, fingerprint: String },
    #[error("the host key of {target} is not the one in line {line} of {}: {fingerprint}; somebody may be in between; if the box was set up anew, delete that line", path.display())]
    ChangedHost {
        target: Target,
        fingerprint: String,
        path: PathBuf,
        line: usize,
    },
    #[error("cannot use known hosts file {}: {reason}", path.display())]
    KnownHosts { path: PathBuf, reason: String },
    #[error("cannot use private key {}: {reason}", path.display())]
    Identity { path: PathBuf, reason: String },
    #[error(
        "{target} takes none of your keys ({tried} tried); name the right one with --identity, or have its public half added on the box"
    )]
    Denied { target: Target, tried: usize },
    #[error("cannot read {}: {source}", path.display())]
    Input { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Written { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Package(edged_package::PackageError),
    #[error("the box refused the verb; too many may be running on this connection")]
    Refused,
    #[error("the box did not do it; it said why above")]
    Failed(u8),
    #[error("{0}")]
    Trust(#[from] crate::trust::TrustError),
    #[error("{0}")]
    Update(String),
    #[error("the connection to the box was lost before the verb ended")]
    Lost,
    #[error("the box has not answered in {0} s; see whether it works, and ask again")]
    Slow(u64),
    #[error("the connection failed: {0}")]
    Ssh(#[from] russh::Error),
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}
