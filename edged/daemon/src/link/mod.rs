//! edged's lines to its two privileged halves: kept up, observed anew after every reconnection.

pub mod broker;
pub mod guardian;
pub mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edged_protocol::Refusal;
use edged_protocol::client::{Client, ClientError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Pause between two attempts to connect: both ends are on one machine, and a restart of the other takes some 30 ms.
pub const RECONNECT: Duration = Duration::from_millis(50);

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The other process is away; it is tried again as soon as it is back.
    #[error("the {0} is not running; it is tried again when it is back")]
    Away(&'static str),
    /// It was asked and did not do it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
    /// It answered something else.
    #[error("the {0} gave an answer to another question; are all parts of one version?")]
    Unexpected(&'static str),
    /// A part inside edged failed.
    #[error("{0}")]
    Own(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Connection(error.to_string())
    }
}

/// A line to one of the halves. Cloning shares it.
#[derive(Debug)]
pub struct Link<C, R> {
    name: &'static str,
    path: PathBuf,
    client: Arc<Mutex<Option<Client<C, R>>>>,
}

impl<C, R> Clone for Link<C, R> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            path: self.path.clone(),
            client: Arc::clone(&self.client),
        }
    }
}

impl<C, R> Link<C, R>
where
    C: Serialize + Send,
    R: DeserializeOwned + Send + 'static,
{
    fn new(name: &'static str, path: PathBuf) -> Self {
        Self {
            name,
            path,
            client: Arc::default(),
        }
    }

    fn set(&self, client: Option<Client<C, R>>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, command: C) -> Result<R, Failure> {
        let client = self
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let client = client.ok_or(Failure::Away(self.name))?;
        Ok(client.ask(command).await?)
    }
}
