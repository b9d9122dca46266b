//! The guest: QEMU's `virt` with our kernel, three disks and a serial line. No network, no firmware, no TPM: the boot
//! chain has tests of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use board_forge::{Bind, DebianRoot, run};

/// Where QEMU finds its files.
const INSIDE: &str = "/work/run";
/// The disk for what tests write, MiB: images, registries and nodes of one test after the other.
const SCRATCH: u32 = 4096;
/// Smallest disk that QEMU's virtio-blk offers, bytes; a job is shorter.
const JOB: usize = 64 << 10;
/// A guest that says nothing for so long has come to a stop: the longest test takes a quarter of it in emulation.
const SILENCE: Duration = Duration::from_secs(300);
/// Quiet, so that the kernel's words do not get into the tests'; no ASLR of the kernel costs nothing here.
const COMMAND_LINE: &str =
    "console=ttyAMA0 root=/dev/vda rootfstype=erofs ro init=/init loglevel=4 panic=-1";

/// A guest that runs. Dropped, it is ended.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Guest {
    /// Starts it with a root file system and a job, for at most `longest`; `folder` holds what it writes.
    ///
    /// # Errors
    /// QEMU's or mke2fs's.
    pub fn start(
        root: &DebianRoot,
        kernel: &Path,
        system: &Path,
        job: &str,
        folder: &Path,
        longest: Duration,
    ) -> anyhow::Result<Self> {
        let mut text = job.as_bytes().to_vec();
        if text.len() > JOB {
            bail!(
                "{} bytes of test names are more than {JOB}; name fewer",
                text.len()
            );
        }
        text.resize(JOB, 0);
        fs::write(folder.join("job.img"), text)?;
        let binds = [
            Bind::write(folder, INSIDE),
            Bind::read(kernel, "/work/Image"),
            Bind::read(system, "/work/root.erofs"),
        ];
        run(root.command(INSIDE, &binds, "mke2fs")?.args([
            "-q",
            "-t",
            "ext4",
            "-O",
            "^has_journal",
            "scratch.img",
            &format!("{SCRATCH}M"),
        ]))?;
        let mut command = root.command(INSIDE, &binds, "setpriv")?;
        let mut qemu = command
            .args(["--pdeathsig", "KILL", "--", "qemu-system-aarch64"])
            .args(hardware())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("qemu.log"))?)
            .spawn()
            .context("cannot start QEMU")?;
        let from = qemu.stdout.take().context("QEMU has no console")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while let Ok(1..) = from.read_until(b'\n', &mut line) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            qemu,
            lines,
            deadline: Instant::now() + longest,
        })
    }

    /// The next line of its console; `None` at its end.
    ///
    /// # Errors
    /// It is silent or runs for too long.
    pub fn line(&mut self) -> anyhow::Result<Option<String>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(SILENCE.min(left)) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) if left < SILENCE => {
                bail!("the guest runs for too long")
            }
            Err(RecvTimeoutError::Timeout) => bail!("the guest has said nothing for {SILENCE:?}"),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn hardware() -> Vec<String> {
    let mut arguments = vec!["-nodefaults", "-no-user-config", "-no-reboot"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let mut add = |option: &str, value: &str| {
        arguments.push(option.to_owned());
        arguments.push(value.to_owned());
    };
    add("-display", "none");
    add("-machine", "virt,gic-version=3");
    // Translated code of several programs stays: making it is most of the work.
    add("-accel", "tcg,thread=multi,tb-size=512");
    add("-cpu", "cortex-a72");
    add("-smp", "2");
    add("-m", "3072");
    add("-kernel", "/work/Image");
    add("-append", COMMAND_LINE);
    add("-serial", "stdio");
    for (name, rest) in [
        ("system", "readonly=on,file=/work/root.erofs"),
        ("job", "readonly=on,file=job.img"),
        // What a test writes need not survive anything.
        ("scratch", "cache=unsafe,file=scratch.img"),
    ] {
        add("-drive", &format!("if=none,id={name},format=raw,{rest}"));
        add("-device", &format!("virtio-blk-pci,drive={name},romfile="));
    }
    add("-device", "virtio-rng-pci,romfile=");
    arguments
}
