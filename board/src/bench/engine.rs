//! A worker by itself, driven over its socket as edged drives it.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use edged_model::{Digest, InstanceId, Lease, LeaseNumber, Limits};
use edged_protocol::worker::{Command, ContainerNetwork, ContainerSpec, Event, LayerSource, Reply};
use edged_protocol::{Frame, decode, encode};

use super::scratch::Scratch;
use crate::client::until;
use crate::host::dies_with_us;
use crate::process;

/// First id of the containers' user namespace: that of lease 9, as the node would give.
pub const FIRST_UID: u32 = 9 << 16;
/// Longest wait for the worker or for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A worker with a folder and a cgroup of its own.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    /// Its RUN, in memory as on a device.
    run: Scratch,
    connection: BufReader<UnixStream>,
    events: VecDeque<Event>,
    last_id: u64,
}

impl Engine {
    /// Starts one and connects to it.
    pub fn start(programs: &Path, folder: &Path, cgroup: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("state/edged/content/blobs/sha256"))?;
        let run = Scratch::in_memory("worker")?;
        let config = format!(
            "version = 1\n[node]\nstate = \"{}/state\"\nrun = \"{}\"\nuid = 0\ncgroup = \"{cgroup}\"\n",
            folder.display(),
            run.path().display()
        );
        fs::write(folder.join("edged.toml"), config)?;
        let log = fs::File::create(folder.join("worker.log"))?;
        let program = programs.join("edged-worker");
        let child = dies_with_us(&program)
            .arg("--config")
            .arg(folder.join("edged.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start edged-worker")?;
        let socket = run.path().join("worker.sock");
        let stream = until(PATIENCE, || Ok(Some(UnixStream::connect(&socket)?)))
            .context("edged-worker does not listen")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            child,
            program,
            folder: folder.to_owned(),
            run,
            connection: BufReader::new(stream),
            events: VecDeque::new(),
            last_id: 0,
        })
    }

    /// Its process number.
    pub fn pid(&self) -> anyhow::Result<i32> {
        Ok(i32::try_from(self.child.id())?)
    }

    /// The specification that it wrote for a container.
    pub fn specification(&self, instance: &InstanceId) -> PathBuf {
        let containers = self.run.path().join("worker");
        containers.join(instance.as_str()).join("config.json")
    }

    /// Puts an archive into the content store and returns its digest and its size.
    pub fn blob(&self, archive: &Path) -> anyhow::Result<(Digest, u64)> {
        let digest = digest(archive)?;
        let to = self.folder.join("state/edged/content/blobs/sha256");
        let size = fs::copy(archive, to.join(digest.hex()))?;
        Ok((digest, size))
    }

    /// Has a layer unpacked.
    pub fn unpack(&mut self, source: LayerSource) -> anyhow::Result<()> {
        self.done(Command::UnpackLayer(source))
    }

    /// Asks for something whose only answer is that it is done.
    pub fn done(&mut self, command: Command) -> anyhow::Result<()> {
        match self.ask(command)? {
            Reply::Done {} => Ok(()),
            other => bail!("the worker answered {other:?}"),
        }
    }

    fn ask(&mut self, command: Command) -> anyhow::Result<Reply> {
        self.last_id += 1;
        let frame = Frame {
            message: command,
            id: Some(self.last_id),
        };
        self.connection.get_mut().write_all(&encode(&frame)?)?;
        loop {
            let line = self.line()?;
            if let Ok(event) = decode::<Event>(&line) {
                self.events.push_back(event.message);
                continue;
            }
            let reply = decode::<Reply>(&line)?;
            if reply.id == Some(self.last_id) {
                return Ok(reply.message);
            }
        }
    }

    fn line(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = Vec::new();
        let length = self.connection.read_until(b'\n', &mut line)?;
        ensure!(length > 0, "the worker has closed the connection");
        Ok(line)
    }

    /// Waits until a container's program has ended.
    pub fn exited(&mut self, wanted: &InstanceId) -> anyhow::Result<()> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if matches!(&event, Event::Exited { instance, .. } if instance == wanted) {
                    return Ok(());
                }
                continue;
            }
            let line = self.line()?;
            self.events.push_back(decode::<Event>(&line)?.message);
        }
    }

    /// Stands in for the guardian: something named eth0 inside, whose both ends stay there.
    pub fn attach(&self, instance: &InstanceId) -> anyhow::Result<()> {
        let netns = self.run.path().join("netns").join(instance.as_str());
        process::output(
            Program::new("nsenter")
                .arg(format!("--net={}", netns.display()))
                .args(["ip", "link", "add", "eth0"])
                .args(["type", "veth", "peer", "name", "outer"]),
        )
        .map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut purge = Program::new(&self.program);
        purge.arg("--config").arg(self.folder.join("edged.toml"));
        if let Err(error) = process::output(purge.arg("purge")) {
            eprintln!("board: {error:#}");
        }
    }
}

/// A container of one layer that runs a command.
pub fn spec(instance: &InstanceId, layer: &Digest, command: &[&str]) -> ContainerSpec {
    ContainerSpec {
        instance: instance.clone(),
        hostname: instance.to_string(),
        layers: vec![layer.clone()],
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        working_dir: "/".to_owned(),
        user: String::new(),
        limits: Limits::default(),
        writable: false,
        first_uid: FIRST_UID,
        resolv_conf: "nameserver 10.80.0.1\n".to_owned(),
        hosts: "127.0.0.1 localhost\n".to_owned(),
        secrets: std::collections::BTreeMap::new(),
    }
}

/// Addresses of the inside.
pub fn network() -> anyhow::Result<ContainerNetwork> {
    Ok(ContainerNetwork {
        lease: Lease {
            number: LeaseNumber::FIRST,
            v4: "10.80.0.2".parse()?,
            v6: "fd00:6d65:63::2".parse()?,
        },
        gateway_v4: "10.80.0.1".parse()?,
        gateway_v6: "fd00:6d65:63::1".parse()?,
    })
}

/// SHA-256 of a file, by another program's hand.
pub fn digest(file: &Path) -> anyhow::Result<Digest> {
    let shown = process::output(Program::new("sha256sum").arg(file))?;
    let hex = shown.split(' ').next().unwrap_or_default();
    Ok(format!("sha256:{hex}").parse()?)
}
