//! Puts entries on the disk: everything is made new (`O_EXCL`, never through a link), what had the name before is
//! removed first, and attributes are set through the descriptor of what was just made.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::{Beneath, set_mtime, times};
use crate::entry::{Attributes, Entries, Entry, Kind};
use crate::error::Shown;
use crate::path::EntryPath;
use crate::pax::Xattr;
use crate::remove::remove_tree;
use crate::{UnpackError, Unpacked};

/// The mark overlayfs (mounted without `userxattr`) reads as "nothing of the layers below shows in this folder".
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// Only we may look at a thing until its owner and mode are set.
const PRIVATE_FILE: Mode = Mode::from_raw_mode(0o600);
const PRIVATE_FOLDER: Mode = Mode::from_raw_mode(0o700);

/// Places all entries beneath a root.
pub(crate) fn place_all(
    mut entries: Entries<'_>,
    beneath: Beneath<'_>,
) -> Result<Unpacked, UnpackError> {
    let mut placer = Placer {
        beneath,
        opaque_root: false,
    };
    while let Some(entry) = entries.next()? {
        placer.place(&entry, &mut entries)?;
    }
    placer.beneath.leave()?;
    Ok(Unpacked {
        entries: entries.count,
        bytes: entries.position(),
        dropped_xattrs: entries.dropped_xattrs,
        hides_all_below: placer.opaque_root,
    })
}

struct Placer<'r> {
    beneath: Beneath<'r>,
    opaque_root: bool,
}

impl Placer<'_> {
    fn place(&mut self, entry: &Entry, entries: &mut Entries<'_>) -> Result<(), UnpackError> {
        let path = &entry.path;
        let attributes = &entry.attributes;
        let (folder, name) = path.split();
        match &entry.kind {
            Kind::Folder => self.folder(path, attributes),
            Kind::Opaque => self.opaque(path),
            Kind::Whiteout => self.whiteout(path),
            Kind::File(size) => {
                let flags = OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::WRONLY
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = self.fresh(path, "create it", |at| {
                    rustix::fs::openat(at, name, flags, PRIVATE_FILE)
                })?;
                entries.body(*size, |bytes| write_all(&file, bytes, path))?;
                set_attributes(&file, path, attributes)
            }
            Kind::Fifo => {
                self.fresh(path, "make the pipe", |at| {
                    rustix::fs::mknodat(at, name, FileType::Fifo, PRIVATE_FILE, 0)
                })?;
                let at = self.beneath.folder(folder, path)?;
                // Opened for both directions a pipe does not wait for anybody.
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let pipe = rustix::fs::openat(&*at, name, flags, Mode::empty())
                    .map_err(|errno| failed(path, "open the pipe", errno))?;
                set_attributes(&pipe, path, attributes)
            }
            Kind::Symlink(target) => {
                self.fresh(path, "make the link", |at| {
                    rustix::fs::symlinkat(target.as_slice(), at, name)
                })?;
                self.symlink_attributes(path, attributes)
            }
            Kind::HardLink(target) => self.hard_link(path, target),
        }
    }

    /// Makes something whose name must be free, and frees it if it is not.
    fn fresh<T>(
        &mut self,
        path: &EntryPath,
        operation: &'static str,
        make: impl Fn(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let (folder, name) = path.split();
        let at = self.beneath.folder(folder, path)?;
        let result = match make(&at) {
            Err(Errno::EXIST) => {
                self.beneath.leave()?;
                remove_tree(&*at, name)?;
                make(&*self.beneath.folder(folder, path)?)
            }
            other => other,
        };
        result.map_err(|errno| failed(path, operation, errno))
    }

    /// A folder that is there already stays, with new attributes. One that takes the place of a whiteout hides what
    /// the layers below have under its name.
    fn folder(&mut self, path: &EntryPath, attributes: &Attributes) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        if path.is_root() {
            self.beneath.leave()?;
            let root = self
                .beneath
                .existing(folder)
                .map_err(|errno| failed(path, "open the root", errno))?;
            return set_attributes(&root, path, attributes);
        }
        let at = self.beneath.folder(folder, path)?;
        let make = |at: &OwnedFd| rustix::fs::mkdirat(at, name, PRIVATE_FOLDER);
        let mut hides = false;
        match make(&at) {
            Ok(()) => {}
            Err(Errno::EXIST) => match present(&at, name, path)? {
                Present::Folder => {}
                found => {
                    hides = found == Present::Whiteout;
                    self.fresh(path, "make the folder", make)?;
                }
            },
            Err(errno) => return Err(failed(path, "make the folder", errno)),
        }
        let at = self.beneath.folder(folder, path)?;
        let opened =
            open_folder(&at, name).map_err(|errno| failed(path, "open the folder", errno))?;
        if hides {
            set_opaque(&opened, path)?;
        }
        set_attributes(&opened, path, attributes)
    }

    /// A whiteout is for the layers below: what this layer itself has under the name stays.
    fn whiteout(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        let at = self.beneath.folder(folder, path)?;
        match rustix::fs::mknodat(&*at, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match present(&at, name, path)? {
                Present::Folder => {
                    let made = open_folder(&at, name)
                        .map_err(|errno| failed(path, "open the folder", errno))?;
                    set_opaque(&made, path)
                }
                Present::Whiteout | Present::Other => Ok(()),
            },
            Err(errno) => Err(failed(path, "make the whiteout", errno)),
        }
    }

    fn opaque(&mut self, path: &EntryPath) -> Result<(), UnpackError> {
        self.opaque_root |= path.is_root();
        let folder = self.beneath.folder(path.as_bytes(), path)?;
        set_opaque(&folder, path)
    }

    /// The target is looked up in this layer, its last name not followed if it is a link.
    fn hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<(), UnpackError> {
        let missing = || UnpackError::HardLinkMissing {
            path: path.shown(),
            target: target.shown(),
        };
        let not_file = || UnpackError::HardLinkNotFile {
            path: path.shown(),
            target: target.shown(),
        };
        if target.is_root() {
            return Err(not_file());
        }
        let (target_folder, target_name) = target.split();
        let from = self
            .beneath
            .existing(target_folder)
            .map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => missing(),
                other => failed(path, "find its target", other),
            })?;
        let kind = match rustix::fs::statat(&from, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(failed(path, "look at its target", errno)),
        };
        if kind != FileType::RegularFile {
            return Err(not_file());
        }
        let (_, name) = path.split();
        // Making room for the link may remove what it points at: itself, or a file in the folder it replaces.
        let linked = self.fresh(path, "link it", |at| {
            rustix::fs::linkat(&from, target_name, at, name, AtFlags::empty())
        });
        match linked {
            Err(UnpackError::Write { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Err(missing())
            }
            linked => linked,
        }
    }

    /// A link has no mode of its own, and the kernel keeps no `user.*` attributes for it.
    fn symlink_attributes(
        &mut self,
        path: &EntryPath,
        attributes: &Attributes,
    ) -> Result<(), UnpackError> {
        let (folder, name) = path.split();
        if let Some(xattr) = attributes.xattrs.first() {
            return Err(bad_xattr(path, &xattr.name, Errno::PERM));
        }
        let at = self.beneath.folder(folder, path)?;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        rustix::fs::chownat(&*at, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed(path, "set its owner", errno))?;
        rustix::fs::utimensat(
            &*at,
            name,
            &times(timespec(attributes)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| failed(path, "set its time", errno))
    }
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Present {
    Folder,
    Whiteout,
    Other,
}

fn present(at: &OwnedFd, name: &[u8], path: &EntryPath) -> Result<Present, UnpackError> {
    let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| failed(path, "look at what has its name", errno))?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Present::Folder,
        FileType::CharacterDevice if stat.st_rdev == 0 => Present::Whiteout,
        _ => Present::Other,
    })
}

fn open_folder(at: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn set_opaque(folder: &OwnedFd, path: &EntryPath) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(folder, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .map_err(|errno| failed(path, "mark the folder opaque", errno))
}

/// Owner first: changing it clears the set-id bits and the capabilities. Time last: everything else changes it.
fn set_attributes(
    fd: &OwnedFd,
    path: &EntryPath,
    attributes: &Attributes,
) -> Result<(), UnpackError> {
    rustix::fs::fchown(
        fd,
        Some(Uid::from_raw(attributes.uid)),
        Some(Gid::from_raw(attributes.gid)),
    )
    .map_err(|errno| failed(path, "set its owner", errno))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(attributes.mode))
        .map_err(|errno| failed(path, "set its mode", errno))?;
    for Xattr { name, value } in &attributes.xattrs {
        rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()).map_err(
            |errno| match errno {
                Errno::NOSPC | Errno::DQUOT => failed(path, "set an attribute", errno),
                _ => bad_xattr(path, name, errno),
            },
        )?;
    }
    set_mtime(fd, timespec(attributes)).map_err(|errno| failed(path, "set its time", errno))
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], path: &EntryPath) -> Result<(), UnpackError> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(path, "write it", errno)),
        }
    }
    Ok(())
}

fn timespec(attributes: &Attributes) -> Timespec {
    Timespec {
        tv_sec: attributes.mtime.seconds,
        tv_nsec: attributes.mtime.nanos.into(),
    }
}

fn bad_xattr(path: &EntryPath, name: &[u8], errno: Errno) -> UnpackError {
    UnpackError::BadXattr {
        path: path.shown(),
        name: Shown::new(name),
        source: errno.into(),
    }
}

fn failed(path: &EntryPath, operation: &'static str, errno: Errno) -> UnpackError {
    UnpackError::write(path.as_bytes(), operation, errno)
}
