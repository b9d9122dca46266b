//! One verb over one connection.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use russh::client::{Config, Handle, connect};
use russh::{ChannelMsg, Preferred, SshId, cipher, kex};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::args::Destination;
use crate::error::CtlError;
use crate::hosts::HostCheck;
use crate::identity::log_in;
use crate::input::prepare;

/// Time to reach a box and agree on keys; a box on the other side of the world needs two seconds.
const CONNECT_TIME: Duration = Duration::from_secs(15);
/// A silent box is asked whether it lives, and given up after three questions.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The number of extended data that is standard error (RFC 4254, 5.2).
const STDERR: u32 = 1;

const EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
];

/// Bytes of the longest answer that is judged: evidence has a log of at most a mebibyte, in hexadecimal.
const ANSWER: usize = 4 << 20;
/// Longest time to it: a TPM signs in seconds.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Sends the words, carries the bytes, and returns the verb's exit code.
pub(crate) async fn perform(destination: &Destination, words: Vec<String>) -> Result<u8, CtlError> {
    let (out, err) = (tokio::io::stdout(), tokio::io::stderr());
    carry(destination, words, out, err).await
}

/// What a verb answers; its complaints go to standard error once it has ended, with nothing in them that a terminal
/// obeys: whoever asks so does not believe the box yet.
pub(crate) async fn ask(
    destination: &Destination,
    words: Vec<String>,
) -> Result<Vec<u8>, CtlError> {
    let (mut out, mut err) = (Bounded::default(), Bounded::default());
    let code = carry_in_time(destination, words, &mut out, &mut err).await;
    for line in String::from_utf8_lossy(&err.0).lines() {
        eprintln!("{}", edged_evidence::printable(line));
    }
    match code? {
        0 => Ok(out.0),
        code => Err(CtlError::Failed(code)),
    }
}

/// What a verb answers, whatever its exit code; its complaints are not wanted.
pub(crate) async fn said(
    destination: &Destination,
    words: Vec<String>,
) -> Result<Vec<u8>, CtlError> {
    let mut out = Bounded::default();
    carry_in_time(destination, words, &mut out, tokio::io::sink()).await?;
    Ok(out.0)
}

/// [`carry`], for an answer that is judged here: it comes in a while or not at all.
async fn carry_in_time(
    destination: &Destination,
    words: Vec<String>,
    out: &mut Bounded,
    err: impl AsyncWrite + Unpin,
) -> Result<u8, CtlError> {
    let carried = timeout(ANSWER_TIME, carry(destination, words, out, err)).await;
    carried.unwrap_or(Err(CtlError::Slow(ANSWER_TIME.as_secs())))
}

/// What a box may say that is not believed yet.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl AsyncWrite for Bounded {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.0.len().saturating_add(bytes.len()) > ANSWER {
            return Poll::Ready(Err(io::Error::other("the box says more than any does")));
        }
        this.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One verb: its answer and its complaints go to two places, and its exit code is returned.
pub(crate) async fn carry(
    destination: &Destination,
    words: Vec<String>,
    mut out: impl AsyncWrite + Unpin,
    mut err: impl AsyncWrite + Unpin,
) -> Result<u8, CtlError> {
    let (line, input) = prepare(words).await?;
    let mut session = open(destination).await?;
    log_in(&mut session, destination).await?;
    let mut channel = session.channel_open_session().await?;
    channel.exec(true, line).await?;
    match input {
        Some(mut input) => {
            let mut writer = channel.make_writer();
            // Ends with the process: the box may be done before the input is.
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut input, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
        None => channel.eof().await?,
    }
    let mut code = None;
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => {
                out.write_all(&data).await?;
                out.flush().await?;
            }
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                err.write_all(&data).await?;
                err.flush().await?;
            }
            ChannelMsg::ExitStatus { exit_status } => {
                code = Some(u8::try_from(exit_status).unwrap_or(u8::MAX));
            }
            ChannelMsg::Failure => return Err(CtlError::Refused),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    code.ok_or(CtlError::Lost)
}

async fn open(destination: &Destination) -> Result<Handle<HostCheck>, CtlError> {
    let config = Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-edgectl")),
        preferred: Preferred {
            kex: Cow::Borrowed(EXCHANGES),
            cipher: Cow::Borrowed(CIPHERS),
            ..Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        ..Config::default()
    };
    let target = &destination.target;
    let unreachable = |reason: String| CtlError::Connect {
        target: target.clone(),
        reason,
    };
    let place = (target.host.as_str(), target.port);
    let opening = connect(Arc::new(config), place, HostCheck::new(destination));
    match tokio::time::timeout(CONNECT_TIME, opening).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(CtlError::Ssh(error))) => Err(unreachable(error.to_string())),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(unreachable("it does not answer".to_owned())),
    }
}
