//! From the instances that are wanted to the policy of the box.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use edged_config::Addressing;
use edged_model::{AppInstance, AppName, InstanceId, Lease, PublishedPort, Rules};
use edged_protocol::guardian::{Abilities, AppPolicy, OwnedRule, Policy};

use crate::feasible::{Room, feasible};

/// The policy for exactly these instances, ordered by place; the caller leaves out those that are not to be reached.
///
/// A name in `reach` leads to all of these instances of that name; a name that nobody has leads nowhere, and starts to
/// lead somewhere when the name appears and the policy is made again. Of two instances that want the same port of the
/// box the one with the lower place has it ([`crate::validate`] refuses the second; stored ones must not block the rest).
pub fn policy_of<'a>(
    instances: impl IntoIterator<Item = &'a AppInstance>,
    addressing: &Addressing,
) -> Policy {
    let mut running: Vec<&AppInstance> = instances
        .into_iter()
        .filter(|instance| instance.lease.get() <= addressing.places())
        .collect();
    running.sort_by_key(|instance| instance.lease);
    running.dedup_by_key(|instance| instance.lease);

    let mut named: BTreeMap<&AppName, Vec<Lease>> = BTreeMap::new();
    for instance in &running {
        let lease = addressing.lease(instance.lease);
        named.entry(&instance.spec.name).or_default().push(lease);
    }
    let mut taken = BTreeSet::new();
    let mut free = |port: &PublishedPort| {
        port.host != 0 && port.container != 0 && taken.insert((port.host, port.protocol))
    };
    let apps = running.iter().map(|instance| {
        let lease = addressing.lease(instance.lease);
        let network = &instance.spec.network;
        let reach: BTreeSet<IpAddr> = network
            .reach
            .iter()
            .filter_map(|name| named.get(name))
            .flatten()
            .filter(|target| target.number != lease.number)
            .flat_map(|target| [IpAddr::V4(target.v4), IpAddr::V6(target.v6)])
            .collect();
        AppPolicy {
            instance: instance.id.clone(),
            lease,
            reach: reach.into_iter().collect(),
            publish: network.publish.iter().copied().filter(&mut free).collect(),
            egress: network.egress,
        }
    });
    Policy {
        apps: apps.collect(),
        ..Policy::default()
    }
}

/// The traffic rules of these owners that are active and that this box can keep, in the order of [`Policy::rules`]:
/// whatever order they come in, the result is the same, and the guardian takes it. A stored rule that the box cannot
/// keep (another kernel was started) or that there is no room for does not keep the others out.
pub fn rules_in_force<'a>(
    rules: impl IntoIterator<Item = (&'a InstanceId, &'a Rules)>,
    abilities: &Abilities,
) -> Vec<OwnedRule> {
    let mut active: Vec<_> = rules
        .into_iter()
        .flat_map(|(owner, rules)| rules.traffic.iter().map(move |rule| (owner, rule)))
        .filter(|(_, rule)| rule.active && feasible(rule, abilities).is_ok())
        .collect();
    active.sort_by_key(|(owner, rule)| (rule.priority, *owner, &rule.id));
    let mut room = Room::default();
    active
        .into_iter()
        .filter(|(_, rule)| room.take(rule))
        .map(|(owner, rule)| OwnedRule {
            owner: owner.clone(),
            rule: rule.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::tests::{config, instance};

    fn policy(instances: &[AppInstance]) -> Policy {
        policy_of(instances, &config("").addressing().unwrap())
    }

    #[test]
    fn a_name_leads_to_every_instance_of_it_and_to_no_other() {
        let all = [
            instance("target", 4, "{}"),
            instance("asker", 2, r#"{"reach":["target","nobody","asker"]}"#),
            instance("target", 3, "{}"),
        ];
        let policy = policy(&all);
        let places: Vec<u16> = policy.apps.iter().map(|a| a.lease.number.get()).collect();
        assert_eq!(places, [2, 3, 4]);
        let reach: Vec<String> = policy.apps[0].reach.iter().map(IpAddr::to_string).collect();
        assert_eq!(
            reach,
            [
                "10.80.0.3",
                "10.80.0.4",
                "fd00:6d65:63::3",
                "fd00:6d65:63::4"
            ]
        );
        assert!(policy.apps[1].reach.is_empty());
    }

    #[test]
    fn a_port_of_the_box_has_one_owner() {
        let wish = r#"{"publish":[{"host":8080,"container":80,"protocol":"tcp"}]}"#;
        let policy = policy(&[instance("b", 3, wish), instance("a", 2, wish)]);
        assert_eq!(policy.apps[0].publish.len(), 1);
        assert!(policy.apps[1].publish.is_empty());
    }

    #[test]
    fn the_order_of_the_instances_does_not_change_the_fingerprint() {
        let [a, b] = [
            instance("a", 2, r#"{"reach":["b"]}"#),
            instance("b", 3, "{}"),
        ];
        let one = policy(&[a.clone(), b.clone()]).fingerprint();
        assert_eq!(one, policy(&[b, a]).fingerprint());
    }

    #[test]
    fn rules_in_force_are_active_feasible_and_in_the_order_of_priority() {
        let rule = |id: &str, priority: u8, rest: &str| {
            format!(
                r#"{{"id":"{id}","filterType":"flow","priority":{priority},"action":"drop",{rest}}}"#
            )
        };
        let (on, off) = (
            r#""filters":[{}],"active":true"#,
            r#""filters":[{}],"active":false"#,
        );
        let rules = |list: &[String]| -> Rules {
            serde_json::from_str(&format!(r#"{{"traffic":[{}]}}"#, list.join(","))).unwrap()
        };
        let one = rules(&[
            rule("late", 9, on),
            rule("off", 0, off),
            rule("early", 1, on),
        ]);
        let impossible = r#""filters":[{"qci":1}],"active":true"#;
        let two = rules(&[rule("b", 1, on), rule("never", 0, impossible)]);
        let owners: [InstanceId; 2] = ["i1", "i2"].map(|id| id.parse().unwrap());
        let order = |pairs: Vec<(&InstanceId, &Rules)>| -> Vec<String> {
            let rules = rules_in_force(pairs, &Abilities::default());
            rules
                .iter()
                .map(|owned| owned.rule.id.to_string())
                .collect()
        };
        let expected = ["early", "b", "late"];
        assert_eq!(
            order(vec![(&owners[0], &one), (&owners[1], &two)]),
            expected
        );
        assert_eq!(
            order(vec![(&owners[1], &two), (&owners[0], &one)]),
            expected
        );
    }
}
