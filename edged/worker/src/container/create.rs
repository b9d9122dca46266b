//! Makes a container up to the point where its program waits for the word. For a helper process.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use edged_config::Node;
use edged_protocol::worker::{CgroupLayout, ContainerSpec};
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::Spec;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};

use super::seccomp::Filter;
use super::user::{self, Identity};
use super::{cgroup, devices, etc, root, spec};
use crate::Error;
use crate::place::Place;
use crate::record::Process;

/// The smallest memory limit that the container's own start survives.
const MEMORY_MIN: u64 = 4 << 20;

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    /// Its init.
    pub init: Process,
    /// What its program runs as.
    pub identity: Identity,
    /// Its whole environment.
    pub env: Vec<String>,
}

/// Makes the container in a folder that exists and holds its record and its two pipes.
pub fn create(
    node: &Node,
    place: &Place,
    wanted: &ContainerSpec,
    layout: CgroupLayout,
    filter: &Filter,
) -> Result<Created, Error> {
    check(wanted)?;
    chown(&place.dir, Some(0), Some(wanted.first_uid)).map_err(Error::path("chown", &place.dir))?;
    fs::set_permissions(&place.dir, fs::Permissions::from_mode(0o710))
        .map_err(Error::path("set the mode of", &place.dir))?;
    etc::write_top(place, wanted)?;
    let ids = root::user_namespace(wanted.first_uid)?;
    let upper = wanted.writable.then_some(wanted.limits.memory.0 / 2);
    let mounted = root::mount(node, place, &wanted.layers, &ids, wanted.first_uid, upper)?;
    let inside = rustix::fs::open(
        &mounted,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(Error::path("open", &mounted))?;
    let identity = user::resolve(inside.as_fd(), &wanted.user)?;
    let env = spec::environment(wanted, &identity);
    check_working_dir(inside.as_fd(), &mounted, wanted)?;
    check_command(inside.as_fd(), wanted, &env)?;
    drop(inside);
    if !wanted.secrets.is_empty() {
        etc::write_secrets(place, wanted, &identity)?;
    }

    let swap = cgroup::swap(layout);
    let bundle = spec::build(place, wanted, &identity, &env, ids.as_fd(), swap)
        .map_err(Error::runtime("describe the container"))?;
    let config = place.dir.join("config.json");
    bundle
        .save(&config)
        .map_err(Error::runtime("write the container's specification"))?;
    let owner = (
        wanted.first_uid + identity.uid,
        wanted.first_uid + identity.gid,
    );
    run_libcontainer(place, filter, owner)?;
    if layout == CgroupLayout::V2 {
        // In time: the program inside has not begun.
        devices::fence(&cgroup::unified(&place.cgroup))?;
    }
    let init = read_init(place)?;
    pin(place, init.pid)?;
    Ok(Created {
        init,
        identity,
        env,
    })
}

fn check(wanted: &ContainerSpec) -> Result<(), Error> {
    let refuse = |sentence: String| Err(Error::Request(sentence));
    let instance = &wanted.instance;
    if wanted.limits.memory.0 < MEMORY_MIN {
        return refuse(format!(
            "the memory limit {} of {instance} is below {MEMORY_MIN} bytes; raise it",
            wanted.limits.memory
        ));
    }
    if wanted.limits.cpus.0 < 10 {
        return refuse(format!(
            "the processor limit of {instance} is below 0.01; raise it"
        ));
    }
    if wanted.limits.pids == 0 {
        return refuse(format!("the process limit of {instance} is 0; raise it"));
    }
    // The host's own ids must stay out of every container, and the range must end below 2^32 - 1, "nobody".
    if wanted.first_uid < user::IDS
        || wanted
            .first_uid
            .checked_add(user::IDS)
            .is_none_or(|end| end == u32::MAX)
    {
        return refuse(format!(
            "user ids from {} cannot be a container's; start at {} or above",
            wanted.first_uid,
            user::IDS
        ));
    }
    let no_nul = |text: &String| !text.contains('\0');
    if wanted.command.first().is_none_or(String::is_empty) || !wanted.command.iter().all(no_nul) {
        return refuse(format!(
            "{instance} has no command; give it an entrypoint or arguments"
        ));
    }
    if !wanted
        .env
        .iter()
        .all(|entry| no_nul(entry) && !entry.starts_with('=') && entry.contains('='))
    {
        return refuse(format!(
            "the environment of {instance} has an entry that is not NAME=VALUE; correct it"
        ));
    }
    Ok(())
}

fn check_working_dir(
    inside: BorrowedFd<'_>,
    mounted: &Path,
    wanted: &ContainerSpec,
) -> Result<(), Error> {
    let path = Path::new(&wanted.working_dir);
    let plain = path.is_absolute()
        && path
            .components()
            .all(|part| part != std::path::Component::ParentDir);
    if !plain {
        return Err(Error::Request(format!(
            "working directory {:?} is not absolute; write it from /",
            wanted.working_dir
        )));
    }
    let covered = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"]
        .iter()
        .any(|dir| path.starts_with(dir));
    if covered || user::open_inside(inside, path, OFlags::PATH | OFlags::DIRECTORY).is_ok() {
        return Ok(());
    }
    let missing = || {
        Error::Request(format!(
            "working directory {:?} is not in the image; make it there, or run with a writable root",
            wanted.working_dir
        ))
    };
    if !wanted.writable {
        return Err(missing());
    }
    make_inside(inside, mounted, path, wanted.first_uid).map_err(|_| missing())
}

/// Makes the missing end of a path, each part beneath the one that was opened inside the root.
fn make_inside(
    inside: BorrowedFd<'_>,
    mounted: &Path,
    path: &Path,
    owner: u32,
) -> std::io::Result<()> {
    let mut above = rustix::fs::open(
        mounted,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut so_far = PathBuf::from("/");
    for part in path.strip_prefix("/").unwrap_or(path) {
        so_far.push(part);
        above = match user::open_inside(inside, &so_far, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(found) => found,
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o755))?;
                let ids = (
                    rustix::fs::Uid::from_raw(owner),
                    rustix::fs::Gid::from_raw(owner),
                );
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&above, part, Some(ids.0), Some(ids.1), flags)?;
                user::open_inside(inside, &so_far, OFlags::PATH | OFlags::DIRECTORY)?
            }
            Err(error) => return Err(error.into()),
        };
    }
    Ok(())
}

/// Looks for the program as the container will, so that a wrong name is a sentence here and not an exit code later.
fn check_command(
    inside: BorrowedFd<'_>,
    wanted: &ContainerSpec,
    env: &[String],
) -> Result<(), Error> {
    let name = wanted
        .command
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let path = env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or_default();
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![Path::new(&wanted.working_dir).join(name)]
    } else {
        path.split(':')
            .map(|dir| Path::new(dir).join(name))
            .collect()
    };
    let found = candidates.iter().any(|candidate| {
        user::open_inside(inside, candidate, OFlags::PATH).is_ok_and(|file| {
            rustix::fs::fstat(&file).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && stat.st_mode & 0o111 != 0
            })
        })
    });
    if found {
        Ok(())
    } else {
        Err(Error::Request(format!(
            "program {name:?} is not in the image or not executable; name one that is, absolute or in its PATH"
        )))
    }
}

fn run_libcontainer(place: &Place, filter: &Filter, owner: (u32, u32)) -> Result<(), Error> {
    let null = fs::File::open("/dev/null").map_err(Error::path("open", Path::new("/dev/null")))?;
    ContainerBuilder::new(place.instance.to_string(), SyscallType::Linux)
        .with_root_path(place.runtime())
        .map_err(Error::runtime("set up the runtime"))?
        .with_executor(Launch(filter.clone()))
        .with_stdin(null)
        .with_stdout(open_stream(&place.stream("stdout"), owner)?)
        .with_stderr(open_stream(&place.stream("stderr"), owner)?)
        .as_init(&place.dir)
        .with_systemd(false)
        // The init becomes the worker's child, not this helper's.
        .as_sibling(true)
        .build()
        .map_err(|error| Error::Runtime {
            operation: "make the container",
            message: chain(&error),
        })?;
    Ok(())
}

/// Read and write: the container's own end keeps the pipe whole while no worker is there to read it. It belongs to
/// the program's user, so that `/dev/stdout` can be opened by name.
fn open_stream(path: &Path, (uid, gid): (u32, u32)) -> Result<OwnedFd, Error> {
    chown(path, Some(uid), Some(gid)).map_err(Error::path("chown", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(Error::path("set the mode of", path))?;
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::path("open", path))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn read_init(place: &Place) -> Result<Process, Error> {
    #[derive(Deserialize)]
    struct State {
        pid: Option<i32>,
    }
    let path = place
        .runtime()
        .join(place.instance.as_str())
        .join("state.json");
    let bytes = fs::read(&path).map_err(Error::path("read", &path))?;
    let state: State =
        serde_json::from_slice(&bytes).map_err(Error::runtime("read the container's state"))?;
    state.pid.and_then(Process::of).ok_or_else(|| {
        Error::Busy(format!(
            "the container {} ended while it was made",
            place.instance
        ))
    })
}

/// The guardian finds the namespace by this file and needs to know no process.
fn pin(place: &Place, pid: i32) -> Result<(), Error> {
    fs::File::create(&place.netns).map_err(Error::path("make", &place.netns))?;
    let namespace = PathBuf::from(format!("/proc/{pid}/ns/net"));
    rustix::mount::mount_bind(&namespace, &place.netns)
        .map_err(Error::path("pin the network namespace at", &place.netns))
}

/// Removes the pin. Idempotent.
pub fn unpin(place: &Place) -> Result<(), Error> {
    match rustix::mount::unmount(&place.netns, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(Error::path("unpin", &place.netns)(error)),
    }
    remove_file(&place.netns)
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::path("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The container's last step: the system call filter, then its program.
#[derive(Clone)]
struct Launch(Filter);

impl Executor for Launch {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        self.0
            .load()
            .map_err(|error| ExecutorError::Other(error.to_string()))?;
        libcontainer::workload::default::get_executor().exec(spec)
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // The command was looked for before the container was made.
        Ok(())
    }
}
