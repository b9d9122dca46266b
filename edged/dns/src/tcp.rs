//! The TCP listener: pipelined questions on a bounded number of connections (RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::answer::Transport;
use crate::counters::add;
use crate::responder::{Next, Responder};

/// How many connections a listener holds: a resolver's clients need one each, and only for what UDP cannot carry.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may be silent, and how long one write may take (RFC 7766, 6.2.3: some seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How many forwarded questions of one connection may wait; then it is not read until one is answered.
const WAITING_MAX: usize = 16;
/// The largest request; a question with its options is far below.
const REQUEST_MAX: usize = 4096;
/// How much to read at once.
const CHUNK: usize = 4096;
/// The pause after a failed accept: descriptors ran out, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is aborted; its connections end with it.
pub(crate) async fn serve(listener: TcpListener, responder: Responder) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            add(&responder.directory.counters().tcp_turned_away);
            continue;
        };
        let responder = responder.clone();
        connections.spawn(async move {
            let _slot = slot;
            if let Err(error) = converse(stream, client, responder).await {
                debug!(%error, %client, "tcp connection ended");
            }
        });
    }
}

/// Answers one connection until the client leaves, falls silent or sends what cannot be framed.
async fn converse(
    mut stream: TcpStream,
    client: SocketAddr,
    responder: Responder,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut out = Vec::new();
    let mut waiting: JoinSet<Option<Vec<u8>>> = JoinSet::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        let may_read = open && waiting.len() < WAITING_MAX;
        let event = async {
            tokio::select! {
                Some(done) = waiting.join_next() => Ok(Event::Reply(done.ok().flatten())),
                length = stream.read(&mut chunk), if may_read => length.map(Event::Read),
            }
        };
        let Ok(event) = timeout(IDLE, event).await else {
            return Ok(());
        };
        match event? {
            Event::Reply(Some(reply)) => write(&mut stream, &framed(&reply)).await?,
            Event::Reply(None) => {}
            Event::Read(0) => open = false,
            Event::Read(length) => {
                received.extend_from_slice(chunk.get(..length).unwrap_or_default());
            }
        }
        // All answers of one read leave in one write.
        let mut replies = Vec::new();
        let mut start = 0;
        while waiting.len() < WAITING_MAX {
            let Some(request) = next_request(received.get(start..).unwrap_or_default())? else {
                break;
            };
            start += 2 + request.len();
            match responder
                .respond(request, client, Transport::Tcp, &mut out)
                .await
            {
                Next::Send => replies.extend(framed(&out)),
                Next::Forward => {
                    let (responder, request) = (responder.clone(), request.to_vec());
                    waiting.spawn(async move { responder.forward(&request, Transport::Tcp).await });
                }
                Next::Ignore => {}
            }
        }
        received.drain(..start);
        write(&mut stream, &replies).await?;
    }
    Ok(())
}

enum Event {
    Read(usize),
    Reply(Option<Vec<u8>>),
}

/// The first whole request in `bytes`, without its length.
///
/// # Errors
/// A length over what any question needs.
fn next_request(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > REQUEST_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("request of {length} bytes"),
        ));
    }
    Ok(rest.get(..length))
}

fn framed(message: &[u8]) -> Vec<u8> {
    // A message is encoded with a limit of 65535.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    timeout(IDLE, stream.write_all(bytes))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
