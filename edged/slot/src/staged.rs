//! The bundle that edged has staged, opened by somebody who does not believe edged.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use edged_protocol::slot::Image;
use edged_update::{Bundle, Here, Part, Release, UpdateKey};
use rustix::fs::OFlags;

/// An image that was signed for this box.
pub struct Staged {
    /// What it must be, byte for byte.
    pub image: Image,
    /// Its number.
    pub release: u64,
    /// Its bytes, as they are in edged's folder: they may have changed since they were verified.
    pub bytes: Box<dyn Read>,
}

/// Where the bundle comes from.
pub trait Bundles {
    /// Verifies it: signed for this box, and newer than that release.
    ///
    /// # Errors
    /// One sentence why not.
    fn open(&self, newer_than: u64, room: u64) -> Result<Staged, String>;
}

/// edged's folder.
#[derive(Debug)]
pub struct Folder {
    /// The bundle.
    pub file: PathBuf,
    /// The board of the running image.
    pub board: String,
    /// The key that signs updates, from the signed root.
    pub key: UpdateKey,
    /// Whose policy opens the data; none where no TPM seals it.
    pub policy_key: Option<String>,
}

impl Bundles for Folder {
    fn open(&self, newer_than: u64, room: u64) -> Result<Staged, String> {
        let name = self.file.display();
        let failed = |error: std::io::Error| format!("cannot read {name}: {error}");
        // No link is followed, and nothing waits for the other end of a pipe.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let mut open = OpenOptions::new();
        let file = open
            .read(true)
            .custom_flags(flags)
            .open(&self.file)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{name} is no file"));
        }
        // Both descriptors share one place in the file.
        let bytes = file.try_clone().map_err(failed)?;
        let here = Here {
            board: self.board.clone(),
            release: Release::new(newer_than),
            key: self.key.clone(),
            slot: room,
            policy_key: self.policy_key.clone(),
            schema: None,
        };
        let mut bundle = Bundle::open(file, &here).map_err(|refusal| refusal.to_string())?;
        let manifest = bundle.manifest().clone();
        let entry = manifest.part(Part::Uki).ok_or("the bundle has no image")?;
        bundle.part(Part::Uki).map_err(failed)?;
        Ok(Staged {
            image: Image {
                size: entry.size,
                sha256: entry.sha256.to_string(),
            },
            release: manifest.release.get(),
            bytes: Box::new(bytes.take(entry.size)),
        })
    }
}
