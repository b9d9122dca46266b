//! One client: its login, its channels, its verbs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use edged_console::{ExitStatus, Platform, Streams, execute_line, help};
use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty};
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info};

use crate::bounds::{CHANNELS, LINE_MAX};
use crate::intake::{Gate, Input, Intake, queue};
use crate::operators::{Operator, operator};

/// The number of extended data that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

/// What a shell request gets before the list of verbs.
const GREETING: &str =
    "There is no shell here: write a verb after the host, as in `ssh admin@box ps`.\n\n";

/// One client.
pub(crate) struct Connection<P> {
    pub(crate) platform: Arc<P>,
    pub(crate) authorized_keys: PathBuf,
    pub(crate) peer: SocketAddr,
    pub(crate) gate: Arc<Gate>,
    /// Held until a key was shown.
    pub(crate) stranger: Option<OwnedSemaphorePermit>,
    pub(crate) places: Arc<Semaphore>,
    /// Held from then on.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) channels: HashMap<ChannelId, Open>,
    /// Dropped with the connection, and every verb in it.
    pub(crate) verbs: JoinSet<()>,
}

/// One channel.
pub(crate) struct Open {
    write: Option<ChannelWriteHalf<Msg>>,
    intake: Option<Intake>,
    verb: Option<AbortHandle>,
}

impl<P: Platform> Connection<P> {
    fn who(&self, user: &str, key: &PublicKey) -> Option<Operator> {
        operator(user, key, &self.authorized_keys)
    }

    /// The channel's writer, once: a second request on the same channel is refused (RFC 4254, 6.5).
    fn take(&mut self, channel: ChannelId) -> Option<(ChannelWriteHalf<Msg>, Input)> {
        let open = self.channels.get_mut(&channel)?;
        let write = open.write.take()?;
        let (intake, input) = queue(&self.gate);
        open.intake = Some(intake);
        Some((write, input))
    }

    fn start(
        &mut self,
        channel: ChannelId,
        write: ChannelWriteHalf<Msg>,
        input: Input,
        line: String,
    ) {
        let platform = Arc::clone(&self.platform);
        let streams = Streams {
            input,
            out: write.make_writer(),
            err: write.make_writer_ext(Some(STDERR)),
        };
        while self.verbs.try_join_next().is_some() {}
        let verb = self.verbs.spawn(async move {
            // Boxed: a verb's future is large, and not every channel has one.
            let status = Box::pin(execute_line(platform.as_ref(), &line, streams)).await;
            end(&write, status).await;
        });
        if let Some(open) = self.channels.get_mut(&channel) {
            open.verb = Some(verb);
        }
    }
}

/// Tells the code and closes; a client that is gone needs neither.
async fn end(write: &ChannelWriteHalf<Msg>, status: ExitStatus) {
    let _ = write.exit_status(status.code().into()).await;
    let _ = write.eof().await;
    let _ = write.close().await;
}

impl<P: Platform> Handler for Connection<P> {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(match self.who(user, offer.public_key) {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let Some(operator) = self.who(user, key.public_key) else {
            return Ok(Auth::reject());
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            info!(peer = %self.peer, "too many clients: one with a good key was turned away");
            return Ok(Auth::reject());
        };
        info!(peer = %self.peer, operator = operator.name, "logged in");
        self.place = Some(place);
        self.stranger = None;
        self.gate.know();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.channels.len() >= CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // The reading half would have to be emptied by somebody; data comes to this handler instead.
        let (_, write) = channel.split();
        let id = write.id();
        let open = Open {
            write: Some(write),
            intake: None,
            verb: None,
        };
        self.channels.insert(id, open);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let line = std::str::from_utf8(line)
            .ok()
            .filter(|line| line.len() <= LINE_MAX);
        let Some(line) = line.map(str::to_owned) else {
            return session.channel_failure(channel);
        };
        let Some((write, input)) = self.take(channel) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        debug!(peer = %self.peer, "a verb");
        self.start(channel, write, input, line);
        Ok(())
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some((write, input)) = self.take(channel) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        drop(input);
        let text = format!("{GREETING}{}", help());
        let verb = self.verbs.spawn(async move {
            let _ = write.make_writer().write_all(text.as_bytes()).await;
            end(&write, ExitStatus::OK).await;
        });
        if let Some(open) = self.channels.get_mut(&channel) {
            open.verb = Some(verb);
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(intake) = self
            .channels
            .get(&channel)
            .and_then(|open| open.intake.as_ref())
        {
            intake.push(data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(open) = self.channels.get_mut(&channel) {
            open.intake = None;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(verb) = self.channels.remove(&channel).and_then(|open| open.verb) {
            verb.abort();
        }
        Ok(())
    }

    /// Refused: the client's own terminal then stays as it is, and its Ctrl-C ends the verb.
    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
