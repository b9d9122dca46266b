//! Ends: of helpers, containers and commands; and the last of what they wrote.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edged_model::{ExitCode, InstanceId};
use edged_protocol::worker::{Event, LogLine};
use rustix::process::{WaitOptions, WaitStatus};

use super::{STRAYS, Worker};
use crate::connection::Connection;
use crate::container::cgroup;
use crate::record::{Phase, Process};

impl Worker {
    /// Collects every child that has ended. A process that nobody knows yet is remembered: a container can end before
    /// the helper that made it has reported it.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let code = exit_code(status);
            if let Some(at) = self
                .jobs
                .iter()
                .position(|job| job.helper.pid.as_raw() == pid)
            {
                let job = self.jobs.swap_remove(at);
                self.finish(job, code);
            } else if !self.ended(pid, code) {
                self.strays.truncate(STRAYS - 1);
                self.strays.push_front((pid, code));
            }
        }
    }

    /// The end of a process that was not known when it ended. One that has the number now is somebody else.
    pub(super) fn claim_stray(&mut self, pid: i32) {
        if Process::of(pid).is_none()
            && let Some(at) = self.strays.iter().position(|(stray, _)| *stray == pid)
            && let Some((_, code)) = self.strays.remove(at)
        {
            self.ended(pid, code);
        }
    }

    fn ended(&mut self, pid: i32, code: ExitCode) -> bool {
        if let Some(exec) = self.execs.values_mut().find(|exec| exec.pid == Some(pid)) {
            exec.code = Some(code);
            return true;
        }
        let owner = self.containers.iter().find(|(_, container)| {
            let is_init = container.record.init.is_some_and(|init| init.pid == pid);
            // While a helper is at work on it, its end waits for the helper's: an answer comes before what follows it.
            is_init
                && !container.busy
                && !container.adopted
                && !matches!(container.record.phase, Phase::Exited(_))
        });
        let Some(instance) = owner.map(|(instance, _)| instance.clone()) else {
            return false;
        };
        self.exited(&instance, code);
        true
    }

    pub(super) fn adopted_ended(&mut self, instance: &InstanceId) {
        self.exited(instance, ExitCode::Unknown);
    }

    fn exited(&mut self, instance: &InstanceId, code: ExitCode) {
        let Some(container) = self.containers.get_mut(instance) else {
            return;
        };
        let killed_by_kernel = code == ExitCode::Signal(libc::SIGKILL)
            && !container.stopping.is_some_and(|stopping| stopping.killed)
            && cgroup::out_of_memory(&container.place);
        let code = if killed_by_kernel {
            ExitCode::OutOfMemory
        } else {
            code
        };
        container.init = None;
        container.stopping = None;
        container.record.phase = Phase::Exited(code);
        if let Err(error) = container.record.write(&container.place) {
            tracing::warn!(%instance, %error, "the end of a container is not recorded");
        }
        let lines = container.log.finish();
        self.logged(instance, lines);
        tracing::info!(%instance, %code, "container ended");
        self.tell(Event::Exited {
            instance: instance.clone(),
            code,
        });
    }

    pub(super) fn read_output(&mut self, instance: &InstanceId) {
        if let Some(container) = self.containers.get_mut(instance) {
            let lines = container.log.read();
            self.logged(instance, lines);
        }
    }

    /// Sends lines to a client that watches and keeps up. One that does not finds a gap in the numbers and reads it.
    fn logged(&mut self, instance: &InstanceId, lines: Vec<LogLine>) {
        if !self
            .containers
            .get(instance)
            .is_some_and(|container| container.watched)
        {
            return;
        }
        for line in lines {
            if self.client.as_ref().is_none_or(Connection::is_full) {
                return;
            }
            self.tell(Event::Logged {
                instance: instance.clone(),
                line,
            });
        }
    }

    pub(super) fn read_exec(&mut self, number: u64) {
        let pieces = self
            .execs
            .get_mut(&number)
            .map(crate::exec::Exec::read)
            .unwrap_or_default();
        for (stream, bytes) in pieces {
            if let Some(exec) = self.execs.get_mut(&number) {
                exec.sent();
            }
            self.tell(Event::ExecOutput {
                exec: number,
                stream,
                bytes: STANDARD.encode(bytes),
            });
        }
    }

    /// Ended commands: what is left in their pipes, then their end. A process they left behind may hold a pipe open
    /// for ever, so what is there now is all that is waited for.
    pub(super) fn drain_ended_execs(&mut self) {
        let ended: Vec<(u64, ExitCode)> = self
            .execs
            .iter()
            .filter_map(|(number, exec)| Some((*number, exec.code?)))
            .collect();
        for (number, code) in ended {
            loop {
                if self.client.as_ref().is_some_and(Connection::is_full) {
                    return;
                }
                let pieces = self
                    .execs
                    .get_mut(&number)
                    .map(crate::exec::Exec::read_last)
                    .unwrap_or_default();
                if pieces.is_empty() {
                    break;
                }
                for (stream, bytes) in pieces {
                    self.tell(Event::ExecOutput {
                        exec: number,
                        stream,
                        bytes: STANDARD.encode(bytes),
                    });
                }
            }
            self.execs.remove(&number);
            self.tell(Event::ExecEnded { exec: number, code });
        }
    }
}

fn exit_code(status: WaitStatus) -> ExitCode {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code).map_or(ExitCode::Unknown, ExitCode::Code),
        (None, Some(signal)) => ExitCode::Signal(signal),
        (None, None) => ExitCode::Unknown,
    }
}
