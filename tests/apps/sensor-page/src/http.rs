//! As much of HTTP/1.1 (RFC 9112) as one request a connection needs.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

/// A platform that does not answer in this time is asked again later.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer read: a token or a registry entry is a few KiB.
const ANSWER_MAX: u64 = 1 << 20;

/// A request's body.
pub struct Body<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Posts to `http://HOST[:PORT]/PATH` and returns the answer's body; any status but 2xx is an error.
pub fn post(url: &str, authorization: &str, body: &Body<'_>) -> anyhow::Result<String> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("{url:?} must start with http://"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let target = if authority.rsplit_once(':').is_some() {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let address = target
        .to_socket_addrs()
        .with_context(|| format!("cannot resolve {target}"))?
        .next()
        .with_context(|| format!("{target} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("cannot reach {target}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Body { media_type, text } = body;
    let length = text.len();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: {authorization}\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\nAccept: application/json\r\n\
         Connection: close\r\n\r\n{text}"
    )?;
    let mut answer = String::new();
    stream
        .take(ANSWER_MAX)
        .read_to_string(&mut answer)
        .with_context(|| format!("no answer from {url}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{url} answered {status}: {}", body.trim());
    }
    Ok(body.to_owned())
}
