//! Create, start and end of a container whose program does nothing, by a warm worker and by crun and runc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Instant;

use anyhow::Context;
use edged_model::{Digest, InstanceId};
use edged_protocol::worker::{Command, LayerSource};
use serde_json::{Value, json};

use super::Means;
use super::cgroups::Cgroups;
use super::engine::{self, Engine, FIRST_UID};
use super::report::{Measure, Row, rows};
use super::sample::{Contender, Samples, by_turns, milliseconds};
use super::scratch::Scratch;
use super::shell::Shell;
use crate::process;

/// Enough for a p95 of some worth, in half a minute.
const ROUNDS: u32 = 100;
/// What every container runs: busybox without any shared library.
const PROGRAM: &str = "/bin/true";
/// Folders of the image, mount points included: runtimes differ in whether they make them.
const FOLDERS: [&str; 8] = [
    "bin",
    "dev",
    "etc",
    "proc",
    "run/secrets",
    "sys",
    "tmp",
    "var/tmp",
];
/// Namespaces and a program, and nothing of a container.
const FLOOR: &str =
    "unshare --user --map-root-user --pid --fork --mount --ipc --uts --net --cgroup";

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("containers")?;
    let memory = Scratch::in_memory("containers")?;
    let cgroups = Cgroups::new("containers");
    let root = image(&scratch)?;
    let mut engine = Engine::start(&means.programs, &scratch.folder("worker")?, cgroups.path())?;
    let layer = layer(&scratch, &root, &mut engine)?;
    let bundle = bundle(&scratch, &root, &mut engine, &layer)?;
    let mut parts = [const { Vec::new() }; 3];
    let mut number = 0;
    let mut ours = || {
        number += 1;
        let took = once(&mut engine, &layer, &format!("true-{number}"))?;
        for (part, took) in parts.iter_mut().zip(took) {
            part.push(took);
        }
        Ok(took.iter().sum())
    };
    let mut floor = Shell::start(scratch.path(), "floor")?;
    let mut contenders = vec![Contender::new("edged-worker", &mut ours)];
    for runtime in ["crun", "runc"] {
        let bundle = bundle.of(runtime, cgroups.path())?;
        let state = memory.folder(&format!("{runtime}-state"))?;
        let mut shell = Shell::start(scratch.path(), runtime)?;
        let line = format!(
            "{runtime} --root {} run --bundle {} edged-bench-{runtime}-{}",
            state.display(),
            bundle.display(),
            std::process::id()
        );
        contenders.push(Contender::new(format!("{runtime} run"), move || {
            Ok(milliseconds(shell.run(&line)?))
        }));
    }
    let line = format!("{FLOOR} {}{PROGRAM}", root.display());
    contenders.push(Contender::new("floor: unshare, no container", move || {
        Ok(milliseconds(floor.run(&line)?))
    }));
    let mut rows = rows("ms", by_turns(means.rounds(ROUNDS), contenders));
    for (name, part) in ["create", "start to exit", "delete"].iter().zip(parts) {
        // The first round is for warming up.
        let samples: Samples = part.into_iter().skip(1).collect();
        rows.push(Row::of(format!("  of ours: {name}"), "ms", &samples));
    }
    Ok(Measure {
        work: "create, start, exit and delete of a container with static /bin/true, warm".to_owned(),
        aim: "at most crun, 6 ms, p99 20 ms".to_owned(),
        rows,
        notes: vec![
            "crun and runc have the specification that our worker wrote for its own container: seven namespaces, same mounts, masks, limits and capabilities.".to_owned(),
            "Only ours mounts an overlay through an id map, loads a system call filter, keeps log pipes, pins its network namespace and sets up lo, eth0 and two routes; putting eth0 there is the guardian's work and not in the figure.".to_owned(),
            "All three keep their state in memory, as on a device.".to_owned(),
            "crun and runc start from a waiting shell: its fork and their exec are in their figures, as they are in life.".to_owned(),
        ],
    })
}

/// Milliseconds of create, of start to exit, and of delete.
fn once(engine: &mut Engine, layer: &Digest, name: &str) -> anyhow::Result<[f64; 3]> {
    let instance: InstanceId = name.parse()?;
    let spec = engine::spec(&instance, layer, &[PROGRAM]);
    let begun = Instant::now();
    engine.done(Command::Create(Box::new(spec)))?;
    let create = begun.elapsed();
    engine.attach(&instance)?;
    let begun = Instant::now();
    engine.done(Command::Start {
        instance: instance.clone(),
        network: engine::network()?,
    })?;
    engine.exited(&instance)?;
    let start = begun.elapsed();
    let begun = Instant::now();
    engine.done(Command::Delete { instance })?;
    Ok([create, start, begun.elapsed()].map(milliseconds))
}

/// A root of busybox alone.
fn image(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let root = scratch.folder("root")?;
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("cannot copy busybox")?;
    std::os::unix::fs::symlink("busybox", root.join("bin/true"))?;
    for name in ["hostname", "hosts", "resolv.conf"] {
        fs::write(root.join("etc").join(name), "")?;
    }
    Ok(root)
}

fn layer(scratch: &Scratch, root: &Path, engine: &mut Engine) -> anyhow::Result<Digest> {
    let archive = scratch.path().join("layer.tar");
    process::output(
        Program::new("tar")
            .args(["--create", "--owner=0", "--group=0", "--numeric-owner"])
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(root)
            .arg("."),
    )?;
    let (digest, size) = engine.blob(&archive)?;
    engine.unpack(LayerSource {
        blob: digest.clone(),
        size,
        media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
        diff_id: digest.clone(),
    })?;
    Ok(digest)
}

/// What our worker wrote for a container of its own, for others to run.
struct Bundle {
    folder: PathBuf,
    config: Value,
}

fn bundle(
    scratch: &Scratch,
    root: &Path,
    engine: &mut Engine,
    layer: &Digest,
) -> anyhow::Result<Bundle> {
    let instance: InstanceId = "pattern".parse()?;
    engine.done(Command::Create(Box::new(engine::spec(
        &instance,
        layer,
        &[PROGRAM],
    ))))?;
    let written = engine.specification(&instance);
    let text = fs::read(&written).with_context(|| format!("cannot read {}", written.display()))?;
    engine.done(Command::Stop {
        instance: instance.clone(),
        signal: 9,
        grace_ms: 0,
    })?;
    engine.exited(&instance)?;
    engine.done(Command::Delete { instance })?;
    // The same root as ours, owned by the ids of the container as an id map shows it.
    let own = scratch.folder("bundle")?;
    let mut copy = Program::new("cp");
    process::output(copy.arg("--archive").arg(root).arg(own.join("root")))?;
    let ids = format!("{FIRST_UID}:{FIRST_UID}");
    process::output(
        Program::new("chown")
            .args(["--recursive", &ids])
            .arg(own.join("root")),
    )?;
    let mut config: Value = serde_json::from_slice(&text)?;
    // crun of Debian 12 knows no later version; nothing here needs one.
    *config.get_mut("ociVersion").context("no version")? = json!("1.0.2");
    let root = config.get_mut("root").context("no root")?;
    *root = json!({ "path": own.join("root"), "readonly": true });
    // A namespace that our worker had made already is the peer's to make.
    let namespaces = config.pointer_mut("/linux/namespaces");
    for namespace in namespaces
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        namespace
            .as_object_mut()
            .context("no namespace")?
            .remove("path");
    }
    let ids = json!([{ "containerID": 0, "hostID": FIRST_UID, "size": 65_536 }]);
    let linux = config.get_mut("linux").and_then(Value::as_object_mut);
    let linux = linux.context("no linux")?;
    linux.insert("uidMappings".to_owned(), ids.clone());
    linux.insert("gidMappings".to_owned(), ids);
    fs::create_dir_all(own.join("etc/secrets"))?;
    let mounts = config.get_mut("mounts").and_then(Value::as_array_mut);
    for mount in mounts.into_iter().flatten() {
        if mount.get("type").and_then(Value::as_str) != Some("bind") {
            continue;
        }
        let source = mount.get_mut("source").context("a bind mount of nothing")?;
        let name = source.as_str().and_then(|path| path.rsplit('/').next());
        let moved = own.join("etc").join(name.unwrap_or_default());
        if !moved.exists() {
            fs::write(&moved, "127.0.0.1 localhost\n")?;
        }
        *source = json!(moved);
    }
    Ok(Bundle {
        folder: own,
        config,
    })
}

impl Bundle {
    /// A folder for one runtime, which differs in the cgroup alone.
    fn of(&self, runtime: &str, cgroup: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(runtime);
        fs::create_dir_all(&folder)?;
        let mut config = self.config.clone();
        let path = config.pointer_mut("/linux/cgroupsPath");
        *path.context("no cgroup")? = json!(format!("{cgroup}/{runtime}"));
        fs::write(folder.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(folder)
    }
}
