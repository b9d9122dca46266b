//! The line to umec-slot: made for each question, as it ends when nobody asks.

use std::path::PathBuf;
use std::time::Duration;

use edged_protocol::client::Client;
use edged_protocol::slot::{Command, Reply, Slot as Place, Slots as Looked};
use edged_update::{Release, Slot, Slots};
use serde::de::IgnoredAny;

/// Longest wait for how the slots stand: it is read from one directory, and the program is started for it. (Whatever
/// else is asked may take minutes: the client has its own bound.)
const LOOK: Duration = Duration::from_secs(30);

/// Why something was not done.
#[derive(Debug)]
pub(super) enum SlotError {
    /// umec-slot will not.
    Refused(String),
    /// It is not to be reached.
    Away(String),
}

/// Where umec-slot listens.
#[derive(Debug, Clone)]
pub(super) struct SlotLine(pub PathBuf);

impl SlotLine {
    /// How the slots stand.
    pub async fn look(&self) -> Result<Looked, SlotError> {
        let asked = tokio::time::timeout(LOOK, self.ask(Command::Look {})).await;
        match asked.map_err(|_| SlotError::Away("umec-slot does not answer".to_owned()))?? {
            Reply::Looked(slots) => Ok(slots),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks for something to be done.
    pub async fn order(&self, command: Command) -> Result<(), SlotError> {
        match self.ask(command).await? {
            Reply::Done {} | Reply::Hashed(_) | Reply::Raised { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, SlotError> {
        let away = |error: &dyn std::fmt::Display| SlotError::Away(error.to_string());
        let connected = Client::<Command, Reply>::connect::<IgnoredAny>(&self.0).await;
        let (client, _events) = connected.map_err(|error| away(&error))?;
        match client.ask(command).await.map_err(|error| away(&error))? {
            Reply::Refused(refusal) if refusal.transient => Err(SlotError::Away(refusal.sentence)),
            Reply::Refused(refusal) => Err(SlotError::Refused(refusal.sentence)),
            reply => Ok(reply),
        }
    }
}

fn unexpected(reply: &Reply) -> SlotError {
    SlotError::Refused(format!(
        "umec-slot gave an answer to another question: {reply:?}"
    ))
}

/// As the machine sees it.
pub(super) fn seen(slots: &Looked) -> Slots {
    Slots {
        running: match slots.running {
            Place::A => Slot::A,
            Place::B => Slot::B,
        },
        release: Release::new(slots.release),
        armed: slots.armed,
        trial: slots.trial,
        floor: slots.floor.map(Release::new),
    }
}

/// As umec-slot names it.
pub(super) fn place(slot: Slot) -> Place {
    match slot {
        Slot::A => Place::A,
        Slot::B => Place::B,
    }
}
