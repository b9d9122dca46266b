//! The one kernel of every board: Linux from Debian's source package, without modules.
//!
//! `fragment` says what is in it and why; everything else is off, and a line that Kconfig drops is an error of the
//! build. One image serves QEMU's `virt` and the Raspberry Pis: what it cannot do no module can add, and what loads
//! modules is not in it.
//!
//! The sources are the upstream release in Debian's `orig` archive, without Debian's 78 patches: 6.12.107 carries the
//! stable series' security fixes itself, and what is left for arm64 is about packaging, modules, firmware that is
//! loaded, protocols that are not in here, and lockdown under secure boot, which is forced here anyway. One default is
//! the image's to set, as upstream leaves it open: `fs.protected_hardlinks` and `fs.protected_symlinks`.
//!
//! Debian's own kernels are no fast path. A measured boot needs the TPM before the first program: the cloud kernel has
//! the driver of QEMU's TPM as a module and nothing of the Pis, the generic one does not have that driver at all.

mod fragment;
mod tree;

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use board_forge::{Cache, Digest, Inputs, SourceFile, source, tools};
use fragment::Settings;
use tree::{RELEASE, TARGETS, Tree};

/// What is asked of the configuration.
const FRAGMENT: &str = include_str!("../fragment");

/// What is asked of the configuration, without the reasons.
fn fragment() -> anyhow::Result<Settings> {
    Settings::parse(FRAGMENT).context("board/kernel/fragment is wrong")
}

/// Linux, as Debian's `linux` source package has it.
const LINUX: SourceFile = SourceFile {
    pool: "main/l/linux/linux_6.12.107.orig.tar.xz",
    sha256: "efc76d3c78a5d65f42724118c437d11db1c9f6309a5f024ee9a8b1978fdc6919",
};

/// The kernel, built.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The plain image: what QEMU's `-kernel` and U-Boot's `booti` take, and an EFI program.
    pub image: PathBuf,
    /// The same as an EFI program that unpacks itself, a third of the size: what goes into a unified kernel image.
    pub packed: PathBuf,
    /// Its whole configuration.
    pub config: PathBuf,
    /// Addresses of its functions: the device has no such table, and a panic tells addresses and the offset.
    pub symbols: PathBuf,
    /// What `uname -r` says.
    pub release: String,
    /// Device trees of the boards that do not bring one.
    pub device_trees: DeviceTrees,
    /// The hash of all that it was made of.
    pub key: Digest,
}

/// Device trees from the same sources. Their names are the upstream ones; the Pi's own firmware looks for the Pi 3's as
/// `bcm2710-rpi-3-b.dtb` unless `config.txt` names another (`device_tree=`).
#[derive(Debug, Clone)]
pub struct DeviceTrees {
    /// Raspberry Pi 4 Model B.
    pub pi4: PathBuf,
    /// Raspberry Pi 3 Model B.
    pub pi3: PathBuf,
    /// Raspberry Pi 3 Model B+.
    pub pi3_plus: PathBuf,
}

/// The kernel out of the cache, or compiled: 12 to 25 minutes on two cores.
///
/// # Errors
/// The sources cannot be fetched, a line of the fragment does not hold, or the compiler's.
pub fn build(cache: &Cache) -> anyhow::Result<Kernel> {
    let root = tools(cache)?;
    let archive = source(cache, &LINUX)?;
    let inputs = Inputs::new()
        .text("source", LINUX.sha256)
        .text("fragment", &fragment()?.to_string())
        .text("targets", &TARGETS.join(" "))
        .text("programs", &tree::versions(&root)?);
    let made = cache.step("kernel", &inputs, |out| {
        let tree = Tree::unpack(cache, &root, &archive)?;
        tree.configure()?;
        tree.compile(out)
    })?;
    let release = fs::read_to_string(made.join(RELEASE))
        .with_context(|| format!("cannot read the release of {}", made.path.display()))?;
    Ok(Kernel {
        image: made.join("Image"),
        packed: made.join("vmlinuz.efi"),
        config: made.join("config"),
        symbols: made.join("System.map"),
        release,
        device_trees: DeviceTrees {
            pi4: made.join("bcm2711-rpi-4-b.dtb"),
            pi3: made.join("bcm2837-rpi-3-b.dtb"),
            pi3_plus: made.join("bcm2837-rpi-3-b-plus.dtb"),
        },
        key: made.key,
    })
}

/// Words of `cargo board kernel`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Ask Kconfig alone whether every line of board/kernel/fragment holds: a minute instead of a quarter of an hour
    #[arg(long)]
    check: bool,
}

/// Makes the kernel, or checks the fragment, and says what came of it.
///
/// # Errors
/// As [`build`].
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    if options.check {
        let root = tools(&cache)?;
        let archive = source(&cache, &LINUX)?;
        Tree::unpack(&cache, &root, &archive)?.configure()?;
        println!("every line of board/kernel/fragment holds");
        return Ok(());
    }
    let kernel = build(&cache)?;
    println!("Linux {}, {}", kernel.release, kernel.key);
    for path in [&kernel.image, &kernel.packed, &kernel.config] {
        println!("{:>12}  {}", fs::metadata(path)?.len(), path.display());
    }
    Ok(())
}
