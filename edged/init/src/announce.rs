//! `umec-init announce`: says on the console that edged is ready, and by which key it is known.

use std::fs;

use crate::console;

/// edged's public key, as it writes it when it listens.
const KEY: &str = "/var/lib/edged/edged/ssh_host_key.pub";

/// Two lines.
pub fn run() -> Result<(), String> {
    let key = fs::read_to_string(KEY).map_err(|error| format!("cannot read {KEY}: {error}"))?;
    console::say(&format!("SSH-HOST-KEY {}", key.trim()));
    console::say("EDGED-READY");
    Ok(())
}
