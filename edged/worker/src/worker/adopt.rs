//! The worker's start: what an earlier one left is taken over or taken apart.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use edged_config::Node;
use edged_model::{ExitCode, InstanceId};
use rustix::process::{Pid, PidfdFlags};

use super::Container;
use crate::container::destroy::destroy;
use crate::log::Log;
use crate::place::Place;
use crate::record::{Phase, Process, Record};
use crate::{Error, purge};

/// Containers that live are watched again, ended ones are kept until they are deleted with their code unknown, and
/// half made ones go.
pub fn adopt(node: &Node) -> Result<BTreeMap<InstanceId, Container>, Error> {
    let mut containers = BTreeMap::new();
    for instance in purge::traces(node) {
        let place = Place::of(node, &instance);
        match Record::read(&place) {
            Some(record) if record.phase != Phase::Creating => {
                tracing::info!(%instance, phase = ?record.phase, "taken over");
                containers.insert(instance, take_over(place, record)?);
            }
            _ => {
                tracing::info!(%instance, "half made, taken apart");
                destroy(&place)?;
            }
        }
    }
    Ok(containers)
}

fn take_over(place: Place, mut record: Record) -> Result<Container, Error> {
    let log = Log::open(&place)?;
    let init = record
        .init
        .filter(|_| !matches!(record.phase, Phase::Exited(_)))
        .and_then(hold);
    if init.is_none() && !matches!(record.phase, Phase::Exited(_)) {
        record.phase = Phase::Exited(ExitCode::Unknown);
        record.write(&place)?;
    }
    Ok(Container {
        place,
        record,
        log,
        watched: false,
        init,
        adopted: true,
        stopping: None,
        busy: false,
    })
}

/// A handle of a process that is surely the one meant.
pub fn hold(process: Process) -> Option<OwnedFd> {
    let pidfd =
        rustix::process::pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    process.lives().then_some(pidfd)
}
