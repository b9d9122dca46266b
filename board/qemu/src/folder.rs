//! The folder of a box: its flash, disk and TPM, and what it takes to use it.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use board_forge::{Bind, run};
use tempfile::TempDir;

use crate::Parts;

/// Where commands inside the tool root see the folder.
pub const INSIDE: &str = "/work/box";

/// A box's folder. With a path of its own it outlives the box, and the next start is a start of the same box.
#[derive(Debug)]
pub struct Folder {
    /// The folder itself.
    pub path: PathBuf,
    /// Held as long as the box runs.
    _lock: File,
    temporary: Option<TempDir>,
}

impl Folder {
    /// Opens a folder, or makes a temporary one where no path is given.
    ///
    /// # Errors
    /// Another box runs in it.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let (path, temporary) = if let Some(path) = path {
            (path.to_owned(), None)
        } else {
            let folder = tempfile::Builder::new().prefix("umec-box-").tempdir()?;
            (folder.path().to_owned(), Some(folder))
        };
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let path = path.canonicalize()?;
        let lock = File::create(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "a box runs in {}: end it, or choose another --dir",
                    path.display()
                )
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(Self {
            path,
            _lock: lock,
            temporary,
        })
    }

    /// Whether it goes when this value goes.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Puts a new box's flash and disk there. A box that is there already keeps its own, and its state with them.
    ///
    /// # Errors
    /// They cannot be copied.
    pub fn furnish(&self, parts: &Parts) -> anyhow::Result<()> {
        if !self.flash().exists() {
            copy(&parts.firmware.flash, &self.flash())?;
            fs::set_permissions(self.flash(), Permissions::from_mode(0o600))?;
        }
        if !self.disk().exists() {
            parts.image.write_disk(&self.disk())?;
        }
        if !self.operator().exists() {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f"])
                .arg(self.operator()))?;
        }
        Ok(())
    }

    /// The same box as it is now, in another folder: a board with its disk and TPM, copied while it is switched off.
    ///
    /// # Errors
    /// Something cannot be copied.
    pub fn copy_to(&self, other: &Self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if (kind.is_file() || kind.is_dir()) && entry.file_name() != "lock" {
                copy(&entry.path(), &other.path.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// For commands inside the tool root.
    pub fn bind(&self) -> Bind {
        Bind::write(&self.path, INSIDE)
    }

    /// BL1 and the firmware package.
    pub fn flash(&self) -> PathBuf {
        self.path.join("flash.bin")
    }

    /// The disk.
    pub fn disk(&self) -> PathBuf {
        self.path.join("disk.img")
    }

    /// The TPM's state.
    pub fn tpm(&self) -> PathBuf {
        self.path.join("tpm")
    }

    /// What the box said since its last start.
    pub fn console(&self) -> PathBuf {
        self.path.join("console.log")
    }

    /// The operator's private key.
    pub fn operator(&self) -> PathBuf {
        self.path.join("operator")
    }

    /// The box's own key, as ssh(1) wants it.
    pub fn known_hosts(&self) -> PathBuf {
        self.path.join("known_hosts")
    }

    /// The authority that signed the box's certificate.
    pub fn ca(&self) -> PathBuf {
        self.path.join("ca.pem")
    }
}

/// Copies a file or folder without writing its holes.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    run(Command::new("cp")
        .args(["--recursive", "--sparse=always", "--reflink=auto"])
        .args(["--no-target-directory", "--"])
        .args([from, to]))
}
