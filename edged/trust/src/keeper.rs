//! The thread that asks the TPM: nobody else waits for it but who asked.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use edged_authority::{POINT, SIGNATURE, Sign, SignError};
use edged_evidence::pcr::Value;
use tokio::sync::oneshot;

use crate::{Purpose, Settings, Tpm, TrustError};

/// Questions that wait: a TPM answers some hundred a second at most, and whoever comes later is told so at once.
const QUEUE: usize = 64;
/// How long a connection is kept without a question. A software TPM talks to one process at a time, and `edged token` is
/// another one.
const IDLE: Duration = Duration::from_millis(100);

/// A question; whether it was answered well.
type Job = Box<dyn FnOnce(&mut Tpm) -> bool + Send>;

/// Asks the TPM, from any thread.
#[derive(Clone)]
pub struct Keeper {
    jobs: SyncSender<Job>,
}

impl Keeper {
    /// Starts the thread; it ends with the last keeper.
    ///
    /// # Errors
    /// No TPM answers at that place.
    pub fn start(settings: Settings) -> Result<Self, TrustError> {
        let (jobs, taken) = sync_channel(QUEUE);
        let started = std::thread::Builder::new()
            .name("tpm".to_owned())
            .spawn(move || keep(Tpm::new(settings), &taken));
        started.map_err(|error| TrustError::Command {
            what: "start",
            reason: error.to_string(),
        })?;
        let keeper = Self { jobs };
        keeper.ask(Tpm::attestation_public)?;
        Ok(keeper)
    }

    /// Asks, and waits for the answer on this thread: never on the one that serves.
    ///
    /// # Errors
    /// What the TPM says.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Tpm) -> Result<T, TrustError> + Send + 'static,
    ) -> Result<T, TrustError> {
        let (reply, answer) = sync_channel(1);
        let job: Job = Box::new(move |tpm| {
            let answer = question(tpm);
            let is_well = answer.is_ok();
            // Whoever asked may have gone.
            let _ = reply.send(answer);
            is_well
        });
        self.jobs.send(job).map_err(|_| TrustError::Ended)?;
        answer.recv().map_err(|_| TrustError::Ended)?
    }

    /// Asks without holding up this thread.
    ///
    /// # Errors
    /// What the TPM says, or that too many are before this question.
    pub async fn asked<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Tpm) -> Result<T, TrustError> + Send + 'static,
    ) -> Result<T, TrustError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tpm| {
            let answer = question(tpm);
            let is_well = answer.is_ok();
            let _ = reply.send(answer);
            is_well
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => TrustError::Busy(QUEUE),
            TrySendError::Disconnected(_) => TrustError::Ended,
        })?;
        answer.await.map_err(|_| TrustError::Ended)?
    }

    /// A key in the TPM, made where it is missing.
    ///
    /// # Errors
    /// What the TPM says.
    pub fn key(&self, purpose: Purpose) -> Result<Arc<dyn Sign>, TrustError> {
        Ok(Arc::new(TpmKey {
            public: self.ask(move |tpm| tpm.public(purpose))?,
            purpose,
            keeper: self.clone(),
        }))
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

fn keep(mut tpm: Tpm, jobs: &Receiver<Job>) {
    loop {
        let job = match jobs.recv_timeout(IDLE) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                tpm.release();
                match jobs.recv() {
                    Ok(job) => job,
                    Err(_) => return,
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if !job(&mut tpm) {
            // The connection may be broken, or something still loaded: the next question begins anew.
            tpm.release();
        }
    }
}

/// A key in the TPM.
#[derive(Debug)]
struct TpmKey {
    keeper: Keeper,
    purpose: Purpose,
    public: [u8; POINT],
}

impl Sign for TpmKey {
    fn public(&self) -> [u8; POINT] {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE], SignError> {
        let (purpose, digest) = (self.purpose, Value::of(message).0);
        self.keeper
            .ask(move |tpm| tpm.sign(purpose, digest))
            .map_err(|error| SignError {
                key: purpose.name().to_owned(),
                reason: error.to_string(),
            })
    }
}
