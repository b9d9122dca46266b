//! Accounts on a real mosquitto: what they may do, and that edged finds again what it made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod broker;

use std::time::Duration;

use broker::{ADMIN, ADMIN_PASSWORD, Broker, PATIENCE, account, until};
use edged_model::TopicFilter;
use edged_mqtt::{BrokerClient, BrokerError, ConnectionState, DisconnectReason};
use edged_protocol::Secret;

const A: (&str, &str) = ("app-one", "one's password");
const OPERATOR: (&str, &str) = ("operator-1", "the operator's password");

/// A broker with two applications and an operator.
async fn town() -> (Broker, BrokerClient) {
    let broker = Broker::started();
    let client = broker.connected().await;
    assert!(
        client
            .apply_account(&account(A.0, A.1, &["sensors/+/temperature"]))
            .await
            .unwrap()
    );
    assert!(
        client
            .apply_account(&account("app-two", "x", &[]))
            .await
            .unwrap()
    );
    let (name, password) = (OPERATOR.0.parse().unwrap(), Secret::new(OPERATOR.1));
    assert!(client.apply_operator(&name, &password).await.unwrap());
    (broker, client)
}

#[tokio::test]
async fn nobody_comes_in_without_an_account() {
    let (broker, _client) = town().await;
    assert!(
        !broker
            .publish(None, "apps/app-one/x", "hi")
            .status
            .success()
    );
    assert!(
        !broker
            .publish(Some((A.0, "wrong")), "apps/app-one/x", "hi")
            .status
            .success()
    );
    assert!(
        !broker
            .publish(Some(("nobody", "x")), "apps/app-one/x", "hi")
            .status
            .success()
    );
    assert!(
        broker
            .publish(Some(A), "apps/app-one/x", "hi")
            .status
            .success()
    );
}

#[tokio::test]
async fn an_application_reads_its_space_and_its_filters_and_nothing_else() {
    let (broker, _client) = town().await;
    for filter in [
        "apps/app-one/#",
        "apps/app-one/a/+",
        "sensors/+/temperature",
        "sensors/d/temperature",
    ] {
        assert!(broker.may_subscribe(A, filter), "{filter} was refused");
    }
    for filter in [
        "#",
        "+/#",
        "apps/#",
        "apps/+/x",
        "apps/app-two/#",
        "apps/app-two/x",
        "apps/app-one2/x",
        "sensors/#",
        "sensors/+/+",
        "sensors/other",
        "sensors/d/humidity",
        "events/#",
        "$CONTROL/#",
        "$SYS/#",
        "$CONTROL/dynamic-security/v1/response",
        "$share/g/apps/app-two/x",
        "$share/g/#",
    ] {
        assert!(!broker.may_subscribe(A, filter), "{filter} was allowed");
    }
}

#[tokio::test]
async fn an_application_writes_to_its_space_and_nowhere_else() {
    let (broker, client) = town().await;
    let all = broker.listen(OPERATOR, &["#"]);
    for topic in [
        "apps/app-two/x",
        "apps/x",
        "sensors/d/temperature",
        "sensors/other",
        "events/instances/app-one",
        "$CONTROL/dynamic-security/v1",
        "$SYS/broker/x",
    ] {
        broker.publish(
            Some(A),
            topic,
            r#"{"commands":[{"command":"deleteClient","username":"app-two"}]}"#,
        );
    }
    broker.publish(Some(A), "apps/app-one/last", "done");
    all.await_message("apps/app-one/last done");
    assert_eq!(all.messages().len(), 1, "{:?}", all.messages());
    assert_eq!(client.observe_accounts().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_operator_feeds_sensors_and_reads_all_but_the_brokers_own() {
    let (broker, _client) = town().await;
    let app = broker.listen(A, &["sensors/+/temperature"]);
    broker.publish(Some(OPERATOR), "sensors/d/temperature", "21");
    app.await_message("sensors/d/temperature 21");
    for topic in ["apps/app-one/x", "events/x"] {
        let all = broker.listen(OPERATOR, &["#"]);
        broker.publish(Some(OPERATOR), topic, "no");
        broker.publish(Some(OPERATOR), "sensors/end", "1");
        all.await_message("sensors/end 1");
        assert_eq!(all.messages().len(), 1, "{topic} was allowed");
    }
    for filter in [
        "$CONTROL/#",
        "$SYS/#",
        "$CONTROL/dynamic-security/v1/response",
    ] {
        assert!(
            !broker.may_subscribe(OPERATOR, filter),
            "{filter} was allowed"
        );
    }
}

#[tokio::test]
async fn an_application_that_may_read_everything_still_sees_no_answers_for_administrators() {
    let (broker, client) = town().await;
    client
        .apply_account(&account(A.0, A.1, &["#", "+/+/+/+"]))
        .await
        .unwrap();
    for filter in [
        "$CONTROL/#",
        "$CONTROL/+/v1/response",
        "$CONTROL/dynamic-security/v1/response",
        "$SYS/#",
    ] {
        assert!(!broker.may_subscribe(A, filter), "{filter} was allowed");
    }
    let all = broker.listen(A, &["#", "+/+/+/+"]);
    client.observe_accounts().await.unwrap();
    broker.publish(Some(OPERATOR), "sensors/end", "1");
    all.await_message("sensors/end 1");
    assert_eq!(all.messages(), ["sensors/end 1"]);
}

#[tokio::test]
async fn a_last_will_goes_nowhere_that_its_owner_may_not_write() {
    let (broker, _client) = town().await;
    let all = broker.listen(OPERATOR, &["#"]);
    for topic in [
        "events/instances/app-one",
        "apps/app-two/x",
        "apps/app-one/will",
    ] {
        broker.die_with_will(A, topic);
    }
    all.await_message("apps/app-one/will will");
    assert_eq!(all.messages().len(), 1, "{:?}", all.messages());
}

#[tokio::test]
async fn removal_throws_the_live_client_out_for_good() {
    let (broker, client) = town().await;
    let live = broker.listen(A, &["apps/app-one/#"]);
    assert!(
        client
            .remove_account(&"app-one".parse().unwrap())
            .await
            .unwrap()
    );
    // mosquitto_sub tries again after a second, and learns that the account is gone.
    until("the client is refused", || {
        live.text().contains("received CONNACK (5)")
    });
    assert_eq!(live.connections(), 1);
    assert!(
        !broker
            .publish(Some(A), "apps/app-one/x", "hi")
            .status
            .success()
    );
    let left: Vec<_> = client
        .observe_accounts()
        .await
        .unwrap()
        .into_keys()
        .collect();
    assert_eq!(left, ["app-two".parse().unwrap()]);
    assert!(
        !client
            .remove_account(&"app-one".parse().unwrap())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn applying_again_disturbs_nobody() {
    let (broker, client) = town().await;
    let live = broker.listen(A, &["apps/app-one/#"]);
    let same = account(A.0, A.1, &["sensors/+/temperature"]);
    for _ in 0..3 {
        assert!(!client.apply_account(&same).await.unwrap());
    }
    client.bootstrap().await.unwrap();
    broker.publish(Some(A), "apps/app-one/x", "still here");
    live.await_message("apps/app-one/x still here");
    assert_eq!(live.connections(), 1);
}

#[tokio::test]
async fn changed_filters_names_and_passwords_converge() {
    let (broker, client) = town().await;
    let live = broker.listen(A, &["sensors/+/temperature", "apps/app-one/#"]);
    let mut wanted = account(A.0, A.1, &["events/#"]);
    assert!(client.apply_account(&wanted).await.unwrap());
    assert!(broker.may_subscribe(A, "events/#"));
    assert!(!broker.may_subscribe(A, "sensors/+/temperature"));
    // The old subscription stands, but nothing comes through it.
    broker.publish(Some(OPERATOR), "sensors/d/temperature", "21");
    broker.publish(Some(A), "apps/app-one/x", "1");
    live.await_message("apps/app-one/x 1");
    assert_eq!(live.messages().len(), 1, "{:?}", live.messages());

    wanted.password = Secret::new("another");
    assert!(client.apply_account(&wanted).await.unwrap());
    assert!(
        !broker
            .publish(Some(A), "apps/app-one/x", "1")
            .status
            .success()
    );
    assert!(
        broker
            .publish(Some((A.0, "another")), "apps/app-one/x", "1")
            .status
            .success()
    );

    wanted.username = "renamed".parse().unwrap();
    assert!(client.apply_account(&wanted).await.unwrap());
    assert!(
        !broker
            .publish(Some((A.0, "another")), "apps/app-one/x", "1")
            .status
            .success()
    );
    assert!(
        broker
            .publish(Some(("renamed", "another")), "apps/app-one/x", "1")
            .status
            .success()
    );
    let shown = client.observe_accounts().await.unwrap();
    let state = &shown[&wanted.instance];
    assert_eq!(state.username, Some("renamed".parse().unwrap()));
    assert!(
        state.intact
            && state
                .subscribe
                .iter()
                .map(TopicFilter::as_str)
                .eq(["events/#"])
    );
}

#[tokio::test]
async fn an_account_of_somebody_else_is_never_taken() {
    let (broker, client) = town().await;
    for taken in [ADMIN, OPERATOR.0, "app-two"] {
        let mut thief = account("app-three", "x", &[]);
        thief.username = taken.parse().unwrap();
        let refused = client.apply_account(&thief).await;
        assert!(
            matches!(refused, Err(BrokerError::UsernameTaken { .. })),
            "{taken}: {refused:?}"
        );
    }
    assert!(
        !client
            .remove_operator(&"app-two".parse().unwrap())
            .await
            .unwrap()
    );
    assert!(
        client
            .remove_operator(&OPERATOR.0.parse().unwrap())
            .await
            .unwrap()
    );
    assert!(
        !broker
            .publish(Some(OPERATOR), "sensors/x", "1")
            .status
            .success()
    );
    let refused = client
        .apply_account(&account("app-four", "a\0b", &[]))
        .await;
    assert!(
        matches!(refused, Err(BrokerError::Password { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_password_of_any_printable_text_works() {
    let (broker, client) = town().await;
    for odd in [
        "\"},{\"command\":\"x\"",
        "a b'c\\d",
        "äöü€",
        &"p".repeat(256),
    ] {
        client
            .apply_account(&account("odd", odd, &[]))
            .await
            .unwrap();
        assert!(
            broker
                .publish(Some(("odd", odd)), "apps/odd/x", "1")
                .status
                .success(),
            "{odd:?}"
        );
    }
}

#[tokio::test]
async fn accounts_outlive_the_broker_and_a_new_client_sees_them_in_pages() {
    let (mut broker, client) = town().await;
    for n in 0..40 {
        client
            .apply_account(&account(&format!("many-{n}"), "x", &["sensors/#"]))
            .await
            .unwrap();
    }
    let before = client.observe_accounts().await.unwrap();
    assert_eq!(before.len(), 42);
    assert!(before.values().all(|state| state.intact));
    broker.stop();
    broker.start();
    let again = broker.connected().await;
    assert_eq!(again.observe_accounts().await.unwrap(), before);
    assert!(
        !again
            .apply_account(&account(A.0, A.1, &["sensors/+/temperature"]))
            .await
            .unwrap()
    );
    // The first client finds its way back, too.
    tokio::time::timeout(PATIENCE, client.connected())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_wrong_password_of_edged_is_told_and_a_request_fails_at_once() {
    let broker = Broker::started();
    let mut config = broker.config();
    config.password = Secret::new("wrong");
    let (client, task) = BrokerClient::connect(config);
    let task = tokio::spawn(task.run());
    let refused = |state: &ConnectionState| {
        matches!(
            state,
            ConnectionState::Disconnected {
                reason: DisconnectReason::Refused(_),
                ..
            }
        )
    };
    let mut state = client.state();
    tokio::time::timeout(PATIENCE, state.wait_for(refused))
        .await
        .unwrap()
        .unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(4), client.observe_accounts())
        .await
        .unwrap();
    assert!(
        matches!(answer, Err(BrokerError::Disconnected { .. })),
        "{answer:?}"
    );
    drop(client);
    tokio::time::timeout(PATIENCE, task)
        .await
        .expect("the task ends with its handle")
        .unwrap();
}

#[tokio::test]
async fn an_account_that_may_not_control_is_told_so() {
    let (broker, _client) = town().await;
    let mut config = broker.config();
    (config.username, config.password) = (OPERATOR.0.parse().unwrap(), Secret::new(OPERATOR.1));
    let (client, task) = BrokerClient::connect(config);
    let task = tokio::spawn(task.run());
    let refused = |state: &ConnectionState| {
        matches!(
            state,
            ConnectionState::Disconnected {
                reason: DisconnectReason::NoControl,
                ..
            }
        )
    };
    tokio::time::timeout(PATIENCE, client.state().wait_for(refused))
        .await
        .unwrap()
        .unwrap();
    task.abort();
}

#[tokio::test]
async fn a_broker_that_somebody_else_set_up_is_bootstrapped() {
    let mut broker = Broker::prepared();
    broker.set_up_by_mosquitto_ctrl();
    broker.start();
    let client = broker.connected().await;
    client.bootstrap().await.unwrap();
    client
        .apply_account(&account(A.0, A.1, &["events/#"]))
        .await
        .unwrap();
    let app = broker.listen(A, &["events/#"]);
    let topic = "events/instances/a".parse().unwrap();
    client
        .publish_event(&topic, &1, false)
        .unwrap()
        .await
        .unwrap();
    app.await_message("events/instances/a 1");
    assert!(broker.may_subscribe(
        (ADMIN, ADMIN_PASSWORD),
        "$CONTROL/dynamic-security/v1/response"
    ));
}
