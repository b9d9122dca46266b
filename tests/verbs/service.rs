//! `service`: the registry.

use anyhow::ensure;
use serde_json::Value;

use crate::box_of_rules::{RULED, Seeded};

#[test]
fn services_are_listed_shown_and_withdrawn() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let all = node.rows(&["service", "ls"])?;
    let row = |id: &str, name: &str| {
        let uri = format!("http://{id}.example.org/");
        [name, id, RULED, "active", "1.2", "REST_HTTP", &uri].map(str::to_owned)
    };
    ensure!(
        all == [
            row("camera-1", "camera"),
            row("meter-1", "meter"),
            row("meter-2", "meter"),
        ],
        "{all:?}"
    );
    for wanted in ["camera", "camera-1"] {
        let shown = node.ssh(&format!("service inspect {wanted}"), "")?.done()?;
        let shown: Value = serde_json::from_str(&shown)?;
        ensure!(shown["serInstanceId"] == "camera-1", "{shown}");
        let uri = &shown["transportInfo"]["endpoint"]["uris"][0];
        ensure!(uri == "http://camera-1.example.org/", "{shown}");
    }
    node.says(&["service", "inspect", "meter"])?
        .refused("several services are called \"meter\"", "by its id")?;
    node.says(&["service", "rm", "nothing"])?
        .refused("there is no service \"nothing\"", "`service ls`")?;
    let gone = node.says(&["service", "rm", "camera-1", "meter-2"])?;
    ensure!(gone.done()? == "camera-1\nmeter-2\n");
    let left = node.rows(&["service", "ls"])?;
    ensure!(left == [row("meter-1", "meter")], "{left:?}");
    node.says(&["service", "rm", "meter-1"])?.done()?;
    ensure!(node.rows(&["service", "ls"])?.is_empty());
    node.end()
}

#[test]
fn a_service_that_its_application_was_deployed_with_stays() -> anyhow::Result<()> {
    let node = Seeded::start()?;
    let id = node.run_with_service("page", "page:80")?;
    let rows = node.rows(&["service", "ls"])?;
    let own = rows
        .iter()
        .find(|row| row.first().is_some_and(|name| name == "page"));
    let own = own.map(|row| row.get(..4).unwrap_or_default());
    let service = format!("{id}.page");
    ensure!(
        own.is_some_and(|own| own == ["page", &service, "page", "active"]),
        "{rows:?}"
    );
    let refused = node.says(&["service", "rm", &service])?;
    ensure!(
        refused.code == Some(1) && refused.err.contains("goes with it"),
        "{refused:?}"
    );
    ensure!(node.rows(&["service", "ls"])? == rows);
    // It has a name, and no rules.
    ensure!(node.rows(&["rule", "ls", "page"])?.is_empty());
    ensure!(node.rows(&["dns", "ls", &id])?.is_empty());
    node.end()
}
