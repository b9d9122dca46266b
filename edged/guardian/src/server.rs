//! The socket: one connection, one command at a time.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edged_protocol::guardian::{Command, Reply};
use edged_protocol::{FRAME_MAX, Frame, Refusal, decode, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use serde::Deserialize;

use crate::guardian::Guardian;

/// A peer that does not read its answer for so long is cut off, because nobody else is served meanwhile.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a process that has done its work may be left unburied.
const MOMENT: Duration = Duration::from_millis(100);

/// Bytes taken at once: most frames fit.
const CHUNK: usize = 16 * 1024;

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody listens already.
    #[error("another edged-guardian listens on {0}; stop it first")]
    Taken(PathBuf),
    /// Waiting failed.
    #[error("cannot wait for a command: {0}")]
    Wait(#[source] io::Error),
}

/// The listening socket and the connection that counts.
pub struct Server {
    listener: UnixListener,
    uid: u32,
    connection: Option<Connection>,
}

impl Server {
    /// Listens for the user `uid`. Needs the right to give files away; without it everybody may connect, and whoever is
    /// neither `uid` nor root is turned away by their credentials.
    pub fn bind(path: &Path, uid: u32) -> Result<Self, ServerError> {
        let listen = |source| ServerError::Listen {
            path: path.to_owned(),
            source,
        };
        if UnixStream::connect(path).is_ok() {
            return Err(ServerError::Taken(path.to_owned()));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(listen)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(listen(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(listen)?;
        let mode = if chown(path, Some(uid), None).is_ok() {
            0o600
        } else {
            0o666
        };
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        Ok(Self {
            listener,
            uid,
            connection: None,
        })
    }

    /// Serves until the process ends. `alive` is called at least every `pulse`, between two commands.
    pub fn serve(
        mut self,
        guardian: &mut Guardian,
        pulse: Option<Duration>,
        alive: impl Fn(),
    ) -> Result<(), ServerError> {
        let timespec = |time: Duration| Timespec::try_from(time).ok();
        let (pulse, moment) = (pulse.and_then(timespec), timespec(MOMENT));
        loop {
            alive();
            let patience = if guardian.reap() { &moment } else { &pulse };
            let ready = self.wait(guardian, patience.as_ref())?;
            // Somebody waits for the answer to a frame; nobody does for news, which are looked at in the same turn.
            if ready.frame {
                let connection = self.connection.take();
                self.connection = connection.and_then(|c| c.advance(guardian));
            }
            if ready.news
                && let Err(error) = guardian.mend()
            {
                tracing::error!(%error, "what somebody changed was not put back");
            }
            if ready.arrival {
                self.accept();
            }
        }
    }

    fn wait(&self, guardian: &Guardian, pulse: Option<&Timespec>) -> Result<Ready, ServerError> {
        let [rules, links] = guardian.watched();
        let mut waiting = vec![
            PollFd::new(&rules, PollFlags::IN),
            PollFd::new(&links, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        if let Some(connection) = &self.connection {
            waiting.push(PollFd::new(&connection.stream, PollFlags::IN));
        }
        match poll(&mut waiting, pulse) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ServerError::Wait(error.into())),
        }
        let mut fds = waiting.iter().map(|fd| !fd.revents().is_empty());
        let mut next = || fds.next().unwrap_or_default();
        let (rules, links) = (next(), next());
        Ok(Ready {
            news: rules || links,
            arrival: next(),
            frame: next(),
        })
    }

    fn accept(&mut self) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => return tracing::warn!(%error, "a connection was not taken"),
        };
        match socket_peercred(stream.as_fd()) {
            Ok(peer) if peer.uid.as_raw() == self.uid || peer.uid.is_root() => {}
            Ok(peer) => {
                return tracing::warn!(uid = peer.uid.as_raw(), "a stranger was turned away");
            }
            Err(error) => return tracing::warn!(%error, "a peer without credentials"),
        }
        if let Err(error) = stream.set_write_timeout(Some(WRITE_TIMEOUT)) {
            return tracing::warn!(%error, "a connection was not taken");
        }
        self.connection = Some(Connection {
            stream,
            received: Vec::new(),
        });
    }
}

/// What poll(2) found.
struct Ready {
    news: bool,
    arrival: bool,
    frame: bool,
}

struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
}

/// What can be saved of a frame that is not understood: whom to answer.
#[derive(Deserialize)]
struct Envelope {
    id: Option<u64>,
}

impl Connection {
    /// Takes what has come and executes it; `None` when the connection has ended or is given up.
    fn advance(mut self, guardian: &mut Guardian) -> Option<Self> {
        let mut chunk = [0; CHUNK];
        let count = match self.stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "the connection is lost");
                return None;
            }
        };
        self.received.extend_from_slice(chunk.get(..count)?);
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.received.drain(..=end).collect();
            let answer = answer(&line, guardian);
            let sent = encode(&answer)
                .map_err(io::Error::other)
                .and_then(|line| self.stream.write_all(&line));
            if let Err(error) = sent {
                tracing::warn!(%error, "the connection is given up");
                return None;
            }
        }
        if self.received.len() >= FRAME_MAX {
            tracing::warn!("a frame without an end; the connection is given up");
            return None;
        }
        Some(self)
    }
}

fn answer(line: &[u8], guardian: &mut Guardian) -> Frame<Reply> {
    match decode::<Command>(line) {
        Ok(frame) => Frame {
            message: guardian.execute(frame.message),
            id: frame.id,
        },
        Err(error) => Frame {
            message: Reply::Refused(Refusal {
                sentence: error.to_string(),
                transient: false,
            }),
            id: serde_json::from_slice::<Envelope>(line)
                .ok()
                .and_then(|envelope| envelope.id),
        },
    }
}
