//! Memory and processor time of the platform while nothing happens.

use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::peers::{self, Containerd, Service};
use super::report::{Measure, Row};
use super::scratch::Scratch;
use super::{Means, usage};
use crate::client::Node;
use crate::host::free_port;
use crate::image::Image;
use crate::registry::Registry;

/// The platform's own processes.
const PROCESSES: [&str; 3] = ["edged", "worker", "guardian"];
/// After the last event: watches, retries and buffers have settled.
const SETTLE: Duration = Duration::from_secs(5);
/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// Applications that do nothing.
const APPS: u32 = 10;

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("memory")?;
    let registry = Registry::start(&scratch.folder("registry")?)?;
    let image = image(&scratch)?;
    let reference = registry.push(&image.layout, image.tag(), "idle")?;
    let node = Node::start(&means.programs, |command| {
        command.args(["--insecure-registry", &registry.address]);
    })?;
    let containerd = Containerd::start(&scratch.folder("containerd")?);
    let dnsmasq = dnsmasq(&scratch);
    std::thread::sleep(SETTLE);
    let mut rows = Vec::new();
    let sum = memory(&node, "no application", &mut rows)?;
    let busy_before = each(&node, processor_seconds)?;
    std::thread::sleep(IDLE);
    let busy = each(&node, processor_seconds)?;
    let share = |before: f64, after: f64| (after - before) / IDLE.as_secs_f64() * 100.0;
    let all = share(busy_before.iter().sum(), busy.iter().sum());
    rows.push(Row::single(
        "three processes, idle for 60 s",
        "% of core",
        all,
    ));
    for ((name, before), after) in PROCESSES.iter().zip(&busy_before).zip(&busy) {
        let value = share(*before, *after);
        rows.push(Row::single(
            format!("  of these: {name}"),
            "% of core",
            value,
        ));
    }
    let peers = [
        ("containerd", containerd.map(|peer| peer.0)),
        ("dnsmasq", dnsmasq),
    ];
    for (name, service) in &peers {
        let value = match service {
            Ok(service) => service.pid().and_then(usage::proportional_memory),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        rows.push(match value {
            Ok(value) => Row::single(*name, "MiB PSS", value).beside(Some(sum)),
            Err(error) => Row::missing(*name, "MiB PSS", format!("{error:#}")),
        });
    }
    rows.push(Row::missing(
        "sshd",
        "MiB PSS",
        "its package is not among those that cargo board installs",
    ));
    node.verb(&["pull", &reference])?;
    for number in 0..APPS {
        node.verb(&["run", "--name", &format!("idle-{number}"), &reference])?;
    }
    std::thread::sleep(SETTLE);
    let sum_after = memory(&node, "ten applications", &mut rows)?;
    let each_more = (sum_after - sum) / f64::from(APPS);
    rows.push(Row::single(
        "more for each application",
        "MiB PSS",
        each_more,
    ));
    node.stop()?;
    Ok(Measure {
        work: "memory and processor time at rest".to_owned(),
        aim: "12 MiB, 0.05 % of a core, at most 0.3 MiB more an application".to_owned(),
        rows,
        notes: vec![
            "After the tenth application edged has also served eleven SSH connections and a pull."
                .to_owned(),
            "What is from a file is program text, which the kernel drops and reads again as it needs memory.".to_owned(),
            "A link or a firewall rule that somebody else on the machine changes wakes the guardian.".to_owned(),
            "PSS divides shared pages among those who map them; processor time is from schedstat."
                .to_owned(),
        ],
    })
}

/// Rows of the three processes' memory; their sum.
fn memory(node: &Node, when: &str, rows: &mut Vec<Row>) -> anyhow::Result<f64> {
    let all = each(node, usage::proportional_memory)?;
    let sum: f64 = all.iter().sum();
    let name = format!("three processes, {when}");
    rows.push(Row::single(name, "MiB PSS", sum));
    for (name, value) in PROCESSES.iter().zip(&all) {
        rows.push(Row::single(
            format!("  of these: {name}"),
            "MiB PSS",
            *value,
        ));
    }
    let own = each(node, usage::own_memory)?.iter().sum();
    rows.push(Row::single("  of these: not from a file", "MiB PSS", own));
    Ok(sum)
}

fn each(node: &Node, look: impl Fn(i32) -> anyhow::Result<f64>) -> anyhow::Result<Vec<f64>> {
    PROCESSES.iter().map(|name| look(node.pid(name)?)).collect()
}

fn processor_seconds(pid: i32) -> anyhow::Result<f64> {
    Ok(usage::processor_time(pid)?.as_secs_f64())
}

/// A program that sleeps.
fn image(scratch: &Scratch) -> anyhow::Result<Image> {
    let root = scratch.folder("root")?;
    fs::create_dir_all(root.join("bin"))?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("cannot copy busybox")?;
    std::os::unix::fs::symlink("busybox", root.join("bin/sleep"))?;
    let image = Image::new(&scratch.path().join("layout"), "1")?;
    image.insert(&root, "/")?;
    image.configure(&[
        "--config.cmd=/bin/sleep",
        "--config.cmd=100000",
        "--config.user=65534:65534",
    ])?;
    Ok(image)
}

fn dnsmasq(scratch: &Scratch) -> anyhow::Result<Service> {
    let port = free_port()?;
    let folder = scratch.folder("dnsmasq")?;
    let name = "one.edge.mec.internal";
    let hosts = folder.join("hosts");
    fs::write(&hosts, format!("10.88.0.1 {name}\n"))?;
    let service = super::dns::dnsmasq(&folder, &hosts, port)?;
    service.wait(|| peers::answers(port, name))?;
    Ok(service)
}
