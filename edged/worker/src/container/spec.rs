//! The OCI runtime specification of a container (runtime-spec 1.2, config.md and config-linux.md).

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use edged_protocol::worker::ContainerSpec;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxIdMappingBuilder, LinuxMemoryBuilder,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
    LinuxResourcesBuilder, Mount, MountBuilder, Process, ProcessBuilder, RootBuilder, Spec,
    SpecBuilder, UserBuilder,
};

use super::cgroup::Swap;
use super::user::{IDS, Identity};
use crate::place::Place;

/// What root inside keeps, and what no process inside can ever have more than: enough to drop to another user, to
/// open low ports and to own files of its image. Docker's default without `NET_RAW` (spoofing), `MKNOD`, `AUDIT_WRITE`,
/// `SETFCAP` and `SYS_CHROOT`, which network services do without.
pub const CAPABILITIES: [Capability; 9] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
];
/// Files of /proc and /sys that tell about the box or change it.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Parts of /proc that are shown and not written.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// Namespaces of its own, every kind but time. The one of users is made and mapped beforehand, with its layers.
const NAMESPACES: [LinuxNamespaceType; 7] = [
    LinuxNamespaceType::User,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Cgroup,
];
/// Length of a CPU period, microseconds: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;
/// /dev/shm: what docker gives; less where the memory limit is less.
const SHM_SIZE: u64 = 64 << 20;
/// Where programs are looked for when the image does not say.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment: the one asked for, with PATH and HOME where it lacks them.
pub fn environment(spec: &ContainerSpec, identity: &Identity) -> Vec<String> {
    let mut env = spec.env.clone();
    for (name, value) in [
        ("PATH=", DEFAULT_PATH.to_owned()),
        ("HOME=", format!("HOME={}", identity.home)),
    ] {
        if !env.iter().any(|entry| entry.starts_with(name)) {
            env.push(value);
        }
    }
    env
}

/// The whole specification, for a libcontainer that is started with this user namespace open.
pub fn build(
    place: &Place,
    spec: &ContainerSpec,
    identity: &Identity,
    env: &[String],
    user_namespace: BorrowedFd<'_>,
    swap: Swap,
) -> Result<Spec, OciSpecError> {
    SpecBuilder::default()
        .version("1.2.0")
        .hostname(spec.hostname.clone())
        .root(
            RootBuilder::default()
                .path(place.root())
                .readonly(!spec.writable)
                .build()?,
        )
        .process(process(spec, identity, env)?)
        .mounts(mounts(place, spec)?)
        .linux(linux(place, spec, user_namespace, swap)?)
        .build()
}

fn process(
    spec: &ContainerSpec,
    identity: &Identity,
    env: &[String],
) -> Result<Process, OciSpecError> {
    let all: std::collections::HashSet<Capability> = CAPABILITIES.into_iter().collect();
    let mut capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(all.clone())
        .permitted(all.clone())
        .effective(all)
        .build()?;
    // The builder's own defaults would let them survive a change of user.
    capabilities.set_inheritable(None).set_ambient(None);
    ProcessBuilder::default()
        .terminal(false)
        .args(spec.command.clone())
        .env(env.to_vec())
        .cwd(spec.working_dir.clone())
        .user(
            UserBuilder::default()
                .uid(identity.uid)
                .gid(identity.gid)
                .additional_gids(identity.groups.clone())
                .build()?,
        )
        .capabilities(capabilities)
        .rlimits(Vec::new())
        .no_new_privileges(true)
        .build()
}

fn mounts(place: &Place, spec: &ContainerSpec) -> Result<Vec<Mount>, OciSpecError> {
    let memory = spec.limits.memory.0;
    let shm = SHM_SIZE.min(memory / 2);
    let special: [(&str, &str, String); 8] = [
        ("proc", "/proc", "nosuid,noexec,nodev".to_owned()),
        (
            "tmpfs",
            "/dev",
            "nosuid,strictatime,mode=755,size=65536".to_owned(),
        ),
        (
            "devpts",
            "/dev/pts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5".to_owned(),
        ),
        (
            "tmpfs",
            "/dev/shm",
            format!("nosuid,noexec,nodev,mode=1777,size={shm}"),
        ),
        ("sysfs", "/sys", "nosuid,noexec,nodev,ro".to_owned()),
        // Each is charged to the container's own memory as well; the size only says who fills up first.
        (
            "tmpfs",
            "/run",
            format!("nosuid,nodev,mode=755,size={}", memory / 8),
        ),
        (
            "tmpfs",
            "/tmp",
            format!("nosuid,nodev,mode=1777,size={}", memory / 2),
        ),
        (
            "tmpfs",
            "/var/tmp",
            format!("nosuid,nodev,mode=1777,size={}", memory / 4),
        ),
    ];
    let mut mounts = Vec::new();
    for (kind, target, options) in special {
        mounts.push(mount(kind, Path::new(kind), target, &options)?);
    }
    if !spec.secrets.is_empty() {
        mounts.push(mount(
            "bind",
            &place.secrets(),
            "/run/secrets",
            "bind,ro,nosuid,nodev,noexec",
        )?);
    }
    Ok(mounts)
}

fn mount(kind: &str, source: &Path, target: &str, options: &str) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options.split(',').map(str::to_owned).collect::<Vec<_>>())
        .build()
}

fn linux(
    place: &Place,
    spec: &ContainerSpec,
    user_namespace: BorrowedFd<'_>,
    swap: Swap,
) -> Result<Linux, OciSpecError> {
    let map = LinuxIdMappingBuilder::default()
        .container_id(0_u32)
        .host_id(spec.first_uid)
        .size(IDS)
        .build()?;
    let mut namespaces = Vec::new();
    for kind in NAMESPACES {
        let namespace = LinuxNamespaceBuilder::default().typ(kind);
        let namespace = if kind == LinuxNamespaceType::User {
            namespace.path(format!("/proc/self/fd/{}", user_namespace.as_raw_fd()))
        } else {
            namespace
        };
        namespaces.push(namespace.build()?);
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .uid_mappings(vec![map])
        .gid_mappings(vec![map])
        .cgroups_path(PathBuf::from(&place.cgroup))
        .resources(resources(spec, swap)?)
        .masked_paths(MASKED.map(str::to_owned).to_vec())
        .readonly_paths(READ_ONLY.map(str::to_owned).to_vec())
        .build()?;
    // The filter is loaded by the worker's own executor, compiled once instead of once a container.
    linux.set_seccomp(None);
    Ok(linux)
}

fn resources(spec: &ContainerSpec, swap: Swap) -> Result<LinuxResources, OciSpecError> {
    let bytes = i64::try_from(spec.limits.memory.0).unwrap_or(i64::MAX);
    let mut memory = LinuxMemoryBuilder::default().limit(bytes);
    if swap == Swap::WithMemory {
        // Memory and swap together: no swap beyond the limit.
        memory = memory.swap(bytes);
    }
    let quota = i64::from(spec.limits.cpus.0)
        .saturating_mul(i64::try_from(CPU_PERIOD / 1000).unwrap_or(100));
    let deny_all = LinuxDeviceCgroupBuilder::default()
        .allow(false)
        .typ(LinuxDeviceType::A)
        .access("rwm")
        .build()?;
    let mut resources = LinuxResourcesBuilder::default();
    if swap == Swap::Alone {
        // By its own name: libcgroups 0.7 takes a limit of 0 for one that was not asked for, and a container would
        // go on in the box's zram where its memory ends.
        let none = ("memory.swap.max".to_owned(), "0".to_owned());
        resources = resources.unified(std::collections::HashMap::from([none]));
    }
    resources
        .memory(memory.build()?)
        .cpu(
            LinuxCpuBuilder::default()
                .quota(quota)
                .period(CPU_PERIOD)
                .build()?,
        )
        .pids(
            LinuxPidsBuilder::default()
                .limit(i64::from(spec.limits.pids))
                .build()?,
        )
        .devices(vec![deny_all])
        .build()
}
