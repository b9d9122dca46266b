//! The thread that asks the TPM: nobody else waits for it but who asked.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use edged_authority::{POINT, SIGNATURE, Sign, SignError};
use edged_evidence::pcr::Value;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use tokio::sync::oneshot;

use crate::{Purpose, Settings, Tpm, TrustError};

/// Questions that wait: a TPM answers some hundred a second at most, and whoever comes later is told so at once.
const QUEUE: usize = 64;
/// How long a connection is kept without a question: `edged token` is another process, and waits for its turn.
const IDLE: Duration = Duration::from_millis(100);
/// How long it is kept at most, for the same reason: what is asked all the time would never let go.
const HOLD: Duration = Duration::from_secs(2);

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
    let mut since = Instant::now();
    loop {
        let job = match jobs.recv_timeout(IDLE) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                tpm.release();
                let Ok(job) = jobs.recv() else { return };
                since = Instant::now();
                job
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if !job(&mut tpm) || since.elapsed() > HOLD {
            // After a failure the connection may be broken, or something still loaded: the next question begins anew.
            tpm.release();
            since = Instant::now();
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
        let sign = || self.keeper.ask(move |tpm| tpm.sign(purpose, digest));
        let failed = |reason: String| SignError {
            key: purpose.name().to_owned(),
            reason,
        };
        // Once more on a new connection: the TPM may have lost its power, or its program was started again.
        let signature = sign().or_else(|_| sign());
        let signature = signature.map_err(|error| failed(error.to_string()))?;
        // A TPM that answers with another key's signature must not make a certificate that nobody believes.
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.public)
            .verify(message, &signature)
            .map_err(|_| failed("the TPM signed with another key".to_owned()))?;
        Ok(signature)
    }
}
