//! The machine that figures are of.

use std::fs;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;

use crate::process;

/// What a reader must know to compare.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// UTC.
    pub date: String,
    /// The processor's own name.
    pub cpu: String,
    /// Cores that we may use.
    pub cores: usize,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release(5).
    pub system: String,
    /// Load averages before the first measure: who else was busy.
    pub load_before: String,
}

impl Machine {
    /// Looks.
    pub fn look() -> anyhow::Result<Self> {
        let cpu = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let system = read("/etc/os-release")?;
        let field = |text: &str, key: &str, separator: char| {
            text.lines()
                .filter_map(|line| line.split_once(separator))
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let kib = field(&memory, "MemTotal", ':')
            .and_then(|text| text.trim_end_matches(" kB").trim().parse::<u64>().ok());
        Ok(Self {
            date: process::output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?
                .trim()
                .to_owned(),
            cpu: field(&cpu, "model name", ':').unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: kib.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            system: field(&system, "PRETTY_NAME", '=').unwrap_or_default(),
            load_before: load()?,
        })
    }
}

/// Load averages of 1, 5 and 15 minutes now.
pub fn load() -> anyhow::Result<String> {
    let text = read("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}
