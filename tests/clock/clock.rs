//! The wall clock of a node and of its clients.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Debian's libfaketime, for the architecture of the machine.
const LIBRARY: &str = if cfg!(target_arch = "aarch64") {
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"
} else {
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
};

/// Where the C library keeps shared memory and semaphores (`shm_overview(7)`, `sem_overview(7)`).
const SHARED: &str = "/dev/shm";

/// A clock that whoever is told of it shares.
pub struct Clock {
    file: PathBuf,
    _folder: TempDir,
}

impl Clock {
    /// One that shows the real time.
    pub fn new() -> anyhow::Result<Self> {
        sweep()?;
        let folder = tempfile::tempdir()?;
        // edged's user reads it too.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let clock = Self {
            file: folder.path().join("clock"),
            _folder: folder,
        };
        clock.jump("+0")?;
        Ok(clock)
    }

    /// Away from the real time by this much.
    pub fn jump(&self, to: &str) -> anyhow::Result<()> {
        // Whole or not there: a half-written file would be a third clock.
        let new = self.file.with_extension("new");
        std::fs::write(&new, to)?;
        Ok(std::fs::rename(&new, &self.file)?)
    }

    /// Has a program and whatever it starts read this clock, all but the broker: Debian 13's mosquitto measures silence by
    /// `CLOCK_BOOTTIME`, which no jump of a real clock moves and libfaketime does, and closes every connection.
    pub fn faked_for_all_but_the_broker(&self, command: &mut Command) {
        self.faked(command);
        command.env("FAKETIME_SKIP_CMDS", "mosquitto");
    }

    /// Has a program, and whatever it starts, read this clock.
    pub fn faked(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", LIBRARY)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// Removes what libfaketime left in shared memory for processes that are gone.
///
/// It names a semaphore and a counter by the process and removes them at its end, which one that is killed never comes
/// to. A later supervisor with that number then shares none; its child makes one as root, becomes another user, may not
/// open it and ends.
fn sweep() -> anyhow::Result<()> {
    for entry in std::fs::read_dir(SHARED)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| {
            let name = name.strip_prefix("sem.").unwrap_or(name);
            name.strip_prefix("faketime_sem_")
                .or_else(|| name.strip_prefix("faketime_shm_"))
        }) else {
            continue;
        };
        if !std::path::Path::new("/proc").join(process).exists() {
            // Another test may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}
