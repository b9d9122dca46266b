//! Removes a tree that somebody hostile may have shaped: never through a link, however deep it is.

use std::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use crate::UnpackError;
use crate::error::Shown;

/// Folders held open above one another. What is deeper is moved up to the top and removed from there, so that
/// neither descriptors nor stack grow with the tree.
const NESTED: u32 = 32;

/// Bytes of names read at once.
const NAMES: usize = 8 << 10;

/// Removes `name` in the folder `parent` with everything beneath it; a name that is not there is fine.
///
/// Follows no symbolic link, crosses no mount, and needs the tree to itself: nobody else may be writing to it.
///
/// # Errors
/// [`UnpackError::Remove`] when `name` is not a single name, or with what the kernel said.
pub fn remove_tree(parent: impl AsFd, name: &[u8]) -> Result<(), UnpackError> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(failed(name, Errno::INVAL));
    }
    remove(parent.as_fd(), name).map_err(|errno| failed(name, errno))
}

fn failed(name: &[u8], errno: Errno) -> UnpackError {
    UnpackError::Remove {
        path: Shown::new(name),
        source: errno.into(),
    }
}

fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    let top = open(parent, name)?;
    let mut sweep = Sweep {
        top: &top,
        moved: 0,
        seen: 0,
    };
    // Each pass removes everything or moves what is too deep; a tree of any depth shrinks with every pass.
    while !removed(parent, name)? {
        let before = sweep.seen;
        rustix::fs::seek(&top, SeekFrom::Start(0))?;
        sweep.empty(&top, NESTED)?;
        if sweep.seen == before {
            return Err(Errno::NOTEMPTY); // it shows nothing and is not empty: no pass will change that
        }
    }
    Ok(())
}

struct Sweep<'t> {
    top: &'t OwnedFd,
    /// Folders moved up so far: the next one's name.
    moved: u64,
    /// Names met so far.
    seen: u64,
}

impl Sweep<'_> {
    fn empty(&mut self, folder: &OwnedFd, nested: u32) -> Result<(), Errno> {
        let mut names = [MaybeUninit::uninit(); NAMES];
        let mut entries = RawDir::new(folder, &mut names);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.seen = self.seen.saturating_add(1);
            if entry.file_type() != FileType::Directory {
                match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR) => {} // a file system that does not tell types
                    Err(errno) => return Err(errno),
                }
            }
            let name = name.to_bytes();
            if removed(folder.as_fd(), name)? {
                continue;
            }
            if nested == 0 {
                self.move_up(folder, name)?;
                continue;
            }
            let below = open(folder.as_fd(), name)?;
            self.empty(&below, nested.saturating_sub(1))?;
            // What is not empty now is taken by the next pass.
            removed(folder.as_fd(), name)?;
        }
        Ok(())
    }

    fn move_up(&mut self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        loop {
            self.moved = self.moved.saturating_add(1);
            let free = format!(".removed-{}", self.moved);
            match rustix::fs::renameat_with(
                folder,
                name,
                self.top,
                free.as_str(),
                RenameFlags::NOREPLACE,
            ) {
                Err(Errno::EXIST) => {}
                moved => return moved,
            }
        }
    }
}

/// Removes a folder if it is empty; `false` if it is not.
fn removed(parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
}
