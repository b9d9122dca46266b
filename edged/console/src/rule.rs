//! `rule` and `dns`: what the operator does with the rules of applications (MEC 011).

use clap::{Args, Subcommand};
use edged_model::{InstanceId, RuleId};
use serde::{Deserialize, Serialize};

/// Which of an application's two lists of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// What happens to packets.
    Traffic,
    /// What the resolver answers.
    Dns,
}

/// One rule on the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePlace {
    /// Which list.
    pub kind: RuleKind,
    /// Whose: a name or an `appInstanceId`.
    pub application: String,
    /// Which.
    pub rule: RuleId,
}

/// What is done with rules of either kind.
#[derive(Debug, Clone, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum RuleVerb {
    /// List the rules of all applications or of one.
    Ls {
        /// Only of this application, by its name or its appInstanceId.
        #[arg(value_name = "APP")]
        application: Option<String>,
    },
    /// Show a rule as MEC 011 has it, in JSON.
    Inspect(OneRule),
    /// Put rules in force; done when the box has them.
    Enable(SomeRules),
    /// Put rules out of force; done when the box has forgotten them.
    Disable(SomeRules),
    /// Replace a rule by the one on standard input, in the JSON of MEC 011, as inspect shows it.
    Set {
        /// Which one.
        #[command(flatten)]
        one: OneRule,
        /// A rule on your own machine, or - for standard input; only edgectl can open a file.
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
}

/// A rule of an application.
#[derive(Debug, Clone, Args)]
pub struct OneRule {
    /// Whose: the application's name or its appInstanceId.
    #[arg(value_name = "APP")]
    application: String,
    /// Which rule.
    #[arg(value_name = "RULE")]
    rule: RuleId,
}

/// Rules of an application.
#[derive(Debug, Clone, Args)]
pub struct SomeRules {
    /// Whose: the application's name or its appInstanceId.
    #[arg(value_name = "APP")]
    application: String,
    /// Which rules.
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<RuleId>,
}

impl RuleVerb {
    /// Whether it reads standard input.
    pub(crate) fn reads_input(&self) -> bool {
        matches!(self, Self::Set { .. })
    }

    /// The file on the caller's machine whose content is meant to be standard input.
    pub(crate) fn input_file(&self) -> Option<&str> {
        match self {
            // A dash is what standard input is called everywhere.
            Self::Set { file, .. } => file.as_deref().filter(|file| *file != "-"),
            _ => None,
        }
    }
}

impl OneRule {
    pub(crate) fn place(self, kind: RuleKind) -> RulePlace {
        RulePlace {
            kind,
            application: self.application,
            rule: self.rule,
        }
    }
}

impl SomeRules {
    pub(crate) fn places(self, kind: RuleKind) -> impl Iterator<Item = RulePlace> {
        let application = self.application;
        self.rules.into_iter().map(move |rule| RulePlace {
            kind,
            application: application.clone(),
            rule,
        })
    }
}

/// Whether a rule has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Force {
    /// The box does what it says.
    InForce,
    /// It is `ACTIVE` and comes into force when its application is ready.
    Waiting,
    /// It is `INACTIVE`.
    Inactive,
}

/// Whose a rule is, which one, and whether it has an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// The application's name; its id where it runs elsewhere.
    pub app: String,
    /// MEC 011 `appInstanceId`.
    pub app_instance_id: InstanceId,
    /// MEC 011 `trafficRuleId` or `dnsRuleId`.
    pub rule: RuleId,
    /// Whether it has an effect.
    pub state: Force,
}

/// One traffic rule in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRuleView {
    /// Whose and which.
    #[serde(flatten)]
    pub about: RuleView,
    /// 0 goes first.
    pub priority: u8,
    /// MEC 011 `filterType`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MEC 011 `action`.
    pub action: String,
}

/// One DNS rule in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsRuleView {
    /// Whose and which.
    #[serde(flatten)]
    pub about: RuleView,
    /// The name that is answered.
    pub name: String,
    /// The address in the answer.
    pub address: std::net::IpAddr,
    /// Seconds that an answer is good for; the resolver's own where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ttl: Option<u32>,
}
