//! What the keeper is asked, and what it grants.

use std::path::{Path, PathBuf};

use edged_console::{ErrorKind, PlatformError};
use edged_update::{Health, Slot, State, Update, Wish};
use tokio::sync::oneshot;

use super::super::{error, picture, slot};
use super::{FORGETS, Keeper};

pub(super) type Reply = oneshot::Sender<Result<(), PlatformError>>;

/// What the keeper is asked.
#[derive(Debug)]
pub(in crate::update) enum Ask {
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

impl Ask {
    pub(super) fn refuse(self, why: PlatformError) {
        let reply = match self {
            Self::Install {
                incoming, reply, ..
            } => {
                let _ = std::fs::remove_file(incoming);
                reply
            }
            Self::Wish { reply, .. } => reply,
        };
        let _ = reply.send(Err(why));
    }
}

impl Keeper {
    pub(super) async fn hear(&mut self, ask: Ask) {
        match ask {
            Ask::Install {
                update,
                incoming,
                staged,
                reply,
            } => self.install(update, &incoming, &staged, reply).await,
            // Who has gone since was told nothing, and would be surprised.
            Ask::Wish { reply, .. } if reply.is_closed() => {}
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
        if let Err(why) = self.look_once().await {
            return refuse(error::no_slots(Some(&why)), reply);
        }
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
        self.forgets.1 = FORGETS;
        let before = picture::of(&self.reader.borrow_and_update());
        self.installing = Some(reply);
        if !self.keep(State::Staged { update, before }).await {
            let _ = std::fs::remove_file(staged);
            let why = "how far the update has come cannot be recorded";
            self.answer(&Err(PlatformError::new(ErrorKind::Internal, why)));
        }
    }

    fn wish(&mut self, wish: Wish, reply: Reply) {
        let conflict = |why: &str| PlatformError::new(ErrorKind::Conflict, why);
        let slots = slot::seen(&self.slots);
        let trial = slots.running == Slot::B;
        // The exchange is what confirms; the record may be a step behind it.
        let update = self.state.update();
        let confirmed = !trial && update.is_some_and(|update| update.release == slots.release);
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
            ) if !confirmed => None,
            (Wish::RollBack, State::RollingBack { .. }) => {
                Some(conflict("it is being rolled back already"))
            }
            (Wish::RollBack, _) => Some(
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
}
