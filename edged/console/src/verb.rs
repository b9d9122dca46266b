//! The verbs and their options.

use clap::{Args, Parser, Subcommand, ValueEnum};
use edged_model::{AppName, ImageReference, SiteName};

use crate::RunArgs;
use crate::package::PackageVerb;
use crate::rule::RuleVerb;
use crate::service::ServiceVerb;
use crate::trust::ProofVerb;
use crate::update::UpdateVerb;

/// One line of the operator.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "edgectl",
    bin_name = "edgectl",
    no_binary_name = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    subcommand_required = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    // The answer is the same on every terminal and through a pipe.
    term_width = 100,
    about = "Run applications on this box.",
    after_help = "VERB --help tells more. The same words work as `ssh USER@BOX VERB` and as `edgectl VERB`."
)]
pub struct Command {
    /// How to answer.
    #[arg(short, long, global = true, display_order = 100, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// Colour states and headings (edgectl asks for it on a terminal).
    #[arg(long, global = true, display_order = 101)]
    pub color: bool,

    /// Print help.
    #[arg(short, long, global = true, display_order = 102, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,

    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Words and aligned columns.
    Table,
    /// One JSON document; for logs and progress one a line.
    Json,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Make and start an application from an image.
    Run(Box<RunArgs>),
    /// List applications.
    Ps,
    /// Show what an application has written.
    Logs(LogsArgs),
    /// Run a command in an application's container.
    Exec(ExecArgs),
    /// Show everything about an application, as JSON.
    Inspect {
        /// Which application.
        name: AppName,
    },
    /// List images.
    Images,
    /// Fetch an image from its registry.
    Pull {
        /// [REGISTRY/]REPOSITORY[:TAG][@sha256:…]
        image: ImageReference,
    },
    /// Take the images of an archive (OCI layout or docker save) from standard input.
    Load {
        /// An archive on your own machine; only edgectl can open it.
        file: Option<String>,
    },
    /// Remove applications.
    Rm {
        /// Stop them first where they run.
        #[arg(short, long)]
        force: bool,
        /// Which applications.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<AppName>,
    },
    /// Remove images that no application uses.
    Rmi {
        /// Which images.
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<ImageReference>,
    },
    /// Stop applications and leave them stopped.
    Stop {
        /// Seconds until SIGKILL, instead of the application's own.
        #[arg(short, long, value_name = "SECONDS")]
        time: Option<u32>,
        /// Which applications.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<AppName>,
    },
    /// Start stopped applications.
    Start {
        /// Which applications.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<AppName>,
    },
    /// On-board application packages and say whose are taken (`edgectl package create` makes one).
    #[command(subcommand)]
    Package(PackageVerb),
    /// Show and withdraw the services that applications offer (MEC 011).
    #[command(subcommand)]
    Service(ServiceVerb),
    /// Show and change applications' traffic rules (MEC 011).
    #[command(subcommand)]
    Rule(RuleVerb),
    /// Show and change applications' DNS rules (MEC 011).
    #[command(subcommand)]
    Dns(RuleVerb),
    /// Show what applications use.
    Stats {
        /// Which applications; all running ones where none is named.
        #[arg(value_name = "NAME")]
        names: Vec<AppName>,
    },
    /// Show how the box is; ends with 1 where a part of it does not work.
    Status,
    /// Make a fresh box yours: the public keys on standard input become its only operators.
    Commission {
        /// Where the box stands: the first label of its zone SITE.mec.internal.
        #[arg(long)]
        site: Option<SiteName>,
        /// Public keys on your own machine, one a line; only edgectl can open a file.
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
    /// Show what your other tools need: the box's authority, a bearer token, the account on the broker.
    Access {
        /// Seconds that the token lives.
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        lifetime: u64,
    },
    /// Show what the box can prove of itself (`edgectl trust verify` checks it).
    #[command(subcommand)]
    Trust(ProofVerb),
    /// Show and change which release of its own software the box runs.
    #[command(subcommand)]
    Update(UpdateVerb),
    /// Stop the applications and start the box anew.
    Reboot,
    /// Stop the applications and switch the box off.
    Poweroff,
}

/// Options of `logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Go on with new lines.
    #[arg(short, long)]
    pub follow: bool,
    /// Only this many of the last lines.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Begin every line with the time of its arrival (UTC).
    #[arg(short, long)]
    pub timestamps: bool,
    /// Which application.
    pub name: AppName,
}

/// Options of `exec`.
#[derive(Debug, Clone, Args)]
pub struct ExecArgs {
    /// Pass standard input to the command.
    #[arg(short, long)]
    pub interactive: bool,
    /// Which application.
    pub name: AppName,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

impl Command {
    /// Whether the verb reads standard input.
    pub fn reads_input(&self) -> bool {
        match &self.verb {
            Verb::Load { .. } | Verb::Commission { .. } => true,
            Verb::Exec(exec) => exec.interactive,
            Verb::Package(package) => package.reads_input(),
            Verb::Rule(rule) | Verb::Dns(rule) => rule.reads_input(),
            Verb::Trust(proof) => proof.reads_input(),
            Verb::Update(update) => update.reads_input(),
            _ => false,
        }
    }

    /// The file on the caller's machine that is to be standard input.
    pub fn input_file(&self) -> Option<&str> {
        match &self.verb {
            Verb::Load { file } | Verb::Commission { file, .. } => file.as_deref(),
            Verb::Package(package) => package.input_file(),
            Verb::Rule(rule) | Verb::Dns(rule) => rule.input_file(),
            Verb::Trust(proof) => proof.input_file(),
            Verb::Update(update) => update.input_file(),
            _ => None,
        }
    }
}
