//! `umec-init certificate`: has the broker read its certificate again, which drops nobody (`mosquitto(8)`, SIGHUP).

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Everything that belongs to the broker's unit, one process a line (Linux, cgroup-v2).
const PROCESSES: &str = "/sys/fs/cgroup/system.slice/mosquitto.service/cgroup.procs";
/// What the kernel calls it (`proc_pid_comm(5)`). What prepares its start has another name and no ear for the signal.
const NAME: &str = "mosquitto";

/// A broker that does not run reads it when it starts.
pub fn run() -> Result<(), String> {
    let Ok(processes) = fs::read_to_string(PROCESSES) else {
        return Ok(());
    };
    for process in named(&processes, Path::new("/proc"), NAME) {
        kill_process(process, Signal::HUP)
            .map_err(|error| format!("cannot signal {NAME}: {error}"))?;
    }
    Ok(())
}

fn named(processes: &str, proc: &Path, name: &str) -> Vec<Pid> {
    let pids = processes.lines().filter_map(|line| line.parse().ok());
    let has_name = |pid: &i32| {
        let comm = fs::read_to_string(proc.join(pid.to_string()).join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    pids.filter(has_name).filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_broker_itself_is_signalled() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, comm) in [
            ("40", "edged\n"),
            ("41", "mosquitto\n"),
            ("42", "mosquitto\n"),
        ] {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("comm"), comm).unwrap();
        }
        // 42 is another's, 43 has ended.
        let found = named("40\n41\n43\n", proc.path(), NAME);
        assert_eq!(found, [Pid::from_raw(41).unwrap()]);
    }
}
