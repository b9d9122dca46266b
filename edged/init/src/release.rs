//! Releases never go back: the TPM's counter has the lowest one that starts on this box.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use edged_tpm::{Command, Counter};

use crate::tpm;

/// Who built what, in the root.
const BUILD: &str = "etc/edged/build.json";
/// For root alone, on the data partition: the counter's password, and umec-slot's mark of a trial.
const FOLDER: &str = "/var/lib/umec";
const PASSWORD: &str = "/var/lib/umec/counter";

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

/// Refuses an image that is older than what this box has confirmed.
pub fn check(root: &Path) -> Result<(), String> {
    let release = of(root)?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    let floor = Counter(&mut tpm)
        .floor()
        .map_err(|error| error.to_string())?;
    match floor {
        Some(floor) if release < floor => Err(format!(
            "this image is release {release} and the box has confirmed {floor}"
        )),
        _ => Ok(()),
    }
}

/// Makes the counter where there is none, or nobody knows its password any more. It begins with the running release, and
/// never below what it was.
pub fn count() -> Result<(), String> {
    make_folder(Path::new(FOLDER))?;
    let Some(mut tpm) = tpm::open()? else {
        return Ok(());
    };
    let mut counter = Counter(&mut tpm);
    let failed = |error: edged_tpm::TpmError| error.to_string();
    let floor = counter.floor().map_err(failed)?;
    if floor.is_some() && Path::new(PASSWORD).exists() {
        return Ok(());
    }
    let begin = of(Path::new("/"))?.max(floor.unwrap_or_default());
    let mut password = [0; 32];
    let mut keep = || -> std::io::Result<()> {
        File::open("/dev/urandom")?.read_exact(&mut password)?;
        let _ = fs::remove_file(PASSWORD);
        let mut open = OpenOptions::new();
        let mut file = open
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(PASSWORD)?;
        file.write_all(&password)?;
        file.sync_all()?;
        File::open(FOLDER)?.sync_all()
    };
    keep().map_err(|error| format!("cannot write {PASSWORD}: {error}"))?;
    counter.make(begin, &password).map_err(failed)
}

fn make_folder(path: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
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
