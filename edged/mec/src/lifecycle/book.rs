//! What instances and runs there are: in memory to read, in the store before anybody is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edged_model::InstanceId;
use edged_store::{Record, Store, StoreError};
use mec_api::Problem;
use tokio::sync::watch;

use super::instance::Instance;
use super::operation::{Event, Operation, OperationId};

/// Instances at once: an application network of the default size has 253 places, and some are the operator's own.
pub const INSTANCES: usize = 128;
/// Runs that are remembered: one under way for each instance, and as many that are over. The oldest of those go first.
pub const OPERATIONS: usize = 2 * INSTANCES;

/// Why a run did not change.
#[derive(Debug, thiserror::Error)]
pub enum Unchanged {
    /// There is no such run.
    #[error("there is no operation {0:?}")]
    Unknown(OperationId),
    /// It is in a state in which this cannot be.
    #[error("operation {id} is {state}; {allowed}")]
    State {
        /// Which.
        id: OperationId,
        /// The state it is in, in the words of the interface.
        state: &'static str,
        /// What could be done and when.
        allowed: &'static str,
    },
    /// It was not kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unchanged> for Problem {
    fn from(error: Unchanged) -> Self {
        let text = error.to_string();
        match error {
            Unchanged::Unknown(_) => Self::not_found(text),
            Unchanged::State { .. } => Self::conflict(text),
            Unchanged::Store(error) => not_kept(&error),
        }
    }
}

/// State could not be written.
pub fn not_kept(error: &StoreError) -> Problem {
    tracing::error!(%error, "the state of an instance was not kept");
    Problem::unavailable("the node's state cannot be written; try again later")
}

#[derive(Debug, Default)]
struct Kept {
    instances: BTreeMap<InstanceId, Arc<Instance>>,
    operations: BTreeMap<OperationId, Arc<Operation>>,
    /// Runs that somebody works on.
    attended: BTreeSet<OperationId>,
}

/// All instances and runs: the one owner of them.
#[derive(Debug)]
pub struct Book {
    kept: Mutex<Kept>,
    changes: watch::Sender<()>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }
}

impl Book {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the store has, once, before anybody asks.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn restore(&self, store: &Store) -> Result<(), StoreError> {
        let instances = store.records::<Instance>()?.into_iter();
        let operations = store.records::<Operation>()?.into_iter();
        let mut kept = self.kept();
        kept.instances = instances
            .map(|instance| (instance.id.clone(), Arc::new(instance)))
            .collect();
        kept.operations = operations
            .map(|run| (run.id.clone(), Arc::new(run)))
            .collect();
        Ok(())
    }

    /// Told after every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every instance.
    pub fn instances(&self) -> Vec<Arc<Instance>> {
        self.kept().instances.values().cloned().collect()
    }

    /// One instance.
    pub fn instance(&self, id: &str) -> Option<Arc<Instance>> {
        let id: InstanceId = id.parse().ok()?;
        self.kept().instances.get(&id).cloned()
    }

    /// Every run.
    pub fn operations(&self) -> Vec<Arc<Operation>> {
        self.kept().operations.values().cloned().collect()
    }

    /// One run.
    pub fn operation(&self, id: &OperationId) -> Option<Arc<Operation>> {
        self.kept().operations.get(id).cloned()
    }

    /// The run on an instance that is not over: under way, or to be retried or given up.
    pub fn open(&self, instance: &InstanceId) -> Option<Arc<Operation>> {
        let kept = self.kept();
        let mut runs = kept.operations.values();
        runs.find(|run| run.instance == *instance && !run.state.is_final())
            .cloned()
    }

    /// Whether there is room for one more instance.
    pub fn has_room(&self) -> bool {
        self.kept().instances.len() < INSTANCES
    }

    /// Keeps a new instance.
    ///
    /// # Errors
    /// When it is not durable, and then there is none.
    pub fn add_instance(&self, store: &Store, instance: Instance) -> Result<(), StoreError> {
        store.put_record(&instance)?;
        let id = instance.id.clone();
        self.kept().instances.insert(id, Arc::new(instance));
        self.changes.send_replace(());
        Ok(())
    }

    /// Forgets an instance; its runs stay to be read.
    ///
    /// # Errors
    /// When that is not durable, and then it stays.
    pub fn remove_instance(&self, store: &Store, id: &InstanceId) -> Result<(), StoreError> {
        store.remove_record::<Instance>(id.as_str())?;
        self.kept().instances.remove(id);
        self.changes.send_replace(());
        Ok(())
    }

    /// Keeps a new run, and forgets the oldest of those that are over where there are too many.
    ///
    /// # Errors
    /// When it is not durable, and then there is none.
    pub fn add_operation(
        &self,
        store: &Store,
        run: Operation,
    ) -> Result<Arc<Operation>, StoreError> {
        let mut kept = self.kept();
        while kept.operations.len() >= OPERATIONS {
            let over = kept.operations.values().filter(|run| run.state.is_final());
            let age = |run: &&Arc<Operation>| (run.entered.seconds, run.entered.nano_seconds);
            let Some(oldest) = over.min_by_key(age).map(|run| run.id.clone()) else {
                break;
            };
            store.remove_record::<Operation>(oldest.as_str())?;
            kept.operations.remove(&oldest);
        }
        store.put_record(&run)?;
        let run = Arc::new(run);
        kept.operations.insert(run.id.clone(), Arc::clone(&run));
        drop(kept);
        self.changes.send_replace(());
        Ok(run)
    }

    /// What an event makes of a run, durable; and what it was before.
    ///
    /// # Errors
    /// [`Unchanged`]; `allowed` says to people what could be done.
    pub fn advance(
        &self,
        store: &Store,
        id: &OperationId,
        event: Event,
        allowed: &'static str,
    ) -> Result<Changed, Unchanged> {
        self.change(id, event, allowed, |run| store.put_record(run))
    }

    /// As [`advance`](Self::advance) for the one who works on the run: what is so is so, and a disk that does not take
    /// it is complained of. After a restart the run is taken up where the disk has it, and finds its work done.
    pub fn note(
        &self,
        store: &Store,
        id: &OperationId,
        event: Event,
    ) -> Result<Changed, Unchanged> {
        self.change(id, event, "nothing follows", |run| {
            if let Err(error) = store.put_record(run) {
                tracing::error!(%error, operation = run.key(), "the state of a run was not kept");
            }
            Ok(())
        })
    }

    fn change(
        &self,
        id: &OperationId,
        event: Event,
        allowed: &'static str,
        keep: impl FnOnce(&Operation) -> Result<(), StoreError>,
    ) -> Result<Changed, Unchanged> {
        let mut kept = self.kept();
        let Some(run) = kept.operations.get_mut(id) else {
            return Err(Unchanged::Unknown(id.clone()));
        };
        let Some(new) = run.after(event) else {
            return Err(Unchanged::State {
                id: id.clone(),
                state: run.state.word().as_str(),
                allowed,
            });
        };
        keep(&new)?;
        let new = Arc::new(new);
        let old = std::mem::replace(run, Arc::clone(&new));
        drop(kept);
        self.changes.send_replace(());
        Ok(Changed { old, new })
    }

    /// Runs that are under way and that nobody works on; from now on the caller does.
    pub fn attend(&self) -> Vec<OperationId> {
        let mut kept = self.kept();
        let open = kept.operations.values();
        let open = open.filter(|run| run.state.is_under_way());
        let ids: Vec<_> = open
            .map(|run| run.id.clone())
            .filter(|id| !kept.attended.contains(id))
            .collect();
        kept.attended.extend(ids.iter().cloned());
        ids
    }

    /// Nobody works on a run any more.
    pub fn leave(&self, id: &OperationId) {
        self.kept().attended.remove(id);
        self.changes.send_replace(());
    }
}

/// A run before and after an event.
#[derive(Debug)]
pub struct Changed {
    /// Before.
    pub old: Arc<Operation>,
    /// After.
    pub new: Arc<Operation>,
}

impl Changed {
    /// Whether it came into another state.
    pub fn is_news(&self) -> bool {
        self.old.state.word() != self.new.state.word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::operation::{State, Task};
    use edged_model::Rules;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        (folder, store)
    }

    fn run() -> Operation {
        Operation::new(InstanceId::random(), Task::Configure(Rules::default()))
    }

    #[test]
    fn runs_that_are_over_make_room_and_open_ones_never_do() {
        let (_folder, store) = store();
        let book = Book::default();
        let open = book.add_operation(&store, run()).unwrap().id.clone();
        for _ in 0..OPERATIONS + 3 {
            let mut over = run();
            over.state = State::Completed;
            book.add_operation(&store, over).unwrap();
        }
        assert_eq!(book.operations().len(), OPERATIONS);
        assert!(book.operation(&open).is_some());
        assert_eq!(store.records::<Operation>().unwrap().len(), OPERATIONS);
    }

    #[test]
    fn a_run_under_way_is_taken_up_by_one_and_after_a_restart_again() {
        let (_folder, store) = store();
        let book = Book::default();
        let id = book.add_operation(&store, run()).unwrap().id.clone();
        assert_eq!(book.attend(), std::slice::from_ref(&id));
        assert!(book.attend().is_empty());
        book.note(&store, &id, Event::Begun).unwrap();
        let after = Book::default();
        after.restore(&store).unwrap();
        assert_eq!(after.attend(), std::slice::from_ref(&id));
        after.note(&store, &id, Event::Done).unwrap();
        after.leave(&id);
        assert!(after.attend().is_empty());
    }

    #[test]
    fn what_cannot_be_changes_nothing_and_says_what_could() {
        let (_folder, store) = store();
        let book = Book::default();
        let id = book.add_operation(&store, run()).unwrap().id.clone();
        let refused = book.advance(&store, &id, Event::Retried, "wait for it");
        let text = refused.unwrap_err().to_string();
        assert_eq!(text, format!("operation {id} is STARTING; wait for it"));
        assert_eq!(book.operation(&id).unwrap().state, State::Starting);
    }
}
