//! A bundle on its way to the disk: refused by its manifest before any room is made for it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use edged_console::{PlatformError, Progress, Step};
use edged_model::Bytes as Size;
use edged_update::{Bundle, Here, Intake, Manifest};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::error;

/// Bytes that are read at once.
pub(super) const CHUNK: usize = 64 << 10;
/// Room that stays free: the database and the records of applications go on while a bundle is here.
const SPARE: u64 = 16 << 20;

/// Longest wait for the next piece. Whoever is silent for longer has gone without a word, as when a cable is pulled, and
/// would hold the one place for ever; the slowest that comes back is a stick, which the kernel gives up after thirty
/// seconds, more than once.
const SILENCE: Duration = Duration::from_secs(120);

/// Where bytes come from.
pub(super) trait Source: Send {
    /// The next ones; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Bytes, String>> + Send;
}

/// Standard input.
pub(super) struct Input<I>(pub I);

impl<I: AsyncRead + Send + Unpin> Source for Input<I> {
    async fn next(&mut self) -> Result<Bytes, String> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = self.0.read_buf(&mut chunk).await;
        read.map_err(|error| error.to_string())?;
        Ok(chunk.freeze())
    }
}

/// Takes a bundle until its end. What is refused is gone again.
pub(super) async fn take(
    mut input: impl Source,
    to: &Path,
    here: &Here,
    progress: &Progress,
) -> Result<Manifest, PlatformError> {
    let gone = Gone(to);
    let file = create(to).map_err(|error| error::file(to, &error))?;
    let mut arriving = Arriving {
        file,
        intake: Intake::new(here.clone()),
        done: 0,
        sized: false,
    };
    loop {
        let silent = |_| Err(format!("nothing came for {} seconds", SILENCE.as_secs()));
        let bytes = timeout(SILENCE, input.next()).await.unwrap_or_else(silent);
        let bytes = bytes.map_err(|why| error::broke_off(&why))?;
        if bytes.is_empty() {
            break;
        }
        arriving.take(&bytes, to, progress)?;
    }
    let manifest = arriving.end(here).await?;
    gone.keep();
    Ok(manifest)
}

/// Takes a bundle that is here already, from beside.
pub(super) async fn adopt(
    from: &Path,
    to: &Path,
    here: &Here,
    progress: &Progress,
) -> Result<Manifest, PlatformError> {
    progress.say("checking the bundle");
    std::fs::rename(from, to).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => PlatformError::new(
            edged_console::ErrorKind::NotFound,
            "nothing was uploaded since the last update",
        )
        .with_hint("sftp USER@BOX, then put FILE"),
        _ => error::file(from, &error),
    })?;
    let gone = Gone(to);
    let file = File::open(to).map_err(|error| error::file(to, &error))?;
    let here = here.clone();
    let opened = tokio::task::spawn_blocking(move || {
        file.sync_all()?;
        Bundle::open(file, &here).map(|bundle| bundle.manifest().clone())
    });
    let opened = opened.await.map_err(|_| error::ending())?;
    let manifest = opened.map_err(|refusal| error::refused(&refusal))?;
    gone.keep();
    Ok(manifest)
}

struct Arriving {
    file: File,
    intake: Intake,
    done: u64,
    sized: bool,
}

impl Arriving {
    fn take(&mut self, bytes: &[u8], to: &Path, progress: &Progress) -> Result<(), PlatformError> {
        let pushed = self.intake.push(bytes);
        pushed.map_err(|refusal| error::refused(&refusal))?;
        let total = self.intake.length();
        if let (Some(length), false) = (total, self.sized) {
            self.sized = true;
            room(&self.file, length).map_err(|error| error::file(to, &error))??;
        }
        self.file
            .write_all(bytes)
            .map_err(|error| error::file(to, &error))?;
        self.done = self
            .done
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        progress.tell(Step {
            step: "taking the bundle".to_owned(),
            done: Some(Size(self.done)),
            total: total.map(Size),
        });
        Ok(())
    }

    /// Durable, and the image in it looked into.
    async fn end(self, here: &Here) -> Result<Manifest, PlatformError> {
        let here = here.clone();
        let Self { file, intake, .. } = self;
        let ended = tokio::task::spawn_blocking(move || {
            file.sync_all()?;
            Bundle::arrived(file, intake, &here).map(|bundle| bundle.manifest().clone())
        });
        let ended = ended.await.map_err(|_| error::ending())?;
        ended.map_err(|refusal| error::refused(&refusal))
    }
}

fn create(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}

/// Whether a bundle of some length has room.
fn room(file: &File, length: u64) -> io::Result<Result<(), PlatformError>> {
    let disk = rustix::fs::fstatvfs(file)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let wanted = length.saturating_add(SPARE);
    if free < wanted {
        return Ok(Err(error::no_room(wanted, free)));
    }
    Ok(Ok(()))
}

/// A file that goes unless it is kept.
struct Gone<'a>(&'a Path);

impl Gone<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
