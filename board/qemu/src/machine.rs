//! The hardware: QEMU's `virt` machine with a secure world, a TPM, a watchdog and one network card.
//!
//! Emulated throughout: a machine with a secure world cannot use KVM, on no host (QEMU refuses `secure=on` with it).

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use board_forge::{Bind, DebianRoot, run};
use rustix::process::{Pid, Signal, kill_process};

use crate::console::{Console, Heard};
use crate::folder::{Folder, INSIDE};
use crate::port::{Forward, Ports};
use crate::tpm::{SOCKET, Tpm};

/// Longest time until the first line: BL1 speaks at once.
const FIRST_LINE: Duration = Duration::from_secs(60);
/// Starts with other ports, after one of ours was taken between the look and the start.
const STARTS: usize = 4;

/// What is different from the usual hardware; for those who tamper and measure.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Further arguments of QEMU.
    pub arguments: Vec<String>,
    /// What they need to see, below `/work`.
    pub binds: Vec<Bind>,
    /// Further ports that can be reached.
    pub forwards: Vec<Forward>,
    /// End at a reset instead of starting again.
    pub once: bool,
}

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Box and TPM stop wherever they are.
    Torn,
    /// QEMU ends by itself, so that the TPM has its state in order.
    Orderly,
}

/// A box that is switched on. Dropped, it loses its power.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    tpm: Tpm,
    /// What it says.
    pub console: Console,
    /// Where its ports are.
    pub ports: Ports,
}

impl Machine {
    /// Switches the folder's box on.
    ///
    /// # Errors
    /// QEMU's or swtpm's.
    pub fn start(root: &DebianRoot, folder: &Folder, changes: &Changes) -> anyhow::Result<Self> {
        for _ in 1..STARTS {
            if let Some(machine) = Self::try_start(root, folder, changes)? {
                return Ok(machine);
            }
        }
        bail!("in {STARTS} starts of QEMU, another program took one of its ports each time")
    }

    /// `None`: a port was taken meanwhile.
    fn try_start(
        root: &DebianRoot,
        folder: &Folder,
        changes: &Changes,
    ) -> anyhow::Result<Option<Self>> {
        let tpm = Tpm::start(root, folder)?;
        let ports = Ports::find()?;
        let log = folder.path.join("qemu.log");
        let binds = [vec![folder.bind()], changes.binds.clone()].concat();
        let mut command = root.command(INSIDE, &binds, "setpriv")?;
        command
            .args(["--pdeathsig", "KILL", "--", "qemu-system-aarch64"])
            .args(hardware(&ports, &changes.forwards))
            .args(&changes.arguments);
        if changes.once {
            command.arg("-no-reboot");
        }
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start QEMU")?;
        let from = qemu.stdout.take().context("QEMU has no console")?;
        let mut machine = Self {
            console: Console::listen(from, &folder.console())?,
            qemu,
            tpm,
            ports,
        };
        match machine.console.wait(FIRST_LINE, &|| false, |line| {
            (!line.text.is_empty()).then_some(())
        }) {
            Heard::Line(()) | Heard::Stopped => Ok(Some(machine)),
            Heard::Late => bail!("the box has said nothing for {FIRST_LINE:?}"),
            Heard::End => {
                let status = machine.qemu.wait()?;
                let why = fs::read_to_string(&log).unwrap_or_default();
                if why.contains("host forwarding rule") {
                    return Ok(None);
                }
                bail!("QEMU ended with {status}: {}", why.trim())
            }
        }
    }

    /// Process number of QEMU.
    pub fn pid(&self) -> u32 {
        self.qemu.id()
    }

    /// Whether the box has switched itself off.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn is_off(&mut self) -> anyhow::Result<bool> {
        Ok(self.qemu.try_wait()?.is_some())
    }

    /// Takes the power away, as it is taken from a box at a wall: what the box wrote to its disk is there, what it had
    /// not written yet is not.
    ///
    /// # Errors
    /// QEMU cannot be waited for.
    pub fn cut(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// Takes the power away from a box that others use at this moment; [`Machine::cut`] follows.
    ///
    /// # Errors
    /// The processes cannot be ended.
    pub fn take_power(&self, how: Power) -> anyhow::Result<()> {
        match how {
            Power::Torn => {
                signal(&self.qemu, Signal::KILL)?;
                self.tpm.kill()
            }
            Power::Orderly => signal(&self.qemu, Signal::TERM),
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.qemu.try_wait()?.is_none() {
            // SIGTERM, so that QEMU leaves its TPM in order.
            signal(&self.qemu, Signal::TERM)?;
        }
        self.qemu.wait()?;
        self.console.finish();
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("board: {error:#}");
        }
    }
}

/// Tells a process that nobody has waited for yet, so that its number is still its own.
pub(crate) fn signal(process: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let pid = pid.context("a process without a number")?;
    kill_process(pid, signal).context("cannot end a process of the box")
}

/// Has QEMU write the device tree of this hardware to a file, and end.
///
/// # Errors
/// QEMU's.
pub fn write_tree(root: &DebianRoot, folder: &Folder, file: &str) -> anyhow::Result<()> {
    let _tpm = Tpm::start(root, folder)?;
    let mut command = root.command(INSIDE, &[folder.bind()], "qemu-system-aarch64")?;
    command
        .args(hardware(&Ports::find()?, &[]))
        .args(["-machine", &format!("dumpdtb={file}")]);
    run(&mut command).context("QEMU does not write its device tree")
}

/// Arguments of QEMU. Devices are on the virtio-mmio bus, where no option ROM is needed.
fn hardware(ports: &Ports, more: &[Forward]) -> Vec<String> {
    // What is not named is not there.
    let mut arguments = vec!["-nodefaults".to_owned(), "-no-user-config".to_owned()];
    let mut add = |option: &str, value: &str| {
        arguments.push(option.to_owned());
        arguments.push(value.to_owned());
    };
    add("-display", "none");
    add("-machine", "virt,secure=on,gic-version=3");
    add("-accel", "tcg,thread=multi");
    add("-cpu", "cortex-a72");
    add("-smp", "2");
    add("-m", "1024");
    add("-bios", &format!("{INSIDE}/flash.bin"));
    // The first serial line is everybody's, the second the secure world's.
    add("-chardev", "stdio,id=console,signal=off");
    add("-serial", "chardev:console");
    add("-serial", &format!("file:{INSIDE}/secure.log"));
    let disk = format!("if=none,id=disk,format=raw,file={INSIDE}/disk.img");
    add("-drive", &disk);
    add("-device", "virtio-blk-device,drive=disk");
    add("-device", "virtio-rng-device");
    add("-chardev", &format!("socket,id=tpm,path={INSIDE}/{SOCKET}"));
    add("-tpmdev", "emulator,id=tpm,chardev=tpm");
    add("-device", "tpm-tis-device,tpmdev=tpm");
    add("-device", "i6300esb");
    // The box is reached through its ports alone. It reaches what this process reaches (board_node::network).
    add("-netdev", &format!("user,id=net{}", ports.rules(more)));
    add("-device", "virtio-net-device,netdev=net");
    arguments
}
