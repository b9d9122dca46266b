//! From power-on to the first page, and what a machine takes at rest: a box of ours, and a plain Debian with podman.
//!
//! Both are emulated on this machine with the same processor, memory, disk and network card, keep the same image, and
//! were switched off with its application deployed. What is measured is the next power-on. Debian has the shorter way:
//! QEMU starts its kernel by itself, nothing is verified or measured, and its disk is not encrypted.

mod debian;
pub mod flash;
mod machine;
mod ours;
mod page;
pub mod update;

use std::time::Duration;

use board_forge::{Cache, tools};
use board_node::network;
use board_qemu::Parts;

use super::Means;
use super::report::{Measure, Row};
use super::sample::Samples;
use super::scratch::Scratch;
use debian::Debian;
use ours::Deployed;

/// Each costs a minute, half of it Debian's.
const ROUNDS: u32 = 10;
/// Longest time from power-on to the page: Debian's on a busy machine, twice over.
const LONGEST: Duration = Duration::from_secs(300);

/// What one power-on showed.
#[derive(Debug, Default)]
struct Boot {
    /// Seconds from power-on to each moment, in order; the page is the last.
    moments: Vec<(&'static str, f64)>,
    /// Its memory some seconds after the page.
    memory: page::Memory,
}

/// Samples by moment.
#[derive(Debug, Default)]
struct Figures {
    moments: Vec<(&'static str, Samples)>,
    used: Samples,
    taken: Samples,
}

impl Figures {
    fn add(&mut self, boot: &Boot) {
        for (name, value) in &boot.moments {
            if let Some((_, samples)) = self.moments.iter_mut().find(|(there, _)| there == name) {
                samples.add(*value);
            } else {
                self.moments.push((name, std::iter::once(*value).collect()));
            }
        }
        self.used.add(boot.memory.used);
        self.taken.add(boot.memory.taken);
    }

    fn median(&self, name: &str) -> Option<f64> {
        let (_, samples) = self.moments.iter().find(|(there, _)| *there == name)?;
        samples.median()
    }
}

/// Measures in a thread of its own: it encloses itself in a network of its own, and the next measure wants this one's.
fn aside<T: Send>(measure: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    match std::thread::scope(|scope| scope.spawn(measure).join()) {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// From power-on to the page, and what a machine takes at rest.
pub fn measures(means: &Means) -> anyhow::Result<Vec<Measure>> {
    aside(|| enclosed(means))
}

fn enclosed(means: &Means) -> anyhow::Result<Vec<Measure>> {
    let scratch = Scratch::new("boot")?;
    let cache = Cache::open()?;
    let root = tools(&cache)?;
    let archive = page::archive(&cache, &scratch)?;
    let peer = Debian::build(&cache, &root, &archive, &scratch);
    let parts = Parts::build(&cache)?;
    // What the machines say stays on this one.
    network::enclose()?;
    eprintln!("board: a new box, started, commissioned and loaded for the first time");
    let ours = Deployed::make(&root, parts, &archive)?;
    let mut peer = peer.map_err(|error| reason(&error));
    let rounds = means.rounds(ROUNDS);
    let (mut own, mut theirs) = (Figures::default(), Figures::default());
    for round in 1..=rounds {
        let boot = ours.boot(&root)?;
        own.add(&boot);
        let mut told = format!("{:.1} s", boot.page());
        if let Ok(debian) = &peer {
            match debian.boot(&root, &scratch) {
                Ok(boot) => {
                    theirs.add(&boot);
                    told = format!("{told}, Debian's after {:.1} s", boot.page());
                }
                Err(error) => peer = Err(reason(&error)),
            }
        }
        eprintln!("board: power-on {round} of {rounds}: our page after {told}");
    }
    let peer = peer.as_ref().map_err(String::as_str);
    Ok(vec![
        times(&ours, &own, &theirs, peer.err()),
        rest(&ours, &own, &theirs, peer)?,
    ])
}

/// Why Debian is out: whole on standard error, its first line in the table.
fn reason(error: &anyhow::Error) -> String {
    let whole = format!("{error:#}");
    eprintln!("board: {whole}");
    whole.lines().next().unwrap_or_default().to_owned()
}

/// Millions of bytes.
fn megabytes(bytes: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(bytes / 1000)?) / 1e3)
}

impl Boot {
    fn page(&self) -> f64 {
        self.moments.last().map(|(_, at)| *at).unwrap_or_default()
    }
}

fn times(ours: &Deployed, own: &Figures, theirs: &Figures, why: Option<&str>) -> Measure {
    let mut rows = Vec::new();
    for (name, samples) in &own.moments {
        rows.push(Row::of(format!("to {name}"), "s", samples));
    }
    if let Some((kernel, edged)) = own.median(ours::KERNEL).zip(own.median(ours::EDGED)) {
        let name = "kernel to edged ready (medians)";
        rows.push(Row::single(name, "s", edged - kernel));
    }
    if let Some(why) = why {
        rows.push(Row::missing("Debian with podman", "s", why));
    }
    for (name, samples) in &theirs.moments {
        let row = Row::of(format!("Debian with podman: to {name}"), "s", samples);
        let same = own.median(name);
        rows.push(row.beside(same));
    }
    rows.push(Row::single(
        "our very first start, until edged is ready",
        "s",
        ours.first,
    ));
    Measure {
        work: "from power-on, emulated, application deployed before".to_owned(),
        aim: "edged ready 6 s after the kernel starts".to_owned(),
        rows,
        notes: vec![
            "Both: QEMU, two Cortex-A72, 1 GiB, one thread of this machine for each; wall time, from the first byte of the console on.".to_owned(),
            "Ours verifies and measures every stage into the TPM, and opens an encrypted disk by it. Debian's kernel and initrd are given to QEMU, which starts them at once: no firmware, nothing verified, no encryption.".to_owned(),
            "The page is a static one from the same image, asked for at the published port every 20 ms from the moment on at which edged, or the unit of podman's container, is ready.".to_owned(),
            "The very first start also makes the encrypted data partition and all keys.".to_owned(),
        ],
    }
}

fn rest(
    ours: &Deployed,
    own: &Figures,
    theirs: &Figures,
    peer: Result<&Debian, &str>,
) -> anyhow::Result<Measure> {
    let image = ours.image()?;
    let mut rows = vec![
        Row::single("our image, one signed file", "MB", image),
        match peer {
            Ok(debian) => Row::single(
                "Debian: kernel, initrd, files of the root",
                "MB",
                debian.size()?,
            )
            .beside(Some(image)),
            Err(why) => Row::missing("Debian", "MB", why),
        },
    ];
    for (what, own, theirs) in [
        ("used", &own.used, &theirs.used),
        ("taken", &own.taken, &theirs.taken),
    ] {
        rows.push(Row::of(format!("memory {what}, our box"), "MiB", own));
        let name = format!("memory {what}, Debian");
        rows.push(match peer {
            Ok(_) => Row::of(name, "MiB", theirs).beside(own.median()),
            Err(why) => Row::missing(name, "MiB", why),
        });
    }
    rows.push(Row::missing(
        "our processes' share of it",
        "MiB PSS",
        "nobody on the box may look at another's memory; `bench memory` measures the same programs",
    ));
    Ok(Measure {
        work: "image, and memory at rest with one application".to_owned(),
        aim: "64 MB, 96 MiB".to_owned(),
        rows,
        notes: vec![
            "Memory used is MemTotal less MemAvailable, as the application reads it five seconds after its first page. Memory taken is the machine's 1024 MiB less MemAvailable: what the kernel keeps for itself from its start is in it too.".to_owned(),
            "Our box runs a broker, a resolver, an SSH server and HTTPS besides; Debian runs podman's container alone. Ours keeps its whole root in RAM, Debian's is on the disk.".to_owned(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_has_its_own_median_and_an_earlier_one_comes_first() {
        let mut figures = Figures::default();
        for (kernel, page) in [(1.0, 10.0), (2.0, 30.0), (3.0, 20.0)] {
            let boot = Boot {
                moments: vec![("kernel", kernel), ("page", page)],
                memory: page::Memory::default(),
            };
            assert!((boot.page() - page).abs() < f64::EPSILON);
            figures.add(&boot);
        }
        let names: Vec<_> = figures.moments.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["kernel", "page"]);
        assert_eq!(figures.median("kernel"), Some(2.0));
        assert_eq!(figures.median("page"), Some(20.0));
        assert_eq!(figures.median("edged"), None);
    }
}
