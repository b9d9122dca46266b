//! What arrives, where, and in which order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_rustls::TlsAcceptor;

use super::receiver::{Receiver, TAKEN};
use super::{Here, Node, brisk, subscription};
use crate::Limits;

#[tokio::test]
async fn a_receiver_gets_the_notification_as_a_post_of_json_at_once() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    let begun = Instant::now();
    node.deliverer.deliver(&id, &json!({ "n": 1, "ä": "é" }));
    let arrived = receiver.next().await;
    // The promise is 5 ms on a quiet machine; this one may be busy.
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(arrived.head.starts_with("POST /events HTTP/1.1\r\n"));
    let head = arrived.head.to_lowercase();
    assert!(head.contains("\r\ncontent-type: application/json\r\n"));
    assert!(head.contains(&format!("\r\nhost: {}\r\n", receiver.address)));
    assert_eq!(arrived.body, json!({ "n": 1, "ä": "é" }));
    let counts = node.counts(|counts| counts.sent == 1).await;
    assert_eq!((counts.failed, counts.dropped, counts.queued), (0, 0, 0));
}

#[tokio::test]
async fn notifications_of_one_subscription_keep_their_order_and_their_connection() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..50);
    for n in 0..50 {
        let arrived = receiver.next().await;
        assert_eq!((&arrived.body, arrived.connection), (&json!({ "n": n }), 0));
    }
    node.counts(|counts| counts.sent == 50).await;
    node.deliver(&id, 50..51);
    assert_eq!(
        receiver.next().await.connection,
        0,
        "it was idle for a moment"
    );
}

#[tokio::test]
async fn an_idle_connection_is_given_up_and_the_next_notification_makes_another() {
    let limits = Limits {
        idle: Duration::ZERO,
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    for n in 0..3 {
        node.deliver(&id, n..n + 1);
        assert_eq!(receiver.next().await.connection, n);
        assert_eq!(receiver.ended().await, n);
    }
}

#[tokio::test]
async fn a_name_of_the_zone_is_the_nodes_to_answer() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let port = receiver.address.port();
    let id = node.subscribe(&format!("http://box.test:{port}/"));
    node.deliver(&id, 0..1);
    let arrived = receiver.next().await;
    let host = format!("host: box.test:{port}\r\n");
    assert!(arrived.head.to_lowercase().contains(&host));
    let id = node.subscribe(&format!("http://other.box.test:{port}/"));
    node.deliver(&id, 0..1);
    node.counts(|counts| counts.dropped == 1).await;
}

#[tokio::test]
async fn a_name_outside_the_zone_is_asked_of_the_system() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&format!("http://localhost:{}/", receiver.address.port()));
    node.deliver(&id, 0..1);
    assert_eq!(receiver.numbers(1).await, [0]);
}

#[tokio::test]
async fn what_the_owner_may_not_reach_is_never_connected_to() {
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "box.test", "localhost"] {
        let mut receiver = Receiver::new(&[TAKEN]).await;
        let here = Here::default();
        *here.forbidden.lock().unwrap() = Some(receiver.address);
        let node = Node::with(here, None, brisk());
        let refused = node.subscribe(&format!("http://{host}:{}/", receiver.address.port()));
        node.deliver(&refused, 0..1);
        let counts = node.counts(|counts| counts.dropped == 1).await;
        assert_eq!(counts.failed, 4, "{host}");
        // The first that ever reached it is another one.
        let free = Node::new();
        let id = free.subscribe(&receiver.url());
        free.deliver(&id, 7..8);
        let arrived = receiver.next().await;
        assert_eq!((&arrived.body, arrived.connection), (&json!({ "n": 7 }), 0));
    }
}

#[tokio::test]
async fn a_callback_is_judged_by_whoever_made_the_subscription() {
    let here = Here::default();
    let node = Node::with(here.clone(), None, brisk());
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let app = edged_model::InstanceId::random();
    for trusted in [false, true] {
        let mut wanted = subscription(&receiver.url());
        wanted.owner = Some(app.clone());
        wanted.trusted = trusted;
        let made = node.subscriptions.add(wanted).unwrap();
        node.deliver(&made.id, 0..1);
        receiver.next().await;
    }
    assert_eq!(*here.asked.lock().unwrap(), [Some(app), None]);
}

#[tokio::test]
async fn a_connection_that_is_no_longer_permitted_is_not_used_again() {
    let here = Here::default();
    let node = Node::with(here.clone(), None, brisk());
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..1);
    node.counts(|counts| counts.sent == 1).await;
    *here.forbidden.lock().unwrap() = Some(receiver.address);
    node.deliver(&id, 1..2);
    node.counts(|counts| counts.dropped == 1).await;
    *here.forbidden.lock().unwrap() = None;
    node.deliver(&id, 2..3);
    assert_eq!(receiver.numbers(2).await, [0, 2]);
}

#[tokio::test]
async fn an_https_callback_is_trusted_by_the_configured_authority_only() {
    let issued = rcgen::generate_simple_self_signed(["box.test".to_owned()]).unwrap();
    let key = issued.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let mut receiver = Receiver::speaking(&[TAKEN], Some(tls)).await;
    let url = format!("https://box.test:{}/", receiver.address.port());

    let wary = Node::new();
    wary.deliver(&wary.subscribe(&url), 0..1);
    wary.counts(|counts| counts.dropped == 1).await;

    let pem = issued.cert.pem();
    let node = Node::with(Here::default(), Some(pem.as_bytes()), brisk());
    node.deliver(&node.subscribe(&url), 1..2);
    assert_eq!(receiver.numbers(1).await, [1]);
}

#[test]
fn authorities_that_are_none_are_refused_at_the_start() {
    for bad in [
        "",
        "none",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let reach = Arc::new(Here::default());
        assert!(
            crate::Deliverer::new(reach, Some(bad.as_bytes()), None, brisk()).is_err(),
            "{bad:?} was taken"
        );
    }
}

#[tokio::test]
async fn a_test_notification_says_which_subscription_works() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let subscription = node
        .subscriptions
        .add(subscription(&receiver.url()))
        .unwrap();
    node.deliverer.deliver_test(&subscription);
    let expected = json!({
        "notificationType": "TestNotification",
        "_links": { "subscription": { "href": subscription.href } },
    });
    assert_eq!(receiver.next().await.body, expected);
}
