//! `package`: what the operator does with application packages (MEC 010-2), and whose are taken.

use clap::{Args, Subcommand};

/// What is done with packages.
#[derive(Debug, Clone, Subcommand)]
pub enum PackageVerb {
    /// On-board the package that comes on standard input.
    Install {
        /// A package on your own machine, or - for standard input; only edgectl can open a file.
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
    /// List packages.
    Ls,
    /// Show everything about a package, as JSON.
    Inspect {
        /// Which package, by its id or its descriptor's.
        #[arg(value_name = "PACKAGE")]
        package: String,
    },
    /// Let instances be made of packages again.
    Enable(Packages),
    /// Let no more instances be made of packages; those that exist go on.
    Disable(Packages),
    /// Remove packages that are disabled and not in use.
    Rm(Packages),
    /// Whose packages are taken.
    #[command(subcommand)]
    Trust(TrustVerb),
}

/// Some packages.
#[derive(Debug, Clone, Args)]
pub struct Packages {
    /// Which packages, by their ids or their descriptors'.
    #[arg(required = true, value_name = "PACKAGE")]
    pub packages: Vec<String>,
}

/// Whose packages are taken.
#[derive(Debug, Clone, Subcommand)]
pub enum TrustVerb {
    /// List trusted signers.
    Ls,
    /// Take the packages of a signer whose certificate (PEM), or its authority's, comes on standard input.
    Add {
        /// What to call it.
        name: String,
        /// A certificate on your own machine, or - for standard input; only edgectl can open a file.
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
    /// Take no more packages of signers; what is on-boarded stays.
    Rm {
        /// Which signers.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

impl PackageVerb {
    /// Whether it reads standard input.
    pub(crate) fn reads_input(&self) -> bool {
        matches!(
            self,
            Self::Install { .. } | Self::Trust(TrustVerb::Add { .. })
        )
    }

    /// The file on the caller's machine whose content is meant to be standard input.
    pub(crate) fn input_file(&self) -> Option<&str> {
        match self {
            Self::Install { file } | Self::Trust(TrustVerb::Add { file, .. }) => {
                // A dash is what standard input is called everywhere.
                file.as_deref().filter(|file| *file != "-")
            }
            _ => None,
        }
    }
}
