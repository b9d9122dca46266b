//! A large layer: pulled and unpacked by the node, unpacked by the worker alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use edged_model::Digest;
use edged_protocol::worker::{Command, LayerSource};
use serde_json::Value;

use super::cgroups::Cgroups;
use super::engine::Engine;
use super::report::{Measure, Row, rows};
use super::sample::{Contender, Samples, by_turns, milliseconds};
use super::scratch::Scratch;
use super::shell::Shell;
use super::{Means, usage};
use crate::client::{Node, until};
use crate::image::Image;
use crate::registry::Registry;

/// Each unpacks the layer six times.
const ROUNDS: u32 = 5;
/// Real programs and libraries, which gzip makes a bit more than a third of: about 100 MB.
const SOURCE: &str = "/usr/lib/x86_64-linux-gnu";
/// Uncompressed bytes to take of them.
const SIZE: u64 = 280 << 20;
/// Larger files would make the layer one file.
const FILE_MAX: u64 = 16 << 20;
/// Longest end of an application that is killed.
const GONE: Duration = Duration::from_secs(20);
/// Pause between two looks at a helper's memory; its peak stays readable until it ends.
const LOOK: Duration = Duration::from_millis(2);

pub fn measure(means: &Means) -> anyhow::Result<Measure> {
    let scratch = Scratch::new("unpack")?;
    let image = image(&scratch)?;
    let layer = Layer::of(&image.layout)?;
    let registry = Registry::start(&scratch.folder("registry")?)?;
    let reference = registry.push(&image.layout, image.tag(), "large")?;
    let rounds = means.rounds(ROUNDS);
    let mut table = pull(means, &scratch, &registry, &reference, rounds)?;
    table.extend(unpack(means, &scratch, &image, &layer, rounds)?);
    Ok(Measure {
        work: format!(
            "a gzip layer of {} MB, from a registry on loopback and from a file",
            layer.source.size / 1_000_000
        ),
        aim: "1.15 of gunzip -c, under 16 MiB of memory".to_owned(),
        rows: table,
        notes: vec![
            "A pull of ours unpacks nothing yet: unpacking is done when an application first wants the image, so ours is pull and run, with SSH twice and a container started.".to_owned(),
            "Ours checks the blob's and the content's SHA-256, confines the unpacker, and is durable when it answers (syncfs); none of the others syncs.".to_owned(),
            "Whatever a round made is deleted, and the disk synced, before the next turn, outside the figures.".to_owned(),
        ],
    })
}

fn pull(
    means: &Means,
    scratch: &Scratch,
    registry: &Registry,
    reference: &str,
    rounds: u32,
) -> anyhow::Result<Vec<Row>> {
    let node = Node::start(&means.programs, |command| {
        command.args(["--insecure-registry", &registry.address]);
    })?;
    let mut peaks = Vec::new();
    let mut pulled = Vec::new();
    let mut ours = || {
        usage::forget_peak(node.pid("edged")?)?;
        let begun = Instant::now();
        node.verb(&["pull", reference])?;
        pulled.push(milliseconds(begun.elapsed()));
        peaks.push(usage::peak_memory(node.pid("edged")?)?);
        node.verb(&[
            "run",
            "--name",
            "large",
            "--stop-signal",
            "SIGKILL",
            reference,
        ])?;
        let took = begun.elapsed();
        node.verb(&["rm", "--force", "large"])?;
        until(GONE, || {
            Ok(node.verb(&["inspect", "large"]).is_err().then_some(()))
        })?;
        node.verb(&["rmi", reference])?;
        rustix::fs::sync();
        Ok(milliseconds(took))
    };
    let mut shell = Shell::start(scratch.path(), "skopeo")?;
    let (layout, bundle) = (scratch.path().join("copied"), scratch.path().join("bundle"));
    let (layout, bundle) = (layout.display(), bundle.display());
    let line = format!(
        "skopeo copy --quiet --insecure-policy --src-tls-verify=false docker://{reference} oci:{layout}:1 && \
         umoci unpack --image {layout}:1 {bundle}"
    );
    let contenders = vec![
        Contender::new("edgectl pull + run", &mut ours),
        Contender::new("skopeo copy + umoci unpack", || {
            let took = shell.run(&line)?;
            shell.run(&format!("rm -rf {layout} {bundle}; sync"))?;
            Ok(milliseconds(took))
        }),
    ];
    let mut table = rows("ms", by_turns(rounds, contenders));
    let pulled: Samples = pulled.into_iter().skip(1).collect();
    table.push(Row::of("  of ours: edgectl pull", "ms", &pulled));
    let peaks: Samples = peaks.into_iter().collect();
    table.push(Row::of("edged's peak during a pull", "MiB RSS", &peaks));
    node.stop()?;
    Ok(table)
}

fn unpack(
    means: &Means,
    scratch: &Scratch,
    image: &Image,
    layer: &Layer,
    rounds: u32,
) -> anyhow::Result<Vec<Row>> {
    let cgroups = Cgroups::new("unpack");
    let mut engine = Engine::start(&means.programs, &scratch.folder("worker")?, cgroups.path())?;
    engine.blob(&layer.path)?;
    let mut peaks = Vec::new();
    let mut ours = || {
        let pid = engine.pid()?;
        let begun = Instant::now();
        let peak = watched(pid, || engine.unpack(layer.source.clone()))?;
        let took = begun.elapsed();
        peaks.push(peak);
        let diff_id = layer.source.diff_id.clone();
        engine.done(Command::RemoveLayer { diff_id })?;
        rustix::fs::sync();
        Ok(milliseconds(took))
    };
    let blob = layer.path.display();
    let folder = scratch.path().join("alone");
    let folder = folder.display();
    let mut contenders = vec![Contender::new("edged-worker, unpack alone", &mut ours)];
    for (who, line) in [
        ("floor: gunzip -c", format!("gunzip -c <{blob} >/dev/null")),
        (
            "tar -xz",
            format!("mkdir -p {folder} && tar --extract --gzip --file {blob} --directory {folder}"),
        ),
        (
            "umoci unpack",
            format!(
                "umoci unpack --image {}:{} {folder}",
                image.layout.display(),
                image.tag()
            ),
        ),
    ] {
        let mut shell = Shell::start(scratch.path(), &who.replace(' ', "-"))?;
        let clean = format!("rm -rf {folder}; sync");
        contenders.push(Contender::new(who, move || {
            let took = shell.run(&line)?;
            shell.run(&clean)?;
            Ok(milliseconds(took))
        }));
    }
    let mut table = rows("ms", by_turns(rounds, contenders));
    let peaks: Samples = peaks.into_iter().collect();
    table.push(Row::of("unpacker's peak", "MiB RSS", &peaks));
    Ok(table)
}

/// Runs some work and returns the highest peak of memory that any child of a process had meanwhile.
fn watched(pid: i32, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let over = AtomicBool::new(false);
    let path = format!("/proc/{pid}/task/{pid}/children");
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut highest = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                let children = fs::read_to_string(&path).unwrap_or_default();
                for child in children
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                {
                    // It may have ended a moment ago.
                    highest = highest.max(usage::peak_memory(child).unwrap_or_default());
                }
                std::thread::sleep(LOOK);
            }
            highest
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        let highest = watcher.join();
        result?;
        highest.map_err(|_| anyhow::anyhow!("the thread that looks at memory panicked"))
    })
}

fn image(scratch: &Scratch) -> anyhow::Result<Image> {
    let root = scratch.folder("large")?;
    let mut left = SIZE;
    copy(Path::new(SOURCE), &root, &mut left)?;
    let program = root.join("busybox-sleep");
    fs::create_dir(&program)?;
    fs::copy("/bin/busybox", program.join("sleep")).context("cannot copy busybox")?;
    let image = Image::new(&scratch.path().join("layout"), "1")?;
    image.insert(&root, "/")?;
    image.configure(&[
        "--config.cmd=/busybox-sleep/sleep",
        "--config.cmd=100000",
        "--config.user=65534:65534",
    ])?;
    fs::remove_dir_all(&root)?;
    Ok(image)
}

/// Copies regular files, in the order of their names, until enough is there.
fn copy(from: &Path, to: &Path, left: &mut u64) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries = fs::read_dir(from)
        .with_context(|| format!("cannot read {}", from.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target, left)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            if size > FILE_MAX {
                continue;
            }
            let Some(rest) = left.checked_sub(size) else {
                *left = 0;
                return Ok(());
            };
            *left = rest;
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The only layer of an image, as its layout has it.
struct Layer {
    path: PathBuf,
    source: LayerSource,
}

impl Layer {
    fn of(layout: &Path) -> anyhow::Result<Self> {
        let document = |path: &Path| -> anyhow::Result<Value> {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(serde_json::from_slice(&text)?)
        };
        let digest = |value: &Value, pointer: &str| -> anyhow::Result<Digest> {
            let text = value.pointer(pointer).and_then(Value::as_str);
            Ok(text.with_context(|| format!("no {pointer}"))?.parse()?)
        };
        let blob = |digest: &Digest| layout.join("blobs/sha256").join(digest.hex());
        let index = document(&layout.join("index.json"))?;
        let manifest = document(&blob(&digest(&index, "/manifests/0/digest")?))?;
        let config = document(&blob(&digest(&manifest, "/config/digest")?))?;
        let packed = digest(&manifest, "/layers/0/digest")?;
        let media_type = manifest
            .pointer("/layers/0/mediaType")
            .and_then(Value::as_str);
        let path = blob(&packed);
        Ok(Self {
            source: LayerSource {
                size: fs::metadata(&path)?.len(),
                blob: packed,
                media_type: media_type.context("a layer without a type")?.to_owned(),
                diff_id: digest(&config, "/rootfs/diff_ids/0")?,
            },
            path,
        })
    }
}
