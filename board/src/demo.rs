//! `cargo board demo`: the main job on real input, each step in one line with its time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::client::{Node, until};
use crate::install::{self, Consent};
use crate::registry::Registry;
use crate::{image, process, workspace};

/// The application's name on the node.
const APP: &str = "sensor-page";
/// Its port.
const PORT: u16 = 8080;
/// Longest wait for anything that should be there at once.
const SOON: Duration = Duration::from_secs(10);
/// What the sensors say.
const READINGS: [(&str, &str); 3] = [
    ("sensors/hall-1/temperature", "21.5"),
    ("sensors/hall-1/humidity", "44"),
    ("sensors/gate/open", "false"),
];

/// What the demo may do.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Missing packages.
    #[command(flatten)]
    pub consent: Consent,
}

/// Shows the main job; an error names the step and the reason.
pub fn run(options: &Options) -> anyhow::Result<()> {
    install::ensure(
        options.consent,
        &[install::BUILD, install::HOST, install::DEMO],
    )?;
    let programs = step("build the programs", || {
        workspace::build(workspace::Profile::Dev)
    })?;
    let program = step("build the sample application, static", || {
        workspace::build_static(APP)
    })?;
    let scratch = Scratch::new()?;
    let begun = Instant::now();
    let result = show(&programs, &program, &scratch.0);
    if result.is_ok() {
        println!("✓ done in {:.1} s", begun.elapsed().as_secs_f64());
        println!("\nLook around yourself:");
        println!(
            "  cargo board host --plain-http   a node until Ctrl-C; its line of JSON says where everything is"
        );
        println!(
            "  edgectl --help                  the operator's verbs, in {}",
            programs.display()
        );
    }
    result
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
    let name = format!("{APP}.app.edge.mec.internal");
    let address = step(&format!("dig {name}"), || {
        let addresses = node.dig(&name, "A")?;
        addresses
            .into_iter()
            .next()
            .context("the name has no address")
    })?;
    let page = Page { name, address };
    step("curl its page by name", || {
        let html = page.get("/")?;
        ensure!(
            html.contains("<title>Sensor readings"),
            "not the page: {html}"
        );
        Ok(())
    })?;
    step("mosquitto_pub: three sensors speak, the page knows", || {
        heard(&node, &page)
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
        until(SOON, || {
            Ok(node.dig(&page.name, "A")?.is_empty().then_some(()))
        })
    })?;
    step(
        "stop the node: links, groups, mounts and accounts go with it",
        || node.stop(),
    )
}

/// Publishes until the page shows everything: the application may still be about to subscribe.
fn heard(node: &Node, page: &Page) -> anyhow::Result<()> {
    until(SOON, || {
        for (topic, value) in READINGS {
            process::output(
                node.mosquitto("mosquitto_pub")
                    .args(["-t", topic, "-m", value]),
            )?;
        }
        let shown = page.readings()?;
        let readings = shown.get("readings");
        let all = READINGS.iter().all(|(topic, value)| {
            let reading = readings.and_then(|all| all.get(topic));
            reading
                .and_then(|reading| reading.get("value"))
                .and_then(Value::as_str)
                == Some(value)
        });
        Ok(all.then_some(()))
    })
}

fn untouched(node: &Node, page: &Page, before: &Value) -> anyhow::Result<()> {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let after = page.readings()?;
    ensure!(
        number(&after, "uptimeMs") >= number(before, "uptimeMs"),
        "it was started again: {before} then {after}"
    );
    let (topic, value) = ("sensors/hall-1/temperature", "22.5");
    process::output(
        node.mosquitto("mosquitto_pub")
            .args(["-t", topic, "-m", value]),
    )?;
    until(SOON, || {
        let now = page.readings()?;
        Ok((number(&now, "messages") > number(before, "messages")).then_some(()))
    })
    .context("it does not hear the sensors any more")
}

/// The application's page.
struct Page {
    name: String,
    address: String,
}

impl Page {
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let Self { name, address } = self;
        process::output(
            Command::new("curl")
                .args(["--silent", "--show-error", "--fail", "--max-time", "2"])
                .args(["--noproxy", "*"])
                .args(["--resolve", &format!("{name}:{PORT}:{address}")])
                .arg(format!("http://{name}:{PORT}{path}")),
        )
    }

    fn readings(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get("/api/readings")?)?)
    }
}

fn step<T>(name: &str, act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    match act() {
        Ok(value) => {
            println!("✓ {name} … {:.2} s", begun.elapsed().as_secs_f64());
            Ok(value)
        }
        Err(error) => {
            println!("✗ {name} … {:.2} s", begun.elapsed().as_secs_f64());
            Err(error.context(format!("step failed: {name}")))
        }
    }
}

/// A folder that goes when the demo goes.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("board-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("board: cannot remove {}: {error}", self.0.display());
        }
    }
}
