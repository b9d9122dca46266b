//! Objects of the TPM in files: their public part, and a private part that only this TPM can read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use edged_evidence::wire::counted;
use tss_esapi::structures::{Private, Public};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};

use crate::error::{Asked as _, TrustError};

/// Largest file: two structures of a TPM, and a secret of some kilobytes behind them.
const LARGEST: u64 = 64 << 10;

/// An object as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) public: Public,
    pub(crate) private: Private,
    /// What a key of this object hides.
    pub(crate) hidden: Vec<u8>,
}

impl Blob {
    pub(crate) fn new(public: Public, private: Private) -> Self {
        Self {
            public,
            private,
            hidden: Vec::new(),
        }
    }

    /// Reads a file, or makes it where it is missing.
    pub(crate) fn kept(
        path: &Path,
        make: impl FnOnce() -> Result<Self, TrustError>,
    ) -> Result<Self, TrustError> {
        if let Some(blob) = Self::read(path)? {
            return Ok(blob);
        }
        let blob = make()?;
        blob.write(path)?;
        Ok(blob)
    }

    /// Reads a file; nothing where it is not there.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, TrustError> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(file) => file.take(LARGEST).read_to_end(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| unusable(path, &error))?;
        let parsed = Self::parse(&bytes);
        parsed.map(Some).ok_or_else(|| TrustError::Malformed {
            path: path.to_owned(),
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (public, rest) = split(bytes)?;
        let (private, hidden) = split(rest)?;
        Some(Self {
            public: Public::unmarshall(public).ok()?,
            private: Private::try_from(private).ok()?,
            hidden: hidden.to_vec(),
        })
    }

    /// Writes a file, whole and on the disk, or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), TrustError> {
        let public = self.public.marshall().asked("describe its object")?;
        let parts = [
            counted(&public).asked("describe its object")?,
            counted(self.private.value()).asked("describe its object")?,
            self.hidden.clone(),
        ];
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        }
        edged_authority::write_private(path, &parts.concat())
            .map_err(|error| unusable(path, &error))
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*count).into())
}

fn unusable(path: &Path, error: &io::Error) -> TrustError {
    TrustError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
