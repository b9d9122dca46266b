//! `umec-init announce`: says on the console that edged is ready, and by which key it is known.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use crate::console;

/// edged's public key, as it writes it when it listens.
const KEY: &str = "/var/lib/edged/edged/ssh_host_key.pub";
/// Bytes of the longest line: a key of P-521 has 270.
const LINE: u64 = 1024;

/// Two lines.
pub fn run() -> Result<(), String> {
    let key = read(Path::new(KEY)).map_err(|error| format!("cannot read {KEY}: {error}"))?;
    console::say(&format!("SSH-HOST-KEY {key}"));
    console::say("EDGED-READY");
    Ok(())
}

/// The file is edged's, and this is root: no link is followed, nothing waits for the other end of a pipe, nothing is read
/// without an end, and nothing commands the terminal.
fn read(path: &Path) -> io::Result<String> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LINE).read_to_end(&mut bytes)?;
    let letters = bytes.into_iter().take_while(|byte| *byte != b'\n');
    let letters = letters.filter(|byte| matches!(byte, b' '..=b'~'));
    Ok(letters.map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_edged_left_in_place_of_its_key_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("key"), "ssh-ed25519 AAAA box\n").unwrap();
        assert_eq!(read(&place("key")).unwrap(), "ssh-ed25519 AAAA box");
        fs::write(place("loud"), "\u{1b}[2Jkey\nUMEC: all is well\n").unwrap();
        assert_eq!(read(&place("loud")).unwrap(), "[2Jkey");
        fs::write(place("long"), "x".repeat(1 << 20)).unwrap();
        assert_eq!(read(&place("long")).unwrap().len(), 1024);
        symlink("/dev/zero", place("link")).unwrap();
        assert!(read(&place("link")).is_err());
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
