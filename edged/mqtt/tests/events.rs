//! Events on a real mosquitto: confirmed, kept while it is away, bounded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod broker;

use broker::{Broker, PATIENCE};
use edged_mqtt::{
    BrokerClient, Confirmation, ConnectionState, Delivery, DisconnectReason, EventError, EventTopic,
};
use edged_protocol::Secret;

const OPERATOR: (&str, &str) = ("operator-1", "the operator's password");

async fn confirmed(confirmation: Confirmation) -> Delivery {
    tokio::time::timeout(PATIENCE, confirmation)
        .await
        .expect("is confirmed")
        .unwrap()
}

async fn add_operator(client: &BrokerClient) {
    let (name, password) = (OPERATOR.0.parse().unwrap(), Secret::new(OPERATOR.1));
    client.apply_operator(&name, &password).await.unwrap();
}

fn topic(name: &str) -> EventTopic {
    format!("events/{name}").parse().unwrap()
}

#[tokio::test]
async fn a_retained_state_stays_and_a_cleared_one_is_gone() {
    let broker = Broker::started();
    let client = broker.connected().await;
    add_operator(&client).await;
    let state = serde_json::json!({"state": "ready"});
    for name in ["instances/a", "instances/b"] {
        let confirmation = client.publish_event(&topic(name), &state, true).unwrap();
        assert_eq!(confirmed(confirmation).await, Delivery::Confirmed);
    }
    assert_eq!(
        confirmed(client.clear(&topic("instances/a")).unwrap()).await,
        Delivery::Confirmed
    );
    let all = broker.listen(OPERATOR, &["events/#"]);
    confirmed(client.publish_event(&topic("end"), &1, false).unwrap()).await;
    all.await_message("events/end 1");
    assert_eq!(
        all.messages(),
        [r#"events/instances/b {"state":"ready"}"#, "events/end 1"]
    );
}

#[tokio::test]
async fn a_broker_that_appears_late_gets_the_newest_state_of_each_topic() {
    let mut broker = Broker::prepared();
    let (client, _task) = broker.client();
    let tried = |state: &ConnectionState| {
        matches!(
            state,
            ConnectionState::Disconnected {
                reason: DisconnectReason::Failed(_),
                ..
            }
        )
    };
    tokio::time::timeout(PATIENCE, client.state().wait_for(tried))
        .await
        .unwrap()
        .unwrap();
    let old = client.publish_event(&topic("a"), &"old", true).unwrap();
    let new = client.publish_event(&topic("a"), &"new", true).unwrap();
    let other = client.publish_event(&topic("b"), &"b", true).unwrap();
    assert_eq!(confirmed(old).await, Delivery::Superseded);
    broker.start();
    assert_eq!(confirmed(new).await, Delivery::Confirmed);
    assert_eq!(confirmed(other).await, Delivery::Confirmed);
    assert!(client.state().borrow().is_connected());
    add_operator(&client).await;
    let all = broker.listen(OPERATOR, &["events/#"]);
    all.await_message("events/a \"new\"");
    all.await_message("events/b \"b\"");
    assert_eq!(all.messages().len(), 2);
}

#[tokio::test]
async fn events_sent_around_a_crash_of_the_broker_are_confirmed_by_the_next_one() {
    let mut broker = Broker::started();
    let client = broker.connected().await;
    let before = client.publish_event(&topic("before"), &0, true).unwrap();
    broker.stop();
    let waiting: Vec<_> = (0..100)
        .map(|n| {
            client
                .publish_event(&topic(&format!("n{n}")), &n, true)
                .unwrap()
        })
        .collect();
    broker.start();
    for confirmation in std::iter::once(before).chain(waiting) {
        assert_eq!(confirmed(confirmation).await, Delivery::Confirmed);
    }
}

#[tokio::test]
async fn a_flood_without_a_broker_is_refused_and_what_was_taken_arrives() {
    let mut broker = Broker::prepared();
    let (client, _task) = broker.client();
    let (mut taken, mut refused) = (Vec::new(), 0);
    for n in 0..20_000 {
        match client.publish_event(&topic(&format!("n{}", n % 5_000)), &n, true) {
            Ok(confirmation) => taken.push(confirmation),
            Err(EventError::QueueFull { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 10_000, "only {refused} were refused");
    broker.start();
    let mut delivered = 0;
    for confirmation in taken {
        delivered += usize::from(confirmed(confirmation).await == Delivery::Confirmed);
    }
    assert_eq!(delivered, 1024);
}

#[tokio::test]
async fn dropping_the_last_handle_sends_what_is_queued_and_ends_the_task() {
    let broker = Broker::started();
    let (client, task) = broker.client();
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            client
                .publish_event(&topic(&format!("n{n}")), &n, true)
                .unwrap()
        })
        .collect();
    client.connected().await.unwrap();
    drop(client);
    tokio::time::timeout(PATIENCE, task)
        .await
        .expect("the task ends")
        .unwrap();
    for confirmation in waiting {
        assert_eq!(confirmed(confirmation).await, Delivery::Confirmed);
    }
}
