//! The files that the worker writes for a container: name resolution, host name and secrets.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use edged_protocol::worker::ContainerSpec;

use super::root::mount_tmpfs;
use super::user::Identity;
use crate::Error;
use crate::place::Place;

/// All secrets of a container together: passwords and tokens, not data.
const SECRETS_SIZE: u64 = 1 << 20;

/// The folders of the worker's own tree, outer ones first; the first is the tree itself.
const FOLDERS: [&str; 9] = [
    "", "proc", "sys", "dev", "tmp", "run", "var", "var/tmp", "etc",
];

/// Writes the tree that lies on top of the image: every mount point, and the three files of /etc. A layer costs less
/// than a mount for each file, and as a folder on top it hides whatever link the image has in its place.
pub fn write_top(place: &Place, spec: &ContainerSpec) -> Result<(), Error> {
    let top = place.top();
    for folder in FOLDERS {
        let dir = top.join(folder);
        fs::create_dir(&dir).map_err(Error::path("make", &dir))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))
            .map_err(Error::path("set the mode of", &dir))?;
    }
    let hostname = format!("{}\n", spec.hostname);
    for (name, text) in [
        ("resolv.conf", &spec.resolv_conf),
        ("hosts", &spec.hosts),
        ("hostname", &hostname),
    ] {
        let path = top.join("etc").join(name);
        fs::write(&path, text).map_err(Error::path("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(Error::path("set the mode of", &path))?;
    }
    Ok(())
}

/// Writes the secrets to a tmpfs of their own, readable for the container's user alone.
pub fn write_secrets(
    place: &Place,
    spec: &ContainerSpec,
    identity: &Identity,
) -> Result<(), Error> {
    let dir = place.secrets();
    fs::create_dir(&dir).map_err(Error::path("make", &dir))?;
    mount_tmpfs(&dir, SECRETS_SIZE, 0o500)?;
    let (uid, gid) = (spec.first_uid + identity.uid, spec.first_uid + identity.gid);
    chown(&dir, Some(uid), Some(gid)).map_err(Error::path("chown", &dir))?;
    for (name, secret) in &spec.secrets {
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !plain {
            return Err(Error::Request(format!(
                "secret {name:?} cannot be a file name; use letters, digits and '-'"
            )));
        }
        write_secret(&dir.join(name), secret.expose(), uid, gid)?;
    }
    Ok(())
}

fn write_secret(path: &Path, text: &str, uid: u32, gid: u32) -> Result<(), Error> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .map_err(Error::path("make", path))?;
    file.write_all(text.as_bytes())
        .map_err(Error::path("write", path))?;
    chown(path, Some(uid), Some(gid)).map_err(Error::path("chown", path))
}
