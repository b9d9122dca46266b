//! `trust keys add`, `trust policy`: whose images are taken.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// Keys of others: of those who sign images, and of operators.
#[derive(Debug, Clone, Subcommand)]
pub enum ImageKeyVerb {
    /// Take the images that a key signs (cosign); the public key in PEM comes on standard input.
    Add(AddKeyArgs),
    /// List the keys whose images are taken.
    List,
    /// Trust keys no more: what runs goes on, nothing new is taken on their word.
    Remove {
        /// Which keys.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Make the owner of an SSH key an operator for a while; the public key comes on standard input.
    ///
    /// The certificate goes to standard output: keep it as KEY-cert.pub beside KEY. Nothing takes it back before its end.
    Issue(IssueArgs),
    /// Print the line by which ssh believes the box, whatever its host key is.
    ///
    /// It goes to your known hosts, and counts for the name of the box (ssh -o HostKeyAlias=NAME) and for the addresses
    /// that you reach it at.
    Authority {
        /// Where you reach the box.
        #[arg(value_name = "ADDRESS")]
        addresses: Vec<IpAddr>,
    },
}

/// Options of `trust keys issue`.
#[derive(Debug, Clone, Args)]
pub struct IssueArgs {
    /// How long: minutes, hours or days, seven of these at most.
    #[arg(long = "for", value_name = "30m|8h|7d", default_value = "8h")]
    pub life: Life,
    /// Who it is, for the log; the comment of the key unless given.
    #[arg(long)]
    pub name: Option<String>,
    /// A public key on your own machine; only edgectl can open it.
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life(pub Duration);

impl std::str::FromStr for Life {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = [("m", 60), ("h", 3600), ("d", 24 * 3600)];
        let seconds = unit.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        });
        seconds
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| "write a number of minutes, hours or days, as in 8h".to_owned())
    }
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
    fn a_life_has_a_number_and_a_unit() {
        assert_eq!("8h".parse(), Ok(Life(Duration::from_secs(28_800))));
        for text in ["", "8", "h", "-1h", "8 h", "99999999999999999999d"] {
            assert!(text.parse::<Life>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!("1970-01-02".parse(), Ok(Day(86_400)));
        assert_eq!("2028-02-29".parse(), Ok(Day(1_835_395_200)));
        for text in ["", "1969-12-31", "2027-02-29", "2027-1-1", "tomorrow"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }
}
