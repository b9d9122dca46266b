//! The URI that notifications are sent to.

use std::fmt;
use std::str::FromStr;

use hyper::http::uri::Scheme;
use hyper::{Uri, http};
use serde::{Deserialize, Serialize};

/// The longest callback: no name and path of a person's making is longer, and each is kept in memory.
const CALLBACK_MAX: usize = 1024;

/// Why a text is no callback (MEC 009: an absolute http or https URI without query, fragment and userinfo).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// Too long.
    #[error("the callback has {0} bytes; use at most {CALLBACK_MAX}")]
    Long(usize),
    /// Not a URI.
    #[error(
        "the callback {0:?} is not a URI; use an absolute one such as http://10.86.0.2:8080/events"
    )]
    Syntax(String),
    /// Relative, or another scheme.
    #[error("the callback {0:?} must start with http:// or https:// and name a host")]
    Scheme(String),
    /// A part that a callback does not have.
    #[error("the callback {uri:?} has a {part}; leave it out")]
    Part {
        /// As given.
        uri: String,
        /// Which part.
        part: &'static str,
    },
    /// Port 0, or none that is a number.
    #[error("the port of the callback {0:?} must be a number from 1 to 65535")]
    Port(String),
}

/// An absolute http or https URI without query, fragment and userinfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Callback {
    text: String,
    uri: Uri,
    host: String,
    port: u16,
}

impl Callback {
    /// As the subscriber wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// The name in lower case without a final dot, or the address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the field `Host` says.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |part| part.as_str())
    }

    /// What the request line says.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }
}

impl FromStr for Callback {
    type Err = CallbackError;

    fn from_str(text: &str) -> Result<Self, CallbackError> {
        let has = |part| CallbackError::Part {
            uri: text.to_owned(),
            part,
        };
        if text.len() > CALLBACK_MAX {
            return Err(CallbackError::Long(text.len()));
        }
        // The parser of URIs drops a fragment without a word.
        if text.contains('#') {
            return Err(has("fragment"));
        }
        let syntax = |_: http::uri::InvalidUri| CallbackError::Syntax(text.to_owned());
        let uri: Uri = text.parse().map_err(syntax)?;
        let scheme = || CallbackError::Scheme(text.to_owned());
        let standard = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(scheme()),
        };
        let authority = uri.authority().ok_or_else(scheme)?;
        if authority.as_str().contains('@') {
            return Err(has("userinfo"));
        }
        if text.contains('?') {
            return Err(has("query"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() {
            return Err(scheme());
        }
        let port = match authority.port_u16() {
            Some(0) => return Err(CallbackError::Port(text.to_owned())),
            Some(port) => port,
            // "host:" has no port, "host:99999" has one that is none.
            None if authority.as_str().len() > authority.host().len() => {
                return Err(CallbackError::Port(text.to_owned()));
            }
            None => standard,
        };
        Ok(Self {
            text: text.to_owned(),
            host,
            port,
            uri,
        })
    }
}

impl TryFrom<String> for Callback {
    type Error = CallbackError;
    fn try_from(text: String) -> Result<Self, CallbackError> {
        text.parse()
    }
}

impl From<Callback> for String {
    fn from(callback: Callback) -> Self {
        callback.text
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_absolute_and_has_nothing_but_host_port_and_path() {
        for (good, host, port, path) in [
            ("http://10.86.0.2:8080/a/b", "10.86.0.2", 8080, "/a/b"),
            ("https://app.example", "app.example", 443, "/"),
            ("http://[fd00::2]:81/x", "fd00::2", 81, "/x"),
            ("HTTP://App.Edge./%20", "app.edge", 80, "/%20"),
        ] {
            let callback: Callback = good.parse().unwrap();
            assert_eq!(
                (callback.host(), callback.port(), callback.path()),
                (host, port, path)
            );
            assert_eq!(callback.as_str(), good);
        }
        let long = format!("http://h/{}", "a".repeat(CALLBACK_MAX));
        for bad in [
            "",
            "/events",
            "//host/events",
            "host:80",
            "host",
            "*",
            "ftp://host/",
            "file:///etc/passwd",
            "http://",
            "http:///path",
            "http://:80/",
            "http://./",
            "http://h/p?q=1",
            "http://h/p?",
            "http://h?q",
            "http://h/p#f",
            "http://h/#",
            "http://user@h/",
            "http://user:word@h/",
            "http://@h/",
            "http://h:0/",
            "http://h:99999/",
            "http://h:/",
            "http://h:x/",
            "http://h /",
            "http://h/a b",
            "http://h/\r\nX: y",
            "http://[::1/",
            &long,
        ] {
            assert!(bad.parse::<Callback>().is_err(), "{bad:?} was taken");
        }
    }
}
