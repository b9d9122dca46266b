//! The main job in a box of its own: built from sources, verified stage by stage, commissioned over OpenSSH.
//!
//! Its image is loaded over SSH: the box speaks TLS to registries, and a registry of ours has no certificate that the
//! box would take.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use board_forge::{Cache, DebianRoot, tools};
use board_node::line::Line;
use board_node::network;
use board_node::port::free_port;
use board_qemu::{Changes, Folder, Forward, Guest, MOMENTS, Outcome, Parts};

use super::page::Page;
use super::{APP, NAME, PORT, Scratch, heard, step};
use crate::client::until;
use crate::{image, process};

/// The image's name in the archive, and then in the box.
const IMAGE: &str = "umec-demo/sensor-page:1";
/// Port of the box that leads to the application.
const PUBLISHED: u16 = 8081;
/// Longest wait for anything that should be there at once: what takes a tenth of a second takes five, emulated on a
/// busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Longest end of a box: systemd gives each of its units no more.
const END: Duration = Duration::from_secs(90);

/// What it takes to switch a box on.
struct Ground {
    root: DebianRoot,
    parts: Parts,
    folder: Folder,
    forward: Forward,
}

pub fn run() -> anyhow::Result<()> {
    let begun = Instant::now();
    println!(
        "Building a box. Each part is built once and kept; the first time takes about half an hour on two cores."
    );
    let cache = Cache::open()?;
    let parts = step(
        "the box: keys, firmware, kernel, programs, signed image",
        || Parts::build(&cache),
    )?;
    let root = step("QEMU and a TPM for it", || tools(&cache))?;
    let program = step("the sample application for aarch64, static", || {
        board_cross::application(&cache, APP)
    })?;
    let built = begun.elapsed();
    if rustix::process::geteuid().is_root() {
        // What the box says stays on this machine.
        network::enclose()?;
    }
    let folder = Folder::open(None)?;
    folder.furnish(&parts)?;
    let ground = Ground {
        root,
        parts,
        folder,
        forward: Forward {
            here: free_port()?,
            there: PUBLISHED,
        },
    };
    let scratch = Scratch::new()?;
    let archive = step("build its image (umoci) and a signed archive", || {
        archive(&program, &scratch.0)
    })?;
    show(&ground, &archive)?;
    println!(
        "✓ done in {:.0} s, {:.0} s of it to build or to find what is built",
        begun.elapsed().as_secs_f64(),
        built.as_secs_f64()
    );
    println!("\nLook around yourself:");
    println!(
        "  cargo board qemu --dir DIR      a box until Ctrl-C; its line of JSON says where everything is"
    );
    println!(
        "  cargo board qemu --tamper WHAT  flips one bit of it first, and shows who refuses it"
    );
    Ok(())
}

fn archive(program: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    let image = image::sensor_page(program, &scratch.join("layout"))?;
    image.configure(&["--architecture=arm64"])?;
    let archive = scratch.join("sensor-page.tar");
    image.signed_archive(&archive, IMAGE)?;
    Ok(archive)
}

fn show(ground: &Ground, archive: &Path) -> anyhow::Result<()> {
    let guest = ground.power_on("power on")?;
    let answer = step("ssh commission < operator.pub", || {
        guest.commission(&ground.parts.commissioning)
    })?;
    indented(&answer);
    let line = access(&guest)?;
    told(&guest, &["status"], None)?;
    told(
        &guest,
        &["trust", "keys", "add", "maker"],
        Some(&image::maker(archive)),
    )?;
    told(&guest, &["load"], Some(archive))?;
    let probe = format!("{PORT}/healthz");
    let (service, publish) = (format!("readings:{PORT}"), format!("{PUBLISHED}:{PORT}"));
    let words = ["run", "--name", APP, "--publish", &publish];
    let more = ["--mqtt-subscribe", "sensors/#", "--health-http", &probe];
    let rest = ["--service", &service, IMAGE];
    told(&guest, &[&words[..], &more, &rest].concat(), None)?;
    named(&line)?;
    let page = Page::forwarded(ground.forward.here);
    step("curl its page through the box's port", || {
        until(SOON, || page.look().map(Some))
    })?;
    step("mosquitto_pub: three sensors speak, the page knows", || {
        heard(SOON, &page, |topic, value| {
            publish_reading(&line, topic, value)
        })
    })?;
    indented(&serde_json::to_string(&page.readings()?)?);
    told(&guest, &["ps"], None)?;
    step("cut the power", || guest.machine.cut())?;
    let guest = ground.power_on("power on again: the TPM opens its data")?;
    step("the page is there again, by itself", || {
        until(SOON, || page.look().map(Some))
    })?;
    let line = access(&guest)?;
    named(&line)?;
    told(&guest, &["rm", "--force", APP], None)?;
    step("its name is gone", || {
        until(SOON, || Ok(dig(&line, "+notcp")?.is_empty().then_some(())))
    })?;
    step("ssh poweroff", || off(guest))
}

impl Ground {
    /// Switches the box on, and says when each stage had its turn.
    fn power_on(&self, name: &str) -> anyhow::Result<Guest<'_>> {
        let changes = Changes {
            forwards: vec![self.forward],
            once: true,
            ..Changes::default()
        };
        let guest = step(name, || {
            let guest = Guest::start(&self.root, &self.folder, &changes)?;
            match guest.outcome(&|| false)? {
                Outcome::Ready => Ok(guest),
                Outcome::Refused(stage) => {
                    bail!("{stage} refuses it: {}", guest.machine.console.last(1))
                }
                Outcome::Stopped => bail!("it was stopped"),
            }
        })?;
        let lines = guest.machine.console.lines();
        for (stage, words) in MOMENTS {
            if let Some(line) = lines.iter().find(|line| line.text.contains(words)) {
                println!("    {:>6.2} s  {stage}", line.at.as_secs_f64());
            }
        }
        Ok(guest)
    }
}

/// An operator's verb over OpenSSH, and what the box answered.
fn told(guest: &Guest<'_>, words: &[&str], input: Option<&Path>) -> anyhow::Result<()> {
    let from = input.and_then(Path::file_name);
    let from = from.map(|name| format!(" < {}", name.display()));
    let name = format!("ssh {}{}", words.join(" "), from.unwrap_or_default());
    let answer = step(&name, || guest.door()?.told(words, input))?;
    indented(&answer);
    Ok(())
}

fn indented(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}

fn access(guest: &Guest<'_>) -> anyhow::Result<Line> {
    step("ssh access", || {
        let line = guest.line()?;
        line.context("the operator's key does not open the box")
    })
}

/// The name, over UDP and TCP.
fn named(line: &Line) -> anyhow::Result<()> {
    for protocol in ["+notcp", "+tcp"] {
        let answer = step(&format!("dig {protocol} {NAME}"), || {
            let answer = dig(line, protocol)?;
            ensure!(!answer.is_empty(), "the name has no address");
            Ok(answer)
        })?;
        indented(&answer);
    }
    Ok(())
}

fn dig(line: &Line, protocol: &str) -> anyhow::Result<String> {
    let answer = process::output(
        Command::new("dig")
            .args(["+short", "+tries=2", "+time=5", protocol])
            .arg(format!("@{}", line.dns.host))
            .args(["-p", &line.dns.port.to_string(), NAME, "A"]),
    )?;
    Ok(answer.trim().to_owned())
}

fn publish_reading(line: &Line, topic: &str, value: &str) -> anyhow::Result<()> {
    let mqtt = &line.mqtt;
    process::output(
        Command::new("mosquitto_pub")
            .arg("--cafile")
            .arg(&line.ca)
            .args(["-h", &Ipv4Addr::LOCALHOST.to_string()])
            .args(["-p", &mqtt.tls_port.to_string()])
            .args(["-u", &mqtt.user, "-P", &mqtt.password])
            .args(["-q", "1", "-t", topic, "-m", value]),
    )
    .map(drop)
}

fn off(mut guest: Guest<'_>) -> anyhow::Result<()> {
    guest.door()?.told(&["poweroff"], None)?;
    until(END, || Ok(guest.machine.is_off()?.then_some(())))
}
