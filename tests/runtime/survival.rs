//! kill -9 of each process while applications serve and a subscriber counts.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use board::client::until;
use board::{check, image, process};
use umec_tests::images;
use umec_tests::lab::{Lab, SOON, full};

/// Kills of edged in CI, and in a whole campaign.
const KILLS: (u64, u64) = (20, 100);
/// Messages published between two kills.
const BURST: u64 = 5;

#[test]
fn applications_and_messages_outlive_edged() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    let names = ["one", "two", "three"];
    for name in names {
        lab.run(name, &["--health-http", "8080/"], &web)?;
    }
    let inits: Vec<u64> = names
        .iter()
        .map(|name| lab.init_of(name))
        .collect::<anyhow::Result<_>>()?;
    let addresses: Vec<String> = names
        .iter()
        .map(|name| lab.address(name))
        .collect::<anyhow::Result<_>>()?;
    let counter = Counter::start(&lab)?;
    let kills = if full() { KILLS.1 } else { KILLS.0 };
    for round in 0..kills {
        lab.node.kill("edged")?;
        // Straight after the kill, before edged is back: the applications and the broker do not need it.
        for address in &addresses {
            let answer = umec_tests::lab::fetch(&format!("http://{address}:8080/"))?;
            ensure!(answer == "busybox speaking\n", "round {round}: {answer}");
        }
        for message in 0..BURST {
            Counter::publish(&lab, round * BURST + message)?;
        }
        until(SOON, || lab.node.verb(&["ps"]).map(Some))
            .with_context(|| format!("round {round}: edged does not answer"))?;
    }
    for (name, init) in names.iter().zip(&inits) {
        lab.wait_ready(name)?;
        ensure!(lab.init_of(name)? == *init, "{name} was started again");
    }
    counter.finish(kills * BURST)?;
    lab.node.stop()
}

/// A subscriber of the operator's account.
struct Counter {
    child: std::process::Child,
    heard: Arc<AtomicU64>,
}

impl Counter {
    fn start(lab: &Lab) -> anyhow::Result<Self> {
        let mut child = lab
            .node
            .mosquitto("mosquitto_sub")
            .args(["-q", "1", "-t", "sensors/campaign/#"])
            .stdout(Stdio::piped())
            .spawn()?;
        let heard = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&heard);
        let stdout = child.stdout.take().context("no output")?;
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A probe says that the subscription stands; it is not counted.
                if line == "probe" {
                    count.fetch_max(1 << 32, Ordering::SeqCst);
                } else {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let counter = Self { child, heard };
        until(SOON, || {
            Self::say(lab, "probe")?;
            Ok((counter.heard.load(Ordering::SeqCst) >= 1 << 32).then_some(()))
        })
        .context("the subscriber hears nothing")?;
        Ok(counter)
    }

    fn say(lab: &Lab, text: &str) -> anyhow::Result<()> {
        let topic = "sensors/campaign/count";
        process::output(
            lab.node
                .mosquitto("mosquitto_pub")
                .args(["-q", "1", "-t", topic, "-m", text]),
        )
        .map(drop)
    }

    fn publish(lab: &Lab, number: u64) -> anyhow::Result<()> {
        Self::say(lab, &number.to_string())
    }

    fn finish(&self, sent: u64) -> anyhow::Result<()> {
        until(SOON, || {
            let heard = self.heard.load(Ordering::SeqCst) & 0xffff_ffff;
            ensure!(heard == sent, "{heard} of {sent} messages arrived");
            Ok(Some(()))
        })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_node_heals_after_a_kill_of_each_other_process() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let program = std::env::var_os(check::SENSOR_PAGE).map_or_else(
        || board::workspace::build_static("sensor-page"),
        |path| Ok(path.into()),
    )?;
    let page = lab.image("sensor-page", |layout| image::sensor_page(&program, layout))?;
    let web = lab.image("web", |layout| {
        images::busybox(layout, "exec httpd -f -p 8080 -h /srv")
    })?;
    lab.run(
        "page",
        &[
            "--health-http",
            "8080/healthz",
            "--mqtt-subscribe",
            "sensors/#",
        ],
        &page,
    )?;
    lab.run("web", &["--health-http", "8080/"], &web)?;
    let init = lab.init_of("page")?;
    for killed in ["worker", "guardian", "broker"] {
        lab.node.kill(killed)?;
        ensure!(
            lab.get("page", 8080, "/healthz")? == "ok\n",
            "{killed} took the application with it"
        );
        until(SOON, || lab.node.verb(&["status"]).map(Some))
            .with_context(|| format!("not healed after {killed}"))?;
        lab.wait_ready("page")?;
        ensure!(
            lab.init_of("page")? == init,
            "{killed}: the application was started again"
        );
        // The healed part does new work.
        lab.run(
            "new",
            &["--health-http", "8080/", "--mqtt-subscribe", "sensors/#"],
            &web,
        )
        .with_context(|| format!("a new application after {killed}"))?;
        lab.node.verb(&["rm", "--force", "new"])?;
        until(SOON, || {
            process::output(lab.node.mosquitto("mosquitto_pub").args([
                "-t",
                "sensors/x/y",
                "-m",
                killed,
            ]))?;
            Ok(lab
                .get("page", 8080, "/api/readings")?
                .contains(killed)
                .then_some(()))
        })
        .with_context(|| format!("the application hears no sensors after {killed}"))?;
    }
    lab.node.stop()
}
