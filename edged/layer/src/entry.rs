//! What the archive says, entry by entry: extension records applied, names parsed, everything refused that can be
//! refused without looking at the disk.

use crate::archive::Archive;
use crate::error::Shown;
use crate::header::{BLOCK, Header};
use crate::path::EntryPath;
use crate::pax::{self, Extension, Moment, Xattr};
use crate::{Bounds, UnpackError};

/// The prefix of whiteouts (OCI image specification, "Whiteouts"), reserved in every name.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout that hides everything of the layers below in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Owners a container's user namespace maps: 0 to 65535.
const IDS: u32 = 65_536;

/// One thing to make.
#[derive(Debug)]
pub(crate) struct Entry {
    pub path: EntryPath,
    pub kind: Kind,
    pub attributes: Attributes,
}

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A file of so many bytes, which come next in the archive.
    File(u64),
    Folder,
    /// Stored as it is, never followed by us outside the layer.
    Symlink(Vec<u8>),
    HardLink(EntryPath),
    Fifo,
    /// The entry's path is the one to hide.
    Whiteout,
    /// The entry's path is the folder whose lower content is hidden.
    Opaque,
}

/// Who owns it, who may do what, since when.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Moment,
    pub xattrs: Vec<Xattr>,
}

/// Reads entries until the end mark, keeping count.
pub(crate) struct Entries<'b> {
    archive: Archive,
    bounds: &'b Bounds,
    /// Entries read.
    pub count: u64,
    /// Extended attributes left out by rule.
    pub dropped_xattrs: u64,
    hard_links: u64,
}

impl<'b> Entries<'b> {
    pub(crate) fn new(archive: Archive, bounds: &'b Bounds) -> Self {
        Self {
            archive,
            bounds,
            count: 0,
            dropped_xattrs: 0,
            hard_links: 0,
        }
    }

    /// Bytes of the archive read so far.
    pub(crate) fn position(&self) -> u64 {
        self.archive.position()
    }

    /// The data of the file just returned by [`next`](Self::next).
    pub(crate) fn body(
        &mut self,
        size: u64,
        write: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        self.archive.body(size, write)
    }

    /// The next entry, or `None` after the last one and nothing but padding.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut extension = Extension::default();
        let mut extended_at = None;
        loop {
            let at = self.archive.position();
            let Some(block) = self.archive.block()? else {
                return extended_at.map_or(Ok(None), dangling);
            };
            let Some(header) = Header::parse(&block, at)? else {
                self.archive.end()?;
                return extended_at.map_or(Ok(None), dangling);
            };
            if !matches!(header.kind(), b'x' | b'g' | b'L' | b'K') {
                return self.entry(&header, extension).map(Some);
            }
            let data = self.extension(&header, at)?;
            let twice = UnpackError::BadExtension {
                at,
                reason: "it says again what another one has said",
            };
            let name = || {
                data.split(|byte| *byte == 0)
                    .next()
                    .unwrap_or_default()
                    .to_vec()
            };
            match header.kind() {
                b'g' => pax::check_global(&data, at)?,
                b'L' if extension.path.is_none() => extension.path = Some(name()),
                b'K' if extension.link.is_none() => extension.link = Some(name()),
                b'x' if !extension.pax => extension.read_pax(&data, at)?,
                _ => return Err(twice),
            }
            if header.kind() != b'g' {
                extended_at = Some(at);
            }
        }
    }

    fn extension(&mut self, header: &Header<'_>, at: u64) -> Result<Vec<u8>, UnpackError> {
        let (size, limit) = (header.size()?, self.bounds.extension);
        if size > limit {
            return Err(UnpackError::ExtensionTooLong { at, size, limit });
        }
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or(BLOCK));
        self.archive.body(size, |piece| {
            data.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(data)
    }

    fn entry(&mut self, header: &Header<'_>, extension: Extension) -> Result<Entry, UnpackError> {
        self.count = self.count.saturating_add(1);
        if self.count > self.bounds.entries {
            return Err(UnpackError::TooManyEntries {
                limit: self.bounds.entries,
            });
        }
        let raw = extension.path.unwrap_or_else(|| header.name());
        let shown = Shown::new(&raw);
        if extension.sparse || header.kind() == b'S' {
            return Err(UnpackError::Sparse { path: shown });
        }
        let path = EntryPath::parse(&raw, self.bounds)?;
        let size = match extension.size {
            Some(size) => size,
            None => header.size()?,
        };
        let link = extension.link.unwrap_or_else(|| header.link().to_vec());
        let kind = match header.kind() {
            0 if raw.ends_with(b"/") => Kind::Folder, // V7 had no type for folders
            0 | b'0' | b'7' => self.file(size, &shown)?,
            b'1' => self.hard_link(&link, &shown)?,
            b'2' => symlink(link, &shown, self.bounds)?,
            b'3' => {
                return Err(UnpackError::Device {
                    path: shown,
                    kind: "character",
                });
            }
            b'4' => {
                return Err(UnpackError::Device {
                    path: shown,
                    kind: "block",
                });
            }
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => {
                return Err(UnpackError::UnknownType {
                    path: shown,
                    kind: Shown::new(&[other]),
                });
            }
        };
        if size > 0 && !matches!(kind, Kind::File(_)) {
            return Err(UnpackError::DataWithoutFile { path: shown });
        }
        if path.is_root() && !matches!(kind, Kind::Folder) {
            return Err(UnpackError::RootNotFolder);
        }
        let (xattrs, dropped) = pax::judge(extension.xattrs, &shown, self.bounds.xattrs)?;
        self.dropped_xattrs = self.dropped_xattrs.saturating_add(dropped);
        let attributes = Attributes {
            mode: header.mode()?,
            uid: owner(extension.uid.map_or_else(|| header.uid(), Ok)?, &shown)?,
            gid: owner(extension.gid.map_or_else(|| header.gid(), Ok)?, &shown)?,
            mtime: match extension.mtime {
                Some(mtime) => mtime,
                None => Moment {
                    seconds: header.mtime()?,
                    nanos: 0,
                },
            },
            xattrs,
        };
        let (path, kind) = whiteout(path, kind)?;
        Ok(Entry {
            path,
            kind,
            attributes,
        })
    }

    fn file(&self, size: u64, path: &Shown) -> Result<Kind, UnpackError> {
        let limit = self.bounds.bytes.saturating_sub(self.archive.position());
        if size > limit {
            return Err(UnpackError::FileTooLarge {
                path: path.clone(),
                size,
                limit,
            });
        }
        Ok(Kind::File(size))
    }

    fn hard_link(&mut self, target: &[u8], path: &Shown) -> Result<Kind, UnpackError> {
        self.hard_links = self.hard_links.saturating_add(1);
        if self.hard_links > self.bounds.hard_links {
            return Err(UnpackError::TooManyHardLinks {
                limit: self.bounds.hard_links,
            });
        }
        match EntryPath::parse(target, self.bounds) {
            Ok(target) => Ok(Kind::HardLink(target)),
            Err(
                UnpackError::AbsolutePath { path: target }
                | UnpackError::ParentPath { path: target },
            ) => Err(UnpackError::HardLinkOutside {
                path: path.clone(),
                target,
            }),
            Err(UnpackError::EmptyName) => Err(UnpackError::HardLinkMissing {
                path: path.clone(),
                target: Shown::new(target),
            }),
            Err(other) => Err(other),
        }
    }
}

fn dangling<T>(at: u64) -> Result<T, UnpackError> {
    Err(UnpackError::BadExtension {
        at,
        reason: "no entry follows it",
    })
}

fn owner(id: i64, path: &Shown) -> Result<u32, UnpackError> {
    let refused = || UnpackError::OwnerOutOfRange {
        path: path.clone(),
        id,
        limit: IDS.saturating_sub(1),
    };
    u32::try_from(id)
        .ok()
        .filter(|id| *id < IDS)
        .ok_or_else(refused)
}

fn symlink(target: Vec<u8>, path: &Shown, bounds: &Bounds) -> Result<Kind, UnpackError> {
    if target.is_empty() || target.len() > bounds.path || target.contains(&0) {
        return Err(UnpackError::BadSymlinkTarget { path: path.clone() });
    }
    Ok(Kind::Symlink(target))
}

/// Turns the names OCI reserves into what they mean, and refuses every other use of them.
fn whiteout(path: EntryPath, kind: Kind) -> Result<(EntryPath, Kind), UnpackError> {
    let (folder, name) = path.split();
    if !path.names().any(|name| name.starts_with(WHITEOUT)) {
        return Ok((path, kind));
    }
    let bad = || UnpackError::BadWhiteout { path: path.shown() };
    let hidden = name.strip_prefix(WHITEOUT).ok_or_else(bad)?;
    let misplaced = folder
        .split(|byte| *byte == b'/')
        .any(|name| name.starts_with(WHITEOUT));
    if misplaced || !matches!(kind, Kind::File(0)) {
        return Err(bad());
    }
    if name == OPAQUE {
        return Ok((path.folder(), Kind::Opaque));
    }
    if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT) {
        return Err(bad());
    }
    Ok((path.sibling(hidden), Kind::Whiteout))
}
