//! `cargo board host`: a complete node on this machine.
//!
//! The three processes, the broker and a software TPM, each as on a device: edged as a user of its own with one capability, the broker
//! as its package's user, the worker as root, the guardian as what it makes of itself. They are supervised as systemd
//! would, and end with this process. What a killed worker leaves behind is collected here (a subreaper, as PID 1 is).

mod broker;
mod daemon;
mod folder;
mod place;
mod seed;
pub(crate) mod tpm;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use board_node::signals::Signals;
use clap::ValueEnum;
use edged_config::Config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;

use crate::install::{self, Consent};
use crate::line::{self, Line};
use crate::{process, workspace};
use daemon::{Daemon, Identity};
use folder::{EDGED_UID, Folder};
use place::Place;

pub use board_node::port::free_port;

/// A command for a program of the machine that ends when we do.
pub fn dies_with_us(program: &Path) -> Command {
    Identity::Root.command(program)
}

/// The account of edged on the broker.
const MQTT_ADMIN: &str = "edged";
/// The operator's name at the door and on the broker.
const OPERATOR: &str = "admin";
/// A day: longer than any test.
const TOKEN_SECONDS: &str = "86400";
/// Between two looks at the broker's certificate, which edged renews.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for the gateway's address after the guardian is ready.
const GATEWAY: Duration = Duration::from_secs(10);

/// Where the node's keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tpm {
    /// A software TPM.
    Swtpm,
    /// Files.
    None,
}

/// What kind of node.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder of the node's state; it stays when the node ends. A temporary one where left out.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// JSON file of instances to start with.
    #[arg(long)]
    pub seed: Option<PathBuf>,
    /// Where keys come from.
    #[arg(long, value_enum, default_value = "swtpm")]
    pub tpm: Tpm,
    /// Serve plain HTTP on loopback beside HTTPS.
    #[arg(long)]
    pub plain_http: bool,
    /// Put before every path of the MEC interfaces, as in `/mep`.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Registry (HOST:PORT) that is spoken to without TLS; may be repeated.
    #[arg(long, value_name = "HOST:PORT")]
    pub insecure_registry: Vec<String>,
    /// Use the programs in this folder instead of building them.
    #[arg(long, hide = true)]
    pub programs: Option<PathBuf>,
    /// Missing packages.
    #[command(flatten)]
    pub consent: Consent,
}

/// Starts a node, says where it is, and keeps it until SIGTERM or SIGINT.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a node makes namespaces, links and cgroups: run this as root");
    }
    let programs = if let Some(folder) = &options.programs {
        install::ensure(options.consent, &[install::HOST])?;
        folder.clone()
    } else {
        install::ensure(options.consent, &[install::BUILD, install::HOST])?;
        workspace::build(workspace::Profile::Dev)?
    };
    let signals = Signals::listen()?;
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
        .context("cannot become the collector of orphans")?;
    let place = Place::find()?;
    let folder = Folder::make(options.dir.as_deref(), &place)?;
    let config = folder.configure(&place, options)?;
    if let Some(file) = &options.seed {
        seed::plant(file, &config, &origin(&place, options))?;
    }
    let mut host = Host::new(options, &programs, &folder, &place, config)?;
    let result = host.begin(&signals).and_then(|started| {
        if started {
            host.serve(&signals)
        } else {
            Ok(())
        }
    });
    let ended = host.end();
    drop(host);
    result.and(ended)
}

/// What clients reach the node by.
fn origin(place: &Place, options: &Options) -> String {
    let prefix = &options.prefix;
    if options.plain_http {
        format!("http://127.0.0.1:{}{prefix}", place.ports.http)
    } else {
        format!("https://127.0.0.1:{}{prefix}", place.ports.https)
    }
}

struct Host<'a> {
    folder: &'a Folder,
    place: &'a Place,
    config: Config,
    plain_http: bool,
    worker: Daemon,
    guardian: Daemon,
    broker: Daemon,
    edged: Daemon,
    tpm: Option<Daemon>,
}

impl<'a> Host<'a> {
    fn new(
        options: &Options,
        programs: &Path,
        folder: &'a Folder,
        place: &'a Place,
        config: Config,
    ) -> anyhow::Result<Self> {
        let config_arguments =
            || -> Vec<OsString> { vec!["--config".into(), folder.config().into()] };
        let daemon = |name, program: &str, arguments, identity| {
            let program = folder.program(programs, program)?;
            Daemon::new(name, program, arguments, identity, &folder.path)
        };
        let root = Identity::Root;
        Ok(Self {
            worker: daemon("worker", "edged-worker", config_arguments(), root)?,
            guardian: daemon("guardian", "edged-guardian", config_arguments(), root)?,
            edged: daemon(
                "edged",
                "edged",
                config_arguments(),
                Identity::Edged(EDGED_UID),
            )?,
            broker: broker::daemon(folder)?,
            tpm: match options.tpm {
                Tpm::Swtpm => Some(tpm::daemon(folder, place.ports.tpm)?),
                Tpm::None => None,
            },
            folder,
            place,
            config,
            plain_http: options.plain_http,
        })
    }

    /// Starts everything in its order; false when a signal came in between.
    fn begin(&mut self, signals: &Signals) -> anyhow::Result<bool> {
        self.folder.operator()?;
        if let Some(daemon) = &mut self.tpm {
            daemon.start()?;
            tpm::wait_ready(daemon, self.place.ports.tpm)?;
        }
        self.edged_once(&["init"])?;
        self.guardian.start()?;
        self.worker.start()?;
        self.guardian.wait_ready()?;
        self.worker.wait_ready()?;
        self.wait_gateway()?;
        self.prepare_broker()?;
        self.broker.start()?;
        self.broker.wait_ready()?;
        if signals.stop() {
            return Ok(false);
        }
        self.edged.start()?;
        self.edged.wait_ready()?;
        self.folder.write_known_hosts(self.place.ports.ssh)?;
        let line = serde_json::to_string(&self.line()?)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())?;
        Ok(true)
    }

    /// The broker listens on the gateway's address, which the guardian makes.
    fn wait_gateway(&self) -> anyhow::Result<()> {
        let addressing = self.config.addressing()?;
        let deadline = Instant::now() + GATEWAY;
        while !place::is_here(addressing.gateway4) || !place::is_here6(addressing.gateway6) {
            if Instant::now() > deadline {
                bail!(
                    "the guardian has not made {} with {}: {}",
                    addressing.prefix,
                    addressing.gateway4,
                    self.guardian.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn prepare_broker(&self) -> anyhow::Result<()> {
        let mut edged = self.edged_command(Identity::Root);
        broker::prepare(self.folder, &self.config, self.place.ports, &mut edged)
    }

    fn edged_command(&self, identity: Identity) -> Command {
        let mut command = identity.command(&self.folder.path.join("bin/edged"));
        command.arg("--config").arg(self.folder.config());
        command
    }

    /// Runs a short verb of edged, as edged's user.
    fn edged_once(&self, verb: &[&str]) -> anyhow::Result<String> {
        process::output(self.edged_command(Identity::Edged(EDGED_UID)).args(verb))
    }

    fn line(&self) -> anyhow::Result<Line> {
        let ports = self.place.ports;
        let host = std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST);
        Ok(Line {
            ready: true,
            pid: std::process::id(),
            dir: self.folder.path.clone(),
            http: self
                .plain_http
                .then(|| format!("http://{host}:{}", ports.http)),
            https: format!("https://{host}:{}", ports.https),
            ca: self.folder.edged("tls/ca.pem"),
            ssh: line::Ssh {
                host,
                port: ports.ssh,
                user: OPERATOR.to_owned(),
                identity: self.folder.identity(),
                known_hosts: self.folder.known_hosts(),
            },
            dns: line::Place {
                host,
                port: ports.dns,
            },
            mqtt: broker::line(self.folder, host, ports)?,
            token: self
                .edged_once(&["token", "--all", "--lifetime", TOKEN_SECONDS])?
                .trim()
                .to_owned(),
            netns: None,
            app_subnet: self.place.subnet4.clone(),
        })
    }

    /// In the order in which they end.
    fn daemons(&mut self) -> impl Iterator<Item = &mut Daemon> {
        [
            &mut self.edged,
            &mut self.worker,
            &mut self.guardian,
            &mut self.broker,
        ]
        .into_iter()
        .chain(&mut self.tpm)
    }

    /// Keeps everything running until a signal says otherwise.
    fn serve(&mut self, signals: &Signals) -> anyhow::Result<()> {
        while !signals.stop() {
            self.wait(signals)?;
            signals.clear();
            self.collect();
            if self.broker.is_due() {
                // A killed mosquitto may leave half a file of accounts: edged writes the first one again then.
                self.prepare_broker()?;
            }
            broker::renew(self.folder, &self.broker)?;
            for daemon in self.daemons() {
                daemon.take_notifications();
                if daemon.is_due() {
                    eprintln!("board: starting {} again", daemon.name());
                    daemon.start()?;
                }
            }
        }
        Ok(())
    }

    /// Sleeps until a signal, a notification, the next restart or the next look at the broker's certificate.
    fn wait(&mut self, signals: &Signals) -> anyhow::Result<()> {
        let daemons: Vec<_> = self.daemons().collect();
        let next = daemons
            .iter()
            .filter_map(|daemon| daemon.restart_at())
            .min();
        let timeout = next.map_or(LOOK, |at| {
            at.saturating_duration_since(Instant::now()).min(LOOK)
        });
        let timeout = Timespec::try_from(timeout)?;
        let mut ready = vec![PollFd::new(signals.woken(), PollFlags::IN)];
        ready.extend(
            daemons
                .iter()
                .map(|daemon| PollFd::new(daemon.notifications(), PollFlags::IN)),
        );
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    }

    /// Takes the ends of our own processes, and of those that their parents left to us.
    fn collect(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            for daemon in self.daemons() {
                if daemon.pid() == Some(pid) {
                    eprintln!("board: {} ended ({status:?})", daemon.name());
                    daemon.ended();
                }
            }
        }
    }

    /// Ends everything and takes away what it made in the kernel. Goes on after an error and tells the first.
    fn end(&mut self) -> anyhow::Result<()> {
        for daemon in self.daemons() {
            daemon.stop();
        }
        let purged = [self.purge("edged-worker"), self.purge("edged-guardian")];
        purged.into_iter().collect()
    }

    /// Applications end here, and as their parent is gone already, their ends are collected meanwhile.
    fn purge(&self, program: &str) -> anyhow::Result<()> {
        let path = self.folder.path.join("bin").join(program);
        let mut command = Identity::Root.command(&path);
        command
            .arg("--config")
            .arg(self.folder.config())
            .arg("purge");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {program} purge"))?;
        loop {
            let (pid, status) = rustix::process::wait(WaitOptions::empty())?
                .context("a wait without WNOHANG came back empty")?;
            if u32::try_from(pid.as_raw_pid()).ok() != Some(child.id()) {
                continue;
            }
            if status.exit_status() == Some(0) {
                return Ok(());
            }
            bail!("{program} purge ended with {status:?}: what it had made may still be there");
        }
    }
}
