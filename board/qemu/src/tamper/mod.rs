//! Attacks on the chain, each with the stage that must refuse it.
//!
//! One bit is flipped at the right place in a copy of the flash or the disk, or the box is started past its chain. The
//! way past is always tried on a disk whose images are refused: if the way is open, its own mark appears on the
//! console.

mod beside;
mod disk;
mod environment;
mod image;
mod luks;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use board_firmware as firmware;
use board_forge::{Cache, DebianRoot};
use clap::ValueEnum;
use serde::Serialize;

use crate::Parts;
use crate::console::Heard;
use crate::folder::Folder;
use crate::guest::{BOOT, Guest};
use crate::machine::Changes;
use crate::stage::{self, Stage};

pub use image::{arm, images, put_image};
pub use luks::{copy_data_header, empty_data, tear_last_label};

/// On the console, it says that a way past the chain is open.
pub const BYPASSED: &str = "UMEC-BYPASSED";
/// Where the image has edged.
const EDGED: &str = "/usr/bin/edged";
/// Lines of the console that a message repeats.
const TAIL: usize = 15;

/// What is tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A bit of TF-A's second stage.
    Bl2,
    /// A bit of TF-A's runtime.
    Bl31,
    /// A bit of OP-TEE.
    Tee,
    /// A bit of U-Boot.
    Bootloader,
    /// A bit of the kernel.
    Kernel,
    /// A bit of the initrd.
    Initrd,
    /// A bit of edged's program inside the initrd.
    Edged,
    /// A bit of the kernel's command line.
    Cmdline,
    /// Images without a signature.
    Unsigned,
    /// Images signed by somebody else.
    Foreign,
    /// Images whose hash is on the list of what is revoked (dbx).
    Revoked,
    /// Somebody's commands in a saved environment of U-Boot.
    Env,
    /// A kernel given to QEMU by hand.
    DirectKernel,
    /// Files by which other ways to boot know what to do, and a program where a boot manager looks by itself.
    BootMethod,
    /// Keys of somebody else in the file of U-Boot's variables, and images signed by them.
    Variables,
    /// A file beside the image that systemd-stub would hand to systemd as a credential.
    Credential,
    /// The same for every image on the boot partition.
    GlobalCredential,
    /// A file beside the image that systemd-stub would hand on as an extension of the root.
    Extension,
    /// A bit of the device tree.
    Dtb,
    /// A bit of the sealed key on the data partition.
    Data,
    /// The disk in a box with another TPM.
    Tpm,
}

impl What {
    /// Who has to refuse.
    pub fn refused_by(self) -> Stage {
        match self {
            Self::Bl2 => Stage::Bl1,
            Self::Bl31 | Self::Tee | Self::Bootloader => Stage::Bl2,
            Self::Kernel
            | Self::Initrd
            | Self::Edged
            | Self::Cmdline
            | Self::Unsigned
            | Self::Foreign
            | Self::Revoked
            | Self::Env
            | Self::DirectKernel
            | Self::BootMethod
            | Self::Variables => Stage::UBoot,
            Self::Credential | Self::GlobalCredential | Self::Extension => Stage::Init,
            Self::Dtb | Self::Data | Self::Tpm => Stage::Data,
        }
    }

    /// Whether there is nothing to refuse before the box has sealed its data in a first, good start.
    pub fn needs_sealed_data(self) -> bool {
        self.refused_by() == Stage::Data
    }

    /// Changes a box that is switched off; what is returned is for its start.
    ///
    /// # Errors
    /// The flash or the disk is not as expected.
    pub fn apply(
        self,
        cache: &Cache,
        root: &DebianRoot,
        parts: &Parts,
        folder: &Folder,
    ) -> anyhow::Result<Changes> {
        let mut changes = Changes {
            once: true,
            ..Changes::default()
        };
        let images = || image::Images::find(root, folder);
        let section = |name| images()?.change(|bytes| image::flip_section(bytes, name));
        let flash = |stage| firmware::tamper(&parts.firmware, stage, &folder.flash());
        match self {
            Self::Bl2 => flash(firmware::Stage::Bl2)?,
            Self::Bl31 => flash(firmware::Stage::Bl31)?,
            Self::Tee => flash(firmware::Stage::Tee)?,
            Self::Bootloader => flash(firmware::Stage::Bootloader)?,
            Self::Kernel => section(".linux")?,
            Self::Initrd => section(".initrd")?,
            Self::Cmdline => section(".cmdline")?,
            Self::Edged => images()?.flip_program(&parts.image.parts.user_space.root, EDGED)?,
            Self::Unsigned => images()?.change(image::unsign)?,
            Self::Foreign => images()?.sign_by_somebody_else()?,
            Self::Revoked => images()?.revoke(cache, parts)?,
            Self::Env => {
                section(".linux")?;
                changes.arguments = environment::plant(folder)?;
            }
            Self::DirectKernel => {
                changes.arguments = images()?.kernel_by_hand()?;
                section(".linux")?;
            }
            Self::BootMethod => {
                let images = images()?;
                let program = images.program()?;
                // An image that is written anew gives back what its slot has beyond it: room for the program, twice.
                section(".linux")?;
                images.plant_boot_methods(&program)?;
            }
            Self::Variables => images()?.plant_keys(&parts.keys)?,
            Self::Credential => images()?.plant_beside("passwd.hashed-password.root.cred")?,
            Self::GlobalCredential => images()?.plant_global_credential()?,
            Self::Extension => images()?.plant_beside("programs.sysext.raw")?,
            Self::Dtb => changes.arguments = tree::flip(root, folder)?,
            Self::Data => luks::flip(&folder.disk())?,
            Self::Tpm => fs::remove_dir_all(folder.tpm()).context("the box has no TPM yet")?,
        }
        Ok(changes)
    }
}

/// What does nothing to a box that is otherwise well, as the chain does not look at it: an environment of U-Boot, words
/// for systemd-stub in a table of the firmware (SMBIOS type 11, systemd-stub(7)), and a credential for systemd in such a
/// table and in QEMU's own (`fw_cfg`, systemd.system-credentials(7)). Returns QEMU's arguments.
///
/// # Errors
/// The environment cannot be written.
pub fn beside_the_chain(folder: &Folder) -> anyhow::Result<Vec<String>> {
    // With the last word the kernel says its whole command line on the console.
    let words = format!("{BYPASSED} ignore_loglevel");
    let name = "passwd.hashed-password.root";
    let mut arguments = environment::plant(folder)?;
    for (option, value) in [
        (
            "-smbios",
            format!("type=11,value=io.systemd.stub.kernel-cmdline-extra={words}"),
        ),
        (
            "-smbios",
            format!("type=11,value=io.systemd.credential:{name}={BYPASSED}"),
        ),
        (
            "-fw_cfg",
            format!("name=opt/io.systemd.credentials/{name},string={BYPASSED}"),
        ),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    Ok(arguments)
}

/// Breaks the first image of a box, and lays an add-on with words for the kernel beside the second, which nobody signed:
/// the box starts the second, and nothing of the add-on.
///
/// # Errors
/// The disk is not as expected, or the add-on cannot be made.
pub fn fall_back(cache: &Cache, root: &DebianRoot, folder: &Folder) -> anyhow::Result<()> {
    let images = image::Images::find(root, folder)?;
    let [first, second] = images.paths.as_slice() else {
        bail!("the box has other images than two: {:?}", images.paths);
    };
    images.change_one(first, |bytes| image::flip_section(bytes, ".linux"))?;
    images.plant_add_on(cache, second)
}

/// Tears the file that says what starts next, as a cut of the power in a write of it may.
///
/// # Errors
/// The disk is not as expected.
pub fn tear_variables(root: &DebianRoot, folder: &Folder) -> anyhow::Result<()> {
    image::Images::find(root, folder)?.tear_variables()
}

/// What is printed when the chain has refused.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// Always false.
    pub ready: bool,
    /// Who refused.
    pub refused_by: Stage,
    /// What the box said.
    pub console: PathBuf,
}

/// Starts a box with the changes and waits for the stage that must refuse them.
///
/// # Errors
/// It booted nevertheless, something else refused, or nothing was recognised in time.
pub fn refused(
    what: What,
    root: &DebianRoot,
    folder: &Folder,
    changes: &Changes,
    stop: &dyn Fn() -> bool,
) -> anyhow::Result<Refusal> {
    let guest = Guest::start(root, folder, changes)?;
    let expected = what.refused_by();
    let console = &guest.machine.console;
    let heard = console.wait(BOOT, stop, |line| verdict(expected, &line.text));
    let refused_by = match heard {
        Heard::Line(Verdict::Refused(stage)) => stage,
        Heard::Line(Verdict::Open(words)) => bail!(
            "SECURITY: the box went on although {what:?} was tampered with: it said `{words}`; {expected} must refuse it. Its last words:\n{}",
            console.last(TAIL)
        ),
        Heard::Stopped => bail!("stopped before the box refused or served"),
        Heard::End | Heard::Late => bail!(
            "{what:?} was tampered with, and the box neither refused nor served in words that are known. Its last:\n{}",
            console.last(TAIL)
        ),
    };
    if refused_by != expected {
        bail!(
            "{what:?} was tampered with and {refused_by} refused, but {expected} has to. The box's last words:\n{}",
            console.last(TAIL)
        );
    }
    Ok(Refusal {
        ready: false,
        refused_by,
        console: folder.console(),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refused(Stage),
    Open(String),
}

fn verdict(expected: Stage, line: &str) -> Option<Verdict> {
    let open = [stage::READY, BYPASSED, expected.passed()];
    if open.iter().any(|words| line.contains(words)) {
        return Some(Verdict::Open(line.to_owned()));
    }
    stage::refusal(line).map(Verdict::Refused)
}

/// Changes one bit of a file.
pub(crate) fn flip_bit(file: &Path, at: u64) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt;
    let shown = file.display();
    let open = fs::File::options()
        .read(true)
        .write(true)
        .open(file)
        .with_context(|| format!("cannot open {shown}"))?;
    let mut byte = [0];
    open.read_exact_at(&mut byte, at)
        .with_context(|| format!("{shown} has no byte {at}"))?;
    open.write_all_at(&byte.map(|byte| byte ^ 1), at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_goes_on_is_never_taken_for_one_that_refuses() {
        let open = |line: &str| Some(Verdict::Open(line.to_owned()));
        assert_eq!(verdict(Stage::Data, "EDGED-READY"), open("EDGED-READY"));
        let line = format!("Kernel command line: {BYPASSED}");
        assert_eq!(verdict(Stage::UBoot, &line), open(&line));
        let line = "EFI stub: Decompressing Linux Kernel...";
        assert_eq!(verdict(Stage::UBoot, line), open(line));
        assert_eq!(verdict(Stage::Init, line), None);
        assert_eq!(
            verdict(Stage::UBoot, "EFI-BOOT-REFUSED"),
            Some(Verdict::Refused(Stage::UBoot))
        );
        assert_eq!(verdict(Stage::UBoot, "resetting ..."), None);
    }

    #[test]
    fn one_bit_is_changed_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, [0_u8; 4]).unwrap();
        flip_bit(&file, 2).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [0, 0, 1, 0]);
        assert!(flip_bit(&file, 4).is_err());
    }
}
