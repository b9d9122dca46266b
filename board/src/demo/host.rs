//! The main job on this machine: registry, image, application, sensors, name, page, and a killed edged.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::page::Page;
use super::{APP, NAME, PORT, Scratch, heard, step};
use crate::client::{Node, until};
use crate::registry::Registry;
use crate::{image, process, workspace};

/// Longest wait for anything that should be there at once.
const SOON: Duration = Duration::from_secs(10);

pub fn run() -> anyhow::Result<()> {
    let programs = step("build the programs", || {
        workspace::build(workspace::Profile::Dev)
    })?;
    let program = step("build the sample application, static", || {
        workspace::build_static(APP)
    })?;
    let scratch = Scratch::new()?;
    let begun = Instant::now();
    show(&programs, &program, &scratch.0)?;
    println!("✓ done in {:.1} s", begun.elapsed().as_secs_f64());
    println!("\nLook around yourself:");
    println!(
        "  cargo board host --plain-http   a node until Ctrl-C; its line of JSON says where everything is"
    );
    println!(
        "  edgectl --help                  the operator's verbs, in {}",
        programs.display()
    );
    Ok(())
}

fn show(programs: &Path, program: &Path, scratch: &Path) -> anyhow::Result<()> {
    let registry = step("start a registry (docker-registry)", || {
        Registry::start(&scratch.join("registry"))
    })?;
    let reference = step("build its image (umoci) and push it (skopeo)", || {
        let image = image::sensor_page(program, &scratch.join("layout"))?;
        registry.push(&image.layout, image.tag(), APP)
    })?;
    let node = step("start a node: edged, worker, guardian, broker", || {
        Node::start(programs, |command| {
            command.args(["--plain-http", "--insecure-registry", &registry.address]);
        })
    })?;
    step(&format!("edgectl pull {reference}"), || {
        node.verb(&["pull", &reference])
    })?;
    step(&format!("edgectl run {reference}"), || {
        let probe = format!("{PORT}/healthz");
        let service = format!("readings:{PORT}");
        let options = ["run", "--name", APP, "--mqtt-subscribe", "sensors/#"];
        let more = ["--health-http", &probe, "--service", &service, &reference];
        node.verb(&[&options[..], &more[..]].concat())
    })?;
    let address = step(&format!("dig {NAME}"), || {
        let addresses = node.dig(NAME, "A")?;
        addresses
            .into_iter()
            .next()
            .context("the name has no address")
    })?;
    let page = Page::by_name(&address);
    step("curl its page by name", || page.look())?;
    step("mosquitto_pub: three sensors speak, the page knows", || {
        heard(SOON, &page, |topic, value| publish(&node, topic, value))
    })?;
    let before = step("kill -9 edged", || {
        let before = page.readings()?;
        node.kill("edged")?;
        Ok(before)
    })?;
    step(
        "the application has not noticed: same process, still listening",
        || untouched(&node, &page, &before),
    )?;
    step("edgectl ps: edged is back and knows it", || {
        until(SOON, || {
            let shown = node.verb(&["ps"])?;
            Ok((shown.contains(APP) && shown.contains("ready")).then_some(()))
        })
    })?;
    step("edgectl rm: application, name and address are gone", || {
        node.verb(&["rm", "--force", APP])?;
        until(SOON, || Ok(node.dig(NAME, "A")?.is_empty().then_some(())))
    })?;
    step(
        "stop the node: links, groups, mounts and accounts go with it",
        || node.stop(),
    )
}

fn publish(node: &Node, topic: &str, value: &str) -> anyhow::Result<()> {
    process::output(
        node.mosquitto("mosquitto_pub")
            .args(["-t", topic, "-m", value]),
    )
    .map(drop)
}

fn untouched(node: &Node, page: &Page, before: &Value) -> anyhow::Result<()> {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let after = page.readings()?;
    ensure!(
        number(&after, "uptimeMs") >= number(before, "uptimeMs"),
        "it was started again: {before} then {after}"
    );
    publish(node, "sensors/hall-1/temperature", "22.5")?;
    until(SOON, || {
        let now = page.readings()?;
        Ok((number(&now, "messages") > number(before, "messages")).then_some(()))
    })
    .context("it does not hear the sensors any more")
}
