//! A real mosquitto on a free loopback port, and the clients that third parties would use.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use edged_mqtt::mosquitto::{self, Bounds, Listener, LogTo, Options, Owner};
use edged_mqtt::{Account, BrokerClient, BrokerConfig, Username};
use edged_protocol::Secret;
use tokio::task::JoinHandle;

pub const ADMIN: &str = "edged";
pub const ADMIN_PASSWORD: &str = "the password of edged";
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The files of one broker, and its process while it runs. Ended when dropped.
pub struct Broker {
    folder: tempfile::TempDir,
    pub port: u16,
    config: PathBuf,
    process: Option<Child>,
}

impl Broker {
    /// Files only; [`Broker::start`] starts it.
    pub fn prepared() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let options = Options {
            listeners: vec![Listener {
                address,
                tls: None,
                one_connection_per_account: false,
            }],
            plugin: mosquitto::find_plugin().unwrap(),
            security_file: folder.path().join(mosquitto::SECURITY_FILE),
            persistence: None,
            user: "mosquitto".parse().unwrap(),
            bounds: Bounds::default(),
            log: LogTo::Stderr,
        };
        let admin = ADMIN.parse().unwrap();
        let secret = Secret::new(ADMIN_PASSWORD);
        let owner = Some(owner());
        let config = mosquitto::write(folder.path(), &options, &admin, &secret, owner).unwrap();
        Self {
            folder,
            port: address.port(),
            config,
            process: None,
        }
    }

    pub fn started() -> Self {
        let mut broker = Self::prepared();
        broker.start();
        broker
    }

    /// Replaces our first state by the one that mosquitto's own tool writes.
    pub fn set_up_by_mosquitto_ctrl(&mut self) {
        let path = self.folder.path().join(mosquitto::SECURITY_FILE);
        fs::remove_file(&path).unwrap();
        let mut command = Command::new("mosquitto_ctrl");
        command
            .args(["dynsec", "init"])
            .arg(&path)
            .args([ADMIN, ADMIN_PASSWORD]);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        std::os::unix::fs::chown(&path, Some(owner().uid), Some(owner().gid)).unwrap();
    }

    pub fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&self.config)
            .stderr(log)
            .spawn();
        self.process = Some(child.unwrap());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        until("the broker listens", || TcpStream::connect(address).is_ok());
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn config(&self) -> BrokerConfig {
        BrokerConfig {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            username: ADMIN.parse().unwrap(),
            password: Secret::new(ADMIN_PASSWORD),
        }
    }

    /// A client whose task runs.
    pub fn client(&self) -> (BrokerClient, JoinHandle<()>) {
        let (client, task) = BrokerClient::connect(self.config());
        (client, tokio::spawn(task.run()))
    }

    /// A connected client of edged on a prepared broker.
    pub async fn connected(&self) -> BrokerClient {
        let (client, _) = self.client();
        tokio::time::timeout(PATIENCE, client.connected())
            .await
            .expect("connects")
            .unwrap();
        client.bootstrap().await.unwrap();
        client
    }

    fn tool(&self, name: &str, login: Option<(&str, &str)>, arguments: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some((username, password)) = login {
            command.args(["-u", username, "-P", password]);
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub fn publish(&self, login: Option<(&str, &str)>, topic: &str, text: &str) -> Output {
        self.tool(
            "mosquitto_pub",
            login,
            &["-q", "1", "-t", topic, "-m", text],
        )
        .output()
        .unwrap()
    }

    /// Subscribes and unsubscribes at once: whether the broker let it.
    pub fn may_subscribe(&self, login: (&str, &str), filter: &str) -> bool {
        let arguments = ["-E", "-q", "1", "-t", filter];
        let output = self
            .tool("mosquitto_sub", Some(login), &arguments)
            .output()
            .unwrap();
        let denied = String::from_utf8_lossy(&output.stderr).contains("denied");
        output.status.success() && !denied
    }

    /// Connects with a will, if the broker lets it, and dies without a word.
    pub fn die_with_will(&self, login: (&str, &str), topic: &str) {
        let out = tempfile::NamedTempFile::new().unwrap();
        let will = [
            "-d",
            "-t",
            "apps/app-one/none",
            "--will-topic",
            topic,
            "--will-payload",
            "will",
        ];
        let mut command = Command::new("stdbuf");
        command.args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
        ]);
        command
            .args(["-u", login.0, "-P", login.1])
            .args(will)
            .stdin(Stdio::null());
        let child = command
            .stdout(out.reopen().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed when dropped.
        let subscriber = Subscriber { child, out };
        until("CONNECT is answered", || {
            subscriber.text().contains("received CONNACK")
        });
    }

    /// A subscriber in the background, once the broker has confirmed its subscription.
    pub fn listen(&self, login: (&str, &str), filters: &[&str]) -> Subscriber {
        let out = tempfile::NamedTempFile::new().unwrap();
        // stdbuf replaces itself by the program: the pid stays that of the subscriber.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1"]);
        command.args(["-p", &self.port.to_string(), "-u", login.0, "-P", login.1]);
        command.args(["-q", "1", "-F", "MESSAGE %t %p"]);
        command.args(filters.iter().flat_map(|filter| ["-t", filter]));
        let log = out.reopen().unwrap();
        let child = command
            .stdout(log)
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let subscriber = Subscriber { child, out };
        until("a subscription is confirmed", || {
            subscriber.text().contains("Subscribed")
        });
        subscriber
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
        self.stop();
    }
}

/// `mosquitto_sub` in the background. Ended when dropped.
pub struct Subscriber {
    child: Child,
    out: tempfile::NamedTempFile,
}

impl Subscriber {
    pub fn text(&self) -> String {
        fs::read_to_string(self.out.path()).unwrap()
    }

    /// `TOPIC PAYLOAD` of everything received.
    pub fn messages(&self) -> Vec<String> {
        let text = self.text();
        text.lines()
            .filter_map(|line| line.strip_prefix("MESSAGE "))
            .map(str::to_owned)
            .collect()
    }

    pub fn await_message(&self, message: &str) {
        until(message, || self.messages().iter().any(|m| m == message));
    }

    /// How often the broker let it in.
    pub fn connections(&self) -> usize {
        self.text().matches("received CONNACK (0)").count()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again; gives other processes the core in between.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn account(instance: &str, password: &str, subscribe: &[&str]) -> Account {
    Account {
        instance: instance.parse().unwrap(),
        username: instance.parse::<Username>().unwrap(),
        password: Secret::new(password),
        subscribe: subscribe
            .iter()
            .map(|filter| filter.parse().unwrap())
            .collect(),
    }
}

/// An address that nobody uses. Below the range from which the kernel numbers outgoing connections: one of those could
/// take a port while its broker is down.
fn free_address() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 9_000).unwrap();
    let port = || 20_000 + (start + TRIED.fetch_add(1, Ordering::Relaxed)) % 12_000;
    let mut addresses = std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port())));
    addresses
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}

/// The user that Debian's package made for the broker.
fn owner() -> Owner {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("mosquitto:"))
        .expect("user mosquitto");
    let fields: Vec<&str> = line.split(':').collect();
    Owner {
        uid: fields[2].parse().unwrap(),
        gid: fields[3].parse().unwrap(),
    }
}
