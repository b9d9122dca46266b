//! One client: its login, its channels, its verbs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use edged_console::{ExitStatus, Platform, Standing, Streams, execute_line, help};
use russh::keys::{Certificate, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info};

use crate::bounds::{CHANNELS, LINE_MAX};
use crate::certificate::Authority;
use crate::cooked::Cooked;
use crate::intake::{Gate, Intake, queue};
use crate::operators::{Keys, Operator, USER};
use crate::sftp;

/// The number of extended data that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;
/// What a raw terminal sends to end a program.
const CTRL_C: u8 = 3;
/// What a raw terminal sends to end the input.
const CTRL_D: u8 = 4;
/// What shells report of a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The one subsystem.
const SFTP: &str = "sftp";

/// What a shell request gets before the list of verbs.
const GREETING: &str =
    "There is no shell here: write a verb after the host, as in `ssh admin@box ps`.\n\n";

/// One client.
pub(crate) struct Connection<P> {
    pub(crate) platform: Arc<P>,
    pub(crate) keys: Keys,
    /// Whose certificates open the door, beside keys.
    pub(crate) authority: Option<Arc<Authority>>,
    /// Where SFTP puts what it is given; nothing where the box takes no updates.
    pub(crate) upload: Option<Arc<Path>>,
    /// What the client may do; nothing before it has shown a key.
    pub(crate) standing: Option<Standing>,
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
    /// The client's terminal is raw: its keys come as bytes, and its lines want a carriage return.
    terminal: bool,
    /// Ctrl-C was pressed there.
    interrupted: Arc<Notify>,
}

impl<P: Platform> Connection<P> {
    fn who(&self, user: &str, key: &PublicKey) -> Option<Operator> {
        self.keys.who(user, key)
    }

    /// Makes an operator of the client, where there is a place for one.
    fn let_in(&mut self, operator: Option<Operator>) -> Auth {
        let Some(operator) = operator else {
            return Auth::reject();
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            info!(peer = %self.peer, "too many clients: one with a good key was turned away");
            return Auth::reject();
        };
        info!(peer = %self.peer, operator = operator.name, "logged in");
        self.place = Some(place);
        self.standing = Some(operator.standing);
        self.stranger = None;
        self.gate.stay(operator.stay);
        Auth::Accept
    }

    /// Does a request's work on its channel, once: a second request is refused (RFC 4254, 6.5).
    fn start(&mut self, channel: ChannelId, work: Work) -> bool {
        let Some(standing) = self.standing else {
            return false;
        };
        let Some(open) = self.channels.get_mut(&channel) else {
            return false;
        };
        let Some(write) = open.write.take() else {
            return false;
        };
        let (intake, input) = queue(&self.gate);
        open.intake = Some(intake);
        let mut streams = Streams {
            input,
            out: Cooked::new(write.make_writer(), open.terminal),
            err: Cooked::new(write.make_writer_ext(Some(STDERR)), open.terminal),
        };
        let interrupted = Arc::clone(&open.interrupted);
        let platform = Arc::clone(&self.platform);
        while self.verbs.try_join_next().is_some() {}
        let verb = self.verbs.spawn(async move {
            // Boxed: a verb's future is large, and not every channel has one.
            let work = Box::pin(async move {
                match work {
                    Work::Verb(line) => {
                        return execute_line(platform.as_ref(), standing, &line, streams)
                            .await
                            .code();
                    }
                    Work::Sftp(path) => {
                        let served = sftp::serve(&path, streams.input, streams.out).await;
                        return served
                            .map_or(ExitStatus::FAILED, |()| ExitStatus::OK)
                            .code();
                    }
                    Work::Shell => {}
                }
                let text = format!("{GREETING}{}", help());
                let _ = streams.out.write_all(text.as_bytes()).await;
                let _ = streams.out.flush().await;
                ExitStatus::OK.code()
            });
            let code = tokio::select! {
                code = work => code,
                () = interrupted.notified() => INTERRUPTED,
            };
            end(&write, code).await;
        });
        open.verb = Some(verb);
        true
    }
}

/// What a channel is opened for.
enum Work {
    /// A line of the console.
    Verb(String),
    /// The list of verbs.
    Shell,
    /// Uploading to this file.
    Sftp(Arc<Path>),
}

/// Tells the code and closes; a client that is gone needs neither.
async fn end(write: &ChannelWriteHalf<Msg>, code: u8) {
    let _ = write.exit_status(code.into()).await;
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
        // The key of a certificate is asked for like any other, without a word of its certificate: it is accepted here,
        // which has its signature looked at, and judged with its certificate.
        let may_have_certificate =
            user == USER && self.authority.is_some() && self.keys.is_somebodys();
        let is_known = self.who(user, offer.public_key).is_some();
        Ok(if is_known || may_have_certificate {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let operator = self.who(user, key.public_key);
        Ok(self.let_in(operator))
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let authority = self.authority.as_ref().filter(|_| self.keys.is_somebodys());
        let now = std::time::SystemTime::now();
        let operator = authority.and_then(|authority| authority.who(user, certificate, now));
        Ok(self.let_in(operator))
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
            terminal: false,
            interrupted: Arc::new(Notify::new()),
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
        debug!(peer = %self.peer, "a verb");
        if self.start(channel, Work::Verb(line)) {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.start(channel, Work::Shell) {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(open) = self.channels.get_mut(&channel) else {
            return Ok(());
        };
        if open.terminal && data.contains(&CTRL_C) {
            open.interrupted.notify_one();
        }
        if let Some(intake) = &open.intake {
            intake.push(data);
        }
        if open.terminal && data.contains(&CTRL_D) {
            open.intake = None;
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

    /// Granted, since clients give up without: it only turns line ends and listens for Ctrl-C and Ctrl-D.
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
        if let Some(open) = self.channels.get_mut(&channel) {
            open.terminal = true;
        }
        session.channel_success(channel)
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
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // Nobody puts things onto a box that is nobody's.
        let is_somebodys = matches!(self.standing, Some(Standing::Operator | Standing::Guest));
        let upload = self.upload.clone().filter(|_| name == SFTP && is_somebodys);
        if upload.is_some_and(|path| self.start(channel, Work::Sftp(path))) {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }
}
