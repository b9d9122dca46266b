//! Notifications as text frames of a WebSocket (RFC 6455), for a subscriber that cannot be called.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::http::{Method, Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::SubscriptionId;
use crate::connect::Io;
use crate::lane::{Lane, Turn};
use crate::post::Outcome;
use crate::queue::NOTIFICATION_MAX;

/// What a subscriber may send: control frames are at most 125 bytes, and nothing else is listened to.
const INCOMING_MAX: usize = 4 * 1024;
/// For the last frames of a connection.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// From the answer 101 to the stream: only a client that left is slow.
const UPGRADE_MAX: Duration = Duration::from_secs(10);

/// Why a WebSocket was not attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// There is no such subscription: 404.
    #[error("there is no subscription {0}; subscribe first")]
    Unknown(SubscriptionId),
    /// It did not ask for a WebSocket: 403.
    #[error(
        "the subscription {0} has no WebSocket; subscribe with websockNotifConfig.requestWebsocketUri"
    )]
    NotAsked(SubscriptionId),
    /// The request is no handshake of RFC 6455, 4.2.1: 400.
    #[error("this is no WebSocket handshake: {0}; send a GET with Upgrade, version 13 and a key")]
    Handshake(String),
}

/// The answer 101 to a handshake.
pub(crate) fn answer<B>(request: &Request<B>) -> Result<Response<()>, AttachError> {
    let refuse = |reason: &str| AttachError::Handshake(reason.to_owned());
    if request.method() != Method::GET {
        return Err(refuse("the method is not GET"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(refuse("the protocol is not HTTP/1.1"));
    }
    create_response_with_body(request, || ()).map_err(|error| refuse(&error.to_string()))
}

/// The stream behind an answer 101, once hyper has let go of it.
pub(crate) async fn upgraded(
    upgrade: hyper::upgrade::OnUpgrade,
) -> Option<TokioIo<hyper::upgrade::Upgraded>> {
    let stream = timeout(UPGRADE_MAX, upgrade).await.ok()?.ok()?;
    Some(TokioIo::new(stream))
}

/// Sends what the lane has until the WebSocket or the subscription ends, or another takes its place and is returned.
pub(crate) async fn serve(lane: &Lane, stream: Box<dyn Io>) -> Option<Box<dyn Io>> {
    let limits = &lane.outbound.limits;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config())).await;
    let mut pulse = interval(limits.ping);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse.reset();
    let mut heard = true;
    loop {
        match lane.turn() {
            Turn::Attached(next) => {
                // Its subscriber is likely gone without a word: nothing is waited for.
                let _ = timeout(FAREWELL_MAX, close(&mut socket, "another took over")).await;
                return Some(next);
            }
            Turn::End => {
                let leaving = async {
                    close(&mut socket, "the subscription ended").await;
                    while let Some(Ok(_)) = socket.next().await {}
                };
                let _ = timeout(FAREWELL_MAX, leaving).await;
                return None;
            }
            Turn::Send(item) => {
                let Ok(text) = Utf8Bytes::try_from(item.body.clone()) else {
                    lane.done(&item, Outcome::Dropped("it is not UTF-8"));
                    continue;
                };
                let sent = timeout(limits.answer, socket.send(Message::Text(text))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    lane.outbound.counters.failed();
                    lane.put_back();
                    return None;
                }
                lane.done(&item, Outcome::Sent);
                // Between frames the subscriber is listened to as well: its pings, and its farewell.
                match socket.next().now_or_never() {
                    None => {}
                    Some(Some(Ok(_))) => heard = true,
                    Some(_) => return None,
                }
            }
            Turn::Wait => tokio::select! {
                () = lane.changed.notified() => {}
                message = socket.next() => match message {
                    Some(Ok(_)) => heard = true,
                    _ => return None,
                },
                _ = pulse.tick() => {
                    let ping = socket.send(Message::Ping(Bytes::new()));
                    if !heard || !matches!(timeout(limits.answer, ping).await, Ok(Ok(()))) {
                        return None;
                    }
                    heard = false;
                }
            },
        }
    }
}

async fn close(socket: &mut WebSocketStream<Box<dyn Io>>, reason: &'static str) {
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: reason.into(),
    };
    // A subscriber that is gone needs no farewell.
    let _ = socket.close(Some(frame)).await;
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(INCOMING_MAX)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * NOTIFICATION_MAX)
        .max_message_size(Some(INCOMING_MAX))
        .max_frame_size(Some(INCOMING_MAX))
}
