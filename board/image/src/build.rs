//! Everything of one image, from the sources to what is written to a disk or a card.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use board_cross::{Profile, programs};
use board_firmware::{Pi, qemu_aarch64, raspberry};
use board_forge::{Bind, Cache, DebianRoot, Digest, Inputs, Made, both, debs, run, tools};
use board_kernel::Kernel;
use board_keys::{Keys, Name, Variables};

use crate::authenticode::Signatory;
use crate::board::Board;
use crate::disk::{DATA, Disk};
use crate::golden::{self, Chain, Golden};
use crate::pcr::Event;
use crate::rpi::Card;
use crate::uki::{self, Parts, PolicyKey};
use crate::userspace::{Settings, UserSpace, userspace};

/// The package with systemd-stub, and the stub in it.
const STUB_PACKAGE: &str = "systemd-boot-efi";
pub(crate) const STUB: &str = "usr/lib/systemd/boot/efi/linuxaa64.efi.stub";
/// The zone's first label of a box that nobody has commissioned.
const SITE: &str = "edge";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The board.
    pub board: Board,
    /// Whose keys sign; nothing means this machine's development keys.
    pub keys: Option<PathBuf>,
    /// Programs as they ship.
    pub release: bool,
    /// Its number: releases count, and a box never goes back.
    pub number: u64,
    /// Seconds after which a trial of it that nobody ends is ended by a reset; tests have less patience than boxes.
    pub trial: Option<u64>,
    /// Further words of the kernel's command line: images that fail in a way that tests want.
    pub words: &'static str,
}

impl Request {
    /// What this machine's development keys sign, for tests.
    pub fn development(board: Board) -> Self {
        Self {
            board,
            keys: None,
            release: false,
            number: 1,
            trial: None,
            words: "",
        }
    }

    /// The kernel's command line, which is signed.
    fn command_line(&self) -> String {
        let line = format!("{} {}", self.board.command_line(), self.words);
        line.trim_end().to_owned()
    }
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The board it is for.
    pub board: Board,
    /// True when its keys are a developer's.
    pub development: bool,
    /// What QEMU's `-bios` takes; only where the flash is ours.
    pub flash: Option<PathBuf>,
    /// The signed unified kernel image.
    pub uki: PathBuf,
    /// What the TPM will hold ([`Golden`]).
    pub golden: PathBuf,
    /// Software bill of materials, SPDX 2.3.
    pub sbom: PathBuf,
    /// Licences of everything in it.
    pub licences: PathBuf,
    /// Every path of the root.
    pub inventory: PathBuf,
    /// Sizes of the root by package.
    pub sizes: PathBuf,
    /// The parts, for what looks into them.
    pub parts: Pieces,
    /// What names this very image.
    pub key: Digest,
    medium: Medium,
    tools: DebianRoot,
}

/// What went into an image.
#[derive(Debug, Clone)]
pub struct Pieces {
    /// The kernel.
    pub kernel: Kernel,
    /// The user space.
    pub user_space: UserSpace,
}

/// What it is written to.
#[derive(Debug, Clone)]
enum Medium {
    Disk,
    Card(Box<Card>),
}

impl Image {
    /// Writes a fresh disk, or card, with the image on it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_disk(&self, to: &Path) -> anyhow::Result<()> {
        self.write_disk_with(to, DATA)
    }

    /// The same with so many bytes for data, whole MiB; a card has what its board says.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_disk_with(&self, to: &Path, data: u64) -> anyhow::Result<()> {
        let uki = fs::read(&self.uki)?;
        match &self.medium {
            Medium::Disk => Disk::with_data(data).write(&self.tools, to, &uki),
            Medium::Card(card) => card.write(&self.tools, to, &uki),
        }
        .with_context(|| format!("cannot write the image to {}", to.display()))
    }
}

/// What comes before the kernel on a board.
struct Before {
    flash: Option<PathBuf>,
    seed: PathBuf,
    measured: Vec<Event>,
    medium: Medium,
    key: Digest,
}

/// Makes an image, with everything in it that is not in the cache.
///
/// # Errors
/// What a step says.
pub fn build(cache: &Cache, request: &Request) -> anyhow::Result<Image> {
    let profile = if request.release {
        Profile::Ship
    } else {
        Profile::Board
    };
    let (ours, theirs) = (cache.clone(), cache.clone());
    let (board, folder) = (request.board, request.keys.clone());
    let (programs, (keys, tools, kernel, before)) = both(
        move || programs(&ours, profile),
        move || {
            let cache = &theirs;
            let keys = match &folder {
                Some(folder) => Keys::open(folder)?,
                None => Keys::development(cache)?,
            };
            let tools = tools(cache)?;
            let kernel = board_kernel::build(cache)?;
            let before = before(cache, &tools, &keys, board, &kernel)?;
            Ok((keys, tools, kernel, before))
        },
    )?;
    let user_space = userspace(cache, &programs.made.path, &settings(request, &keys)?)?;
    let stub = stub(cache, &tools)?;
    let inputs = Inputs::new()
        .text("recipe", RECIPE)
        .text("command line", &request.command_line())
        .text("db", &keys.fingerprint(Name::Db)?)
        .text("policy", &keys.fingerprint(Name::PcrPolicy)?)
        .file("certificate", &keys.certificate(Name::Db))?
        .text("firmware", before.key.as_str())
        .text("kernel", kernel.key.as_str())
        .text("user space", user_space.key.as_str())
        .made("stub", &stub)
        .root("tools", &tools);
    let made = cache.step("image", &inputs, |out| {
        let signing = Signing {
            keys: &keys,
            tools: &tools,
        };
        let uki = signing.uki(&Parts {
            stub: &stub.join(STUB),
            kernel: &kernel.packed,
            release: kernel.release.trim(),
            initrd: &user_space.initrd,
            command_line: &request.command_line(),
            os_release: &fs::read_to_string(&user_space.os_release)?,
        })?;
        let golden = foretell(&before, &uki)?;
        fs::write(out.join("umec.efi"), uki)?;
        fs::write(out.join("golden.json"), serde_json::to_vec_pretty(&golden)?)?;
        Ok(())
    })?;
    Ok(Image {
        board: request.board,
        development: keys.development,
        flash: before.flash,
        uki: made.join("umec.efi"),
        golden: made.join("golden.json"),
        sbom: user_space.sbom.clone(),
        licences: user_space.licences.clone(),
        inventory: user_space.tree.clone(),
        sizes: user_space.sizes.clone(),
        parts: Pieces { kernel, user_space },
        key: made.key,
        medium: before.medium,
        tools,
    })
}

/// How an image is made is an input of it as well.
const RECIPE: &str = concat!(
    include_str!("authenticode.rs"),
    include_str!("disk.rs"),
    include_str!("golden.rs"),
    include_str!("../../../edged/evidence/src/golden.rs"),
    include_str!("../../keys/src/variables.rs"),
    include_str!("policy.rs"),
    include_str!("stub.rs"),
    include_str!("uki.rs"),
);

fn settings(request: &Request, keys: &Keys) -> anyhow::Result<Settings> {
    let board = request.board;
    let path = keys.public(Name::Commissioning);
    let line = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the commissioning key {}", path.display()))?;
    Ok(Settings {
        board: board.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        number: request.number,
        trial: request.trial,
        update_key: fs::read_to_string(keys.public(Name::Update))
            .context("cannot read the public key of updates")?,
        site: SITE.to_owned(),
        development: keys.development,
        without_tpm: board.without_tpm(),
        commission_keys: vec![line.trim().to_owned()],
        upstreams: board.upstreams(),
    })
}

fn before(
    cache: &Cache,
    tools: &DebianRoot,
    keys: &Keys,
    board: Board,
    kernel: &Kernel,
) -> anyhow::Result<Before> {
    Ok(match board {
        Board::QemuAarch64 => {
            let firmware = qemu_aarch64(cache, keys)?;
            let measured = firmware.measured()?.into_iter().map(|part| {
                Ok(Event {
                    pcr: 0,
                    name: part.event.to_owned(),
                    digest: part.digest.as_str().parse()?,
                })
            });
            Before {
                measured: measured.collect::<anyhow::Result<_>>()?,
                flash: Some(firmware.flash),
                seed: firmware.seed,
                medium: Medium::Disk,
                key: firmware.key,
            }
        }
        Board::Rpi4 => {
            let firmware = raspberry(cache, keys, Pi::Four)?;
            Before {
                flash: None,
                seed: firmware.seed.clone(),
                measured: Vec::new(),
                key: firmware.key.clone(),
                medium: Medium::Card(Box::new(Card::of(cache, tools, firmware, kernel)?)),
            }
        }
    })
}

/// systemd-stub.
pub(crate) fn stub(cache: &Cache, tools: &DebianRoot) -> anyhow::Result<Made> {
    let package = debs(cache, &["trixie"], "arm64", &[STUB_PACKAGE])?;
    unpack(cache, tools, "stub", &package, STUB_PACKAGE)
}

/// Unpacks one of some packages; nothing of it is run.
pub(crate) fn unpack(
    cache: &Cache,
    tools: &DebianRoot,
    step: &str,
    debs: &board_forge::Debs,
    name: &str,
) -> anyhow::Result<Made> {
    let package = debs
        .packages
        .iter()
        .find(|package| package.name == name)
        .with_context(|| format!("the package {name} was not downloaded"))?;
    let inputs = Inputs::new()
        .text("package", package.sha256.as_str())
        .root("tools", tools);
    cache.step(step, &inputs, |out| {
        let binds = [
            Bind::read(&debs.folder, "/work/packages"),
            Bind::write(out, "/work/out"),
        ];
        run(tools
            .command("/work", &binds, "dpkg-deb")?
            .arg("--extract")
            .arg(format!("/work/packages/{}", package.file))
            .arg("/work/out"))
    })
}

/// Keys and the programs that use them.
pub(crate) struct Signing<'a> {
    pub keys: &'a Keys,
    pub tools: &'a DebianRoot,
}

impl Signing<'_> {
    pub(crate) fn sign(&self, name: Name, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (
            folder.path().join("message"),
            folder.path().join("signature"),
        );
        fs::write(&from, message)?;
        self.keys.sign(self.tools, name, &from, &to)?;
        Ok(fs::read(to)?)
    }

    /// An image as the box's firmware and its data want it.
    pub(crate) fn uki(&self, parts: &Parts) -> anyhow::Result<Vec<u8>> {
        let certificate = fs::read_to_string(self.keys.certificate(Name::Db))?;
        let certificate = pem(&certificate).context("the certificate of the key db is not PEM")?;
        let public = fs::read_to_string(self.keys.public(Name::PcrPolicy))?;
        uki::build(
            self.tools,
            parts,
            &Signatory {
                certificate: &certificate,
                sign: &|message| self.sign(Name::Db, message),
            },
            &PolicyKey {
                pem: &public,
                der: &self.keys.public_der(Name::PcrPolicy)?,
                sign: &|message| self.sign(Name::PcrPolicy, message),
            },
        )
    }
}

fn foretell(before: &Before, uki: &[u8]) -> anyhow::Result<Golden> {
    let table = match before.medium {
        Medium::Disk => Some(Disk::default().measured()),
        Medium::Card(_) => None,
    };
    golden::foretell(&Chain {
        firmware: &before.measured,
        seed: &Variables::decode(&fs::read(&before.seed)?)?.0,
        uki,
        partitions: table.as_deref(),
    })
}

/// The bytes of the first block of a PEM file.
fn pem(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"));
    let body: String = lines
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .ok()
        .filter(|bytes| !bytes.is_empty())
}
