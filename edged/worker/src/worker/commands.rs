//! What each request means: refused at once, answered at once, or given to a helper.

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_model::{Digest, InstanceId};
use edged_protocol::worker::{Command, ContainerSpec, Reply};

use super::{Asker, Container, Stopping, Worker};
use crate::container::cgroup;
use crate::record::{Phase, fingerprint};
use crate::{Error, layer};

/// Containers at once: each costs two descriptors of the worker's 1,024, a cgroup and a namespace of every kind.
const CONTAINERS_MAX: usize = 200;
/// Commands at once, in all containers.
const EXECS_MAX: usize = 64;
/// The highest signal number (signal(7), `SIGRTMAX`).
const SIGNAL_MAX: i32 = 64;

/// What a request comes to at once: an answer, or nothing yet.
type Outcome = Result<Option<Reply>, Error>;

impl Worker {
    /// Carries out a request, or begins to.
    pub(super) fn command(&mut self, command: Command, asker: Asker) {
        let outcome = match command {
            Command::Observe {} => Ok(Some(self.observe())),
            Command::UnpackLayer(source) => {
                self.unpack(source, asker);
                Ok(None)
            }
            Command::RemoveLayer { diff_id } => self.ask_remove_layer(&diff_id, asker),
            Command::Create(spec) => self.ask_create(&spec, asker),
            Command::Start { instance, network } => self.ready_to_start(&instance).map(|()| {
                self.start_container(&instance, &network, asker);
                None
            }),
            Command::Stop {
                instance,
                signal,
                grace_ms,
            } => self.stop(&instance, signal, grace_ms),
            Command::Delete { instance } => self.ask_delete(&instance, asker),
            Command::Exec {
                instance,
                command,
                input,
            } => self.ask_exec(&instance, &command, input, asker),
            Command::ExecInput { exec, bytes, end } => self.exec_input(exec, &bytes, end),
            Command::ExecTaken { exec, pieces } => {
                if let Some(exec) = self.execs.get_mut(&exec) {
                    exec.taken(pieces);
                }
                Ok(Some(Reply::Done {}))
            }
            Command::ExecKill { exec } => {
                // One that has ended already is not there any more, and is what was asked for.
                self.execs
                    .get(&exec)
                    .into_iter()
                    .for_each(crate::exec::Exec::kill);
                Ok(Some(Reply::Done {}))
            }
            Command::ReadLog {
                instance,
                after,
                tail,
            } => self.known(&instance).map(|container| {
                Some(Reply::Log {
                    lines: container.log.after(after, tail),
                })
            }),
            Command::WatchLog { instance, on } => self.known(&instance).map(|container| {
                container.watched = on;
                Some(Reply::Done {})
            }),
            Command::Stats { instance } => self.known(&instance).and_then(|container| {
                let stats = cgroup::stats(&container.place, container.record.memory)?;
                Ok(Some(Reply::Stats(stats)))
            }),
        };
        match outcome {
            Ok(Some(reply)) => self.answer(asker, reply),
            Ok(None) => {}
            Err(error) => self.answer(asker, Reply::Refused(error.into())),
        }
    }

    fn known(&mut self, instance: &InstanceId) -> Result<&mut Container, Error> {
        self.containers.get_mut(instance).ok_or_else(|| {
            Error::Request(format!(
                "there is no container of {instance}; create it first"
            ))
        })
    }

    fn idle(&mut self, instance: &InstanceId) -> Result<&mut Container, Error> {
        let container = self.known(instance)?;
        if container.busy {
            return Err(Error::Busy(format!(
                "the container of {instance} is being worked on; ask again"
            )));
        }
        Ok(container)
    }

    fn observe(&self) -> Reply {
        let whole = self
            .containers
            .iter()
            .filter(|(_, container)| container.record.phase != Phase::Creating);
        let states = whole.map(|(instance, container)| (instance.clone(), container.state()));
        Reply::Observed {
            cgroups: self.layout,
            layers: layer::list(&self.node),
            containers: states.collect(),
        }
    }

    fn ask_remove_layer(&mut self, diff_id: &Digest, asker: Asker) -> Outcome {
        let user = self
            .containers
            .iter()
            .find(|(_, container)| container.record.layers.contains(diff_id));
        if let Some((instance, _)) = user {
            return Err(Error::Busy(format!(
                "layer {diff_id} is in use by {instance}; delete its container first"
            )));
        }
        self.remove_layer(diff_id, asker);
        Ok(None)
    }

    fn ask_create(&mut self, spec: &ContainerSpec, asker: Asker) -> Outcome {
        let instance = &spec.instance;
        if self.containers.contains_key(instance) {
            let container = self.idle(instance)?;
            return if container.record.spec == fingerprint(spec)
                && container.record.phase == Phase::Created
            {
                Ok(Some(Reply::Done {}))
            } else {
                Err(Error::Request(format!(
                    "{instance} has a container already; delete it first"
                )))
            };
        }
        if self.containers.len() >= CONTAINERS_MAX {
            return Err(Error::Busy(format!(
                "there are {CONTAINERS_MAX} containers already; delete one first"
            )));
        }
        if let Err(error) = self.create(spec, asker) {
            self.undo(instance, error.into(), vec![asker]);
        }
        Ok(None)
    }

    fn ready_to_start(&mut self, instance: &InstanceId) -> Result<(), Error> {
        let container = self.idle(instance)?;
        match container.record.phase {
            Phase::Created => Ok(()),
            _ => Err(Error::Request(format!(
                "the container of {instance} was started before; delete it and create it anew"
            ))),
        }
    }

    fn stop(&mut self, instance: &InstanceId, number: i32, grace_ms: u32) -> Outcome {
        let container = self.idle(instance)?;
        if !(1..=SIGNAL_MAX).contains(&number) {
            return Err(Error::Request(format!(
                "{number} is no signal; use 1 to {SIGNAL_MAX}"
            )));
        }
        match container.record.phase {
            Phase::Exited(_) | Phase::Creating => {}
            Phase::Created => {
                // There is no program yet that could end by itself.
                container.stopping = Some(Stopping {
                    kill_at: None,
                    killed: true,
                });
                signal(container, libc::SIGKILL);
            }
            Phase::Running(_) => {
                let at = Instant::now() + Duration::from_millis(u64::from(grace_ms));
                // A second stop may hurry the first one, not delay it.
                let before = container.stopping.and_then(|stopping| stopping.kill_at);
                container.stopping = Some(Stopping {
                    kill_at: Some(before.map_or(at, |before| before.min(at))),
                    killed: number == libc::SIGKILL
                        || container.stopping.is_some_and(|stopping| stopping.killed),
                });
                signal(container, number);
            }
        }
        Ok(Some(Reply::Done {}))
    }

    fn ask_delete(&mut self, instance: &InstanceId, asker: Asker) -> Outcome {
        if !self.containers.contains_key(instance) {
            return Ok(Some(Reply::Done {}));
        }
        let container = self.idle(instance)?;
        if let Phase::Running(_) = container.record.phase {
            return Err(Error::Busy(format!(
                "the container of {instance} still runs; stop it first"
            )));
        }
        self.delete(instance, vec![asker]);
        Ok(None)
    }

    fn ask_exec(
        &mut self,
        instance: &InstanceId,
        command: &[String],
        input: bool,
        asker: Asker,
    ) -> Outcome {
        let full = self.execs.len() >= EXECS_MAX;
        let container = self.known(instance)?;
        if !matches!(container.record.phase, Phase::Running(_)) {
            return Err(Error::Request(format!(
                "the container of {instance} does not run; start it first"
            )));
        }
        if full {
            return Err(Error::Busy(format!(
                "there are {EXECS_MAX} commands running already; end one first"
            )));
        }
        self.exec(instance, command, input, asker)?;
        Ok(None)
    }

    fn exec_input(&mut self, exec: u64, bytes: &str, end: bool) -> Outcome {
        let exec = self.execs.get_mut(&exec).ok_or_else(|| {
            Error::Request(format!("there is no command {exec}; it may have ended"))
        })?;
        let bytes = STANDARD
            .decode(bytes)
            .map_err(|error| Error::Request(format!("the input is not base64: {error}")))?;
        exec.feed(&bytes, end)?;
        Ok(Some(Reply::Done {}))
    }
}

/// Signals a container's init. One that is gone already needs none.
pub(super) fn signal(container: &Container, number: i32) {
    if let Some(init) = &container.init {
        // SAFETY: a plain system call on a descriptor that is open; no structure is passed.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                init.as_raw_fd(),
                number,
                std::ptr::null::<u8>(),
                0,
            )
        };
    }
}
