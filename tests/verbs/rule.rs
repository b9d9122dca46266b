//! `rule`: traffic rules, seen by nft.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::box_of_rules::{RULED, Seeded, WAITING, drops};

#[test]
fn rules_are_listed_in_their_order_with_what_is_in_force() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let all = node.rows(&["rule", "ls"])?;
    ensure!(
        all == [
            [RULED, "first", "3", "PACKET", "DROP", "in force"],
            [RULED, "last", "10", "PACKET", "DROP", "inactive"],
            [
                WAITING,
                "early",
                "10",
                "PACKET",
                "DROP",
                "waits until ready"
            ],
        ],
        "{all:?}"
    );
    let one = node.rows(&["rule", "ls", WAITING])?;
    ensure!(one == all[2..], "{one:?}");
    let line = format!("rule ls {RULED} -o json");
    let json: Value = serde_json::from_str(&node.ssh(&line, "")?.done()?)?;
    ensure!(
        json[0]
            == json!({"app": RULED, "appInstanceId": RULED, "rule": "first", "state": "in-force", "priority": 3,
                "type": "PACKET", "action": "DROP"}),
        "{json}"
    );
    ensure!(node.in_kernel(RULED, "first")?.is_some());
    ensure!(node.in_kernel(RULED, "last")?.is_none());
    ensure!(node.in_kernel(WAITING, "early")?.is_none());
    node.end()
}

#[test]
fn a_rule_goes_out_of_the_kernel_and_comes_back_before_the_answer() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    for _ in 0..3 {
        let done = node.says(&["rule", "disable", RULED, "first"])?.done()?;
        ensure!(done == "first\n", "{done}");
        ensure!(node.in_kernel(RULED, "first")?.is_none());
        node.ssh(&format!("rule enable {RULED} first last"), "")?
            .done()?;
        ensure!(node.in_kernel(RULED, "first")?.is_some());
        ensure!(node.in_kernel(RULED, "last")?.is_some());
    }
    node.end()
}

#[test]
fn a_rule_is_replaced_by_what_inspect_shows_and_somebody_changed() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let shown = node.says(&["rule", "inspect", RULED, "first"])?.done()?;
    let mut rule: Value = serde_json::from_str(&shown)?;
    ensure!(rule == drops("first", 7, 3, "ACTIVE"), "{rule}");
    rule["trafficFilter"][0]["dstPort"] = json!(["4711"]);
    let set = ["rule", "set", RULED, "first"];
    let done = node.reads(&set, &rule)?.done()?;
    ensure!(done == "first\n", "{done}");
    let line = node.in_kernel(RULED, "first")?.unwrap_or_default();
    ensure!(line.contains("4711"), "{line}");
    let shown = node.says(&["rule", "inspect", RULED, "first"])?.done()?;
    ensure!(serde_json::from_str::<Value>(&shown)? == rule, "{shown}");
    rule["state"] = json!("INACTIVE");
    let line = format!("rule set {RULED} first");
    node.ssh(&line, &rule.to_string())?.done()?;
    ensure!(node.in_kernel(RULED, "first")?.is_none());
    node.end()
}

#[test]
fn what_the_box_cannot_do_is_refused_and_nothing_changes() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let before = node.in_kernel(RULED, "first")?;
    ensure!(before.is_some());
    let set = ["rule", "set", RULED, "first"];
    let inspect = format!("`rule inspect {RULED} first`");
    // Asleep as well: it is never accepted and then ignored.
    for state in ["ACTIVE", "INACTIVE"] {
        let mut rule = drops("first", 4711, 3, state);
        rule["trafficFilter"][0]["qCI"] = json!(7);
        node.reads(&set, &rule)?
            .refused("traffic rule first cannot be kept on this box", &inspect)?;
    }
    let mut rule = drops("first", 4711, 3, "ACTIVE");
    rule["trafficFilter"][0]["dstPort"] = json!(["99999"]);
    node.reads(&set, &rule)?
        .refused("trafficFilter/dstPort: \"99999\"", "nothing has changed")?;
    rule["trafficFilter"] = json!([]);
    node.reads(&set, &rule)?
        .refused("trafficFilter", "nothing has changed")?;
    node.says(&set)?
        .refused("it is empty, JSON is needed", "nothing has changed")?;
    ensure!(node.in_kernel(RULED, "first")? == before);
    let shown = node.says(&["rule", "inspect", RULED, "first"])?.done()?;
    let shown: Value = serde_json::from_str(&shown)?;
    ensure!(shown == drops("first", 7, 3, "ACTIVE"), "{shown}");
    node.says(&["rule", "enable", WAITING, "early"])?
        .refused("is not ready", "disabled at any time")?;
    ensure!(node.in_kernel(WAITING, "early")?.is_none());
    node.end()
}

#[test]
fn an_unknown_application_or_rule_says_where_to_look() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let lists = format!("`rule ls {RULED}`");
    for verb in ["inspect", "enable", "disable"] {
        node.says(&["rule", verb, RULED, "nothing"])?
            .refused("has no traffic rule nothing", &lists)?;
        node.says(&["rule", verb, "nobody", "first"])?
            .refused("there is no application \"nobody\"", "`ps` lists")?;
    }
    let rule = drops("nothing", 9, 1, "INACTIVE");
    node.reads(&["rule", "set", RULED, "nothing"], &rule)?
        .refused("has no traffic rule nothing", &lists)?;
    node.says(&["rule", "ls", "nobody"])?
        .refused("there is no application \"nobody\"", "`ps` lists")?;
    node.end()
}
