//! Folders beneath the layer's root, and no others: every path is resolved by the kernel (openat2) as if the root were
//! the root of everything, so that a layer's own `lib -> usr/lib` or `/usr/lib` works and nothing leads out.

use std::rc::Rc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::UnpackError;
use crate::error::Shown;
use crate::path::EntryPath;

/// What a folder gets that no entry describes: everyone may look, root may write.
const IMPLIED_MODE: Mode = Mode::from_raw_mode(0o755);

/// openat2 gives up with EAGAIN when anything on the machine is mounted or renamed while it walks a `..`; the kernel
/// asks to try again, and each try is microseconds.
const TRIES: u32 = 128;

/// An open folder, and when it was last changed before we put something into it.
struct Folder {
    path: Vec<u8>,
    fd: Rc<OwnedFd>,
    mtime: Timespec,
}

/// The folders of one layer. The last one used stays open: archives list a folder's files one after another.
pub(crate) struct Beneath<'r> {
    root: BorrowedFd<'r>,
    last: Option<Folder>,
}

impl<'r> Beneath<'r> {
    pub(crate) fn new(root: BorrowedFd<'r>) -> Self {
        Self { root, last: None }
    }

    /// The open folder at `path` (empty for the root), made with everything above it where it is missing.
    /// `entry` is who wants it: the name in a refusal.
    pub(crate) fn folder(
        &mut self,
        path: &[u8],
        entry: &EntryPath,
    ) -> Result<Rc<OwnedFd>, UnpackError> {
        if let Some(last) = self.last.as_ref().filter(|last| last.path == path) {
            return Ok(Rc::clone(&last.fd));
        }
        self.leave()?;
        let fd = match self.open(path) {
            Err(Errno::NOENT) => self.make_all(path, entry)?,
            opened => opened.map_err(|errno| refused(entry, errno))?,
        };
        self.enter(path, fd, entry)
    }

    /// The folder at `path` if the layer has it.
    pub(crate) fn existing(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open(path)
    }

    /// Closes the last folder and gives it its time back. Call this after the last entry, and before removing things:
    /// what was open may not be what the path leads to any more.
    pub(crate) fn leave(&mut self) -> Result<(), UnpackError> {
        match self.last.take() {
            Some(last) => set_mtime(&*last.fd, last.mtime)
                .map_err(|errno| UnpackError::write(&last.path, "set the time of a folder", errno)),
            None => Ok(()),
        }
    }

    fn enter(
        &mut self,
        path: &[u8],
        fd: OwnedFd,
        entry: &EntryPath,
    ) -> Result<Rc<OwnedFd>, UnpackError> {
        let stat =
            rustix::fs::fstat(&fd).map_err(|errno| failed(entry, "look at its folder", errno))?;
        let mtime = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        let fd = Rc::new(fd);
        self.last = Some(Folder {
            path: path.to_vec(),
            fd: Rc::clone(&fd),
            mtime,
        });
        Ok(fd)
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let mut tried = 0;
        loop {
            tried += 1;
            match rustix::fs::openat2(self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tried < TRIES => {}
                done => return done,
            }
        }
    }

    /// Walks down from the root, making what is missing. A new folder's time is 1970: an unpacked layer is the same
    /// every time.
    fn make_all(&mut self, path: &[u8], entry: &EntryPath) -> Result<OwnedFd, UnpackError> {
        let ends = path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        let mut above = b"".as_slice();
        let mut made = None;
        for end in ends {
            let here = path.get(..end).unwrap_or(path);
            let fd = match self.open(here) {
                Err(Errno::NOENT) => {
                    let name = here.get(above.len()..).unwrap_or_default();
                    let name = name.strip_prefix(b"/").unwrap_or(name);
                    let parent = self.folder(above, entry)?;
                    // A link that leads nowhere is in the way here: it has the name, and no folder behind it.
                    rustix::fs::mkdirat(&*parent, name, IMPLIED_MODE)
                        .map_err(|errno| refused(entry, errno))?;
                    let fd = self.open(here).map_err(|errno| refused(entry, errno))?;
                    rustix::fs::fchmod(&fd, IMPLIED_MODE)
                        .map_err(|errno| failed(entry, "make its folder", errno))?;
                    set_mtime(
                        &fd,
                        Timespec {
                            tv_sec: 0,
                            tv_nsec: 0,
                        },
                    )
                    .map_err(|errno| failed(entry, "make its folder", errno))?;
                    fd
                }
                opened => opened.map_err(|errno| refused(entry, errno))?,
            };
            above = here;
            made = Some(fd);
        }
        self.leave()?;
        made.ok_or_else(|| UnpackError::ParentNotFolder {
            path: entry.shown(),
        })
    }
}

/// Sets when a file was last changed, and leaves when it was last read.
pub(crate) fn set_mtime(fd: impl AsFd, mtime: Timespec) -> Result<(), Errno> {
    rustix::fs::futimens(fd, &times(mtime))
}

/// The modification time alone.
pub(crate) fn times(mtime: Timespec) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: mtime,
    }
}

fn failed(entry: &EntryPath, operation: &'static str, errno: Errno) -> UnpackError {
    UnpackError::write(entry.as_bytes(), operation, errno)
}

/// Why the folder of an entry cannot be reached.
fn refused(entry: &EntryPath, errno: Errno) -> UnpackError {
    let path: Shown = entry.shown();
    match errno {
        Errno::NOTDIR | Errno::EXIST | Errno::NOENT | Errno::XDEV => {
            UnpackError::ParentNotFolder { path }
        }
        Errno::LOOP => UnpackError::SymlinkLoop { path },
        Errno::NAMETOOLONG => UnpackError::PathTooLong {
            path,
            limit: crate::bounds::PATH,
        },
        other => failed(entry, "open its folder", other),
    }
}
