//! `umec-init guard`: resets a box whose trial nobody ends.
//!
//! PID 1 leaves it behind when the box may have been started from slot B. It depends on no unit and on nothing of edged: a
//! trial is over when umec-slot has exchanged the slots, and it was none when the data partition has no mark of one.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::system::{RebootCommand, reboot};

use crate::console;

/// Seconds that a trial has, where the image says so.
const LIMIT: &str = "/etc/umec/trial";
/// Else: twice the time that edged gives it, and the slowest start.
const SECONDS: u64 = 600;
/// How often is looked.
const PACE: Duration = Duration::from_secs(1);
/// umec-slot's marks, and its folder, which is there once the data partition is.
const CONFIRMED: &str = "run/umec/confirmed";
const TRIAL: &str = "var/lib/umec/trial";
const DATA: &str = "var/lib/umec";

/// Waits for the end of the trial.
pub fn run() -> Result<(), String> {
    let text = fs::read_to_string(LIMIT).unwrap_or_default();
    let limit = Duration::from_secs(text.trim().parse().unwrap_or(SECONDS));
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if over(Path::new("/")) {
            return Ok(());
        }
        std::thread::sleep(PACE);
    }
    console::say(&format!(
        "UMEC-TRIAL-ENDED: nobody has confirmed this image in {} s",
        limit.as_secs()
    ));
    // Nothing is synced: what hangs may be the disk.
    reboot(RebootCommand::Restart).map_err(|error| format!("cannot reset the box: {error}"))
}

fn over(root: &Path) -> bool {
    let there = |name: &str| root.join(name).exists();
    there(CONFIRMED) || there(DATA) && !there(TRIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_over_when_it_is_confirmed_or_was_none() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert!(!over(root), "the data partition is not open yet");
        fs::create_dir_all(root.join(DATA)).unwrap();
        assert!(over(root), "A was refused: nobody armed B");
        fs::write(root.join(TRIAL), "").unwrap();
        assert!(!over(root));
        fs::create_dir_all(root.join("run/umec")).unwrap();
        fs::write(root.join(CONFIRMED), "").unwrap();
        assert!(over(root));
    }
}
