//! What the reconciler is told and asked.

use std::collections::BTreeMap;

use edged_image::Image;
use edged_mec::RegisteredService;
use edged_model::{AppName, AppSpec, Digest, ExitCode, Goal, InstanceId};
use edged_mqtt::AccountState;
use tokio::sync::{mpsc, oneshot};

use crate::link::{guardian, worker};

/// The reconciler's mailbox.
pub type Mailbox = mpsc::Sender<Message>;

/// A message.
#[derive(Debug)]
pub enum Message {
    /// The line to the worker is up, and this is there.
    WorkerUp(worker::Seen),
    /// The line to the worker is lost.
    WorkerDown,
    /// A container has ended.
    Exited {
        /// Whose.
        instance: InstanceId,
        /// How.
        code: ExitCode,
    },
    /// The line to the guardian is up, and this is there.
    GuardianUp(guardian::Seen),
    /// The line to the guardian is lost.
    GuardianDown,
    /// The broker answers, and these accounts are there.
    BrokerUp(BTreeMap<InstanceId, AccountState>),
    /// The broker does not answer, and why.
    BrokerDown(String),
    /// A probe has come to a verdict.
    Probed {
        /// About whom.
        instance: InstanceId,
        /// About which run of it.
        pid: u32,
        /// The verdict.
        verdict: Verdict,
    },
    /// An unpacked layer was deleted.
    LayerGone(Digest),
    /// Take a turn and show a picture: the watchdog asks.
    Pulse,
    /// Somebody wants something.
    Wish(Wish),
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can serve.
    Ready,
    /// It cannot serve now.
    Unready,
    /// It must be started again.
    Dead,
}

/// An answer to a wish: durable, or one sentence why not.
pub type Reply<T> = oneshot::Sender<Result<T, Denied>>;

/// Why a wish was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no such application.
    #[error("there is no application named {0}")]
    Unknown(AppName),
    /// The name is taken.
    #[error("an application named {0} exists")]
    NameTaken(AppName),
    /// It cannot be had on this box.
    #[error("{0}")]
    Invalid(String),
    /// The application network is full.
    #[error("all {0} places of the application network are taken")]
    Full(u16),
    /// It runs, and removal was not forced.
    #[error("{0} runs")]
    Runs(AppName),
    /// It is being removed.
    #[error("{0} is being removed")]
    Going(AppName),
    /// State could not be written.
    #[error("{0}")]
    Store(String),
}

/// A wish.
#[derive(Debug)]
pub enum Wish {
    /// Make an application of an image that is here.
    Deploy {
        /// What it should be.
        spec: Box<AppSpec>,
        /// What it runs.
        image: Box<Image>,
        /// Its id.
        reply: Reply<InstanceId>,
    },
    /// Change what is wanted of an application.
    Change {
        /// Which.
        name: AppName,
        /// What is wanted.
        goal: Goal,
        /// Take it even from a running application.
        force: bool,
        /// Time until SIGKILL, if it has to be stopped.
        grace_ms: Option<u32>,
        /// Done when durable.
        reply: Reply<()>,
    },
    /// Keep a registered service.
    PutService {
        /// Which.
        service: Box<RegisteredService>,
        /// Done when durable and announced.
        reply: Reply<()>,
    },
    /// Remove a registered service.
    RemoveService {
        /// Which.
        id: String,
        /// Done when durable and withdrawn.
        reply: Reply<()>,
    },
}
