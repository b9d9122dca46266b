//! `USER@BOX[:PORT]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The port of SSH.
const PORT: u16 = 22;
/// Who an operator is where no user is named.
const USER: &str = "admin";

/// Who goes where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Target {
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a box; write admin@BOX, admin@BOX:PORT or admin@[IPV6]:PORT")]
pub(crate) struct ParseTargetError(String);

impl FromStr for Target {
    type Err = ParseTargetError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTargetError(text.to_owned());
        let (user, place) = text.split_once('@').unwrap_or((USER, text));
        let (host, port) = if let Some(rest) = place.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(error)?;
            (
                host,
                rest.strip_prefix(':')
                    .or(rest.is_empty().then_some(""))
                    .ok_or_else(error)?,
            )
        } else if place.matches(':').count() > 1 {
            // An IPv6 address without brackets has no port.
            (place, "")
        } else {
            place.split_once(':').unwrap_or((place, ""))
        };
        let port = match port {
            "" if !place.ends_with(':') || place.contains("::") => PORT,
            port => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(error)?,
        };
        let sane = |text: &str| {
            !text.is_empty()
                && !text.contains(|c: char| {
                    c.is_whitespace() || c.is_control() || ",|*?!@[]/".contains(c)
                })
        };
        if !sane(user) || !sane(host) || host.starts_with('-') {
            return Err(error());
        }
        Ok(Self {
            user: user.to_owned(),
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}", self.user, self.host, self.port)
        } else {
            write!(f, "{}@{}:{}", self.user, self.host, self.port)
        }
    }
}

impl TryFrom<String> for Target {
    type Error = ParseTargetError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_user_and_a_port_even_when_none_is_written() {
        for (text, full) in [
            ("box", "admin@box:22"),
            ("jo@box", "jo@box:22"),
            ("box:2222", "admin@box:2222"),
            ("admin@10.0.0.1:22", "admin@10.0.0.1:22"),
            ("fd00::1", "admin@[fd00::1]:22"),
            ("jo@[fd00::1]", "jo@[fd00::1]:22"),
            ("[::1]:2222", "admin@[::1]:2222"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), full);
            assert_eq!(full.parse::<Target>().unwrap(), target);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for bad in [
            "", "@box", "jo@", "box:", "box:0", "box:x", "a b", "[::1", "[::1]x", "-oX", "*",
            "a@b@c",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} was taken");
        }
    }
}
