//! The one task that owns the record: it sees, asks the machine, makes durable what it says, and carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_console::{ErrorKind, PlatformError};
use edged_model::{Goal, InstanceState};
use edged_protocol::slot::{Command, Slots as Looked};
use edged_update::{
    Action, Before, BootId, Failure, Health, Record, Slot, State, Update, Watch, Wish, World, step,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::slot::{self, SlotError, SlotLine};
use super::{INCOMING, RECORD, STAGED, error, network};
use crate::snapshot::{Reader, Snapshot};

/// Pauses before umec-slot is asked again where it was away: it is started by its socket, which systemd holds.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// Shortest pause between two looks at a box on trial in which nothing happens.
const LOOK: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<(), PlatformError>>;

/// What the keeper is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// Go on with a verified bundle, which becomes the staged one.
    Install {
        update: Update,
        incoming: PathBuf,
        staged: PathBuf,
        /// Told when it is written, or why not.
        reply: Reply,
    },
    /// An operator's wish about what is under way.
    Wish { wish: Wish, reply: Reply },
}

/// What everybody sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The record.
    pub state: State,
    /// The slots, once umec-slot has answered.
    pub slots: Option<Looked>,
    /// How the box does, in a trial.
    pub health: Option<String>,
    /// Why nothing goes on.
    pub problem: Option<String>,
    /// Whether a slot whose image did not start was written anew.
    pub repaired: bool,
}

/// The task.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    record: Record<State>,
    state: State,
    line: SlotLine,
    /// Where a file `reboot` starts the box anew.
    requests: PathBuf,
    reader: Reader,
    asked: mpsc::Receiver<Ask>,
    seen: watch::Sender<Seen>,
    boot: BootId,
    /// How long the box was up, and when that was.
    up: (Duration, Instant),
    watch: Watch,
    slots: Looked,
    wish: Option<Wish>,
    written: bool,
    disarmed: bool,
    mirrored: bool,
    failed: Vec<Failure>,
    /// Who waits for the image to be written.
    installing: Option<Reply>,
    /// Who waits for a wish to be heard.
    wishing: Option<Reply>,
}

impl Keeper {
    pub(super) fn open(
        folder: &Path,
        options: &edged_config::Update,
        image: &edged_config::Image,
        reader: Reader,
        (boot, uptime): (BootId, Duration),
        asked: mpsc::Receiver<Ask>,
    ) -> io::Result<(Self, watch::Receiver<Seen>)> {
        let (record, state) = Record::<State>::open(&folder.join(RECORD))?;
        let state = state.unwrap_or_default();
        let (seen, watching) = watch::channel(Seen {
            state: state.clone(),
            ..Seen::default()
        });
        let keeper = Self {
            folder: folder.to_owned(),
            record,
            state,
            line: SlotLine(options.slot.clone()),
            requests: image.requests.clone(),
            reader,
            asked,
            seen,
            boot,
            up: (uptime, Instant::now()),
            watch: Watch::new(Duration::from_secs(options.trial)),
            slots: Looked {
                booted: edged_protocol::slot::Slot::A,
                running: edged_protocol::slot::Slot::A,
                release: 0,
                a: 0,
                b: 0,
                room: 0,
                armed: false,
                trial: false,
                floor: None,
            },
            wish: None,
            written: false,
            disarmed: false,
            mirrored: false,
            failed: Vec::new(),
            installing: None,
            wishing: None,
        };
        Ok((keeper, watching))
    }

    /// Sees to updates; may be dropped at any await.
    pub async fn run(mut self) {
        self.look().await;
        if matches!(self.state, State::Idle { .. }) {
            self.remove_files();
        }
        loop {
            while let Ok(ask) = self.asked.try_recv() {
                self.hear(ask).await;
            }
            let world = self.world();
            let (next, action) = step(&self.state, &world);
            let changed = next != self.state;
            if changed && !self.keep(next).await {
                continue;
            }
            self.show(&world.health);
            match action {
                Action::Wait if changed => {}
                Action::Wait => self.wait().await,
                action => self.perform(action).await,
            }
        }
    }

    fn world(&mut self) -> World {
        let picture = picture(&self.reader.borrow_and_update());
        let health = match self.state.before() {
            Some(before) => {
                let uptime = self.uptime();
                self.watch.look(before.is_met_by(&picture), uptime)
            }
            None => Health::Missing("nothing is on trial".to_owned()),
        };
        World {
            now: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            boot: self.boot.clone(),
            slots: slot::seen(&self.slots),
            picture,
            health,
            wish: self.wish,
            written: self.written,
            disarmed: self.disarmed,
            mirrored: self.mirrored,
            failed: self.failed.clone(),
        }
    }

    /// Makes a state durable; where that fails it is tried again after a while.
    async fn keep(&mut self, next: State) -> bool {
        if let Err(error) = self.record.write(&next) {
            tracing::error!(%error, "how far the update has come cannot be recorded");
            self.problem(format!(
                "how far the update has come cannot be recorded: {error}"
            ));
            tokio::time::sleep(Duration::from_secs(5)).await;
            return false;
        }
        tracing::info!(from = %self.state, to = %next, "update");
        self.state = next;
        match &self.state {
            State::Staged { .. } => {}
            State::RollingBack { why, .. } => {
                let why = why.clone();
                self.answer(&Err(PlatformError::new(ErrorKind::Conflict, why)));
            }
            _ => self.answer(&Ok(())),
        }
        true
    }

    /// Tells those who wait how it went: an installation that is written, a wish that was heard.
    fn answer(&mut self, installed: &Result<(), PlatformError>) {
        if let Some(reply) = self.installing.take() {
            let _ = reply.send(installed.clone());
        }
        if let Some(reply) = self.wishing.take() {
            let heard = match (self.wish, installed) {
                (Some(Wish::Confirm), Err(error)) => Err(error.clone()),
                _ => Ok(()),
            };
            let _ = reply.send(heard);
        }
    }

    fn show(&self, health: &Health) {
        let trying = matches!(self.state, State::Trying { .. });
        let words = match health {
            Health::Good | Health::Fresh => "the box does as well as before".to_owned(),
            Health::Missing(what) | Health::Overdue(what) => what.clone(),
        };
        self.seen.send_replace(Seen {
            state: self.state.clone(),
            slots: Some(self.slots.clone()),
            health: trying.then_some(words),
            problem: self
                .failed
                .last()
                .map(|failed| failed.why.clone())
                .filter(|_| !matches!(self.state, State::RollingBack { .. })),
            repaired: self.mirrored,
        });
    }

    fn problem(&self, why: String) {
        self.seen.send_modify(|seen| seen.problem = Some(why));
    }

    /// How the slots stand, however long that takes.
    async fn look(&mut self) {
        let mut pauses = AGAIN.into_iter();
        loop {
            match self.line.look().await {
                Ok(slots) => {
                    self.slots = slots;
                    return;
                }
                Err(SlotError::Refused(why) | SlotError::Away(why)) => {
                    tracing::warn!("the boot partition cannot be looked at: {why}");
                    self.problem(format!("the boot partition cannot be looked at: {why}"));
                }
            }
            let [.., longest] = AGAIN;
            tokio::time::sleep(pauses.next().unwrap_or(longest)).await;
        }
    }

    async fn perform(&mut self, action: Action) {
        tracing::info!(?action, "update");
        let command = match action {
            Action::Write => Command::Write {},
            Action::Arm => Command::Arm {},
            Action::Disarm => Command::Disarm {},
            Action::Exchange => Command::Exchange {},
            Action::Mirror(from) => Command::Mirror {
                from: slot::place(from),
            },
            Action::Raise => Command::Raise {},
            Action::Restart => return self.restart().await,
            Action::Remove => {
                self.remove_files();
                (self.written, self.disarmed, self.wish) = (false, false, None);
                self.failed.clear();
                return;
            }
            Action::Wait => return,
        };
        match self.order(command).await {
            Ok(()) => match action {
                Action::Write => (self.written, self.mirrored) = (true, false),
                Action::Arm => self.disarmed = false,
                Action::Disarm => self.disarmed = true,
                Action::Mirror(_) => self.mirrored = true,
                _ => {}
            },
            Err(why) => {
                tracing::error!(?action, "update: {why}");
                self.failed.push(Failure { action, why });
            }
        }
        self.look().await;
    }

    /// Where umec-slot is away it is asked again a few times: every command may be given twice.
    async fn order(&self, command: Command) -> Result<(), String> {
        let mut pauses = AGAIN.into_iter();
        loop {
            match (self.line.order(command.clone()).await, pauses.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(SlotError::Away(_)), Some(pause)) => tokio::time::sleep(pause).await,
                (Err(SlotError::Refused(why) | SlotError::Away(why)), _) => return Err(why),
            }
        }
    }

    /// Starts the box anew; what waits is the end of this process.
    async fn restart(&mut self) {
        let action = Action::Restart;
        match std::fs::write(self.requests.join("reboot"), "") {
            Ok(()) => std::future::pending().await,
            Err(error) => self.failed.push(Failure {
                action,
                why: format!("the box cannot be asked to start anew: {error}"),
            }),
        }
    }

    /// Until something has changed that the next step may depend on.
    async fn wait(&mut self) {
        let trying = matches!(self.state, State::Trying { .. });
        let pause = self.watch.next(self.uptime()).max(LOOK);
        let asked = tokio::select! {
            asked = self.asked.recv() => asked,
            _ = self.reader.changed(), if trying => None,
            () = tokio::time::sleep(pause), if trying => None,
        };
        if let Some(ask) = asked {
            self.hear(ask).await;
        }
    }

    async fn hear(&mut self, ask: Ask) {
        match ask {
            Ask::Install {
                update,
                incoming,
                staged,
                reply,
            } => self.install(update, &incoming, &staged, reply).await,
            Ask::Wish { wish, reply } => self.wish(wish, reply),
        }
    }

    async fn install(&mut self, update: Update, incoming: &Path, staged: &Path, reply: Reply) {
        let refuse = |why: PlatformError, reply: Reply| {
            let _ = std::fs::remove_file(incoming);
            let _ = reply.send(Err(why));
        };
        if !matches!(self.state, State::Idle { .. }) {
            return refuse(error::under_way(&self.state), reply);
        }
        self.look().await;
        if slot::seen(&self.slots).running != Slot::A {
            let why = "the box runs from its copy, as the image in slot A did not start";
            let why = PlatformError::new(ErrorKind::Conflict, why).with_hint("reboot first");
            return refuse(why, reply);
        }
        let renamed = std::fs::rename(incoming, staged)
            .and_then(|()| std::fs::File::open(&self.folder)?.sync_all());
        if let Err(error) = renamed {
            return refuse(error::file(staged, &error), reply);
        }
        (self.written, self.mirrored, self.disarmed) = (false, false, false);
        self.failed.clear();
        self.installing = Some(reply);
        while !self
            .keep(State::Staged {
                update: update.clone(),
            })
            .await
        {}
    }

    fn wish(&mut self, wish: Wish, reply: Reply) {
        let conflict = |why: &str| PlatformError::new(ErrorKind::Conflict, why);
        let trial = slot::seen(&self.slots).running == Slot::B;
        let refusal = match (wish, &self.state) {
            (Wish::Confirm, State::Trying { .. }) if trial => match &self.world().health {
                Health::Good | Health::Fresh => None,
                Health::Missing(what) | Health::Overdue(what) => Some(
                    conflict(&format!("the box does not do as well as before: {what}"))
                        .with_hint("it is confirmed by itself once it does"),
                ),
            },
            (Wish::Confirm, _) => Some(conflict("no trial is under way")),
            (
                Wish::RollBack,
                State::Staged { .. } | State::Written { .. } | State::Trying { .. },
            ) => None,
            (Wish::RollBack, State::RollingBack { .. }) => {
                Some(conflict("it is being rolled back already"))
            }
            (Wish::RollBack, State::Idle { .. } | State::Settling { .. }) => Some(
                conflict("nothing is on trial, and what was confirmed is not taken back")
                    .with_hint("install a release with a higher number"),
            ),
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
        } else {
            self.wish = Some(wish);
            self.wishing = Some(reply);
        }
    }

    fn uptime(&self) -> Duration {
        let (then, at) = self.up;
        then.saturating_add(at.elapsed())
    }

    fn remove_files(&self) {
        for name in [INCOMING, STAGED] {
            let path = self.folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), "cannot be removed: {error}");
                }
                _ => {}
            }
        }
    }
}

/// How the box is, as far as an update must leave it so.
fn picture(now: &Snapshot) -> Before {
    let ready = now.instances.values().filter(|status| {
        status.instance.goal == Goal::Running && status.state == InstanceState::Ready
    });
    let parts = [
        ("worker", now.worker.is_some()),
        ("guardian", now.guardian.is_some()),
        ("network policy", now.settled),
        ("broker", now.broker.is_ok()),
    ];
    Before {
        ready: ready
            .map(|status| {
                let instance = &status.instance;
                (instance.id.to_string(), instance.spec.name.to_string())
            })
            .collect::<BTreeMap<_, _>>(),
        parts: parts
            .into_iter()
            .filter(|(_, ok)| *ok)
            .map(|(name, _)| name.to_owned())
            .collect::<BTreeSet<_>>(),
        network: network::seen(),
    }
}
