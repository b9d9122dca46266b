//! The peer's hardware: ours without secure world, TPM and firmware.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use board_forge::{Bind, DebianRoot};
use board_qemu::{Console, Heard, Monitor};

use super::page::{MEMORY, PUBLISHED};

/// Where QEMU finds its files.
const INSIDE: &str = "/work/run";
/// Longest run of a machine that ends by itself: an installation of two hundred packages, emulated on a busy machine.
const END: Duration = Duration::from_secs(2400);
/// Lines of the console that a message repeats.
const TAIL: usize = 15;

/// What QEMU starts by itself.
pub struct Kernel<'a> {
    /// The kernel.
    pub image: &'a Path,
    /// Its initrd.
    pub initrd: Option<&'a Path>,
    /// Its command line.
    pub words: &'a str,
}

/// A machine that is switched on. Dropped, it loses its power.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    console: Console,
}

impl Machine {
    /// Switches one on. With `forget`, what it writes to its disk goes with it.
    pub fn start(
        root: &DebianRoot,
        folder: &Path,
        kernel: &Kernel<'_>,
        disk: &Path,
        forget: bool,
        here: u16,
    ) -> anyhow::Result<Self> {
        let mut binds = vec![
            Bind::write(folder, INSIDE),
            Bind::read(kernel.image, "/work/Image"),
            if forget {
                Bind::read(disk, "/work/disk.img")
            } else {
                Bind::write(disk, "/work/disk.img")
            },
        ];
        binds.extend(kernel.initrd.map(|file| Bind::read(file, "/work/initrd")));
        let mut command = root.command(INSIDE, &binds, "setpriv")?;
        // Where QEMU keeps what is to be forgotten.
        command.env("TMPDIR", INSIDE);
        command.args(["--pdeathsig", "KILL", "--", "qemu-system-aarch64"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", "none", "-machine", "virt,gic-version=3"]);
        command.args(["-accel", "tcg,thread=multi", "-cpu", "cortex-a72"]);
        command.args(["-smp", "2", "-m", &MEMORY.to_string()]);
        command.args(["-kernel", "/work/Image", "-append", kernel.words]);
        if kernel.initrd.is_some() {
            command.args(["-initrd", "/work/initrd"]);
        }
        command.args(["-serial", "stdio"]);
        command.args(Monitor::arguments_in(INSIDE));
        let forget = if forget { "on" } else { "off" };
        let drive = format!("if=none,id=disk,format=raw,file=/work/disk.img,snapshot={forget}");
        command.args(["-drive", &drive]);
        command.args(["-device", "virtio-blk-device,drive=disk"]);
        command.args(["-device", "virtio-rng-device"]);
        let net = format!("user,id=net,hostfwd=tcp:127.0.0.1:{here}-:{PUBLISHED}");
        command.args(["-netdev", &net, "-device", "virtio-net-device,netdev=net"]);
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("qemu.log"))?)
            .spawn()
            .context("cannot start QEMU")?;
        let from = qemu.stdout.take().context("QEMU has no console")?;
        let console = Console::listen(from, &folder.join("console.log"))?;
        Ok(Self { qemu, console })
    }

    /// Waits for words, and says when they came, from power-on.
    pub fn hear(&self, words: &str, longest: Duration) -> anyhow::Result<Duration> {
        let heard = self.console.wait(longest, &|| false, |line| {
            line.text.contains(words).then_some(line.at)
        });
        if let Heard::Line(at) = heard {
            return Ok(at);
        }
        bail!(
            "Debian does not say `{words}`; its last words:\n{}",
            self.console.last(TAIL)
        )
    }

    /// Waits until the machine switches itself off, and sees to it that it said the words before.
    pub fn end(self, words: &str) -> anyhow::Result<()> {
        let ended: Heard<()> = self.console.wait(END, &|| false, |_| None);
        if !matches!(ended, Heard::End) {
            bail!(
                "Debian does not switch itself off; its last words:\n{}",
                self.console.last(TAIL)
            );
        }
        self.hear(words, Duration::ZERO).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
