//! A door with a fake box behind it, on a free port of loopback.

#![allow(dead_code, missing_docs)]

#[path = "../../../console/tests/fake/mod.rs"]
pub mod fake;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use edged_ssh::{SshConfig, SshServer};
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use fake::Fake;

pub struct Door {
    pub folder: TempDir,
    pub address: SocketAddr,
    pub platform: Arc<Fake>,
    pub close: Option<oneshot::Sender<()>>,
    pub server: JoinHandle<()>,
}

pub struct Answer {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Door {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["key", "other"] {
            let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
            key.write_openssh_file(path(name), LineEnding::LF).unwrap();
            let line = key.public_key().to_openssh().unwrap();
            fs::write(
                path(&format!("{name}.pub")),
                format!("{line} {name}@test\n"),
            )
            .unwrap();
        }
        fs::copy(path("key.pub"), path("authorized_keys")).unwrap();
        Self::open_in(folder).await
    }

    /// As a box whose host key is gone, and its authority is not.
    pub async fn with_another_host_key(self) -> Self {
        fs::remove_file(self.path("host_key")).unwrap();
        Self::open_in(self.folder).await
    }

    async fn open_in(folder: tempfile::TempDir) -> Self {
        let path = |name: &str| folder.path().join(name);
        let authority = edged_authority::FileKey::open(&path("ca.key"), "ca").unwrap();
        let server = SshServer::bind(SshConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            host_key: edged_ssh::HostKey::read_or_make(&path("host_key")).unwrap(),
            authorized_keys: path("authorized_keys"),
            commissioning: None,
        })
        .await
        .unwrap()
        .certified_by(Arc::new(authority), vec!["edge.mec.internal".to_owned()])
        .taking_uploads(Some(&path("uploaded")));
        let address = server.addresses()[0];
        let host_key = server.host_key().to_openssh().unwrap();
        let known = format!("[127.0.0.1]:{} {host_key}\n", address.port());
        fs::write(path("known_hosts"), known).unwrap();
        let platform = Arc::new(Fake::default());
        let (close, closed) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(Arc::clone(&platform), async {
            let _ = closed.await;
        }));
        Self {
            folder,
            address,
            platform,
            close: Some(close),
            server,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// OpenSSH's own client, told nothing by the configuration of whoever runs the test.
    pub fn ssh(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=INFO"])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.path("known_hosts").display()
            ))
            .args(["-p", &self.address.port().to_string()])
            .args(options);
        if !options.contains(&"-i") {
            command.arg("-i").arg(self.path("key"));
        }
        command
            .arg("admin@127.0.0.1")
            .args(words)
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// OpenSSH's sftp, doing what a batch says.
    pub async fn sftp(&self, batch: &str) -> Answer {
        self.sftp_with("key", batch).await
    }

    pub async fn sftp_with(&self, key: &str, batch: &str) -> Answer {
        let mut command = Command::new("sftp");
        command
            .args(["-F", "none", "-b", "-"])
            .args([
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.path("known_hosts").display()
            ))
            .args(["-P", &self.address.port().to_string(), "-i"])
            .arg(self.path(key))
            .arg("admin@127.0.0.1")
            .env_remove("SSH_AUTH_SOCK")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        answer(command, Some(batch.as_bytes().to_vec())).await
    }

    pub async fn say(&self, words: &[&str]) -> Answer {
        answer(self.ssh(&[], words), None).await
    }
}

/// Runs a client to its end, with input where there is one.
pub async fn answer(mut command: Command, input: Option<Vec<u8>>) -> Answer {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().unwrap();
    let feed = child.stdin.take().zip(input);
    let feeding = tokio::spawn(async move {
        if let Some((mut stdin, input)) = feed {
            let _ = stdin.write_all(&input).await;
        }
    });
    let output = child.wait_with_output().await.unwrap();
    feeding.await.unwrap();
    Answer {
        code: output.status.code().unwrap(),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
