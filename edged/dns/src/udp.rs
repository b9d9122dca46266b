//! The UDP listener: drains its socket while there is something to read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::{JoinSet, yield_now};
use tracing::debug;

use crate::answer::Transport;
use crate::responder::{Next, Responder};

/// The largest request to read: more than any question needs, so what is longer is cut and then malformed.
const REQUEST_MAX: usize = 4096;
/// How many datagrams to answer before other tasks have their turn.
const BATCH: usize = 64;
/// How many forwarded questions of one socket may wait, answered ones included; others are dropped, as UDP may.
const WAITING_MAX: usize = 512;

/// Serves until it is aborted; the forwarded questions under way end with it.
pub(crate) async fn serve(socket: Arc<UdpSocket>, responder: Responder) {
    let mut packet = vec![0; REQUEST_MAX];
    let mut out = Vec::with_capacity(REQUEST_MAX);
    let mut waiting = JoinSet::new();
    loop {
        if let Err(error) = socket.readable().await {
            debug!(%error, "udp socket not readable");
        }
        let mut left = BATCH;
        while left > 0 {
            left -= 1;
            let (length, source) = match socket.try_recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    left = BATCH;
                    break;
                }
                // An earlier answer's ICMP error: that client is gone, others are not.
                Err(_) => continue,
            };
            let request = packet.get(..length).unwrap_or_default();
            match responder
                .respond(request, source, Transport::Udp, &mut out)
                .await
            {
                Next::Send => send(&socket, &out, source),
                Next::Forward if waiting.len() < WAITING_MAX => {
                    waiting.spawn(forward(
                        Arc::clone(&socket),
                        responder.clone(),
                        request.to_vec(),
                        source,
                    ));
                }
                Next::Forward | Next::Ignore => {}
            }
        }
        while waiting.try_join_next().is_some() {}
        // An emptied socket waits for the next datagram anyway; yielding as well would cost a system call.
        if left == 0 {
            yield_now().await;
        }
    }
}

async fn forward(
    socket: Arc<UdpSocket>,
    responder: Responder,
    request: Vec<u8>,
    client: SocketAddr,
) {
    if let Some(reply) = responder.forward(&request, Transport::Udp).await {
        send(&socket, &reply, client);
    }
}

/// Sends if the kernel takes it now. A client whose answer is lost asks again; waiting would hold up all others.
fn send(socket: &UdpSocket, reply: &[u8], client: SocketAddr) {
    if let Err(error) = socket.try_send_to(reply, client) {
        debug!(%error, %client, "answer not sent");
    }
}
