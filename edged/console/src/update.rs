//! `update`: another release of the box's own software.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::Finding;

/// What comes by SFTP is called so, and what is on a stick.
const UPLOADED: &str = "uploaded";
const STICK: &str = "stick";

/// What is done about updates.
#[derive(Debug, Clone, Subcommand)]
pub enum UpdateVerb {
    /// Show what runs, what is under way and how the last update ended; ends with 1 where something needs you.
    Status,
    /// Take a signed bundle: from standard input, an https:// address, what was uploaded by sftp, or a stick. The box writes it
    /// beside what runs, starts it on trial, and keeps it if the box does as well as before.
    Install(InstallArgs),
    /// Confirm a trial as soon as the box does as well as before, without waiting ten seconds more.
    Confirm,
    /// Give up the update that is under way.
    Rollback,
}

/// Words of `update install`.
#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// A bundle on your own machine (only edgectl can open it), - for standard input, https://…, `uploaded`, or `stick`:
    /// the one file that ends in .update on what is plugged into the box (FAT32 or exFAT)
    #[arg(value_name = "FROM")]
    pub from: Option<String>,
    /// Take it although this release could not read the database again after a rollback
    #[arg(long)]
    pub no_way_back: bool,
    /// Stay until the update is confirmed or rolled back, over the box's restarts (edgectl alone: the connection ends
    /// with the box)
    #[arg(long)]
    pub wait: bool,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleSource {
    /// Standard input.
    Input,
    /// An address.
    Address(String),
    /// What was uploaded before.
    Uploaded,
    /// The one bundle that is plugged into the box.
    Stick,
}

impl InstallArgs {
    /// Where the bundle comes from; nothing where a file of the caller's machine is named.
    pub(crate) fn source(&self) -> Option<BundleSource> {
        match self.from.as_deref() {
            None | Some("-") => Some(BundleSource::Input),
            Some(UPLOADED) => Some(BundleSource::Uploaded),
            Some(STICK) => Some(BundleSource::Stick),
            Some(address) if address.contains("://") => {
                Some(BundleSource::Address(address.to_owned()))
            }
            Some(_) => None,
        }
    }
}

impl UpdateVerb {
    /// Whether it reads standard input.
    pub(crate) fn reads_input(&self) -> bool {
        match self {
            Self::Install(args) => matches!(args.source(), None | Some(BundleSource::Input)),
            _ => false,
        }
    }

    /// The file on the caller's machine whose content is meant to be standard input.
    pub(crate) fn input_file(&self) -> Option<&str> {
        match self {
            Self::Install(args) if args.source().is_none() => args.from.as_deref(),
            _ => None,
        }
    }
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its counting number.
    pub release: u64,
    /// Its version.
    pub version: String,
}

/// How the last update ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedView {
    /// Which.
    #[serde(flatten)]
    pub release: ReleaseView,
    /// `confirmed`, `rolled-back` or `kept`.
    pub outcome: String,
    /// Why, where it was not confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// Unix seconds.
    pub at: u64,
}

/// Updates of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateView {
    /// What runs; nothing on a machine whose software comes another way.
    pub running: Option<ReleaseView>,
    /// How far an update has come: `idle`, `staged`, `written`, `trial 2 of 3`, `rolling back`, `settling`; or `off`.
    pub state: String,
    /// The update that is under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub update: Option<ReleaseView>,
    /// How the last one ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<EndedView>,
    /// What is true, since when, and what to do.
    pub findings: Vec<Finding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_comes_from_where_its_name_says() {
        let source = |from: Option<&str>| {
            let args = InstallArgs {
                from: from.map(str::to_owned),
                no_way_back: false,
                wait: false,
            };
            (args.source(), UpdateVerb::Install(args).reads_input())
        };
        assert_eq!(source(None), (Some(BundleSource::Input), true));
        assert_eq!(source(Some("-")), (Some(BundleSource::Input), true));
        assert_eq!(
            source(Some("uploaded")),
            (Some(BundleSource::Uploaded), false)
        );
        assert_eq!(source(Some("stick")), (Some(BundleSource::Stick), false));
        assert_eq!(source(Some("./uploaded")), (None, true));
        let address = "https://a.example/5.update";
        assert_eq!(
            source(Some(address)),
            (Some(BundleSource::Address(address.to_owned())), false)
        );
    }
}
