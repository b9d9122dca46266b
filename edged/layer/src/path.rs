//! Names from the archive, parsed at the edge: relative, without `.` and `..`, within the bounds.

use crate::error::Shown;
use crate::{Bounds, UnpackError, bounds};

/// A path beneath the layer's root: names joined by single slashes; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryPath(Vec<u8>);

impl EntryPath {
    /// `./a//b/` is `a/b`. Bytes need not be UTF-8: a name is what the kernel takes for one.
    pub(crate) fn parse(raw: &[u8], bounds: &Bounds) -> Result<Self, UnpackError> {
        let path = Shown::new(raw);
        if raw.is_empty() {
            return Err(UnpackError::EmptyName);
        }
        if raw.len() > bounds.path {
            return Err(UnpackError::PathTooLong {
                path,
                limit: bounds.path,
            });
        }
        if raw.contains(&0) {
            return Err(UnpackError::NulInName { path });
        }
        if raw.starts_with(b"/") {
            return Err(UnpackError::AbsolutePath { path });
        }
        let mut joined = Vec::with_capacity(raw.len());
        let mut depth = 0_usize;
        for name in raw
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
        {
            if name == b".." {
                return Err(UnpackError::ParentPath { path });
            }
            if name.len() > bounds::NAME {
                return Err(UnpackError::NameTooLong {
                    path,
                    limit: bounds::NAME,
                });
            }
            depth = depth.saturating_add(1);
            if depth > bounds.depth {
                return Err(UnpackError::TooDeep {
                    path,
                    limit: bounds.depth,
                });
            }
            if !joined.is_empty() {
                joined.push(b'/');
            }
            joined.extend_from_slice(name);
        }
        Ok(Self(joined))
    }

    /// The whole path; empty for the root.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder's path (empty for the root) and the last name.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (
                self.0.get(..slash).unwrap_or_default(),
                self.0.get(slash.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (b"", &self.0),
        }
    }

    /// The folder it is in.
    pub(crate) fn folder(&self) -> Self {
        Self(self.split().0.to_vec())
    }

    /// The same folder, another name.
    pub(crate) fn sibling(&self, name: &[u8]) -> Self {
        match self.split() {
            (b"", _) => Self(name.to_vec()),
            (folder, _) => Self([folder, b"/", name].concat()),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    pub(crate) fn shown(&self) -> Shown {
        Shown::new(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_names_joined_by_single_slashes() {
        let parse = |raw: &[u8]| EntryPath::parse(raw, &Bounds::default()).unwrap();
        assert_eq!(parse(b"./a//b/./c/").as_bytes(), b"a/b/c");
        assert_eq!(parse(b"./a//b/./c/").split(), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(parse(b"\xff").split(), (&b""[..], &b"\xff"[..]));
        assert!(parse(b"./").is_root());
    }
}
