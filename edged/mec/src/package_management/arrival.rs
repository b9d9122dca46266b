//! Content that comes: to a file, bounded, its digest taken in passing.

use std::path::PathBuf;

use edged_package::{Algorithm, Hash};
use mec_api::Problem;
use ring::digest::{Context, SHA256, SHA384, SHA512};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::PackageManagement;
use super::folder::disk;
use super::record::{PackageId, Stage};
use crate::Platform;

/// Bytes of a package: what [`edged_package::Limits`] takes, and ZIP without its 64-bit extension cannot double it.
pub const CONTENT_MAX: u64 = 2 << 30;

/// Content on its way. Dropped before its end, the package is as it was announced, and nothing of the file stays.
pub struct Arrival<P: Platform> {
    packages: PackageManagement<P>,
    id: PackageId,
    path: PathBuf,
    file: Option<File>,
    digest: Context,
    algorithm: Algorithm,
    size: u64,
    /// Why it is given up, where that is known.
    problem: Option<Problem>,
    _place: OwnedSemaphorePermit,
}

/// What came.
#[derive(Debug)]
pub(super) struct Arrived {
    pub id: PackageId,
    pub size: u64,
    pub hash: Hash,
}

impl<P: Platform> Arrival<P> {
    /// Opens the file for a package that is `UPLOADING`.
    pub(super) async fn open(
        packages: PackageManagement<P>,
        id: PackageId,
        algorithm: Algorithm,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Problem> {
        let path = packages.folder().part(&id);
        let mut arrival = Self {
            packages,
            id,
            path,
            file: None,
            digest: Context::new(match algorithm {
                Algorithm::Sha256 => &SHA256,
                Algorithm::Sha384 => &SHA384,
                Algorithm::Sha512 => &SHA512,
            }),
            algorithm,
            size: 0,
            problem: None,
            _place: place,
        };
        let file = File::create(&arrival.path).await;
        arrival.file = Some(file.map_err(|error| disk(&error))?);
        Ok(arrival)
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// 413 beyond [`CONTENT_MAX`], 503 where the disk does not take them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let written = self.try_write(bytes).await;
        if let Err(problem) = &written {
            self.problem = Some(problem.clone());
        }
        written
    }

    async fn try_write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(size);
        fits(self.size)?;
        self.digest.update(bytes);
        match &mut self.file {
            Some(file) => file.write_all(bytes).await.map_err(|error| disk(&error)),
            None => Err(Problem::unavailable("the package's file is closed")),
        }
    }

    /// Gives it up for a reason that the package will tell.
    pub fn give_up(mut self, problem: Problem) {
        self.problem = Some(problem);
    }

    /// All has come: it is on the disk, and the package is `PROCESSING`.
    pub(super) async fn finish(mut self) -> Result<Arrived, Problem> {
        if let Some(mut file) = self.file.take() {
            let synced = async {
                file.flush().await?;
                file.sync_all().await
            };
            synced.await.map_err(|error| disk(&error))?;
        }
        self.packages.mec().packages.change(
            &self.packages.mec().store(),
            &self.id,
            |package, _| {
                let mut package = package.clone();
                package.stage = Stage::Processing;
                package.size = self.size;
                Ok(package)
            },
        )?;
        let arrived = Arrived {
            id: self.id.clone(),
            size: self.size,
            hash: Hash {
                algorithm: self.algorithm,
                hex: hex(self.digest.clone().finish().as_ref()),
            },
        };
        // Nothing is to be undone any more.
        self.path = PathBuf::new();
        Ok(arrived)
    }
}

impl<P: Platform> std::fmt::Debug for Arrival<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival")
            .field("id", &self.id)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl<P: Platform> Drop for Arrival<P> {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let problem = self.problem.take().unwrap_or_else(|| {
            Problem::bad_request("the content broke off before its end; send it again")
        });
        self.packages.refuse(&self.id, &problem);
    }
}

/// Whether so many bytes are taken.
pub(super) fn fits(size: u64) -> Result<(), Problem> {
    if size <= CONTENT_MAX {
        return Ok(());
    }
    Err(Problem::too_large(format!(
        "package: a package has at most {CONTENT_MAX} bytes here; make its image smaller"
    )))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
