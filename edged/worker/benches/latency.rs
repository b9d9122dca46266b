//! Create, start and exit of /bin/true: a warm worker beside `crun run` and `runc run` on the same busybox, interleaved.
//!
//! `unshare -m sh -c 'umount /sys/fs/cgroup/unified; TMPDIR=/dev/shm cargo bench -p edged-worker --bench latency -- ROUNDS'`
//! (crun 1.8 refuses the hybrid layout, hence the unmount in a mount namespace of its own). State is kept in
//! TMPDIR by all three: on a device RUN is a tmpfs. A peer that is not
//! installed or fails is left out by name. The worker's figure includes the link that stands in for the guardian's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    missing_docs
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use edged_protocol::worker::{Command, Reply};
use support::{Node, id, start};

fn main() {
    let rounds: usize = std::env::args()
        .skip(1)
        .find_map(|text| text.parse().ok())
        .unwrap_or(100);
    let mut node = Node::start();
    let bundle = node.path("bundle");
    make_bundle(&node, &bundle);
    let mut create = Vec::new();
    let mut begin = Vec::new();
    let mut end = Vec::new();
    let mut peers = [
        ("crun run", "crun", Vec::new()),
        ("runc run", "runc", Vec::new()),
    ];
    for round in 0..rounds + 3 {
        let name = format!("r{round}");
        let spec = node.spec(&name, &["/bin/true"]);
        let t0 = Instant::now();
        assert_eq!(node.ask(Command::Create(Box::new(spec))), Reply::Done {});
        let t1 = Instant::now();
        node.attach(&name);
        let t2 = Instant::now();
        assert_eq!(node.ask(start(&name)), Reply::Done {});
        let t3 = Instant::now();
        node.exited(&name);
        let t4 = Instant::now();
        assert_eq!(
            node.ask(Command::Delete {
                instance: id(&name)
            }),
            Reply::Done {}
        );
        // The first rounds fill caches.
        if round >= 3 {
            create.push(t1 - t0);
            begin.push(t3 - t2);
            end.push((t1 - t0) + (t4 - t2));
        }
        for (_, program, times) in &mut peers {
            let since = Instant::now();
            let done = Process::new(*program)
                .arg("--root")
                .arg(bundle.with_extension("state"))
                .args(["run", "--bundle"])
                .arg(&bundle)
                .arg(format!("bench-{}-{round}", std::process::id()))
                .stdin(Stdio::null())
                .output();
            match done {
                Ok(done) if done.status.success() && round >= 3 => times.push(since.elapsed()),
                Ok(done) if round == 0 && !done.status.success() => {
                    eprintln!(
                        "{program}: {}",
                        String::from_utf8_lossy(&done.stderr).trim()
                    );
                }
                _ => {}
            }
        }
    }
    println!(
        "{:<32} {:>5} {:>9} {:>9} {:>9}",
        "", "n", "median", "p95", "min"
    );
    row("worker: create", create);
    row("worker: start", begin);
    row("worker: create, start, exit", end);
    for (title, _, times) in peers {
        row(title, times);
    }
}

fn row(title: &str, mut times: Vec<Duration>) {
    if times.is_empty() {
        println!("{title:<32} does not work here");
        return;
    }
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{title:<32} {:>5} {:>6.1} ms {:>6.1} ms {:>6.1} ms",
        times.len(),
        at(50),
        at(95),
        at(0)
    );
}

/// The same program and the same kinds of namespace, limits and masks, as each runtime's own template has them.
fn make_bundle(node: &Node, bundle: &std::path::Path) {
    std::fs::create_dir_all(bundle).unwrap();
    let layer = node.path("state/layers").join(node.layer.hex());
    let copied = Process::new("cp")
        .arg("-a")
        .arg(&layer)
        .arg(bundle.join("rootfs"))
        .status()
        .unwrap();
    assert!(copied.success());
    let made = Process::new("runc")
        .arg("spec")
        .arg("--bundle")
        .arg(bundle)
        .status();
    if made.is_ok_and(|status| status.success()) {
        let path = bundle.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["/bin/true"]);
        config["process"].as_object_mut().unwrap().remove("rlimits");
        config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 128 << 20});
        config["linux"]["resources"]["pids"] = serde_json::json!({"limit": 256});
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        std::fs::write(path, serde_json::to_vec(&config).unwrap()).unwrap();
    }
}
