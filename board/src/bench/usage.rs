//! What a process uses (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Memory in use, shared pages divided among those who share them, MiB.
pub fn proportional_memory(pid: i32) -> anyhow::Result<f64> {
    mebibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The part of it that is not a file's: what only the process's end gives back, MiB.
pub fn own_memory(pid: i32) -> anyhow::Result<f64> {
    mebibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss_Anon:")
}

/// The most memory that was resident at once, MiB.
pub fn peak_memory(pid: i32) -> anyhow::Result<f64> {
    mebibytes(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Forgets the peak (`clear_refs`, value 5).
pub fn forget_peak(pid: i32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

fn mebibytes(path: &str, key: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let kib: u32 = value
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("{path} has no {key}"))?;
    Ok(f64::from(kib) / 1024.0)
}

/// Processor time of all threads that live now, to the nanosecond; `stat` counts in hundredths of a second.
pub fn processor_time(pid: i32) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut total = Duration::ZERO;
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let path = entry?.path().join("schedstat");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
        total += Duration::from_nanos(
            nanoseconds.with_context(|| format!("{}: {text}", path.display()))?,
        );
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(proportional_memory(pid).unwrap() > 0.1);
        assert!(peak_memory(pid).unwrap() > 0.1);
        assert!(processor_time(pid).unwrap() > Duration::ZERO);
    }
}
