//! The one task that owns the record: it sees, asks the machine, makes durable what it says, and carries it out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edged_console::{ErrorKind, PlatformError};
use edged_protocol::slot::{Command, Slots as Looked};
use edged_update::{Action, BootId, Failure, Health, Record, State, Watch, Wish, World, step};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub(super) use self::ask::Ask;
use self::ask::Reply;
use super::slot::{self, SlotError, SlotLine};
use super::{INCOMING, RECORD, STAGED, error, picture};
use crate::snapshot::Reader;

mod ask;

/// Pauses before umec-slot is asked again where it was away: it is started by its socket, which systemd holds.
const AGAIN: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// What was refused is tried again after a while: a TPM or a medium may have been busy, and nobody may come by to start
/// the box anew. Each pause is twice the one before, as a try may write a whole image to flash that is wearing out.
const FORGETS: Duration = Duration::from_secs(60);
/// Longest of those pauses.
const FORGETS_AT_LAST: Duration = Duration::from_secs(60 * 60);
/// Longest time from the wish to start anew to the end of this process: systemd gives every unit 15 s to end.
const GOES: Duration = Duration::from_secs(120);
/// Shortest pause between two looks at a box on trial in which nothing happens.
const LOOK: Duration = Duration::from_secs(1);

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
    /// When that is forgotten, and the pause until then.
    forgets: (Instant, Duration),
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
            forgets: (Instant::now(), FORGETS),
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
        let now = Arc::clone(&self.reader.borrow_and_update());
        let health = match self.state.before() {
            Some(before) => {
                let wanted = |id: &str| picture::is_wanted(&now, id);
                let found = before.is_met_by(&picture::of(&now), wanted);
                let uptime = self.uptime();
                self.watch.look(found, uptime)
            }
            None => Health::Missing("nothing is on trial".to_owned()),
        };
        World {
            now: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            boot: self.boot.clone(),
            slots: slot::seen(&self.slots),
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
                .filter(|failed| {
                    failed.action == Action::Restart
                        || !matches!(self.state, State::RollingBack { .. })
                })
                .map(|failed| failed.why.clone()),
            repaired: self.mirrored,
        });
    }

    fn problem(&self, why: String) {
        self.seen.send_modify(|seen| seen.problem = Some(why));
    }

    /// How the slots stand, however long that takes. Who asks for something meanwhile hears why it is not done.
    async fn look(&mut self) {
        let mut pauses = AGAIN.into_iter();
        while let Err(why) = self.look_once().await {
            tracing::warn!("{why}");
            self.problem(why.clone());
            let [.., longest] = AGAIN;
            let pause = tokio::time::sleep(pauses.next().unwrap_or(longest));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(ask) = self.asked.recv() => ask.refuse(error::no_slots(Some(&why))),
                }
            }
        }
    }

    async fn look_once(&mut self) -> Result<(), String> {
        match self.line.look().await {
            Ok(slots) => self.slots = slots,
            Err(SlotError::Refused(why) | SlotError::Away(why)) => {
                return Err(format!("the boot partition cannot be looked at: {why}"));
            }
        }
        Ok(())
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
                self.forgets.1 = FORGETS;
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
                self.fail(action, why);
            }
        }
        self.look().await;
    }

    fn fail(&mut self, action: Action, why: String) {
        self.forgets.0 = Instant::now() + self.forgets.1;
        self.failed.push(Failure { action, why });
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

    /// Starts the box anew, which is the end of this process.
    async fn restart(&mut self) {
        let action = Action::Restart;
        let request = self.requests.join("reboot");
        // One that was not heard is asked anew.
        let _ = std::fs::remove_file(&request);
        match std::fs::write(&request, "") {
            Ok(()) => {
                tokio::time::sleep(GOES).await;
                let why = "the box was asked to start anew and does not".to_owned();
                tracing::error!("update: {why}");
                self.fail(action, why);
            }
            Err(error) => {
                let why = format!("the box cannot be asked to start anew: {error}");
                self.fail(action, why);
            }
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
            () = tokio::time::sleep_until(self.forgets.0), if !self.failed.is_empty() => {
                self.failed.clear();
                self.forgets.1 = self.forgets.1.saturating_mul(2).min(FORGETS_AT_LAST);
                None
            }
        };
        if let Some(ask) = asked {
            self.hear(ask).await;
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
