//! `trust keys add`, `trust policy`: whose images are taken.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// Keys that sign images.
#[derive(Debug, Clone, Subcommand)]
pub enum ImageKeyVerb {
    /// Take the images that a key signs (cosign); the public key in PEM comes on standard input.
    Add(AddKeyArgs),
    /// List the keys whose images are taken.
    List,
    /// Take no more images of keys; what is on the box stays.
    Remove {
        /// Which keys.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// Options of `trust keys add`.
#[derive(Debug, Clone, Args)]
pub struct AddKeyArgs {
    /// The key counts from this day on (UTC).
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<Day>,
    /// The key counts until this day begins (UTC).
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub until: Option<Day>,
    /// What to call it.
    pub name: String,
    /// A public key on your own machine; only edgectl can open it.
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

/// Whose signature images need.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyVerb {
    /// Show the policy in force, as JSON.
    Show,
    /// Replace the policy by one in JSON from standard input.
    Set {
        /// A policy on your own machine; only edgectl can open it.
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
}

/// The beginning of a day, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(pub u64);

impl std::str::FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let format = time::macros::format_description!("[year]-[month]-[day]");
        let day = time::Date::parse(text, format).ok();
        let begins = day.map(|day| day.midnight().assume_utc().unix_timestamp());
        let seconds = begins.and_then(|seconds| u64::try_from(seconds).ok());
        seconds
            .map(Self)
            .ok_or_else(|| "write a day after 1969 as YYYY-MM-DD".to_owned())
    }
}

/// A key whose images are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageKeyView {
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 of its public half, hexadecimal.
    pub fingerprint: String,
    /// Seconds since 1970 from which on it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Seconds since 1970 from which on it counts no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!("1970-01-02".parse(), Ok(Day(86_400)));
        assert_eq!("2028-02-29".parse(), Ok(Day(1_835_395_200)));
        for text in ["", "1969-12-31", "2027-02-29", "2027-1-1", "tomorrow"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
