//! Life-cycle management (ETSI GS MEC 010-2): instances of packages, and the runs of tasks on them.
//!
//! For orchestrators. [`Book`] is the one owner of what instances and runs there are; each run is worked on by one task
//! of [`run_operations`] over the same reconciler that serves the operator, and what is true of an application is
//! read from the node's picture, never remembered here. Every state of a run is durable before it is told, so a
//! restart takes up whatever was under way.

mod api;
mod book;
mod instance;
mod intake;
mod news;
mod operation;
mod run;
mod subscription;

use std::sync::Arc;

pub use api::Lifecycle;
pub use book::Book;
use edged_store::StoreError;
use news::News;
pub use news::watch_instances;
use operation::{Event, Operation, OperationId};
pub use run::run_operations;

use crate::{Mec, Platform};

impl<P: Platform> Mec<P> {
    /// Takes the instances and runs that the node's state has, and tells the packages who uses them. Called once,
    /// before anybody asks, and after the packages are there.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn restore_instances(&self) -> Result<(), StoreError> {
        self.lifecycle.restore(&self.store())?;
        for instance in self.lifecycle.instances() {
            if !self.packages.resume(&instance.descriptor, &instance.id) {
                let (id, package) = (&instance.id, &instance.package);
                tracing::warn!(%id, package, "an instance's package is gone; it cannot be instantiated again");
            }
        }
        Ok(())
    }

    /// An event of a run that the one who works on it sees; the run after it.
    fn note(&self, id: &OperationId, event: Event) -> Option<Arc<Operation>> {
        let changed = self.lifecycle.note(&self.store(), id, event);
        match changed {
            Ok(changed) => {
                if let Some(reason) = changed.new.state.reason() {
                    tracing::info!(operation = %id, reason, "a run failed");
                }
                if changed.is_news() {
                    self.tell_operation(&changed.new);
                }
                Some(changed.new)
            }
            Err(error) => {
                tracing::error!(%error, "a run is not where its task is");
                None
            }
        }
    }

    fn tell_operation(&self, run: &Operation) {
        if let Some(instance) = self.lifecycle.instance(run.instance.as_str()) {
            self.tell(News::Operation(run, &instance));
        }
    }
}
