//! Receivers that are down, slow, broken or hostile.

use std::time::Duration;

use serde_json::json;

use super::receiver::{Answer, HANG, Receiver, TAKEN};
use super::{Here, Node, brisk};
use crate::Limits;
use crate::queue::QUEUE_MAX;

/// An address that nobody listens on.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_notification_nobody_takes_is_tried_a_bounded_number_of_times() {
    let node = Node::new();
    let id = node.subscribe(&nobody());
    node.deliver(&id, 0..1);
    let counts = node.counts(|counts| counts.dropped == 1).await;
    assert_eq!((counts.failed, counts.sent, counts.queued), (4, 0, 0));
}

#[tokio::test]
async fn a_receiver_that_comes_to_its_senses_gets_everything_in_order() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[Answer::Status("500 Oh"), TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..3);
    assert_eq!(receiver.numbers(4).await, [0, 0, 1, 2]);
    let counts = node.counts(|counts| counts.sent == 3).await;
    assert_eq!((counts.failed, counts.dropped), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[Answer::Status(
        "307 Elsewhere\r\nlocation: http://127.0.0.1:1/",
    )])
    .await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..1);
    assert_eq!(receiver.numbers(4).await, [0; 4]);
    node.counts(|counts| counts.dropped == 1).await;
}

#[tokio::test]
async fn a_receiver_that_knows_no_such_callback_is_not_asked_twice() {
    for status in ["404 Not Found", "410 Gone"] {
        let node = Node::new();
        let mut receiver = Receiver::new(vec![Answer::Status(status), TAKEN].leak()).await;
        let id = node.subscribe(&receiver.url());
        node.deliver(&id, 0..2);
        assert_eq!(receiver.numbers(2).await, [0, 1]);
        let counts = node.counts(|counts| counts.sent == 1).await;
        assert_eq!((counts.failed, counts.dropped), (1, 1));
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_given_up_in_time_and_asked_again() {
    let limits = Limits {
        answer: Duration::from_millis(30),
        attempts: u32::MAX,
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let half = Answer::Stall("HTTP/1.1 204 Tak");
    let mut receiver = Receiver::new(vec![HANG, half, TAKEN].leak()).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..1);
    assert_eq!(receiver.numbers(3).await, [0, 0, 0]);
    let counts = node.counts(|counts| counts.sent == 1).await;
    assert!(counts.failed >= 2 && counts.dropped == 0, "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_stalls_after_its_head_costs_its_connection_and_nothing_else() {
    let limits = Limits {
        rest: Duration::from_millis(20),
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let stall = Answer::Stall("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
    let mut receiver = Receiver::new(vec![stall, TAKEN].leak()).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..2);
    assert_eq!(receiver.numbers(2).await, [0, 1]);
    let counts = node.counts(|counts| counts.sent == 2).await;
    assert_eq!(counts.failed, 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[
        Answer::Cut(""),
        Answer::Cut("HTTP/1.1 20"),
        Answer::Cut("what?\r\n\r\n"),
        TAKEN,
    ])
    .await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..1);
    assert_eq!(receiver.numbers(4).await, [0; 4]);
    let counts = node.counts(|counts| counts.sent == 1).await;
    assert_eq!(counts.failed, 3);
}

#[tokio::test]
async fn an_endless_answer_costs_its_connection_and_nothing_else() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[Answer::Endless, TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..2);
    let first = receiver.next().await;
    let second = receiver.next().await;
    assert_eq!(second.body, json!({ "n": 1 }));
    assert_eq!((first.connection, second.connection), (0, 1));
    let counts = node.counts(|counts| counts.sent == 2).await;
    assert_eq!(counts.failed, 0);
}

#[tokio::test]
async fn a_connection_the_receiver_closed_costs_no_attempt() {
    let node = Node::new();
    let cut = Answer::Cut("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut receiver = Receiver::new(vec![cut].leak()).await;
    let id = node.subscribe(&receiver.url());
    node.deliver(&id, 0..5);
    assert_eq!(receiver.numbers(5).await, [0, 1, 2, 3, 4]);
    let counts = node.counts(|counts| counts.sent == 5).await;
    assert_eq!(counts.failed, 0);
}

#[tokio::test]
async fn dead_callbacks_do_not_hold_up_a_living_one() {
    // They hang for longer than this test lives: whoever waited for them would never arrive.
    let limits = Limits {
        answer: Duration::from_secs(600),
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let mut dead = Receiver::new(&[HANG]).await;
    let mut alive = Receiver::new(&[TAKEN]).await;
    let other = edged_model::InstanceId::random();
    for _ in 0..20 {
        let mut subscription = super::subscription(&dead.url());
        subscription.owner = Some(other.clone());
        let id = node.subscriptions.add(subscription).unwrap().id.clone();
        node.deliver(&id, 0..1);
    }
    dead.next().await;
    let id = node.subscribe(&alive.url());
    for n in 0..100 {
        node.deliver(&id, n..n + 1);
        assert_eq!(alive.numbers(1).await, [u64::try_from(n).unwrap()]);
    }
}

#[tokio::test]
async fn what_waits_for_a_dead_callback_is_bounded() {
    let limits = Limits {
        answer: Duration::from_secs(600),
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let mut dead = Receiver::new(&[HANG]).await;
    let id = node.subscribe(&dead.url());
    node.deliver(&id, 0..1);
    dead.next().await;
    node.deliver(&id, 1..1000);
    let counts = node.deliverer.counts();
    let bound = u64::try_from(QUEUE_MAX).unwrap();
    assert_eq!((counts.queued, counts.dropped), (bound, 1000 - bound));
    node.subscriptions.remove(&id).unwrap();
    let counts = node.deliverer.counts();
    assert_eq!((counts.queued, counts.dropped), (0, 1000));
    assert_eq!(dead.ended().await, 0);
}

#[tokio::test]
async fn a_notification_that_is_no_news_any_more_is_dropped() {
    let limits = Limits {
        age: Duration::from_millis(30),
        attempts: u32::MAX,
        ..brisk()
    };
    let node = Node::with(Here::default(), None, limits);
    let id = node.subscribe(&nobody());
    node.deliver(&id, 0..3);
    let counts = node.counts(|counts| counts.dropped == 3).await;
    assert!(counts.failed > 0);
}

#[tokio::test]
async fn a_notification_larger_than_its_bound_is_refused() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let id = node.subscribe(&receiver.url());
    node.deliverer.deliver(&id, &json!("x".repeat(40_000)));
    node.deliver(&id, 1..2);
    assert_eq!(receiver.numbers(1).await, [1]);
    assert_eq!(node.deliverer.counts().dropped, 1);
}
