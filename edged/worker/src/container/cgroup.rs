//! The container's cgroup: who is in it, what it uses, whether the kernel ended it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edged_protocol::worker::{CgroupLayout, Stats};
use libcgroups::common::CgroupSetup;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::Error;
use crate::place::Place;

/// Where every hierarchy is mounted (cgroups(7)).
const MOUNT: &str = "/sys/fs/cgroup";
/// Longest wait for killed processes to be gone: they only have to be torn down.
const GONE: Duration = Duration::from_secs(5);
/// Pause between two looks at a cgroup that empties.
const LOOK: Duration = Duration::from_millis(2);

/// Which layout this kernel offers.
pub fn layout() -> Result<CgroupLayout, Error> {
    match libcgroups::common::get_cgroup_setup().map_err(Error::runtime("find the cgroups"))? {
        CgroupSetup::Hybrid => Ok(CgroupLayout::Hybrid),
        CgroupSetup::Legacy => Ok(CgroupLayout::V1),
        CgroupSetup::Unified => Ok(CgroupLayout::V2),
    }
}

/// How swap is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// This kernel does not count it.
    Uncounted,
    /// Together with memory (version 1).
    WithMemory,
    /// By a limit of its own (version 2).
    Alone,
}

/// How this kernel limits swap.
pub fn swap(layout: CgroupLayout) -> Swap {
    match layout {
        CgroupLayout::V2 if Path::new("/proc/swaps").exists() => Swap::Alone,
        CgroupLayout::V1 | CgroupLayout::Hybrid
            if Path::new(MOUNT)
                .join("memory/memory.memsw.limit_in_bytes")
                .exists() =>
        {
            Swap::WithMemory
        }
        _ => Swap::Uncounted,
    }
}

/// Moves the calling process into the container's cgroup.
pub fn join(place: &Place) -> Result<(), Error> {
    let own = std::process::id().to_string();
    for dir in every_dir(&place.cgroup) {
        let procs = dir.join("cgroup.procs");
        fs::write(&procs, &own).map_err(Error::path("join", &procs))?;
    }
    Ok(())
}

/// What the container uses now. Three files are read: libcgroups reads all that there may be, and fails where a kernel
/// leaves out what nobody here asks for (pages of unusual size).
pub fn stats(place: &Place, limit: u64) -> Result<Stats, Error> {
    let file = |controller, name| controller_file(&place.cgroup, controller, name);
    let (cpu_us, memory) = match layout()? {
        CgroupLayout::V2 => (
            number(&file("cpu", "cpu.stat"), "usage_usec ")?,
            number(&file("memory", "memory.current"), "")?,
        ),
        // Version 1 counts nanoseconds.
        CgroupLayout::V1 | CgroupLayout::Hybrid => (
            number(&file("cpuacct", "cpuacct.usage"), "")? / 1000,
            number(&file("memory", "memory.usage_in_bytes"), "")?,
        ),
    };
    Ok(Stats {
        cpu_us,
        memory,
        memory_limit: limit,
        pids: number(&file("pids", "pids.current"), "")?,
    })
}

/// The number on the line that begins with `name`.
fn number(path: &Path, name: &str) -> Result<u64, Error> {
    let text = fs::read_to_string(path).map_err(Error::path("read", path))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
        .map_err(Error::path("read", path))
}

/// A cgroup's folder in the hierarchy of version 2.
pub fn unified(cgroup: &Path) -> PathBuf {
    Path::new(MOUNT).join(cgroup.strip_prefix("/").unwrap_or(cgroup))
}

fn controller_file(cgroup: &Path, controller: &str, file: &str) -> PathBuf {
    let cgroup = cgroup.strip_prefix("/").unwrap_or(cgroup);
    let mount = Path::new(MOUNT);
    let versioned = mount.join(controller).join(cgroup).join(file);
    if versioned.exists() {
        versioned
    } else {
        mount.join(cgroup).join(file)
    }
}

/// Whether the kernel has killed a process of the container for want of memory.
pub fn out_of_memory(place: &Place) -> bool {
    let count = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count.trim() != "0")
    };
    count(controller_file(
        &place.cgroup,
        "memory",
        "memory.oom_control",
    )) || count(controller_file(&place.cgroup, "memory", "memory.events"))
}

/// The cgroup in every hierarchy that has it.
pub(crate) fn every_dir(cgroup: &Path) -> Vec<PathBuf> {
    let inside = cgroup.strip_prefix("/").unwrap_or(cgroup);
    let mut dirs = vec![Path::new(MOUNT).join(inside)];
    for entry in fs::read_dir(MOUNT).into_iter().flatten().flatten() {
        dirs.push(entry.path().join(inside));
    }
    dirs.retain(|dir| dir.join("cgroup.procs").exists());
    dirs
}

/// Kills every process of a cgroup, waits until they are gone, and removes it from every hierarchy. Idempotent.
pub fn remove(cgroup: &Path) -> Result<(), Error> {
    let until = Instant::now() + GONE;
    for dir in every_dir(cgroup) {
        loop {
            kill_all(&dir);
            match fs::remove_dir(&dir) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(_) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(error) => return Err(Error::path("remove", &dir)(error)),
            }
        }
    }
    Ok(())
}

fn kill_all(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_all(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
    {
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
