//! Releases never go back: the TPM's counter has the lowest one that starts on this box.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use edged_tpm::{Command, Counter};

use crate::tpm;

/// Who built what, in the root.
const BUILD: &str = "etc/edged/build.json";
/// For root alone, on the data partition: the counter's password, and umec-slot's mark of a trial.
const FOLDER: &str = "/var/lib/umec";
const PASSWORD: &str = "/var/lib/umec/counter";
const NAME: &str = "counter";
/// The password of a counter that is being made.
const ASIDE: &str = "counter.new";

/// The number of the image with this root.
pub fn of(root: &Path) -> Result<u64, String> {
    let path = root.join(BUILD);
    let text = fs::read_to_string(&path).unwrap_or_default();
    number(&text).ok_or_else(|| format!("{} names no release", path.display()))
}

/// `"release": N`.
fn number(build: &str) -> Option<u64> {
    let compact: String = build.split_whitespace().collect();
    let (_, rest) = compact.split_once("\"release\":")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Why this image does not run: it is older than what this box has confirmed.
pub fn refusal(root: &Path) -> Result<Option<String>, String> {
    let release = of(root)?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(None);
    };
    let floor = Counter(&mut tpm)
        .floor()
        .map_err(|error| error.to_string())?;
    let floor = floor.filter(|floor| release < *floor);
    Ok(floor
        .map(|floor| format!("this image is release {release} and the box has confirmed {floor}")))
}

/// Makes the counter where there is none, or nobody knows its password any more. It begins with the running release, and
/// never below what it was. The password has its name only while the counter is that password's.
pub fn count() -> Result<(), String> {
    make_folder(Path::new(FOLDER))?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    let mut counter = Counter(&mut tpm);
    let failed = |error: edged_tpm::TpmError| error.to_string();
    if counter.counted().map_err(failed)?.is_some() && Path::new(PASSWORD).exists() {
        return Ok(());
    }
    let floor = counter.floor().map_err(failed)?;
    let begin = of(Path::new("/"))?.max(floor.unwrap_or_default());
    let kept = |error: io::Error| format!("cannot write {PASSWORD}: {error}");
    let password = set_aside(Path::new(FOLDER)).map_err(kept)?;
    counter.make(begin, &password).map_err(failed)?;
    put_in_place(Path::new(FOLDER)).map_err(kept)
}

/// A new password, kept beside the place of the old one, which is gone: its counter goes next.
fn set_aside(folder: &Path) -> io::Result<[u8; 32]> {
    let mut password = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut password)?;
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(folder.join(ASIDE))?;
    file.write_all(&password)?;
    file.sync_all()?;
    match fs::remove_file(folder.join(NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::open(folder)?.sync_all()?;
    Ok(password)
}

fn put_in_place(folder: &Path) -> io::Result<()> {
    fs::rename(folder.join(ASIDE), folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

fn make_folder(path: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(format!("cannot make {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// From here on nobody in this boot removes the counter, replaces it, or clears the TPM.
pub fn close() -> Result<(), String> {
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    for command in [Command::forbid_clearing(), Command::close_platform()] {
        tpm.run(&command).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_its_name_only_once_its_counter_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(NAME);
        fs::write(&place, "of the counter that goes").unwrap();
        let first = set_aside(folder.path()).unwrap();
        assert!(
            !place.exists(),
            "the old one is taken for the new counter's"
        );
        // The power failed before the counter was made.
        let second = set_aside(folder.path()).unwrap();
        assert_ne!(first, second);
        assert!(!place.exists());
        put_in_place(folder.path()).unwrap();
        assert_eq!(fs::read(&place).unwrap(), second);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_release_is_a_number_in_what_the_build_says() {
        assert_eq!(
            number("{\n  \"board\": \"x\",\n  \"release\": 12,\n  \"version\": \"1\"\n}"),
            Some(12)
        );
        assert_eq!(number("{\"release\":7}"), Some(7));
        assert_eq!(number("{\"release\":\"7\"}"), None);
        assert_eq!(number(""), None);
    }
}
