//! The line to edged-guardian.

use std::collections::BTreeSet;
use std::path::PathBuf;

use edged_model::LeaseNumber;
use edged_protocol::client::Client;
use edged_protocol::guardian::{Abilities, Command, Reply};
use tokio::sync::mpsc;

use super::{Failure, Link, RECONNECT};
use crate::reconcile::Message;

/// What the guardian saw in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Places with a link.
    pub links: BTreeSet<LeaseNumber>,
    /// Fingerprint of the policy in force.
    pub policy: Option<String>,
    /// What its kernel can do.
    pub abilities: Abilities,
}

/// The line to edged-guardian.
pub type Guardian = Link<Command, Reply>;

impl Guardian {
    /// A line that is not up yet; [`keep`] brings it up.
    pub fn at(path: PathBuf) -> Self {
        Link::new("guardian", path)
    }

    /// Asks for something to be done.
    pub async fn order(&self, command: Command) -> Result<(), Failure> {
        match self.ask(command).await? {
            Reply::Done {} => Ok(()),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Observed { .. } => Err(Failure::Unexpected("guardian")),
        }
    }

    /// What the kernel shows.
    pub async fn observe(&self) -> Result<Seen, Failure> {
        match self.ask(Command::Observe {}).await? {
            Reply::Observed {
                links,
                policy,
                abilities,
            } => Ok(Seen {
                links: links.into_iter().collect(),
                policy,
                abilities,
            }),
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Done {} => Err(Failure::Unexpected("guardian")),
        }
    }
}

/// Keeps the line up; tells the reconciler what is seen after each connection, and when it is lost.
pub async fn keep(link: Guardian, reconciler: mpsc::Sender<Message>) {
    loop {
        if let Ok((client, mut events)) = Client::connect::<()>(&link.path).await {
            link.set(Some(client));
            if let Ok(seen) = link.observe().await
                && reconciler.send(Message::GuardianUp(seen)).await.is_ok()
            {
                // The guardian tells nothing unasked: this ends with the connection.
                while events.recv().await.is_some() {}
            }
            link.set(None);
            if reconciler.send(Message::GuardianDown).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}
