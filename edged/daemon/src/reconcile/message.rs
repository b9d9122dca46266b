//! What the reconciler is told and asked.

use std::collections::BTreeMap;

use edged_image::Image;
use edged_mec::{Allocated, RegisteredService, Registration};
use edged_model::{AllocationId, AppName, AppSpec, Digest, ExitCode, Goal, InstanceId, Rules};
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
    /// There is no application with this id.
    #[error("there is no application instance {0}")]
    UnknownId(InstanceId),
    /// Its container does not run.
    #[error("application instance {0} does not run")]
    NotRunning(InstanceId),
    /// A part of the node is away.
    #[error("{0} is not running; try again in a moment")]
    Away(&'static str),
    /// The kernel, or what changes it, did not take it.
    #[error("{0}")]
    Kernel(String),
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

/// An application by its name or its id.
#[derive(Debug, Clone)]
pub enum Which {
    /// By name.
    Name(AppName),
    /// By id.
    Id(InstanceId),
}

/// A claim on the box's network: what the firewall, tc and the resolver are to hold beyond links and ports.
#[derive(Debug)]
pub enum Claim {
    /// These are an application's rules.
    Rules(InstanceId, Rules),
    /// This application is registered.
    Register(Box<Registration>),
    /// This one is no longer.
    Deregister(InstanceId),
    /// This bandwidth is allocated.
    Allocate(Box<Allocated>),
    /// This is no longer.
    Release(AllocationId),
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
        /// The id that it was promised, where it was.
        id: Option<InstanceId>,
        /// Its traffic and DNS rules.
        rules: Box<Rules>,
        /// Its id.
        reply: Reply<InstanceId>,
    },
    /// Change what is wanted of an application.
    Change {
        /// Which.
        which: Which,
        /// What is wanted.
        goal: Goal,
        /// Take it even from a running application.
        force: bool,
        /// Time until SIGKILL, if it has to be stopped.
        grace_ms: Option<u32>,
        /// Done when durable.
        reply: Reply<()>,
    },
    /// Claim something of the box's network: done when it is in force.
    Claim {
        /// What.
        claim: Claim,
        /// Done when durable and in force.
        reply: Reply<()>,
    },
    /// An application says that it is ready.
    Confirm {
        /// Which.
        instance: InstanceId,
        /// Done when it counts.
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
