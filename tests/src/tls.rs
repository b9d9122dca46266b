//! The certificate that somebody shows.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use board::process;

/// The last line of a certificate (RFC 7468, 5.1).
const END: &str = "-----END CERTIFICATE-----";

/// What is shown at an address, `HOST:PORT`, where this authority has signed it and it is good by the client's clock, which
/// `clock` may set. In PEM.
pub fn shown_at(
    place: &str,
    authority: &Path,
    clock: impl FnOnce(&mut Command),
) -> anyhow::Result<String> {
    let mut client = Command::new("openssl");
    clock(&mut client);
    client.args(["s_client", "-verify_return_error", "-CAfile"]);
    client.arg(authority).args(["-connect", place]);
    let shown = process::output(client.stdin(Stdio::null()))?;
    let begin = shown.find("-----BEGIN");
    let rest = begin.and_then(|begin| shown.get(begin..));
    let whole = rest.and_then(|rest| rest.get(..rest.find(END)? + END.len()));
    Ok(whole.context("no certificate is shown")?.to_owned())
}
