//! What applications use.

use std::time::Duration;

use edged_console::{PlatformError, StatsView};
use edged_model::{AppName, Bytes, ContainerState, MilliCpus};
use edged_protocol::worker::{Command, Reply, Stats};
use tokio::time::Instant;

use super::Door;
use crate::link::Failure;
use crate::snapshot::InstanceStatus;

/// Time between the two samples that make a processor share: short enough to wait for, long enough to mean something.
const SAMPLE: Duration = Duration::from_millis(200);

impl Door {
    pub(super) async fn stats_of(
        &self,
        names: &[AppName],
    ) -> Result<Vec<StatsView>, PlatformError> {
        let now = self.now();
        let running =
            |status: &&InstanceStatus| matches!(status.container, ContainerState::Running { .. });
        let wanted: Vec<InstanceStatus> = if names.is_empty() {
            now.instances.values().filter(running).cloned().collect()
        } else {
            names
                .iter()
                .map(|name| self.status_of(name))
                .collect::<Result<_, _>>()?
        };
        let start = Instant::now();
        let mut before = Vec::new();
        for status in &wanted {
            before.push(self.sample(status).await?);
        }
        tokio::time::sleep(SAMPLE).await;
        let mut views = Vec::new();
        for (status, before) in wanted.iter().zip(before) {
            let after = self.sample(status).await?;
            let elapsed = u64::try_from(start.elapsed().as_micros())
                .unwrap_or(u64::MAX)
                .max(1);
            let milli = after
                .cpu_us
                .saturating_sub(before.cpu_us)
                .saturating_mul(1000)
                / elapsed;
            let limits = &status.instance.spec.limits;
            views.push(StatsView {
                name: status.instance.spec.name.clone(),
                cpu: Some(MilliCpus(u32::try_from(milli).unwrap_or(u32::MAX))),
                cpu_limit: limits.cpus,
                cpu_us: after.cpu_us,
                memory: Bytes(after.memory),
                memory_limit: limits.memory,
                pids: after.pids,
                pids_limit: limits.pids,
            });
        }
        Ok(views)
    }

    async fn sample(&self, status: &InstanceStatus) -> Result<Stats, Failure> {
        match self
            .means
            .worker
            .ask(Command::Stats {
                instance: status.instance.id.clone(),
            })
            .await?
        {
            Reply::Stats(used) => Ok(used),
            _ => Err(Failure::Unexpected("worker")),
        }
    }
}
