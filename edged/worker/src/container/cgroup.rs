//! The container's cgroup: who is in it, what it uses, whether the kernel ended it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edged_protocol::worker::{CgroupLayout, Stats};
use libcgroups::common::{AnyCgroupManager, CgroupConfig, CgroupManager as _, CgroupSetup};
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

/// Whether the kernel counts swap, so that it can be limited.
pub fn counts_swap(layout: CgroupLayout) -> bool {
    match layout {
        CgroupLayout::V2 => true,
        CgroupLayout::V1 | CgroupLayout::Hybrid => Path::new(MOUNT)
            .join("memory/memory.memsw.limit_in_bytes")
            .exists(),
    }
}

fn manager(cgroup: &Path) -> Result<AnyCgroupManager, Error> {
    libcgroups::common::create_cgroup_manager(CgroupConfig {
        cgroup_path: cgroup.to_owned(),
        systemd_cgroup: false,
        container_name: String::new(),
    })
    .map_err(Error::runtime("find the cgroups"))
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

/// What the container uses now.
pub fn stats(place: &Place, limit: u64) -> Result<Stats, Error> {
    let stats = manager(&place.cgroup)?
        .stats()
        .map_err(Error::runtime("read what the container uses"))?;
    let layout = layout()?;
    let cpu_us = match layout {
        CgroupLayout::V2 => stats.cpu.usage.usage_total,
        // Version 1 counts nanoseconds.
        CgroupLayout::V1 | CgroupLayout::Hybrid => stats.cpu.usage.usage_total / 1000,
    };
    Ok(Stats {
        cpu_us,
        memory: stats.memory.memory.usage,
        memory_limit: limit,
        pids: stats.pids.current,
    })
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
