//! The fallback end to end, with a client that is not ours.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::receiver::{Receiver, TAKEN};
use super::{Here, Node, PATIENCE, brisk, subscription};
use crate::{AttachError, Deliverer, Limits, SubscriptionId};

type Client = WebSocketStream<TcpStream>;

/// A server as edged has one, with one route.
async fn connect(deliverer: &Deliverer, id: &SubscriptionId) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (deliverer, id) = (deliverer.clone(), id.clone());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|mut request: Request<Incoming>| {
            let answer = deliverer.upgrade(&id, &mut request).unwrap();
            async { Ok::<_, std::convert::Infallible>(answer.map(|()| Empty::<Bytes>::new())) }
        });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/notifications");
    tokio_tungstenite::client_async(url, stream)
        .await
        .unwrap()
        .0
}

async fn message(client: &mut Client) -> Option<Message> {
    let next = tokio::time::timeout(PATIENCE, client.next()).await;
    next.expect("nothing arrives").and_then(Result::ok)
}

async fn number(client: &mut Client) -> u64 {
    let text = message(client).await.unwrap().into_text().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value["n"].as_u64().unwrap()
}

/// Until the other side closed, with or without a word.
async fn end(client: &mut Client) -> Option<Message> {
    let mut last = None;
    while let Some(next) = message(client).await {
        last = Some(next);
    }
    last
}

fn subscribe(node: &Node, callback: &str) -> SubscriptionId {
    let mut wanted = subscription(callback);
    wanted.websocket = true;
    node.subscriptions.add(wanted).unwrap().id.clone()
}

#[tokio::test]
async fn what_waited_and_what_comes_later_arrives_as_text_in_order() {
    let node = Node::new();
    let id = subscribe(&node, "");
    node.deliver(&id, 0..3);
    let mut client = connect(&node.deliverer, &id).await;
    for n in 0..3 {
        assert_eq!(number(&mut client).await, n);
    }
    node.deliver(&id, 3..10);
    for n in 3..10 {
        assert_eq!(number(&mut client).await, n);
    }
    let counts = node.counts(|counts| counts.sent == 10).await;
    assert_eq!((counts.dropped, counts.queued), (0, 0));
}

#[tokio::test]
async fn a_websocket_goes_before_a_callback_and_back_when_it_closes() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = subscribe(&node, &receiver.url());
    node.deliver(&id, 0..1);
    assert_eq!(receiver.numbers(1).await, [0]);
    let mut client = connect(&node.deliverer, &id).await;
    // The handshake was answered; that the stream is attached shows in a ping's answer.
    client
        .send(Message::Ping(Bytes::from_static(b"?")))
        .await
        .unwrap();
    assert!(message(&mut client).await.unwrap().is_pong());
    node.deliver(&id, 1..2);
    assert_eq!(number(&mut client).await, 1);
    client.close(None).await.unwrap();
    end(&mut client).await;
    node.deliver(&id, 2..3);
    assert_eq!(receiver.numbers(1).await, [2]);
}

#[tokio::test]
async fn an_unreachable_callback_falls_back_to_the_websocket() {
    let node = Node::with(
        Here::default(),
        None,
        Limits {
            attempts: u32::MAX,
            ..brisk()
        },
    );
    let id = subscribe(&node, "http://127.0.0.1:9/");
    node.deliver(&id, 0..2);
    node.counts(|counts| counts.failed > 2).await;
    let mut client = connect(&node.deliverer, &id).await;
    assert_eq!(number(&mut client).await, 0);
    assert_eq!(number(&mut client).await, 1);
}

#[tokio::test]
async fn the_end_of_a_subscription_closes_its_websocket_after_the_last_word() {
    let node = Node::new();
    let removed = subscribe(&node, "");
    let mut client = connect(&node.deliverer, &removed).await;
    node.deliver(&removed, 0..1);
    assert_eq!(number(&mut client).await, 0);
    node.subscriptions.remove(&removed).unwrap();
    assert!(end(&mut client).await.unwrap().is_close());

    let expired = subscribe(&node, "");
    let mut client = connect(&node.deliverer, &expired).await;
    node.deliver(&expired, 0..1);
    assert_eq!(number(&mut client).await, 0);
    node.deliverer.finish(&expired, &json!({ "n": 99 }));
    assert_eq!(number(&mut client).await, 99);
    assert!(end(&mut client).await.unwrap().is_close());
}

#[tokio::test]
async fn a_newer_websocket_takes_over() {
    let node = Node::new();
    let id = subscribe(&node, "");
    let mut old = connect(&node.deliverer, &id).await;
    node.deliver(&id, 0..1);
    assert_eq!(number(&mut old).await, 0);
    let mut new = connect(&node.deliverer, &id).await;
    assert!(end(&mut old).await.unwrap().is_close());
    node.deliver(&id, 1..2);
    assert_eq!(number(&mut new).await, 1);
}

#[tokio::test]
async fn a_subscriber_that_is_silent_is_given_up() {
    let limits = Limits {
        ping: Duration::from_millis(5),
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let id = subscribe(&node, "");
    let client = connect(&node.deliverer, &id).await;
    // It answers no ping, because nobody reads; its stream shows that the node has closed.
    let stream = client.into_inner();
    let ended = async {
        let mut bytes = [0; 256];
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut bytes) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_sends_too_much_is_cut_off() {
    let node = Node::new();
    let id = subscribe(&node, "");
    let mut client = connect(&node.deliverer, &id).await;
    let _ = client.send(Message::text("x".repeat(100_000))).await;
    end(&mut client).await;

    let mut client = connect(&node.deliverer, &id).await;
    let piece = |code| Message::Frame(Frame::message("x".repeat(3_000), OpCode::Data(code), false));
    let _ = client.send(piece(Data::Text)).await;
    let _ = client.send(piece(Data::Continue)).await;
    end(&mut client).await;

    let mut client = connect(&node.deliverer, &id).await;
    client
        .send(Message::text("a word is ignored"))
        .await
        .unwrap();
    node.deliver(&id, 0..1);
    assert_eq!(number(&mut client).await, 0);
}

#[tokio::test]
async fn only_a_handshake_of_a_subscription_that_asked_is_answered() {
    let node = Node::new();
    let id = subscribe(&node, "");
    let request = |method: &str, key: &str, version: &str| {
        Request::builder()
            .method(method)
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", version)
            .header("sec-websocket-key", key)
            .body(())
            .unwrap()
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let good = || request("GET", key, "13");
    let answer: Response<()> = node.deliverer.upgrade(&id, &mut good()).unwrap();
    // The example of RFC 6455, 1.3.
    let accept = &answer.headers()["sec-websocket-accept"];
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(answer.status(), 101);
    for mut bad in [
        request("POST", key, "13"),
        request("GET", "short", "13"),
        request("GET", key, "8"),
        Request::new(()),
    ] {
        let refused = node.deliverer.upgrade(&id, &mut bad).unwrap_err();
        assert!(matches!(refused, AttachError::Handshake(_)), "{refused}");
    }
    let unasked = node.subscribe("http://127.0.0.1:9/");
    let refused = node.deliverer.upgrade(&unasked, &mut good()).unwrap_err();
    assert_eq!(refused, AttachError::NotAsked(unasked));
    let unknown = SubscriptionId::random();
    let refused = node.deliverer.upgrade(&unknown, &mut good()).unwrap_err();
    assert_eq!(refused, AttachError::Unknown(unknown));
}
