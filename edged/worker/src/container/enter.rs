//! Runs a command inside a running container.
//!
//! libcontainer's own way in (its tenant builder, 0.7) joins every namespace but the user namespace and sets no
//! system call filter: a command would run as the host's root. So this is done here, with the kernel's one call that
//! joins all namespaces of a process at once (setns(2) with a pidfd).

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use edged_model::InstanceId;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};

use super::cgroup;
use super::seccomp::Filter;
use super::spec::CAPABILITIES;
use super::user::Identity;
use crate::Error;
use crate::child::close_all_but;
use crate::place::Place;
use crate::record::{Process, Record};

/// The highest capability number tried when the bounding set is emptied (capabilities(7) knows 41).
const CAPABILITY_MAX: u32 = 63;
/// Longest reason a command that cannot be executed sends back.
const REASON_MAX: u64 = 4096;

/// A command for a container.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Where.
    pub place: &'a Place,
    /// What is known of it.
    pub record: &'a Record,
    /// Program and arguments.
    pub command: &'a [String],
    /// Standard input, output and error of the command.
    pub stdio: [RawFd; 3],
}

/// Starts the command as a child of the worker and answers its process id once it is executed. For a helper process.
pub fn enter(entry: &Entry<'_>, filter: &Filter) -> Result<i32, Error> {
    let init = entry
        .record
        .init
        .filter(|init| init.lives())
        .ok_or_else(|| gone(&entry.place.instance))?;
    let identity = entry
        .record
        .identity
        .as_ref()
        .ok_or_else(|| gone(&entry.place.instance))?;
    let c_strings = |texts: &[String]| {
        texts
            .iter()
            .map(|text| CString::new(text.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
    };
    let (arguments, env) = match (c_strings(entry.command), c_strings(&entry.record.env)) {
        (Ok(arguments), Ok(env)) if !arguments.is_empty() => (arguments, env),
        _ => {
            return Err(Error::Request(
                "a command needs a program and no NUL bytes; correct it".to_owned(),
            ));
        }
    };
    let pidfd = open(init)?;
    cgroup::join(entry.place)?;
    let kinds = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    // Nobody inside may look into this process between now and its program (CVE-2016-9962).
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Error::kernel("hide from the container"))?;
    nix::sched::setns(&pidfd, kinds).map_err(Error::kernel("enter the container"))?;
    drop(pidfd);
    let (reason, sink) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(Error::kernel("make a pipe"))?;
    let child = match clone_sibling()? {
        0 => {
            let error = become_command(entry, identity, &arguments, &env, filter, &sink);
            let _ = File::from(sink).write_all(error.to_string().as_bytes());
            // SAFETY: _exit runs nothing of the worker's.
            unsafe { libc::_exit(127) }
        }
        child => child,
    };
    drop(sink);
    let mut text = String::new();
    let _ = File::from(reason)
        .take(REASON_MAX)
        .read_to_string(&mut text);
    if text.is_empty() {
        Ok(child)
    } else {
        Err(Error::Request(text))
    }
}

fn gone(instance: &InstanceId) -> Error {
    Error::Request(format!("{instance} does not run; start it first"))
}

fn open(init: Process) -> Result<OwnedFd, Error> {
    let pid = Pid::from_raw(init.pid)
        .ok_or_else(|| Error::Busy("the container's init is not known".to_owned()))?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(Error::kernel("open the container's init"))?;
    // Only now is the number held: look again whose it is.
    if init.lives() {
        Ok(pidfd)
    } else {
        Err(Error::Busy("the container's init has ended".to_owned()))
    }
}

/// A fork whose child belongs to the worker, so that the worker learns how the command ended.
fn clone_sibling() -> Result<i32, Error> {
    // SAFETY: a fork of a process with one thread; the arguments after the flags (stack, ids, TLS) are unused.
    let child = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::CLONE_PARENT | libc::SIGCHLD,
            0,
            0,
            0,
            0,
        )
    };
    match i32::try_from(child) {
        Ok(child) if child >= 0 => Ok(child),
        _ => Err(Error::kernel("start a process in the container")(
            std::io::Error::last_os_error(),
        )),
    }
}

fn become_command(
    entry: &Entry<'_>,
    identity: &Identity,
    arguments: &[CString],
    env: &[CString],
    filter: &Filter,
    sink: &OwnedFd,
) -> Error {
    match prepare(entry, identity, filter, sink) {
        Ok(()) => execute(entry, arguments, env),
        Err(error) => error,
    }
}

fn prepare(
    entry: &Entry<'_>,
    identity: &Identity,
    filter: &Filter,
    sink: &OwnedFd,
) -> Result<(), Error> {
    nix::unistd::setsid().map_err(Error::kernel("start a session"))?;
    for (fd, number) in entry.stdio.into_iter().zip(0..) {
        // SAFETY: plain duplication of descriptors that this process owns alone since its fork.
        if unsafe { libc::dup2(fd, number) } < 0 {
            return Err(Error::kernel("set up standard streams")(
                std::io::Error::last_os_error(),
            ));
        }
    }
    close_all_but(&[sink.as_raw_fd()]);
    std::env::set_current_dir(&entry.record.working_dir)
        .or_else(|_| std::env::set_current_dir("/"))
        .map_err(Error::kernel("enter the working directory"))?;
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    rustix::thread::set_no_new_privs(true).map_err(Error::kernel("give up new privileges"))?;
    drop_bounding_set()?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    nix::unistd::setgroups(&groups).map_err(Error::kernel("set groups"))?;
    nix::unistd::setresgid(gid, gid, gid).map_err(Error::kernel("set the group"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(Error::kernel("set the user"))?;
    keep_capabilities(identity.uid == 0)?;
    // Setting ids resets it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Error::kernel("hide from the container"))?;
    filter.load()
}

fn drop_bounding_set() -> Result<(), Error> {
    let mask = capability_mask();
    for number in (0..=CAPABILITY_MAX).filter(|number| mask & (1 << number) == 0) {
        // SAFETY: prctl with plain numbers. Numbers that this kernel does not know are refused with EINVAL.
        let done =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        let error = std::io::Error::last_os_error();
        if done != 0 && error.raw_os_error() != Some(libc::EINVAL) {
            return Err(Error::kernel("drop a capability")(error));
        }
    }
    Ok(())
}

/// Root keeps the container's set; everybody else nothing. None is inheritable or ambient.
fn keep_capabilities(root: bool) -> Result<(), Error> {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let kept = CapabilitySet::from_bits_truncate(if root { capability_mask() } else { 0 });
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(Error::kernel("set capabilities"))
}

/// The container's capabilities as bits (capabilities(7)).
pub fn capability_mask() -> u64 {
    use oci_spec::runtime::Capability;
    CAPABILITIES.iter().fold(0, |mask, capability| {
        let number: u32 = match capability {
            Capability::Chown => 0,
            Capability::DacOverride => 1,
            Capability::Fowner => 3,
            Capability::Fsetid => 4,
            Capability::Kill => 5,
            Capability::Setgid => 6,
            Capability::Setuid => 7,
            Capability::Setpcap => 8,
            Capability::NetBindService => 10,
            // The table holds no others; a test compares it with what a program inside sees.
            _ => return mask,
        };
        mask | 1 << number
    })
}

fn execute(entry: &Entry<'_>, arguments: &[CString], env: &[CString]) -> Error {
    let Some(program) = arguments.first() else {
        return Error::Request("a command needs a program".to_owned());
    };
    let path = entry
        .record
        .env
        .iter()
        .find_map(|text| text.strip_prefix("PATH="))
        .unwrap_or_default();
    let name = program.to_string_lossy();
    let mut last = nix::errno::Errno::ENOENT;
    let candidates: Vec<CString> = if name.contains('/') {
        vec![program.clone()]
    } else {
        path.split(':')
            .filter_map(|dir| CString::new(format!("{dir}/{name}")).ok())
            .collect()
    };
    for candidate in candidates {
        match nix::unistd::execve(&candidate, arguments, env) {
            Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => {}
            Err(errno) => last = errno,
            Ok(never) => match never {},
        }
    }
    Error::Request(format!(
        "program {name:?} cannot be executed in the container ({}); check its path",
        last.desc()
    ))
}

/// The two ends of a pipe for a command: first the one to read.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(Error::kernel("make a pipe"))
}

/// The null device, for reading.
pub fn null() -> Result<OwnedFd, Error> {
    File::open("/dev/null")
        .map(OwnedFd::from)
        .map_err(Error::kernel("open /dev/null"))
}
