//! One process at a time.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::Context;

/// Takes the lock file of something that one process works on at a time; it is given back when the file is dropped.
/// Whoever has to wait for another is told so: a builder may hold it for half an hour.
///
/// # Errors
/// The file cannot be made or locked.
pub fn hold(path: &Path, what: &str) -> anyhow::Result<File> {
    let named = || format!("cannot lock {}", path.display());
    let file = File::create(path).with_context(named)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("  {what:<24} waits for another build that is at it");
            file.lock().with_context(named)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(named),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_another_gets_only_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = hold(&path, "first").unwrap();
        assert!(matches!(
            File::create(&path).unwrap().try_lock(),
            Err(TryLockError::WouldBlock)
        ));
        let second = std::thread::spawn({
            let path = path.clone();
            move || hold(&path, "second").map(drop)
        });
        drop(first);
        second.join().unwrap().unwrap();
    }
}
