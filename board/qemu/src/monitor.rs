//! QEMU's monitor (QMP): what the machine's hardware does, and changes to it while it runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::folder::{Folder, INSIDE};

/// Longest wait for an answer: QEMU's main loop comes round in milliseconds, but may have something else to do.
const ANSWER: Duration = Duration::from_secs(30);
/// The socket in the box's folder.
const SOCKET: &str = "monitor.sock";
/// The disk's name in QEMU's arguments.
const DISK: &str = "disk";

/// A connection to the monitor.
#[derive(Debug)]
pub struct Monitor(BufReader<UnixStream>);

/// What a machine has written to its disk since its power-on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// Writes.
    pub writes: u64,
    /// Flushes.
    pub flushes: u64,
}

impl Monitor {
    /// Arguments of QEMU that give a box of ours one.
    pub fn arguments() -> Vec<String> {
        Self::arguments_in(INSIDE)
    }

    /// The same for another machine, whose folder QEMU sees there.
    pub fn arguments_in(folder: &str) -> Vec<String> {
        let place = format!("unix:{folder}/{SOCKET},server=on,wait=off");
        vec!["-qmp".to_owned(), place]
    }

    /// Opens the monitor of a running box that was given one.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn open(folder: &Folder) -> anyhow::Result<Self> {
        Self::open_in(&folder.path)
    }

    /// The same for another machine.
    ///
    /// # Errors
    /// As [`Monitor::open`].
    pub fn open_in(folder: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(folder.join(SOCKET)).context("QEMU has no monitor")?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.ask(&json!({"execute": "qmp_capabilities"}))?;
        Ok(monitor)
    }

    /// Says a command; its answer is heard later, in the same order.
    ///
    /// # Errors
    /// The connection broke.
    pub fn say(&mut self, command: &Value) -> anyhow::Result<()> {
        writeln!(self.0.get_mut(), "{command}")?;
        Ok(())
    }

    /// The answer to the first command that has none yet.
    ///
    /// # Errors
    /// QEMU's.
    pub fn hear(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "QEMU's monitor has ended");
            let answer: Value = serde_json::from_str(&line)?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            ensure!(answer.get("error").is_none(), "{answer}");
        }
    }

    /// A command and its answer.
    ///
    /// # Errors
    /// QEMU's.
    pub fn ask(&mut self, command: &Value) -> anyhow::Result<Value> {
        self.say(command)?;
        self.hear()
    }

    /// Plugs a stick into the machine's USB (`qemu-xhci`): a file of its folder, which it cannot write to.
    ///
    /// # Errors
    /// QEMU's.
    pub fn plug(&mut self, file: &str) -> anyhow::Result<()> {
        let place = json!({"driver": "file", "filename": format!("{INSIDE}/{file}")});
        let node = json!({"driver": "raw", "node-name": file, "read-only": true, "file": place});
        self.ask(&json!({"execute": "blockdev-add", "arguments": node}))?;
        let stick = json!({"driver": "usb-storage", "id": file, "drive": file, "removable": true});
        self.ask(&json!({"execute": "device_add", "arguments": stick}))?;
        Ok(())
    }

    /// Pulls a stick out. QEMU keeps its file open.
    ///
    /// # Errors
    /// QEMU's.
    pub fn unplug(&mut self, file: &str) -> anyhow::Result<()> {
        self.ask(&json!({"execute": "device_del", "arguments": {"id": file}}))?;
        Ok(())
    }

    /// Has the disk take and give no more than this many bytes a second; 0 ends it.
    ///
    /// # Errors
    /// QEMU's.
    pub fn slow_disk(&mut self, bytes: u64) -> anyhow::Result<()> {
        let limits = json!({
            "device": DISK, "bps": bytes, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.ask(&json!({"execute": "block_set_io_throttle", "arguments": limits}))?;
        Ok(())
    }

    /// What the machine has written to its disk.
    ///
    /// # Errors
    /// QEMU's.
    pub fn written(&mut self) -> anyhow::Result<Written> {
        let answer = self.ask(&json!({"execute": "query-blockstats"}))?;
        let devices = answer.as_array().context("no list of devices")?;
        let disk = devices
            .iter()
            .find(|device| device.get("device").and_then(Value::as_str) == Some(DISK));
        let stats = disk.and_then(|disk| disk.get("stats"));
        let stats = stats.with_context(|| format!("QEMU does not know its disk: {answer}"))?;
        let number = |key: &str| {
            let number = stats.get(key).and_then(Value::as_u64);
            number.with_context(|| format!("no {key}: {stats}"))
        };
        Ok(Written {
            bytes: number("wr_bytes")?,
            writes: number("wr_operations")?,
            flushes: number("flush_operations")?,
        })
    }
}
