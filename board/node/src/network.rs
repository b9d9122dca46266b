//! A network of one's own.

use std::process::Command;

use anyhow::Context;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::process;

/// Gives this thread, and every thread and process that it starts from now on, a network of its own: loopback and no way
/// out. A box under QEMU reaches whatever QEMU reaches, so who must not send anything outside calls this first. (QEMU's
/// own `restrict=on` drops the box's UDP answers as well.)
///
/// # Errors
/// It takes root, and ip(8).
pub fn enclose() -> anyhow::Result<()> {
    // SAFETY: of the resources that a thread may stop sharing only the network is named; memory, file descriptors and
    // the file system's state stay shared as std expects.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .context("cannot make a network of its own; run this as root")?;
    process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enclosed_thread_reaches_loopback_and_nothing_else() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        std::thread::spawn(|| {
            enclose().unwrap();
            let links = process::output(Command::new("ip").args(["--brief", "link"])).unwrap();
            let names: Vec<_> = links
                .lines()
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            assert_eq!(names, ["lo"]);
            assert!(std::net::TcpListener::bind("127.0.0.1:0").is_ok());
        })
        .join()
        .unwrap();
    }
}
