//! `dns`: DNS rules, seen by dig.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::box_of_rules::{RULED, Seeded, WAITING, names};

const NAME: &str = "maps.example.org";

#[test]
fn dig_sees_a_dns_rule_as_long_as_it_is_enabled() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let all = node.rows(&["dns", "ls"])?;
    ensure!(
        all == [
            [RULED, "maps", NAME, "192.0.2.80", "60", "inactive"],
            [
                WAITING,
                "tiles",
                "tiles.example.org",
                "192.0.2.81",
                "30",
                "inactive"
            ],
        ],
        "{all:?}"
    );
    ensure!(node.dig(NAME)?.is_empty());
    for _ in 0..3 {
        node.says(&["dns", "enable", RULED, "maps"])?.done()?;
        ensure!(node.dig(NAME)? == ["192.0.2.80"]);
        node.ssh(&format!("dns disable {RULED} maps"), "")?.done()?;
        ensure!(node.dig(NAME)?.is_empty());
    }
    node.end()
}

#[test]
fn a_dns_rule_is_replaced_or_refused() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let set = ["dns", "set", RULED, "maps"];
    let new = names("maps", "192.0.2.99", 5, "ACTIVE");
    node.reads(&set, &new)?.done()?;
    ensure!(node.dig(NAME)? == ["192.0.2.99"]);
    let row = node.rows(&["dns", "ls", RULED])?;
    ensure!(
        row == [[RULED, "maps", NAME, "192.0.2.99", "5", "in force"]],
        "{row:?}"
    );
    let mut bad = new.clone();
    bad["ipAddressType"] = json!("IP_V6");
    node.reads(&set, &bad)?
        .refused("ipAddress: 192.0.2.99", "nothing has changed")?;
    ensure!(node.dig(NAME)? == ["192.0.2.99"]);
    let shown = node.says(&["dns", "inspect", RULED, "maps"])?.done()?;
    ensure!(serde_json::from_str::<Value>(&shown)? == new, "{shown}");
    node.says(&["dns", "enable", WAITING, "tiles"])?
        .refused("is not ready", "disabled at any time")?;
    node.says(&["dns", "enable", RULED, "tiles"])?
        .refused("has no DNS rule tiles", &format!("`dns ls {RULED}`"))?;
    node.end()
}
