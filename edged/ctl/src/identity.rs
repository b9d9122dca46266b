//! Who asks: a key from a file or from the agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{PrivateKeyWithHashAlg, load_secret_key};

use crate::args::Destination;
use crate::error::CtlError;
use crate::hosts::HostCheck;

/// Keys of the agent that are tried; the box takes no more attempts on one connection.
const AGENT_KEYS: usize = 4;
/// Files that ssh makes by itself, beneath the home folder.
const FILES: [&str; 2] = [".ssh/id_ed25519", ".ssh/id_ecdsa"];

/// Logs in, with the named key alone or with whatever there is.
pub(crate) async fn log_in(
    session: &mut Handle<HostCheck>,
    destination: &Destination,
) -> Result<(), CtlError> {
    let user = &destination.target.user;
    let mut tried = 0;
    if let Some(path) = &destination.identity {
        tried += 1;
        if with_file(session, user, path).await? {
            return Ok(());
        }
    } else {
        if with_agent(session, user, &mut tried).await? {
            return Ok(());
        }
        for path in home_files() {
            tried += 1;
            if with_file(session, user, &path).await? {
                return Ok(());
            }
        }
    }
    Err(CtlError::Denied {
        target: destination.target.clone(),
        tried,
    })
}

fn home_files() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    FILES
        .iter()
        .map(|file| home.join(file))
        .filter(|path| path.is_file())
        .collect()
}

async fn with_file(
    session: &mut Handle<HostCheck>,
    user: &str,
    path: &Path,
) -> Result<bool, CtlError> {
    let key = load_secret_key(path, None).map_err(|error| CtlError::Identity {
        path: path.to_owned(),
        reason: match error {
            russh::keys::Error::KeyIsEncrypted => {
                "it is encrypted; add it to ssh-agent and leave --identity out".to_owned()
            }
            other => other.to_string(),
        },
    })?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    Ok(session.authenticate_publickey(user, key).await?.success())
}

/// No agent, and one that does not answer, are as good as one without keys.
async fn with_agent(
    session: &mut Handle<HostCheck>,
    user: &str,
    tried: &mut usize,
) -> Result<bool, CtlError> {
    let Ok(mut agent) = AgentClient::connect_env().await else {
        return Ok(false);
    };
    let identities = agent.request_identities().await.unwrap_or_default();
    for identity in identities.into_iter().take(AGENT_KEYS) {
        let AgentIdentity::PublicKey { key, .. } = identity else {
            continue;
        };
        *tried += 1;
        match session
            .authenticate_publickey_with(user, key, None, &mut agent)
            .await
        {
            Ok(result) if result.success() => return Ok(true),
            _ if session.is_closed() => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}
