//! Options of edgectl itself; everything from the verb on is the box's.

#![allow(clippy::doc_markdown)] // These texts are the help that people read.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::contexts::{Context, Contexts};
use crate::error::CtlError;
use crate::target::Target;

/// Run applications on a box, over SSH.
#[derive(Debug, Parser)]
#[command(
    name = "edgectl",
    version,
    disable_help_subcommand = true,
    after_help = after_help()
)]
pub(crate) struct Args {
    /// Which box, as admin@box or admin@box:2222 [env: EDGECTL_HOST].
    #[arg(long, value_name = "USER@BOX")]
    host: Option<Target>,
    /// Private key file [env: EDGECTL_IDENTITY; default: the agent, then ~/.ssh/id_ed25519 and id_ecdsa].
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Which remembered box [env: EDGECTL_CONTEXT; default: the one in use].
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// File of known host keys [env: EDGECTL_KNOWN_HOSTS; default: ~/.ssh/known_hosts].
    #[arg(long, value_name = "FILE")]
    known_hosts: Option<PathBuf>,
    /// Believe a box that is met for the first time and remember its key.
    #[arg(long)]
    accept_new: bool,
    /// A verb and its options, or `context add|use|list|rm`.
    #[arg(
        value_name = "VERB",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) words: Vec<String>,
}

/// `edgectl context …`: the boxes remembered on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "edgectl context",
    no_binary_name = true,
    disable_help_subcommand = true
)]
struct ContextArgs {
    #[command(subcommand)]
    verb: ContextVerb,
}

/// What is done to the remembered boxes.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Remember a box; the first one is in use at once.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        context: Context,
    },
    /// Use a remembered box from now on.
    Use {
        /// Its name.
        name: String,
    },
    /// List the remembered boxes.
    List,
    /// Forget a box.
    Rm {
        /// Its name.
        name: String,
    },
}

/// Where to go, and with what.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    pub(crate) identity: Option<PathBuf>,
    pub(crate) known_hosts: PathBuf,
    pub(crate) accept_new: bool,
}

impl Args {
    /// The change to the contexts that is asked for, if it is one.
    pub(crate) fn context_verb(&self) -> Option<ContextVerb> {
        match self.words.split_first() {
            Some((first, rest)) if first == "context" => {
                // A usage error or help ends the process as that of any other option does.
                let args = ContextArgs::try_parse_from(rest).unwrap_or_else(|error| error.exit());
                Some(args.verb)
            }
            _ => None,
        }
    }

    /// An option wins over the environment, and the environment over the context.
    pub(crate) fn destination(&self, contexts: &Contexts) -> Result<Destination, CtlError> {
        let host = match (&self.host, &self.context, std::env::var("EDGECTL_HOST")) {
            (Some(host), _, _) => Some(host.clone()),
            (None, None, Ok(host)) => Some(host.parse().map_err(CtlError::Target)?),
            _ => None,
        };
        let wanted = self
            .context
            .clone()
            .or_else(|| std::env::var("EDGECTL_CONTEXT").ok());
        // A box named outright needs no context; one named with it brings its key files.
        let context = match (&wanted, &host) {
            (None, Some(_)) => None,
            (wanted, _) => contexts.find(wanted.as_deref())?.cloned(),
        };
        let target = match (host, &context) {
            (Some(host), _) => host,
            (None, Some(context)) => context.host.clone(),
            (None, None) => return Err(CtlError::NoTarget),
        };
        let (identity, known_hosts) = context
            .map(|context| (context.identity, context.known_hosts))
            .unwrap_or_default();
        let from = |option: &Option<PathBuf>, variable: &str, context| {
            let environment = || std::env::var_os(variable).map(PathBuf::from);
            option.clone().or_else(environment).or(context)
        };
        let known_hosts = from(&self.known_hosts, "EDGECTL_KNOWN_HOSTS", known_hosts)
            .or_else(|| std::env::home_dir().map(|home| home.join(".ssh/known_hosts")))
            .ok_or(CtlError::NoHome)?;
        Ok(Destination {
            target,
            identity: from(&self.identity, "EDGECTL_IDENTITY", identity),
            known_hosts,
            accept_new: self.accept_new,
        })
    }
}

fn after_help() -> String {
    format!(
        "Without a box: `package create` makes a signed package of an image, `package keygen` a key to sign with.\n\
         Judged here: `trust enrol` remembers who a box is, `trust verify` whether it still is, and what it booted.\n\n\
         The verbs, as this version of the box has them:\n\n{}",
        edged_console::help()
    )
}
