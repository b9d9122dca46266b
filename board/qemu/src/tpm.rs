//! The box's TPM: swtpm, with its state in the box's folder.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use board_forge::{DebianRoot, run};
use rustix::process::Signal;

use crate::folder::{Folder, INSIDE};
use crate::machine::signal;

/// Longest start.
const START: Duration = Duration::from_secs(20);
/// How often the start is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// The socket by which QEMU reaches it, in the box's folder.
pub const SOCKET: &str = "tpm.sock";

/// A TPM that runs. It ends by itself when QEMU leaves it.
#[derive(Debug)]
pub struct Tpm(Child);

impl Tpm {
    /// Starts the folder's TPM; makes a new one where there is none.
    ///
    /// # Errors
    /// swtpm's.
    pub fn start(root: &DebianRoot, folder: &Folder) -> anyhow::Result<Self> {
        let state = format!("{INSIDE}/tpm");
        if !folder.tpm().exists() {
            fs::create_dir(folder.tpm())?;
            // One bank: U-Boot takes over TF-A's log only if the TPM has the log's banks and no other.
            let mut setup = root.command(INSIDE, &[folder.bind()], "swtpm_setup")?;
            setup.args(["--tpm2", "--pcr-banks", "sha256", "--createek"]);
            setup.args(["--tpmstate", &format!("dir://{state}")]);
            run(&mut setup).context("the box's TPM cannot be made")?;
        }
        let socket = folder.path.join(SOCKET);
        if socket.exists() {
            fs::remove_file(&socket)?;
        }
        let log = folder.path.join("swtpm.log");
        let mut command = root.command(INSIDE, &[folder.bind()], "setpriv")?;
        command
            .args(["--pdeathsig", "KILL", "--", "swtpm", "socket", "--tpm2"])
            .args(["--tpmstate", &format!("dir={state}")])
            .args(["--ctrl", &format!("type=unixio,path={INSIDE}/{SOCKET}")])
            .args(["--flags", "startup-clear", "--terminate"])
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let mut tpm = Self(command.spawn().context("cannot start swtpm")?);
        let deadline = Instant::now() + START;
        while !socket.exists() {
            if let Some(status) = tpm.0.try_wait()? {
                let why = fs::read_to_string(&log).unwrap_or_default();
                bail!("swtpm ended with {status}: {}", why.trim());
            }
            if Instant::now() > deadline {
                bail!("swtpm has not made {} after {START:?}", socket.display());
            }
            std::thread::sleep(LOOK);
        }
        Ok(tpm)
    }
}

impl Tpm {
    /// Stops it wherever it is.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill(&self) -> anyhow::Result<()> {
        signal(&self.0, Signal::KILL)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        // It may have ended already, with QEMU.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
