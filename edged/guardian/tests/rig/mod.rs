//! A box in network namespaces of its own: the guardian runs in one, applications and the outside in others.

pub mod ruled;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command as Program, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use edged_config::Addressing;
use edged_model::{InstanceId, Lease, LeaseNumber};
use edged_protocol::guardian::{AppPolicy, Command, OwnedRule, Policy, Reply};
use edged_protocol::{Frame, decode, encode};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// User that the guardian serves.
pub const UID: u32 = 64_900;
/// How long something allowed may take.
pub const SOON: Duration = Duration::from_secs(5);
/// How long something denied is waited for.
pub const NEVER: Duration = Duration::from_millis(400);

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Rig {
    pub name: String,
    pub folder: tempfile::TempDir,
    pub addressing: Addressing,
    pub guardian: Option<Child>,
    spaces: Vec<String>,
}

/// Runs a program and takes its output; what fails, fails the test.
pub fn run(line: &str) -> String {
    let output = attempt(line);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {text}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn attempt(line: &str) -> Output {
    let words: Vec<&str> = line.split_whitespace().collect();
    Program::new(words[0]).args(&words[1..]).output().unwrap()
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

impl Rig {
    /// A box with an uplink `up0` (`192.0.2.1`, `2001:db8::1`) to the namespace `out` (`192.0.2.2`, `2001:db8::2`).
    pub fn new() -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("eg{}n{count}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(folder.path().join("run/netns")).unwrap();
        let text = format!(
            "version = 1\n[node]\nstate = \"{0}/state\"\nrun = \"{0}/run\"\nuid = {UID}\n[network]\nuplink = \"up0\"\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("edged.toml"), &text).unwrap();
        let config: edged_config::Config = toml::from_str(&text).unwrap();
        let mut rig = Self {
            name,
            folder,
            addressing: config.addressing().unwrap(),
            guardian: None,
            spaces: Vec::new(),
        };
        rig.space("");
        rig.neighbour("out", "up0", "192.0.2", "2001:db8:");
        rig
    }

    /// A namespace beside the box, joined by a link that `interface` is the box's end of.
    pub fn neighbour(&mut self, space: &str, interface: &str, net4: &str, net6: &str) {
        let (here, there) = (self.space_name(""), self.space(space));
        run(&format!(
            "ip -n {here} link add {interface} type veth peer name eth0 netns {there}"
        ));
        for (space, link, end) in [(&here, interface, 1), (&there, "eth0", 2)] {
            run(&format!("ip -n {space} link set {link} up"));
            run(&format!(
                "ip -n {space} addr add {net4}.{end}/24 dev {link}"
            ));
            run(&format!(
                "ip -n {space} -6 addr add {net6}:{end}/64 dev {link} nodad"
            ));
        }
    }

    fn space_name(&self, space: &str) -> String {
        format!("{}{space}", self.name)
    }

    fn space(&mut self, space: &str) -> String {
        let name = self.space_name(space);
        run(&format!("ip netns add {name}"));
        self.spaces.push(name.clone());
        run(&format!("ip -n {name} link set lo up"));
        name
    }

    /// Runs `ip`, `nft` and the like in the box's namespace.
    pub fn on_box(&self, line: &str) -> String {
        run(&format!("ip netns exec {} {line}", self.name))
    }

    fn program(&self, task: &str) -> Program {
        let mut program = Program::new("nsenter");
        program
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg(env!("CARGO_BIN_EXE_edged-guardian"))
            .arg("--config")
            .arg(self.folder.path().join("edged.toml"))
            .arg(task);
        program
    }

    /// Starts the guardian and waits until it says that it is ready.
    pub fn start(&mut self) {
        let path = self.folder.path().join("notify.sock");
        let _ = std::fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(SOON)).unwrap();
        let child = self.program("serve").env("NOTIFY_SOCKET", &path).spawn();
        self.guardian = Some(child.unwrap());
        let mut word = [0; 64];
        let length = notify.recv(&mut word).expect("the guardian was not ready");
        assert_eq!(&word[..length], b"READY=1\n");
    }

    pub fn kill(&mut self) {
        let mut guardian = self.guardian.take().unwrap();
        guardian.kill().unwrap();
        guardian.wait().unwrap();
    }

    pub fn purge(&self) {
        assert!(self.program("purge").status().unwrap().success());
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("run/guardian.sock")
    }

    pub fn ask(&self, command: Command) -> Reply {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        ask_on(&mut stream, command)
    }

    pub fn done(&self, command: Command) {
        assert_eq!(self.ask(command), Reply::Done {});
    }

    pub fn lease(&self, place: u16) -> Lease {
        self.addressing.lease(LeaseNumber::try_from(place).unwrap())
    }

    pub fn attach(&self, app: &str, place: u16) -> Command {
        Command::Attach {
            instance: app.parse().unwrap(),
            lease: self.lease(place),
        }
    }

    /// Makes an application's namespace as the worker does, has the link made, and sets up its inside.
    pub fn app(&mut self, app: &str, place: u16) {
        let space = self.space(app);
        self.pin(app, &space);
        self.done(self.attach(app, place));
        self.inside(app, place);
    }

    /// As [`Rig::app`], in a namespace that belongs to a user namespace of its own, as a container's does.
    pub fn unprivileged_app(&mut self, app: &str, place: u16) {
        let name = self.space_name(app);
        let mut owner = Program::new("unshare")
            .args(["--user", "--map-root-user", "--net", "sleep", "60"])
            .spawn()
            .unwrap();
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        let there = format!("/proc/{}/ns/net", owner.id());
        until("the namespace", || {
            std::fs::read_link(&there).is_ok_and(|there| there != here)
        });
        run(&format!("ip netns attach {name} {}", owner.id()));
        self.spaces.push(name.clone());
        // From here on the pin keeps the namespace, as it keeps a container's.
        owner.kill().unwrap();
        owner.wait().unwrap();
        run(&format!("ip -n {name} link set lo up"));
        self.pin(app, &name);
        self.done(self.attach(app, place));
        self.inside(app, place);
    }

    pub fn pin(&self, app: &str, space: &str) {
        let pin = self.folder.path().join("run/netns").join(app);
        std::os::unix::fs::symlink(format!("/run/netns/{space}"), pin).unwrap();
    }

    pub fn inside(&self, app: &str, place: u16) {
        let (space, lease) = (self.space_name(app), self.lease(place));
        let (gateway4, gateway6) = (self.addressing.gateway4, self.addressing.gateway6);
        run(&format!("ip -n {space} link set eth0 up"));
        run(&format!("ip -n {space} addr add {}/32 dev eth0", lease.v4));
        run(&format!(
            "ip -n {space} -6 addr add {}/128 dev eth0 nodad",
            lease.v6
        ));
        run(&format!(
            "ip -n {space} route add default via {gateway4} dev eth0 onlink"
        ));
        run(&format!(
            "ip -n {space} -6 route add default via {gateway6} dev eth0 onlink"
        ));
    }

    pub fn wish(&self, app: &str, place: u16, reach: &[u16]) -> AppPolicy {
        let both = |place: &u16| {
            let lease = self.lease(*place);
            [IpAddr::V4(lease.v4), IpAddr::V6(lease.v6)]
        };
        AppPolicy {
            instance: app.parse::<InstanceId>().unwrap(),
            lease: self.lease(place),
            reach: reach.iter().flat_map(both).collect(),
            publish: Vec::new(),
            egress: false,
        }
    }

    pub fn apply(&self, apps: &[AppPolicy]) {
        self.apply_with(apps, &[]);
    }

    pub fn apply_with(&self, apps: &[AppPolicy], rules: &[OwnedRule]) {
        self.done(Command::Apply {
            policy: policy(apps, rules),
        });
    }

    /// Runs something in one of the rig's namespaces; sockets made there stay there.
    pub fn within<T: Send>(&self, space: &str, act: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.space_name(space))).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                use std::os::fd::AsFd;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    /// A server that tells whoever connects their own address; it ends with the test's process.
    pub fn serve(&self, space: &str, port: u16) {
        let listener = self.within(space, || TcpListener::bind(("::", port)).unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = stream.write_all(peer.to_string().as_bytes());
            }
        });
    }

    /// Who the server sees, or `None` where it cannot be reached in time.
    pub fn call(&self, from: &str, to: &str, patience: Duration) -> Option<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.within(from, || {
            let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
            stream.set_read_timeout(Some(patience)).unwrap();
            let mut seen = String::new();
            stream.read_to_string(&mut seen).ok()?;
            Some(seen)
        })
    }

    pub fn answers(&self, from: &str, to: &str) -> String {
        self.call(from, to, SOON)
            .unwrap_or_else(|| panic!("{to} did not answer {from}"))
    }

    pub fn is_denied(&self, from: &str, to: &str) {
        let seen = self.call(from, to, NEVER);
        assert!(seen.is_none(), "{to} answered {from} as {seen:?}");
    }
}

pub fn policy(apps: &[AppPolicy], rules: &[OwnedRule]) -> Policy {
    Policy {
        apps: apps.to_vec(),
        rules: rules.to_vec(),
        ..Policy::default()
    }
}

pub fn ask_on(stream: &mut UnixStream, command: Command) -> Reply {
    let frame = Frame {
        message: command,
        id: Some(7),
    };
    stream.write_all(&encode(&frame).unwrap()).unwrap();
    let answer = line(stream).expect("no answer");
    assert_eq!(answer.id, Some(7));
    answer.message
}

/// The next answer, or `None` where the guardian has hung up.
pub fn line(stream: &UnixStream) -> Option<Frame<Reply>> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut text = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut text).ok()?;
    (!text.is_empty()).then(|| decode(&text).unwrap())
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.guardian.is_some() {
            self.kill();
        }
        for space in &self.spaces {
            let _ = attempt(&format!("ip netns del {space}"));
        }
    }
}
