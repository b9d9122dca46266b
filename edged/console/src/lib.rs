//! The operator's verbs: parsed once, answered as tables or JSON.
//!
//! A line such as `ps -o json` comes from the door (SSH), is parsed by [`Command`], done by whatever implements
//! [`Platform`], and answered on the caller's own streams by [`execute`]. `edgectl` sends the same words, so both
//! ways in show the same bytes.
//!
//! It refuses to know how anything is done: no socket, no store and no container is touched here. It keeps nothing
//! between two lines and starts no task: [`execute`] is one future, and dropping it (the client has gone) drops every
//! channel it was given by the platform, which is how the platform learns of it. Every channel is bounded.
//!
//! Invariants: standard output carries the answer and nothing else; progress, errors and hints go to standard error;
//! a colour never says what a word does not say; exit codes are those of [`ExitStatus`].

mod error;
mod execute;
mod finding;
mod health;
mod image_trust;
mod measure;
mod package;
mod platform;
mod progress;
mod render;
mod rule;
mod run;
mod service;
mod signal;
mod standing;
mod table;
mod trust;
mod update;
mod verb;
mod view;
mod words;

pub use edged_model::Nonce;
pub use error::{ErrorKind, PlatformError};
pub use execute::{ExitStatus, Streams, execute, execute_line, help};
pub use finding::{Finding, FindingState, is_well};
pub use image_trust::{AddKeyArgs, Day, ImageKeyVerb, ImageKeyView, IssueArgs, Life, PolicyVerb};
pub use package::{PackageVerb, Packages, TrustVerb};
pub use platform::{EXEC_EVENTS, End, ExecEvent, LOG_LINES, LogQuery, Platform};
pub use progress::{Progress, Step};
pub use rule::{DnsRuleView, Force, RuleKind, RulePlace, RuleVerb, RuleView, TrafficRuleView};
pub use run::RunArgs;
pub use service::{ServiceVerb, ServiceView};
pub use standing::Standing;
pub use trust::{KeyView, ProofVerb};
pub use update::{BundleSource, EndedView, InstallArgs, ReleaseView, UpdateVerb, UpdateView};
pub use verb::{Command, Output, Verb};
pub use view::{
    AccessView, AccountView, Applications, BuildView, CommissionView, ImageView, InstanceDetail,
    InstanceView, LogLine, OperatorView, PackageDetail, PackageView, PartView, RegistersView,
    SignerView, StatsView, StatusView, Stream,
};
pub use words::{SplitError, quote, split};
