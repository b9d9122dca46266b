//! Work that a helper does: how it is begun, and what its end means.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use edged_model::{Digest, ExitCode, InstanceId};
use edged_protocol::Refusal;
use edged_protocol::worker::{ContainerNetwork, ContainerSpec, LayerSource, Reply};

use super::adopt::hold;
use super::{Asker, Container, Worker};
use crate::child::Helper;
use crate::container::create::{self, Created};
use crate::container::destroy::destroy;
use crate::container::enter::{self, Entry};
use crate::container::start::start;
use crate::exec::Exec;
use crate::fault::{self, Fault};
use crate::log::{self, Log};
use crate::place::Place;
use crate::record::{Phase, Process, Record, now_ms};
use crate::{Error, layer};

/// Layers unpacked at once: each has a processor's work of inflating and another's of hashing.
const UNPACKS: usize = 2;
/// Within edged's own patience for an answer (300 s).
const UNPACK_LIMIT: Duration = Duration::from_secs(280);
/// Making or removing a container takes milliseconds; a loaded box takes seconds.
const CONTAINER_LIMIT: Duration = Duration::from_secs(30);

/// A helper and whom its end concerns.
#[derive(Debug)]
pub struct Job {
    pub(super) helper: Helper,
    kind: Kind,
    askers: Vec<Asker>,
}

#[derive(Debug, Clone)]
enum Kind {
    Unpack(Digest),
    RemoveLayer,
    Create(InstanceId),
    Start(InstanceId),
    Delete(InstanceId),
    /// Takes apart what a failed creation left; then its refusal is told.
    Undo(InstanceId, Refusal),
    Exec(u64),
}

impl Worker {
    fn begin(&mut self, kind: Kind, askers: Vec<Asker>, helper: Result<Helper, Error>) {
        match helper {
            Ok(helper) => self.jobs.push(Job {
                helper,
                kind,
                askers,
            }),
            Err(error) => {
                self.settle(&kind, &askers, Err(error.into()));
            }
        }
    }

    pub(super) fn unpack(&mut self, source: LayerSource, asker: Asker) {
        let same = |job: &&mut Job| matches!(&job.kind, Kind::Unpack(diff_id) if *diff_id == source.diff_id);
        if let Some(job) = self.jobs.iter_mut().find(same) {
            job.askers.push(asker);
            return;
        }
        let running = self
            .jobs
            .iter()
            .filter(|job| matches!(job.kind, Kind::Unpack(_)))
            .count();
        if running >= UNPACKS {
            self.unpacks.push_back((source, asker));
            return;
        }
        let helper = Helper::fork(UNPACK_LIMIT, &[], || layer::unpack(&self.node, &source));
        self.begin(Kind::Unpack(source.diff_id), vec![asker], helper);
    }

    pub(super) fn remove_layer(&mut self, diff_id: &Digest, asker: Asker) {
        let helper = Helper::fork(CONTAINER_LIMIT, &[], || layer::remove(&self.node, diff_id));
        self.begin(Kind::RemoveLayer, vec![asker], helper);
    }

    pub(super) fn create(&mut self, spec: &ContainerSpec, asker: Asker) -> Result<(), Error> {
        let place = Place::of(&self.node, &spec.instance);
        std::fs::create_dir(&place.dir).map_err(Error::path("make", &place.dir))?;
        let record = Record::new(spec);
        record.write(&place)?;
        fault::point(Fault::BeforeCreate);
        log::make_pipes(&place)?;
        let container = Container {
            log: Log::open(&place)?,
            place: place.clone(),
            record,
            watched: false,
            init: None,
            adopted: false,
            stopping: None,
            busy: true,
        };
        self.containers.insert(spec.instance.clone(), container);
        let helper = Helper::fork(CONTAINER_LIMIT, &[], || {
            create::create(&self.node, &place, spec, self.layout, &self.filter).inspect_err(|_| {
                // What fails halfway leaves nothing; a failure here is found by the worker.
                let _ = destroy(&place);
            })
        });
        self.begin(Kind::Create(spec.instance.clone()), vec![asker], helper);
        Ok(())
    }

    pub(super) fn start_container(
        &mut self,
        instance: &InstanceId,
        network: &ContainerNetwork,
        asker: Asker,
    ) {
        let Some(container) = self.containers.get_mut(instance) else {
            return;
        };
        container.busy = true;
        let place = &container.place;
        let helper = Helper::fork(CONTAINER_LIMIT, &[], || start(place, network));
        self.begin(Kind::Start(instance.clone()), vec![asker], helper);
    }

    pub(super) fn delete(&mut self, instance: &InstanceId, askers: Vec<Asker>) {
        if let Some(container) = self.containers.get_mut(instance) {
            container.busy = true;
        }
        let place = Place::of(&self.node, instance);
        let helper = Helper::fork(CONTAINER_LIMIT, &[], || destroy(&place));
        self.begin(Kind::Delete(instance.clone()), askers, helper);
    }

    /// A creation failed. The helper has taken its work apart itself, unless it was killed.
    pub(super) fn undo(&mut self, instance: &InstanceId, refusal: Refusal, askers: Vec<Asker>) {
        let place = Place::of(&self.node, instance);
        let kind = Kind::Undo(instance.clone(), refusal);
        if place.dir.exists() {
            let helper = Helper::fork(CONTAINER_LIMIT, &[], || destroy(&place));
            self.begin(kind, askers, helper);
        } else {
            self.settle(&kind, &askers, Ok(Reply::Done {}));
        }
    }

    pub(super) fn exec(
        &mut self,
        instance: &InstanceId,
        command: &[String],
        input: bool,
        asker: Asker,
    ) -> Result<(), Error> {
        let Some(container) = self.containers.get(instance) else {
            return Ok(());
        };
        let (exec, ends) = Exec::new(input)?;
        let keep = [ends.input.as_fd(), ends.output.as_fd(), ends.error.as_fd()];
        let entry = Entry {
            place: &container.place,
            record: &container.record,
            command,
            stdio: keep.map(|fd| fd.as_raw_fd()),
        };
        let helper = Helper::fork(CONTAINER_LIMIT, &keep, || {
            enter::enter(&entry, &self.filter)
        });
        self.last_exec += 1;
        self.execs.insert(self.last_exec, exec);
        self.begin(Kind::Exec(self.last_exec), vec![asker], helper);
        Ok(())
    }

    /// A helper has ended like this.
    pub(super) fn finish(&mut self, job: Job, end: ExitCode) {
        let Job {
            helper,
            kind,
            askers,
        } = job;
        let outcome = match &kind {
            Kind::Create(instance) => helper
                .outcome::<Created>(end)
                .and_then(|created| self.created(instance, created)),
            Kind::Exec(number) => helper
                .outcome::<i32>(end)
                .map(|pid| self.executed(*number, pid)),
            _ => helper.outcome::<()>(end).map(|()| Reply::Done {}),
        };
        self.settle(&kind, &askers, outcome);
        if let Kind::Unpack(_) = kind
            && let Some((source, asker)) = self.unpacks.pop_front()
        {
            self.unpack(source, asker);
        }
    }

    fn created(&mut self, instance: &InstanceId, created: Created) -> Result<Reply, Refusal> {
        let Some(container) = self.containers.get_mut(instance) else {
            return Ok(Reply::Done {});
        };
        fault::point(Fault::AfterCreate);
        container.init = hold(created.init);
        container.record.init = Some(created.init);
        container.record.identity = Some(created.identity);
        container.record.env = created.env;
        container.record.phase = Phase::Created;
        container.record.write(&container.place)?;
        Ok(Reply::Done {})
    }

    fn executed(&mut self, number: u64, pid: i32) -> Reply {
        if let Some(exec) = self.execs.get_mut(&number) {
            exec.pid = Some(pid);
        }
        Reply::ExecStarted { exec: number }
    }

    fn settle(&mut self, kind: &Kind, askers: &[Asker], outcome: Result<Reply, Refusal>) {
        let mut done = outcome.is_ok();
        let mut reply = outcome.unwrap_or_else(Reply::Refused);
        let mut init = None;
        match kind {
            Kind::Create(instance) if !done => {
                if let Reply::Refused(refusal) = reply {
                    self.undo(instance, refusal, askers.to_vec());
                }
                return;
            }
            Kind::Undo(instance, refusal) => {
                // What cannot be taken apart now is taken apart by the next start, which finds its folder.
                self.containers.remove(instance);
                reply = Reply::Refused(refusal.clone());
            }
            Kind::Create(instance) => init = self.release(instance),
            Kind::Start(instance) => {
                init = self.release(instance);
                if done && let Err(refusal) = self.started(instance) {
                    (reply, done) = (Reply::Refused(refusal), false);
                }
            }
            Kind::Delete(instance) if done => {
                self.containers.remove(instance);
            }
            Kind::Delete(instance) => {
                init = self.release(instance);
            }
            Kind::Exec(number) if !done => {
                self.execs.remove(number);
            }
            Kind::Exec(_) | Kind::Unpack(_) | Kind::RemoveLayer => {}
        }
        if let Reply::Refused(refusal) = &reply {
            tracing::warn!(?kind, %refusal, "not done");
        }
        for asker in askers {
            self.answer(*asker, reply.clone());
        }
        // Answers come before the events that they make possible.
        if let Some(init) = init {
            self.claim_stray(init.pid);
        }
        if let Kind::Exec(number) = kind
            && done
        {
            self.exec_began(*number, askers);
        }
    }

    fn release(&mut self, instance: &InstanceId) -> Option<Process> {
        let container = self.containers.get_mut(instance)?;
        container.busy = false;
        container.record.init
    }

    fn started(&mut self, instance: &InstanceId) -> Result<(), Refusal> {
        let Some(container) = self.containers.get_mut(instance) else {
            return Ok(());
        };
        fault::point(Fault::AfterStart);
        if container.record.phase == Phase::Created {
            container.record.phase = Phase::Running(now_ms());
            container.record.write(&container.place)?;
        }
        Ok(())
    }

    fn exec_began(&mut self, number: u64, askers: &[Asker]) {
        let Some(pid) = self.execs.get(&number).and_then(|exec| exec.pid) else {
            return;
        };
        // Its client may have gone meanwhile, and the output is for nobody else.
        if askers
            .iter()
            .all(|asker| asker.connection != self.connection)
            || self.client.is_none()
        {
            self.execs
                .values()
                .filter(|exec| exec.pid == Some(pid))
                .for_each(Exec::kill);
        }
        self.claim_stray(pid);
    }
}
