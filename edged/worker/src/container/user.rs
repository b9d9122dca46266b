//! Whom the image wants its program to run as, read from the image's own files without trusting them.

use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Longest passwd or group file read: a distribution's is 2 KiB.
const ACCOUNTS_MAX: u64 = 1 << 20;
/// Ids of the container's user namespace.
pub const IDS: u32 = 65_536;
/// Supplementary groups taken from the image (the kernel takes 65,536; no image has use for more).
const GROUPS_MAX: usize = 64;

/// Numbers inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home folder.
    pub home: String,
}

/// Opens a path of the mounted image as the container would: links stay inside, devices and pipes are not touched.
pub fn open_inside(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    // openat2 takes no flag that would mean nothing, as this one would for a path.
    let patience = if flags.contains(OFlags::PATH) {
        OFlags::empty()
    } else {
        OFlags::NONBLOCK
    };
    rustix::fs::openat2(
        root,
        path,
        flags | OFlags::CLOEXEC | patience,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn read_accounts(root: BorrowedFd<'_>, path: &str) -> String {
    let read = || -> std::io::Result<String> {
        let file = open_inside(root, Path::new(path), OFlags::PATH)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(String::new());
        }
        let file = open_inside(root, Path::new(path), OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        std::fs::File::from(file)
            .take(ACCOUNTS_MAX)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    // An image without accounts (built from scratch) is an ordinary image.
    read().unwrap_or_default()
}

/// Resolves `name`, `uid`, `name:group`, `uid:gid` and every mixture of them; the empty text is root.
pub fn resolve(root: BorrowedFd<'_>, user: &str) -> Result<Identity, Error> {
    resolve_in(
        &read_accounts(root, "etc/passwd"),
        &read_accounts(root, "etc/group"),
        user,
    )
}

fn resolve_in(passwd: &str, group: &str, user: &str) -> Result<Identity, Error> {
    let (name, wanted_group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let account = passwd.lines().find_map(|line| account(line, name));
    let (uid, mut gid, home, login) = match (account, name.parse::<u32>()) {
        (Some(account), _) => account,
        (None, Ok(uid)) => (uid, 0, "/".to_owned(), String::new()),
        (None, Err(_)) => {
            return Err(Error::Request(format!(
                "user {name:?} is not in the image's /etc/passwd; name one that is, or a number"
            )));
        }
    };
    let mut groups = Vec::new();
    if let Some(wanted) = wanted_group.filter(|text| !text.is_empty()) {
        let known = group.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [name, _, gid, ..] if *name == wanted => gid.parse().ok(),
                _ => None,
            }
        });
        gid = known.or_else(|| wanted.parse().ok()).ok_or_else(|| {
            Error::Request(format!(
                "group {wanted:?} is not in the image's /etc/group; name one that is, or a number"
            ))
        })?;
    } else if !login.is_empty() {
        groups = member_of(group, &login);
    }
    if uid >= IDS || gid >= IDS {
        return Err(Error::Request(format!(
            "user {user:?} is outside the {IDS} ids of a container; use a smaller number"
        )));
    }
    groups.retain(|extra| *extra < IDS && *extra != gid);
    groups.truncate(GROUPS_MAX);
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

fn account(line: &str, wanted: &str) -> Option<(u32, u32, String, String)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
        return None;
    };
    let (uid, gid): (u32, u32) = (uid.parse().ok()?, gid.parse().ok()?);
    let by_number = wanted.parse::<u32>().is_ok_and(|number| number == uid);
    let home = if home.starts_with('/') && !home.contains('\0') {
        *home
    } else {
        "/"
    };
    (*name == wanted || by_number).then(|| (uid, gid, home.to_owned(), (*name).to_owned()))
}

fn member_of(group: &str, login: &str) -> Vec<u32> {
    group
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [_, _, gid, members] if members.split(',').any(|member| member == login) => {
                    gid.parse().ok()
                }
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:,,:/var/www:/bin/false\nbroken\n";
    const GROUP: &str = "root:x:0:\nwww:x:44:\naudio:x:29:web,root\n";

    #[test]
    fn a_user_is_a_name_a_number_or_both_with_groups() {
        let of =
            |text| resolve_in(PASSWD, GROUP, text).map(|id| (id.uid, id.gid, id.groups, id.home));
        assert_eq!(of("").unwrap(), (0, 0, vec![29], "/root".to_owned()));
        assert_eq!(
            of("web").unwrap(),
            (33, 44, vec![29], "/var/www".to_owned())
        );
        assert_eq!(of("33").unwrap().1, 44);
        assert_eq!(
            of("web:audio").unwrap(),
            (33, 29, vec![], "/var/www".to_owned())
        );
        assert_eq!(
            of("1000:1001").unwrap(),
            (1000, 1001, vec![], "/".to_owned())
        );
    }

    #[test]
    fn an_unknown_name_and_an_id_outside_the_range_are_refused_by_name() {
        for (user, word) in [
            ("nobody", "nobody"),
            ("web:none", "none"),
            ("70000", "70000"),
            ("0:-1", "-1"),
        ] {
            let sentence = resolve_in(PASSWD, GROUP, user).unwrap_err().to_string();
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}
