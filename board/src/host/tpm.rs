//! The TPM of a node: swtpm, which talks to one process at a time.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::daemon::{Daemon, Identity};
use super::folder::Folder;

/// Where Debian's package puts it.
pub const PROGRAM: &str = "/usr/bin/swtpm";
/// Longest wait for it to listen.
pub const LISTENS: Duration = Duration::from_secs(10);

/// As the TPM's library names the one behind a port.
pub fn place(port: u16) -> String {
    format!("swtpm:host=127.0.0.1,port={port}")
}

/// The words for one with its state in a folder, behind the first of two ports in a row
/// ([`board_node::port::free_pair`]).
pub fn arguments(state: &Path, port: u16) -> Vec<OsString> {
    let listen = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1").into();
    vec![
        "socket".into(),
        "--tpm2".into(),
        "--flags".into(),
        "not-need-init,startup-clear".into(),
        "--tpmstate".into(),
        format!("dir={}", state.display()).into(),
        "--server".into(),
        listen(port),
        "--ctrl".into(),
        listen(port + 1),
    ]
}

/// Whether it listens: it does not say so itself.
pub fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The TPM as a process of the node. Its state is what makes the node the same one after a restart.
pub fn daemon(folder: &Folder, port: u16) -> anyhow::Result<Daemon> {
    // With a path from where it stands it would fail every command.
    let state = folder.path.join("tpm");
    fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let (program, arguments) = (PathBuf::from(PROGRAM), arguments(&state, port));
    Daemon::new("tpm", program, arguments, Identity::Root, &folder.path)
}

/// Waits until it listens.
pub fn wait_ready(daemon: &Daemon, port: u16) -> anyhow::Result<()> {
    let deadline = Instant::now() + LISTENS;
    while !listens(port) {
        if Instant::now() > deadline {
            bail!("the software TPM does not listen: {}", daemon.last_words());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
