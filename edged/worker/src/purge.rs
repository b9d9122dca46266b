//! Removes everything the worker made in the kernel and beneath RUN; unpacked layers stay.

use std::fs;

use edged_config::Node;
use edged_model::InstanceId;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::mount::UnmountFlags;

use crate::Error;
use crate::container::{cgroup, create, destroy};
use crate::place::Place;

/// The instances that have left something: a folder, a pinned namespace or a cgroup.
pub(crate) fn traces(node: &Node) -> Vec<InstanceId> {
    let names = |dir: std::path::PathBuf| {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<InstanceId>().ok())
            })
            .collect::<Vec<_>>()
    };
    let mut found = names(node.containers());
    found.extend(names(node.netns()));
    for dir in cgroup::every_dir(std::path::Path::new(&node.cgroup)) {
        let children = names(dir.clone());
        found.extend(
            children
                .into_iter()
                .filter(|name| dir.join(name.as_str()).is_dir()),
        );
    }
    found.sort();
    found.dedup();
    found
}

/// Takes the lock that a running worker holds, for as long as the answer lives.
pub(crate) fn lock(node: &Node) -> Result<std::os::fd::OwnedFd, Error> {
    fs::create_dir_all(&node.run).map_err(Error::path("make", &node.run))?;
    let path = node.run.join("worker.lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(Error::path("open", &path))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Error::Busy(format!(
            "an edged-worker is running on {}; stop it first",
            node.run.display()
        ))
    })?;
    Ok(file)
}

/// Ends and deletes every container, and removes the worker's mounts, cgroups, pins and folder. Idempotent.
pub fn purge(node: &Node) -> Result<(), Error> {
    let _lock = lock(node)?;
    for instance in traces(node) {
        destroy::destroy(&Place::of(node, &instance))?;
    }
    cgroup::remove(std::path::Path::new(&node.cgroup))?;
    let own = node.containers();
    destroy::unmount_below(&own)?;
    while own.exists() && crate::container::root::is_mount_point(&own)? {
        rustix::mount::unmount(&own, UnmountFlags::DETACH).map_err(Error::path("unmount", &own))?;
    }
    for dir in [own, node.netns()] {
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::path("remove", &dir)(error));
            }
            _ => {}
        }
    }
    for file in [node.worker_socket(), node.run.join("worker.lock")] {
        create::remove_file(&file)?;
    }
    Ok(())
}
