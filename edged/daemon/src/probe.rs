//! Probes: one task a running container, asking at the pace of its specification.

use std::net::SocketAddr;
use std::time::Duration;

use edged_model::{ContainerState, ExitCode, InstanceId, Observed, Probe, ProbeKind};
use edged_protocol::worker::{Command, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::link::worker::Worker;
use crate::reconcile::{Mailbox, Means, Message, Tracked, Verdict};

/// Shortest pace: a probe is a question, not a load.
const FASTEST: Duration = Duration::from_millis(50);
/// First pause while a started program was never ready: most listen within some milliseconds. Doubles up to the pace.
const EAGER: Duration = Duration::from_millis(10);
/// Bytes of an answer that are looked at: `HTTP/1.1 200` and nothing more.
const STATUS_LINE: usize = 12;

/// Sees to it that exactly a running container with probes is asked.
pub fn keep(tracked: &mut Tracked, seen: &Observed, means: &Means, mailbox: &Mailbox) {
    let running = match seen.container {
        ContainerState::Running { pid, .. } => Some(pid),
        _ => None,
    };
    if tracked.probes.as_ref().map(|(pid, _)| *pid) == running {
        return;
    }
    tracked.stop_probes();
    let Some(pid) = running else { return };
    let probes = &tracked.instance.spec.probes;
    if probes.readiness.is_none() && probes.liveness.is_none() {
        return;
    }
    let asker = Asker {
        instance: tracked.instance.id.clone(),
        pid,
        address: means.addressing.lease(tracked.instance.lease).v4.into(),
        means: means.clone(),
        mailbox: mailbox.clone(),
    };
    let (readiness, liveness) = (probes.readiness.clone(), probes.liveness.clone());
    let task = tokio::spawn(async move {
        tokio::join!(
            async {
                if let Some(probe) = &readiness {
                    asker.watch(probe, Verdict::Ready, Verdict::Unready).await;
                }
            },
            async {
                if let Some(probe) = &liveness {
                    asker.watch_life(probe).await;
                }
            }
        );
    });
    tracked.probes = Some((pid, task.abort_handle()));
}

struct Asker {
    instance: InstanceId,
    pid: u32,
    address: std::net::IpAddr,
    means: Means,
    mailbox: Mailbox,
}

impl Asker {
    /// Tells every change between two verdicts; the bad one only after the failures that the probe allows. Until the
    /// first good one it asks eagerly.
    async fn watch(&self, probe: &Probe, good: Verdict, bad: Verdict) {
        let mut told = None;
        let mut failures = 0_u32;
        let mut eager = EAGER;
        loop {
            let well = self.ask(probe).await;
            if well {
                eager = pace(probe);
            }
            failures = if well { 0 } else { failures.saturating_add(1) };
            let verdict = if well {
                Some(good)
            } else {
                (failures >= probe.failures).then_some(bad)
            };
            if verdict.is_some() && verdict != told {
                told = verdict;
                if !self.tell(verdict).await {
                    return;
                }
            }
            tokio::time::sleep(eager).await;
            eager = pace(probe).min(eager * 2);
        }
    }

    async fn watch_life(&self, probe: &Probe) {
        let mut failures = 0_u32;
        while failures < probe.failures.max(1) {
            tokio::time::sleep(pace(probe)).await;
            failures = if self.ask(probe).await {
                0
            } else {
                failures.saturating_add(1)
            };
        }
        self.tell(Some(Verdict::Dead)).await;
    }

    async fn tell(&self, verdict: Option<Verdict>) -> bool {
        let Some(verdict) = verdict else { return true };
        let message = Message::Probed {
            instance: self.instance.clone(),
            pid: self.pid,
            verdict,
        };
        self.mailbox.send(message).await.is_ok()
    }

    async fn ask(&self, probe: &Probe) -> bool {
        let limit = Duration::from_millis(u64::from(probe.timeout_ms));
        let answer = async {
            match &probe.kind {
                ProbeKind::Tcp { port } => self.connect(*port).await.is_some(),
                ProbeKind::Http { port, path } => self.get(*port, path).await.is_some_and(|ok| ok),
                ProbeKind::Exec { command } => self.exec(command.clone(), limit).await,
            }
        };
        tokio::time::timeout(limit, answer).await.unwrap_or(false)
    }

    async fn connect(&self, port: u16) -> Option<TcpStream> {
        TcpStream::connect(SocketAddr::new(self.address, port))
            .await
            .ok()
    }

    /// Whether a GET is answered with 2xx or 3xx (RFC 9112, status line).
    async fn get(&self, port: u16, path: &str) -> Option<bool> {
        let mut stream = self.connect(port).await?;
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: {}\r\nUser-Agent: edged\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut line = [0_u8; STATUS_LINE];
        stream.read_exact(&mut line).await.ok()?;
        let code = line.strip_prefix(b"HTTP/1.")?.get(2)?;
        Some(matches!(code, b'2' | b'3'))
    }

    async fn exec(&self, command: Vec<String>, limit: Duration) -> bool {
        let ended = end_of(
            self.means.worker.clone(),
            self.instance.clone(),
            command,
            limit,
        );
        // A task of its own: a command that was begun is also ended, whoever gives up waiting for it.
        tokio::spawn(ended).await.unwrap_or(false)
    }
}

/// Whether a command ends with 0 in time; one that does not is killed.
async fn end_of(
    worker: Worker,
    instance: InstanceId,
    command: Vec<String>,
    limit: Duration,
) -> bool {
    let Ok((exec, mut events)) = worker.exec(instance, command, false).await else {
        return false;
    };
    let code = async {
        while let Some(event) = events.recv().await {
            if let Event::ExecEnded { code, .. } = event {
                return Some(code);
            }
        }
        None
    };
    if let Ok(code) = tokio::time::timeout(limit, code).await {
        return code == Some(ExitCode::Code(0));
    }
    if let Err(error) = worker.order(Command::ExecKill { exec }).await {
        tracing::debug!(%error, "a probe's command was not killed");
    }
    false
}

fn pace(probe: &Probe) -> Duration {
    Duration::from_millis(u64::from(probe.interval_ms)).max(FASTEST)
}
