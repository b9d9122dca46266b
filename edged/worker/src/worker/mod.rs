//! The worker's state and its one loop.

mod adopt;
mod commands;
mod jobs;
mod reap;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use edged_config::Node;
use edged_model::{ContainerState, ExitCode, InstanceId};
use edged_protocol::worker::{CgroupLayout, Event, LayerSource, Reply};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::connection::{Connection, Ended, Message};
use crate::container::seccomp::Filter;
use crate::container::{cgroup, root};
use crate::exec::Exec;
use crate::log::Log;
use crate::place::Place;
use crate::record::{Phase, Record};
use crate::{Error, layer, purge};
use jobs::Job;

/// The largest number of processes remembered that ended before anybody knew whose they were.
const STRAYS: usize = 64;

/// The worker.
#[derive(Debug)]
pub struct Worker {
    node: Node,
    layout: CgroupLayout,
    filter: Filter,
    listener: UnixListener,
    signals: SignalFd,
    client: Option<Connection>,
    /// Counts connections, so that an answer never reaches another one than asked.
    connection: u64,
    containers: BTreeMap<InstanceId, Container>,
    execs: BTreeMap<u64, Exec>,
    last_exec: u64,
    jobs: Vec<Job>,
    unpacks: VecDeque<(LayerSource, Asker)>,
    strays: VecDeque<(i32, ExitCode)>,
    watchdog: Option<Watchdog>,
    ends: bool,
    _lock: OwnedFd,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asker {
    connection: u64,
    id: Option<u64>,
}

/// systemd's watchdog: fed once a turn of the loop, which is a turn of everything the worker does.
#[derive(Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

/// A container that exists.
#[derive(Debug)]
struct Container {
    place: Place,
    record: Record,
    log: Log,
    watched: bool,
    /// Its init, once there is one.
    init: Option<OwnedFd>,
    /// Whether the init is somebody else's child: the worker that made it is gone.
    adopted: bool,
    /// Whether it was told to end.
    stopping: Option<Stopping>,
    /// A helper is at work on it.
    busy: bool,
}

/// A stop under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopping {
    /// When patience ends.
    kill_at: Option<Instant>,
    /// Whether SIGKILL was sent from here, so that it is not taken for the kernel's own.
    killed: bool,
}

impl Container {
    fn state(&self) -> ContainerState {
        match self.record.phase {
            Phase::Creating => ContainerState::Absent,
            Phase::Exited(code) => ContainerState::Exited { code },
            Phase::Created | Phase::Running(_) if self.stopping.is_some() => {
                ContainerState::Stopping
            }
            Phase::Created => ContainerState::Created,
            Phase::Running(since) => ContainerState::Running {
                pid: self
                    .record
                    .init
                    .and_then(|init| u32::try_from(init.pid).ok())
                    .unwrap_or_default(),
                since,
            },
        }
    }
}

/// What a descriptor is for.
#[derive(Debug, Clone)]
enum Source {
    Listener,
    Signals,
    Client,
    Init(InstanceId),
    Output(InstanceId),
    ExecInput(u64),
    ExecOutput(u64),
}

impl Worker {
    /// Takes over what an earlier worker left, and listens.
    pub fn start(node: Node) -> Result<Self, Error> {
        let lock = purge::lock(&node)?;
        // Containers inherit it: docker's, whatever the worker was started with.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        root::prepare(&node)?;
        layer::remove_partial(&node)?;
        let layout = cgroup::layout()?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.thread_block()
            .map_err(Error::kernel("block signals"))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(Error::kernel("listen for signals"))?;
        let filter = Filter::compile()?;
        let containers = adopt::adopt(&node)?;
        let listener = listen(&node)?;
        let watchdog = sd_notify::watchdog_enabled().map(|limit| Watchdog {
            every: limit / 2,
            next: Instant::now(),
        });
        Ok(Self {
            node,
            layout,
            filter,
            listener,
            signals,
            client: None,
            connection: 0,
            containers,
            execs: BTreeMap::new(),
            last_exec: 0,
            jobs: Vec::new(),
            unpacks: VecDeque::new(),
            strays: VecDeque::with_capacity(STRAYS),
            watchdog,
            ends: false,
            _lock: lock,
        })
    }

    /// Serves until SIGTERM or SIGINT. Containers go on running.
    pub fn run(mut self) -> Result<(), Error> {
        tracing::info!(
            socket = %self.node.worker_socket().display(),
            cgroups = ?self.layout,
            containers = self.containers.len(),
            "ready"
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        while !self.ends {
            for (source, flags) in self.wait()? {
                self.serve(&source, flags);
            }
            self.drain_ended_execs();
            self.pass_time();
            self.flush();
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        let _ = std::fs::remove_file(self.node.worker_socket());
        Ok(())
    }

    /// Waits for the next thing to do. While the client does not read, nothing is produced for it.
    fn wait(&self) -> Result<Vec<(Source, PollFlags)>, Error> {
        let (read, write) = (PollFlags::IN, PollFlags::OUT);
        let full = self.client.as_ref().is_some_and(Connection::is_full);
        let mut waited = vec![
            (Source::Listener, PollFd::new(&self.listener, read)),
            (Source::Signals, PollFd::new(&self.signals, read)),
        ];
        if let Some(client) = &self.client {
            let mut flags = if full { PollFlags::empty() } else { read };
            flags.set(write, client.wants_write());
            waited.push((Source::Client, PollFd::new(client, flags)));
        }
        for (instance, container) in &self.containers {
            if let Some(init) = container
                .init
                .as_ref()
                .filter(|_| container.adopted && !container.busy)
            {
                waited.push((Source::Init(instance.clone()), PollFd::new(init, read)));
            }
            for fd in container.log.fds() {
                waited.push((Source::Output(instance.clone()), PollFd::new(fd, read)));
            }
        }
        for (number, exec) in self.execs.iter().filter(|(_, exec)| exec.pid.is_some()) {
            if let Some(fd) = exec.wants_write() {
                waited.push((Source::ExecInput(*number), PollFd::new(fd, write)));
            }
            for fd in exec.outputs().filter(|_| !full) {
                waited.push((Source::ExecOutput(*number), PollFd::new(fd, read)));
            }
        }
        let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = waited.into_iter().unzip();
        let timeout = self.next_deadline().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::kernel("wait for work")(error)),
        }
        let ready = sources.into_iter().zip(fds.iter().map(PollFd::revents));
        Ok(ready.filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let kills = self
            .containers
            .values()
            .filter_map(|container| container.stopping?.kill_at);
        let helpers = self.jobs.iter().map(|job| job.helper.deadline);
        let watchdog = self.watchdog.iter().map(|watchdog| watchdog.next);
        kills.chain(helpers).chain(watchdog).min()
    }

    fn serve(&mut self, source: &Source, flags: PollFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.take_signals(),
            Source::Client => self.serve_client(flags),
            Source::Init(instance) => self.adopted_ended(instance),
            Source::Output(instance) => self.read_output(instance),
            Source::ExecInput(number) => {
                if let Some(exec) = self.execs.get_mut(number) {
                    exec.write();
                }
            }
            Source::ExecOutput(number) => self.read_exec(*number),
        }
    }

    /// A newer connection replaces the older one, whose process is the one that was killed.
    fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(&self.listener, flags) else {
            return;
        };
        let uid = rustix::net::sockopt::socket_peercred(&socket).map(|peer| peer.uid.as_raw());
        match uid {
            Ok(uid) if uid == 0 || uid == self.node.uid => {}
            other => {
                tracing::warn!(?other, "a connection of another user is refused");
                return;
            }
        }
        self.drop_client(&Ended::Closed);
        self.connection += 1;
        match Connection::new(socket) {
            Ok(client) => self.client = Some(client),
            Err(error) => tracing::warn!(%error, "a connection is lost"),
        }
    }

    fn serve_client(&mut self, flags: PollFlags) {
        let Some(client) = &mut self.client else {
            return;
        };
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        match client.read() {
            Ok(frames) => {
                let connection = self.connection;
                for frame in frames {
                    let asker = Asker {
                        connection,
                        id: frame.id,
                    };
                    self.command(frame.message, asker);
                }
            }
            Err(ended) => self.drop_client(&ended),
        }
    }

    /// Forgets the client; its execs end with it, since nobody else can have their output.
    fn drop_client(&mut self, why: &Ended) {
        let Some(client) = self.client.take() else {
            return;
        };
        // A container made at this moment may still hold a copy of the socket: say the end aloud.
        let _ = rustix::net::shutdown(client.as_fd(), rustix::net::Shutdown::Both);
        tracing::info!(%why, "the client has gone");
        for exec in self.execs.values() {
            exec.kill();
        }
        for container in self.containers.values_mut() {
            container.watched = false;
        }
        self.unpacks.clear();
    }

    fn flush(&mut self) {
        let sent = self.client.as_mut().map_or(Ok(()), Connection::flush);
        if let Err(ended) = sent {
            self.drop_client(&ended);
        }
    }

    fn send(&mut self, message: Message, id: Option<u64>) {
        let queued = self
            .client
            .as_mut()
            .map_or(Ok(()), |client| client.send(message, id));
        if let Err(ended) = queued {
            self.drop_client(&ended);
        }
    }

    fn answer(&mut self, asker: Asker, reply: Reply) {
        if asker.connection == self.connection {
            self.send(Message::Reply(reply), asker.id);
        }
    }

    fn tell(&mut self, event: Event) {
        self.send(Message::Event(event), None);
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if i32::try_from(signal.ssi_signo) != Ok(libc::SIGCHLD) {
                self.ends = true;
            }
        }
        self.reap();
    }

    fn pass_time(&mut self) {
        let now = Instant::now();
        for container in self.containers.values_mut() {
            if container
                .stopping
                .and_then(|stopping| stopping.kill_at)
                .is_some_and(|at| at <= now)
            {
                container.stopping = Some(Stopping {
                    kill_at: None,
                    killed: true,
                });
                commands::signal(container, libc::SIGKILL);
            }
        }
        for job in self
            .jobs
            .iter_mut()
            .filter(|job| job.helper.deadline <= now)
        {
            job.helper.give_up();
        }
        if let Some(watchdog) = self
            .watchdog
            .as_mut()
            .filter(|watchdog| watchdog.next <= now)
        {
            watchdog.next = now + watchdog.every;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

/// The socket takes its name when it is ready: until then nobody finds it.
fn listen(node: &Node) -> Result<UnixListener, Error> {
    let (path, fresh) = (node.worker_socket(), node.run.join("worker.sock.new"));
    let _ = std::fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(Error::path("listen on", &fresh))?;
    listener
        .set_nonblocking(true)
        .map_err(Error::path("listen on", &fresh))?;
    chown(&fresh, Some(node.uid), None).map_err(Error::path("chown", &fresh))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))
        .map_err(Error::path("set the mode of", &fresh))?;
    std::fs::rename(&fresh, &path).map_err(Error::path("listen on", &path))?;
    Ok(listener)
}
