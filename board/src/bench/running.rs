//! From `run` to the first page, image local.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cgroups::Cgroups;
use super::report::{Measure, Row, rows};
use super::sample::{Contender, Samples, by_turns, milliseconds};
use super::scratch::Scratch;
use super::shell::Shell;
use super::{Means, http};
use crate::client::{Node, until};
use crate::image::Image;
use crate::registry::Registry;

/// Each costs a second and a half, most of it podman's.
const ROUNDS: u32 = 20;
/// Where the application serves.
const PORT: u16 = 8080;
/// Longest end of an application that is killed.
const GONE: Duration = Duration::from_secs(20);
/// Its program: serves at once and has nothing to read but one page.
const SERVER: [&str; 6] = ["/bin/httpd", "-f", "-p", "8080", "-h", "/srv"];
/// The application's address with podman, in its default network.
const PODMAN_ADDRESS: &str = "10.88.0.50";

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("run")?;
    let image = image(&scratch)?;
    let registry = Registry::start(&scratch.folder("registry")?)?;
    let reference = registry.push(&image.layout, image.tag(), "page")?;
    let node = Node::start(&means.programs, |command| {
        command.args(["--insecure-registry", &registry.address]);
    })?;
    node.verb(&["pull", &reference])?;
    let address = SocketAddr::new(address(&node, &reference)?, PORT);
    let mut returned = Vec::new();
    let mut ours = || {
        let (page, back) = once(&node, &reference, address)?;
        returned.push(back);
        Ok(page)
    };
    let mut contenders = vec![Contender::new("edgectl run", &mut ours)];
    let cgroups = Cgroups::new("run");
    for network in ["bridge", "host"] {
        let mut podman = Podman::new(&scratch, &image, network, &cgroups);
        contenders.push(Contender::new(
            format!("podman run --network {network}"),
            move || {
                podman
                    .as_mut()
                    .map_err(|error| anyhow::anyhow!("{error:#}"))?
                    .once()
            },
        ));
    }
    let mut rows = rows("ms", by_turns(means.rounds(ROUNDS), contenders));
    let returned: Samples = returned.into_iter().skip(1).collect();
    rows.push(Row::of("edgectl run, until it returns", "ms", &returned));
    rows.push(Row::missing(
        "docker run",
        "ms",
        "its engine is not among the packages that cargo board installs; podman stands for it",
    ));
    node.stop()?;
    Ok(Measure {
        work: "from run of a static HTTP server to its first 200, image local".to_owned(),
        aim: "60 ms and 0.2 of docker".to_owned(),
        rows,
        notes: vec![
            "Ours includes an SSH connection with its authentication, a durable write, lease, firewall, broker account, container and link. The page is asked for every half millisecond once run has returned, as with podman.".to_owned(),
            "podman: Debian's, with netavark, crun and overlay, in network and mount namespaces of its own; its default resource limits are lowered to what the machine allows.".to_owned(),
        ],
    })
}

fn image(scratch: &Scratch) -> anyhow::Result<Image> {
    let root = scratch.folder("root")?;
    fs::create_dir_all(root.join("bin"))?;
    fs::create_dir_all(root.join("srv"))?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("cannot copy busybox")?;
    std::os::unix::fs::symlink("busybox", root.join("bin/httpd"))?;
    fs::write(root.join("srv/index.html"), "here\n")?;
    let image = Image::new(&scratch.path().join("layout"), "1")?;
    image.insert(&root, "/")?;
    let words = SERVER.map(|word| format!("--config.cmd={word}"));
    let mut options: Vec<&str> = words.iter().map(String::as_str).collect();
    options.push("--config.user=65534:65534");
    image.configure(&options)?;
    Ok(image)
}

/// The address that every application alone on the node gets: the lowest that is free.
fn address(node: &Node, reference: &str) -> anyhow::Result<IpAddr> {
    node.verb(&[
        "run",
        "--name",
        "first",
        "--stop-signal",
        "SIGKILL",
        reference,
    ])?;
    let answers = node.dig("first.app.edge.mec.internal", "A")?;
    let address = answers
        .first()
        .context("the name has no address")?
        .parse()?;
    remove(node, "first")?;
    Ok(address)
}

/// Milliseconds until the page, and until the verb returned. The page is not asked for before: until the application's
/// route is there, its address may be somebody else's.
fn once(node: &Node, reference: &str, address: SocketAddr) -> anyhow::Result<(f64, f64)> {
    let begun = Instant::now();
    node.verb(&[
        "run",
        "--name",
        "page",
        "--stop-signal",
        "SIGKILL",
        reference,
    ])?;
    let back = begun.elapsed();
    let page = http::until_ok(address, "/")?.duration_since(begun);
    remove(node, "page")?;
    Ok((milliseconds(page), milliseconds(back)))
}

/// Removes an application and waits until nothing is left: what serves still would answer for the next one.
fn remove(node: &Node, name: &str) -> anyhow::Result<()> {
    node.verb(&["rm", "--force", name])?;
    until(GONE, || {
        Ok(node.verb(&["inspect", name]).is_err().then_some(()))
    })
}

/// podman with its store in a folder.
struct Podman {
    shell: Shell,
    run: String,
    remove: String,
}

impl Podman {
    fn new(
        scratch: &Scratch,
        image: &Image,
        network: &str,
        cgroups: &Cgroups,
    ) -> anyhow::Result<Self> {
        let folder = scratch.folder(&format!("podman-{network}"))?;
        let mut shell = Shell::with_network(scratch.path(), &format!("podman-{network}"))?;
        let podman = podman(&folder);
        shell
            .run(&format!(
                "ID=$({podman} pull --quiet oci:{}:{})",
                image.layout.display(),
                image.tag()
            ))
            .context("podman pull")?;
        let (options, at) = match network {
            "bridge" => (
                format!("--network bridge --ip {PODMAN_ADDRESS}"),
                PODMAN_ADDRESS,
            ),
            other => (format!("--network {other}"), "127.0.0.1"),
        };
        Ok(Self {
            shell,
            run: format!(
                "{podman} run --detach --name page --cgroup-parent {} --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 {options} $ID && \
                 until busybox wget -q -O /dev/null http://{at}:{PORT}/; do :; done",
                cgroups.path()
            ),
            remove: format!("{podman} rm --force --time 0 page"),
        })
    }

    fn once(&mut self) -> anyhow::Result<f64> {
        let took = self.shell.run(&self.run)?;
        self.shell.run(&self.remove)?;
        Ok(milliseconds(took))
    }
}

fn podman(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "podman --root {folder}/store --runroot {folder}/run --tmpdir {folder}/tmp --cgroup-manager cgroupfs \
         --events-backend none --storage-driver overlay --runtime crun --network-config-dir {folder}/networks"
    )
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Nothing to remove where the last round was whole.
        let _ = self.shell.run(&self.remove);
    }
}
