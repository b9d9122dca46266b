//! How long it takes to put a traffic rule in force beside others.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Client, Means, Measure, Row, Scratch, seed};
use crate::bench::sample::{Contender, by_turns, milliseconds};
use crate::client::Node;

/// Activations of each node's rule.
const ROUNDS: u32 = 100;
/// Rules in force, the one that is put in force among them.
const PRESENT: [usize; 3] = [1, 100, 1_000];
/// Rules of one application.
const OF_EACH: usize = 50;
/// What is put in force and out of it.
const RULE: &str = "changing";

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("mec-rules")?;
    let start = |present| begin(means, &scratch, present);
    let mut nodes = PRESENT
        .into_iter()
        .map(start)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let path = format!(
        "/mec_app_support/v1/applications/{}/traffic_rules/{RULE}",
        seed::id(0)
    );
    let mut contenders = Vec::new();
    for (present, (_, client)) in PRESENT.into_iter().zip(&mut nodes) {
        let path = path.as_str();
        contenders.push(Contender::new(
            format!("the last of {present}"),
            move || {
                let begun = Instant::now();
                client.ask("PUT", path, Some(&changing("ACTIVE")), 200)?;
                let took = begun.elapsed();
                client.ask("PUT", path, Some(&changing("INACTIVE")), 200)?;
                Ok(milliseconds(took))
            },
        ));
    }
    let mut rows: Vec<Row> = Vec::new();
    for (who, outcome) in by_turns(means.rounds(ROUNDS), contenders) {
        match outcome {
            Ok(samples) => {
                rows.push(Row::of(who, "ms", &samples));
                let worst = samples.percentile(99);
                rows.extend(worst.map(|worst| Row::single("  99 of 100 within", "ms", worst)));
            }
            Err(reason) => rows.push(Row::missing(who, "ms", reason)),
        }
    }
    for (node, client) in nodes {
        drop(client);
        node.stop()?;
    }
    Ok(Measure {
        work: "activation of a traffic rule: PUT sent to its answer, with so many rules in force".to_owned(),
        aim: "flat".to_owned(),
        rows,
        notes: vec![
            "Answered when it is durable and the kernel has it. Three nodes by turns; between two activations the rule is put out of force, which is not in the figures.".to_owned(),
            format!("The others are of all actions, {OF_EACH} of an application, each with an address and a port of its own."),
        ],
    })
}

fn begin(means: &Means, scratch: &Scratch, present: usize) -> anyhow::Result<(Node, Client)> {
    let others: Vec<Value> = (1..present).map(other).collect();
    let mut instances = vec![seed::instance(0, "trafficRules", &[changing("INACTIVE")])];
    for (number, rules) in others.chunks(OF_EACH).enumerate() {
        instances.push(seed::instance(number + 1, "trafficRules", rules));
    }
    let node = super::node(means, scratch, &seed::of(&instances))?;
    let client = Client::new(&node)?;
    Ok((node, client))
}

fn changing(state: &str) -> Value {
    json!({"trafficRuleId": RULE, "filterType": "FLOW", "priority": 100, "action": "DROP", "state": state,
        "trafficFilter": [{"dstAddress": ["198.51.100.1"], "dstPort": ["7"], "protocol": ["udp"]}]})
}

/// Rules that the changing one is beside: of all actions by turns.
fn other(number: usize) -> Value {
    let to = |last: usize| json!({"interfaceType": "IP", "dstIpAddress": format!("192.0.2.{}", 1 + last % 250)});
    let (action, ends) = match number % 4 {
        0 => ("PASSTHROUGH", Value::Null),
        1 => ("FORWARD_ENCAPSULATED", to(number)),
        2 => (
            "DUPLICATE_ENCAPSULATED",
            json!([to(number), to(number + 1)]),
        ),
        _ => ("DROP", Value::Null),
    };
    json!({
        "trafficRuleId": format!("other-{number}"), "filterType": "FLOW", "priority": number % 256, "state": "ACTIVE",
        "action": action, "dstInterface": ends, "trafficFilter": [{
            "dstAddress": [format!("198.18.{}.{}", number / 256, number % 256)],
            "dstPort": [(10_000 + number).to_string()], "protocol": ["tcp"],
        }],
    })
}
