//! A worker of its own for each test, driven over its socket, with a busybox image in its content store.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use edged_model::{ContainerState, Digest, ExitCode, InstanceId, Lease, LeaseNumber, Limits};
use edged_protocol::worker::{
    Command, ContainerNetwork, ContainerSpec, Event, LayerSource, LogLine, Reply, Stream,
};
use edged_protocol::{Frame, Refusal, decode, encode};

pub const FIRST_UID: u32 = 5 << 16;
const PATIENCE: Duration = Duration::from_secs(30);
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "true", "false", "sleep", "id", "ls", "touch", "tail", "head", "mount",
    "umount", "kill", "hostname", "mkdir", "mknod", "chown", "ip", "readlink", "dd", "wc", "grep",
    "find", "stat", "unshare", "chroot", "env", "pwd", "ping", "nsenter", "seq", "tr", "test",
];

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Node {
    pub dir: tempfile::TempDir,
    pub cgroup: String,
    pub layer: Digest,
    size: u64,
    binary: String,
    worker: Option<Child>,
    client: Option<Client>,
}

pub struct Client {
    reader: BufReader<UnixStream>,
    events: VecDeque<Event>,
    last_id: u64,
}

impl Client {
    pub fn connect(path: &Path) -> Self {
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::new(stream),
            events: VecDeque::new(),
            last_id: 0,
        }
    }

    pub fn send(&mut self, command: Command) -> u64 {
        self.last_id += 1;
        let line = encode(&Frame {
            message: command,
            id: Some(self.last_id),
        })
        .unwrap();
        self.reader.get_mut().write_all(&line).unwrap();
        self.last_id
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let len = self
            .reader
            .read_until(b'\n', &mut line)
            .expect("an answer in time");
        (len > 0).then_some(line)
    }

    pub fn try_ask(&mut self, command: Command) -> Option<Reply> {
        let id = self.send(command);
        loop {
            let line = self.line()?;
            if let Ok(event) = decode::<Event>(&line) {
                self.events.push_back(event.message);
                continue;
            }
            let frame = decode::<Reply>(&line).expect("a reply");
            if frame.id == Some(id) {
                return Some(frame.message);
            }
        }
    }

    pub fn ask(&mut self, command: Command) -> Reply {
        self.try_ask(command).expect("the connection to last")
    }

    pub fn event(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            if let Some(at) = self.events.iter().position(&wanted) {
                return self.events.remove(at).unwrap();
            }
            let line = self.line().expect("the connection to last");
            self.events
                .push_back(decode::<Event>(&line).expect("an event").message);
        }
    }

    pub fn is_closed(&mut self) -> bool {
        self.line().is_none()
    }
}

/// Another build of the same program may be measured or tested in place of this one.
pub fn binary() -> String {
    std::env::var("EDGED_WORKER").unwrap_or_else(|_| BUILT_HERE.to_owned())
}

/// The build that belongs to these tests, and has the points where it can be cut.
const BUILT_HERE: &str = env!("CARGO_BIN_EXE_edged-worker");

impl Node {
    /// A node whose worker can be cut at the points of `Fault`, which no other build has.
    pub fn start_to_be_cut() -> Self {
        let mut node = Self::prepared();
        BUILT_HERE.clone_into(&mut node.binary);
        node.unpacked()
    }

    pub fn start() -> Self {
        Self::prepared().unpacked()
    }

    fn unpacked(mut self) -> Self {
        self.start_worker(&[]);
        assert_eq!(self.unpack(), Reply::Done {});
        self
    }

    pub fn prepared() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("edged-worker-")
            .tempdir()
            .unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let cgroup = format!(
            "/edged-test-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let base = dir.path().display();
        std::fs::write(
            dir.path().join("edged.toml"),
            format!("version = 1\n[node]\nstate = \"{base}/state\"\nrun = \"{base}/run\"\nuid = 0\ncgroup = \"{cgroup}\"\n"),
        )
        .unwrap();
        let blobs = dir.path().join("state/edged/content/blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let image = image();
        let digest = ring::digest::digest(&ring::digest::SHA256, &image);
        let layer = Digest::from_sha256(digest.as_ref().try_into().unwrap());
        std::fs::write(blobs.join(layer.hex()), &image).unwrap();
        Self {
            dir,
            cgroup,
            layer,
            size: u64::try_from(image.len()).unwrap(),
            binary: binary(),
            worker: None,
            client: None,
        }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn program(&self) -> Process {
        let mut program = Process::new(&self.binary);
        program
            .arg("--config")
            .arg(self.path("edged.toml"))
            .stdin(Stdio::null());
        program
    }

    pub fn start_worker(&mut self, env: &[(&str, &str)]) {
        let worker = self.program().envs(env.iter().copied()).spawn().unwrap();
        self.worker = Some(worker);
        self.client = Some(Client::connect(&self.path("run/worker.sock")));
    }

    pub fn kill_worker(&mut self) {
        let mut worker = self.worker.take().unwrap();
        worker.kill().unwrap();
        worker.wait().unwrap();
        self.client = None;
    }

    pub fn wait_worker(&mut self) {
        self.worker.take().unwrap().wait().unwrap();
        self.client = None;
    }

    pub fn pid(&self) -> u32 {
        self.worker.as_ref().unwrap().id()
    }

    pub fn client(&mut self) -> &mut Client {
        self.client.as_mut().unwrap()
    }

    pub fn ask(&mut self, command: Command) -> Reply {
        self.client().ask(command)
    }

    pub fn unpack(&mut self) -> Reply {
        let source = LayerSource {
            blob: self.layer.clone(),
            size: self.size,
            media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
            diff_id: self.layer.clone(),
        };
        self.ask(Command::UnpackLayer(source))
    }

    pub fn spec(&self, instance: &str, command: &[&str]) -> ContainerSpec {
        ContainerSpec {
            instance: id(instance),
            hostname: instance.to_owned(),
            layers: vec![self.layer.clone()],
            command: command.iter().map(|text| (*text).to_owned()).collect(),
            env: vec!["COLOUR=green".to_owned()],
            working_dir: "/".to_owned(),
            user: String::new(),
            limits: Limits::default(),
            writable: false,
            first_uid: FIRST_UID,
            resolv_conf: "nameserver 10.80.0.1\n".to_owned(),
            hosts: "127.0.0.1 localhost\n".to_owned(),
            secrets: BTreeMap::from([("token".to_owned(), edged_protocol::Secret::new("s3cret"))]),
        }
    }

    /// Creates, attaches a link, starts.
    pub fn run(&mut self, spec: ContainerSpec) {
        let instance = spec.instance.clone();
        assert_eq!(self.ask(Command::Create(Box::new(spec))), Reply::Done {});
        self.attach(instance.as_str());
        assert_eq!(self.ask(start(instance.as_str())), Reply::Done {});
    }

    /// Stands in for the guardian: something named eth0 inside. Both ends stay inside.
    pub fn attach(&self, instance: &str) {
        let netns = self.path("run/netns").join(instance);
        let done = Process::new("nsenter")
            .arg(format!("--net={}", netns.display()))
            .args([
                "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "guardian",
            ])
            .status()
            .unwrap();
        assert!(done.success());
    }

    pub fn exited(&mut self, instance: &str) -> ExitCode {
        let instance = id(instance);
        match self.client().event(
            |event| matches!(event, Event::Exited { instance: ended, .. } if *ended == instance),
        ) {
            Event::Exited { code, .. } => code,
            _ => unreachable!(),
        }
    }

    /// Runs a script as a container to its end; its standard output.
    pub fn output(&mut self, instance: &str, script: &str) -> String {
        let spec = self.spec(instance, &["sh", "-c", script]);
        self.run(spec);
        self.exited(instance);
        self.log(instance)
            .into_iter()
            .filter(|line| line.stream == Stream::Stdout)
            .map(|line| line.text + "\n")
            .collect()
    }

    pub fn log(&mut self, instance: &str) -> Vec<LogLine> {
        match self.ask(Command::ReadLog {
            instance: id(instance),
            after: 0,
            tail: None,
        }) {
            Reply::Log { lines } => lines,
            other => panic!("{other:?}"),
        }
    }

    pub fn delete(&mut self, instance: &str) {
        assert_eq!(
            self.ask(Command::Delete {
                instance: id(instance)
            }),
            Reply::Done {}
        );
    }

    pub fn refusal(&mut self, command: Command) -> Refusal {
        match self.ask(command) {
            Reply::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn states(&mut self) -> BTreeMap<InstanceId, ContainerState> {
        match self.ask(Command::Observe {}) {
            Reply::Observed { containers, .. } => containers,
            other => panic!("{other:?}"),
        }
    }

    /// Everything of this node that the kernel has: mounts, cgroups and pins.
    pub fn traces(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = self.dir.path().to_str().unwrap().to_owned();
        let mut traces: Vec<String> = mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|target| target.starts_with(&dir))
            .map(str::to_owned)
            .collect();
        for parent in self.cgroups() {
            let children = std::fs::read_dir(&parent).into_iter().flatten().flatten();
            traces.extend(
                children
                    .filter(|child| child.path().is_dir())
                    .map(|child| child.path().display().to_string()),
            );
        }
        for folder in ["run/netns", "run/worker"] {
            let entries = std::fs::read_dir(self.path(folder))
                .into_iter()
                .flatten()
                .flatten();
            traces.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        traces.sort();
        traces
    }

    /// Where its parent of cgroups may be: in a hierarchy of version 1 for each controller, or in the one of version 2.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mount = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(mount).unwrap().flatten();
        hierarchies
            .map(|entry| entry.path())
            .chain([mount.to_owned()])
            .map(|hierarchy| hierarchy.join(&self.cgroup[1..]))
            .collect()
    }

    /// A file of a container's cgroup, by the controller of version 1 that has it, or by its name in version 2.
    pub fn group_file(&self, instance: &str, one: (&str, &str), two: &str) -> PathBuf {
        let mount = Path::new("/sys/fs/cgroup");
        let group = Path::new(&self.cgroup[1..]).join(instance);
        let versioned = mount.join(one.0).join(&group).join(one.1);
        if versioned.exists() {
            versioned
        } else {
            mount.join(group).join(two)
        }
    }

    pub fn purge(&self) {
        let done = self.program().arg("purge").output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.worker {
            let _ = worker.kill();
            let _ = worker.wait();
        }
        let _ = self.program().arg("purge").output();
    }
}

pub fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub fn start(instance: &str) -> Command {
    Command::Start {
        instance: id(instance),
        network: ContainerNetwork {
            lease: Lease {
                number: LeaseNumber::FIRST,
                v4: "10.80.0.2".parse().unwrap(),
                v6: "fd00:6d65:63::2".parse().unwrap(),
            },
            gateway_v4: "10.80.0.1".parse().unwrap(),
            gateway_v6: "fd00:6d65:63::1".parse().unwrap(),
        },
    }
}

pub fn stop(instance: &str, signal: i32, grace_ms: u32) -> Command {
    Command::Stop {
        instance: id(instance),
        signal,
        grace_ms,
    }
}

fn image() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let header = |path: &str, kind: tar::EntryType, mode: u32| {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header
    };
    for dir in ["bin/", "etc/", "data/"] {
        let mut header = header(dir, tar::EntryType::Directory, 0o755);
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let accounts = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/data:/bin/sh\n".to_vec();
    for (path, bytes, mode) in [
        ("bin/busybox", busybox, 0o4755),
        ("etc/passwd", accounts, 0o644),
    ] {
        let mut header = header(path, tar::EntryType::Regular, mode);
        header.set_size(u64::try_from(bytes.len()).unwrap());
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    let links = APPLETS
        .iter()
        .map(|name| (format!("bin/{name}"), "busybox"));
    for (path, target) in links.chain([("bin/self".to_owned(), "/proc/self/exe")]) {
        let mut header = header(&path, tar::EntryType::Symlink, 0o777);
        header.set_link_name(target).unwrap();
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    tar.into_inner().unwrap()
}
