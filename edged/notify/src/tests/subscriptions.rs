//! Who is told: kept, bounded, ended.

use std::sync::atomic::Ordering;

use edged_model::InstanceId;
use serde_json::json;

use super::receiver::{Answer, Receiver, TAKEN};
use super::{Node, START, subscription};
use crate::{SubscribeError, Subscription, SubscriptionId};

const NOWHERE: &str = "http://127.0.0.1:9/";

#[tokio::test]
async fn subscriptions_survive_a_restart_and_are_told_as_before() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[TAKEN]).await;
    let mut wanted = subscription(&receiver.url());
    wanted.owner = Some(InstanceId::random());
    wanted.filter = json!({ "states": ["ACTIVE"] });
    wanted.expires = Some(START + 60);
    let first = node.subscriptions.add(wanted.clone()).unwrap();
    let gone = node.subscribe(NOWHERE);
    assert!(node.subscriptions.remove(&gone).unwrap());

    let node = node.restarted();
    let all = node.subscriptions.of_api("mec_app_support");
    assert_eq!(all, [first]);
    assert_eq!(*all[0], wanted);
    node.deliver(&wanted.id, 3..4);
    assert_eq!(receiver.numbers(1).await, [3]);
}

#[tokio::test]
async fn each_owner_sees_its_own_and_takes_them_along() {
    let node = Node::new();
    let (one, other) = (InstanceId::random(), InstanceId::random());
    let add = |api: &str, owner: Option<&InstanceId>| {
        let mut wanted = subscription(NOWHERE);
        wanted.owner = owner.cloned();
        wanted.api = api.to_owned();
        node.subscriptions.add(wanted).unwrap()
    };
    let first = add("mec_app_support", Some(&one));
    let second = add("mec_service_mgmt", Some(&one));
    let third = add("mec_app_support", Some(&other));
    let fourth = add("mec_app_support", None);
    let of = |owner| node.subscriptions.of_owner("mec_app_support", owner);
    assert_eq!(of(Some(&one)), std::slice::from_ref(&first));
    assert_eq!(of(None), std::slice::from_ref(&fourth));
    assert_eq!(
        node.subscriptions.of_api("mec_app_support"),
        [first, third.clone(), fourth.clone()]
    );
    node.subscriptions.remove_owner(&one).unwrap();
    assert_eq!(node.subscriptions.get(&second.id), None);
    assert!(!node.subscriptions.remove(&second.id).unwrap());
    node.subscriptions.keep_owners(|_| false).unwrap();
    let node = node.restarted();
    assert_eq!(node.subscriptions.of_api("mec_app_support"), [fourth]);
    assert_eq!(node.subscriptions.get(&third.id), None);
}

#[tokio::test]
async fn subscriptions_are_bounded_for_one_owner_and_in_all() {
    let node = Node::new();
    let add = |owner: &InstanceId| {
        let mut wanted = subscription(NOWHERE);
        wanted.owner = Some(owner.clone());
        node.subscriptions.add(wanted)
    };
    let mut made = 0;
    let full = loop {
        let owner = InstanceId::random();
        let refused = loop {
            match add(&owner) {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        match refused {
            SubscribeError::OwnerFull(has) => assert_eq!(has, 32),
            other => break other,
        }
    };
    assert!(matches!(full, SubscribeError::Full), "{full}");
    assert_eq!(made, 512);
}

#[tokio::test]
async fn what_cannot_be_a_subscription_is_refused_and_not_kept() {
    let node = Node::new();
    let taken = node.subscribe(NOWHERE);
    let with = |change: &dyn Fn(&mut Subscription)| {
        let mut wanted = subscription(NOWHERE);
        change(&mut wanted);
        node.subscriptions.add(wanted).unwrap_err()
    };
    let error = with(&|wanted| wanted.callback = None);
    assert!(matches!(error, SubscribeError::NoTarget));
    let error = with(&|wanted| wanted.expires = Some(START));
    assert!(matches!(error, SubscribeError::Expired(START)));
    let error = with(&|wanted| wanted.filter = json!("x".repeat(20_000)));
    assert!(matches!(error, SubscribeError::Large(_)));
    let error = with(&|wanted| wanted.id = taken.clone());
    assert!(matches!(error, SubscribeError::Exists(_)));
    let node = node.restarted();
    assert_eq!(node.subscriptions.of_api("mec_app_support").len(), 1);
}

#[tokio::test]
async fn at_its_deadline_a_subscription_says_so_and_ends() {
    let node = Node::new();
    let mut receiver = Receiver::new(&[Answer::Status("503 Not Now"), TAKEN]).await;
    let mut wanted = subscription(&receiver.url());
    wanted.expires = Some(START + 60);
    let kept = node.subscriptions.add(wanted).unwrap();
    assert_eq!(node.subscriptions.expire().unwrap(), 0);
    node.deliver(&kept.id, 1..2);
    node.clock.store(START + 60, Ordering::SeqCst);
    assert_eq!(node.subscriptions.expire().unwrap(), 1);
    assert_eq!(node.subscriptions.get(&kept.id), None);
    // What was told before comes before.
    assert_eq!(receiver.numbers(2).await, [1, 1]);
    let expected = json!({
        "notificationType": "ExpiryNotification",
        "expiryDeadline": { "seconds": START + 60, "nanoSeconds": 0 },
        "_links": { "subscription": { "href": kept.href } },
    });
    assert_eq!(receiver.next().await.body, expected);
    node.deliver(&kept.id, 9..10);
    node.counts(|counts| counts.sent == 2 && counts.queued == 0)
        .await;
    let node = node.restarted();
    assert_eq!(node.subscriptions.get(&kept.id), None);
}

#[tokio::test]
async fn an_expiry_nobody_hears_leaves_nothing_behind() {
    let node = Node::new();
    for callback in ["", NOWHERE] {
        let mut wanted = subscription(callback);
        wanted.expires = Some(START + 1);
        node.subscriptions.add(wanted).unwrap();
    }
    node.clock.store(START + 2, Ordering::SeqCst);
    assert_eq!(node.subscriptions.expire().unwrap(), 2);
    node.counts(|counts| counts.dropped == 2 && counts.queued == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_noticed_though_the_wall_clock_jumps() {
    let node = Node::new();
    let ended = |id: &SubscriptionId| node.subscriptions.get(id).is_none();
    let running = node.subscriptions.run_expiry();
    let watching = async {
        let add = |after: u64| {
            let mut wanted = subscription("");
            wanted.expires = Some(START + after);
            node.subscriptions.add(wanted).unwrap().id.clone()
        };
        let (far, near) = (add(1_000_000), add(10));
        node.clock.store(START + 10, Ordering::SeqCst);
        while !ended(&near) {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert!(!ended(&far));
        node.clock.store(START + 2_000_000, Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        while !ended(&far) {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(40));
    };
    tokio::select! {
        () = running => unreachable!(),
        () = watching => {}
    }
}
