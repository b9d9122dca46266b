//! Updates of the box's own software.
//!
//! [`Updates`] is what verbs and interfaces ask; [`keeper::Keeper`] is the one task that owns the record and talks to
//! umec-slot: it sees, asks [`edged_update::step`], makes the answer durable and carries it out. A bundle is taken by
//! [`intake`], verified while it comes, and nothing of the boot partition is touched by edged itself.
//!
//! The folder (`update` in edged's own): `state`, the record; `incoming`, a bundle that comes; `uploaded`, one that came
//! by SFTP (`uploaded.part` until all of it is there); `staged`, the verified one that umec-slot reads and verifies again.

mod api;
mod error;
mod fetch;
mod intake;
mod keeper;
mod network;
mod picture;
mod slot;
mod stick;
#[cfg(test)]
mod tests;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edged_config::Config;
use edged_console::{BundleSource, PlatformError, Progress, ReleaseView, UpdateView};
use edged_update::{BootId, Here, Manifest, Release, SchemaHere, State, Update, UpdateKey, Wish};
use serde::Deserialize;
use tokio::io::AsyncRead;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::snapshot::Reader;
use keeper::{Ask, Keeper, Seen};

/// The names in the folder.
const RECORD: &str = "state";
const INCOMING: &str = "incoming";
const STAGED: &str = "staged";
/// What comes by SFTP.
const UPLOADED: &str = "uploaded";
/// What the door adds to that name until all of it has come.
const PART: &str = "part";
/// How long a bundle waits for that: umec-slot is started by systemd, and verifies nothing for it.
const LOOKED: Duration = Duration::from_secs(20);
/// The kernel's name of this start.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Questions that wait for the keeper: verbs are few.
const ASKS: usize = 8;

/// What the image says of itself, as far as updates go.
#[derive(Debug, Clone, Deserialize)]
struct Build {
    version: String,
    board: String,
    #[serde(default)]
    release: u64,
}

/// Updates of this box. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Updates(Result<Arc<Parts>, Off>);

/// Why there are no updates.
#[derive(Debug, Clone)]
enum Off {
    /// The machine's software comes another way.
    Elsewhere,
    /// They should be there.
    Broken(Arc<str>),
}

#[derive(Debug)]
struct Parts {
    options: edged_config::Update,
    folder: PathBuf,
    build: Build,
    /// The oldest schema whose programs read this box's database.
    database: u32,
    seen: watch::Receiver<Seen>,
    reader: Reader,
    /// Until then what is not up yet is waited for: as long as a new release is.
    comes_up_by: Instant,
    asks: mpsc::Sender<Ask>,
    /// Held by whoever takes a bundle.
    taking: Mutex<()>,
}

impl Updates {
    /// Updates of the box that a configuration is for, and the task that sees to them. It may be ended at any moment.
    /// `database` is the oldest schema whose programs read the box's database.
    pub fn start(
        config: &Config,
        reader: &Reader,
        database: u32,
        background: &mut JoinSet<()>,
    ) -> Self {
        match Self::parts(config, reader.clone(), database) {
            Ok((parts, keeper)) => {
                background.spawn(keeper.run());
                Self(Ok(Arc::new(parts)))
            }
            Err(off) => {
                if let Off::Broken(why) = &off {
                    tracing::error!("no updates: {why}");
                }
                Self(Err(off))
            }
        }
    }

    fn parts(config: &Config, reader: Reader, database: u32) -> Result<(Parts, Keeper), Off> {
        let (Some(options), Some(image)) = (&config.update, &config.image) else {
            return Err(Off::Elsewhere);
        };
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            Off::Broken(format!("{} cannot be used: {error}", path.display()).into())
        };
        let build = std::fs::read(&image.build)
            .map_err(|error| failed(&image.build, &error))
            .and_then(|text| {
                serde_json::from_slice::<Build>(&text).map_err(|error| failed(&image.build, &error))
            })?;
        let folder = config.node.updates();
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        // What an upload left that was cut off with edged: nobody may upload yet.
        let _ = std::fs::remove_file(folder.join(UPLOADED).with_extension(PART));
        let (asks, asked) = mpsc::channel(ASKS);
        let boot =
            std::fs::read_to_string(BOOT_ID).map_err(|error| failed(Path::new(BOOT_ID), &error))?;
        let start = (BootId::new(boot.trim()), uptime());
        let (keeper, seen) = Keeper::open(&folder, options, image, reader.clone(), start, asked)
            .map_err(|error| failed(&folder.join(RECORD), &error))?;
        let parts = Parts {
            options: options.clone(),
            folder,
            build,
            database,
            seen,
            reader,
            comes_up_by: Instant::now() + Duration::from_secs(options.trial),
            asks,
            taking: Mutex::new(()),
        };
        Ok((parts, keeper))
    }

    /// How it stands.
    pub fn status(&self) -> UpdateView {
        match &self.0 {
            Ok(parts) => view::of(&parts.seen.borrow(), &parts.running()),
            Err(Off::Elsewhere) => view::elsewhere(),
            Err(Off::Broken(why)) => view::broken(why),
        }
    }

    fn here(&self) -> Result<&Parts, PlatformError> {
        self.0.as_deref().map_err(|off| match off {
            Off::Elsewhere => error::elsewhere(),
            Off::Broken(why) => error::broken(why),
        })
    }

    /// Takes a bundle; returns when it is written and will be tried.
    pub async fn install(
        &self,
        source: BundleSource,
        no_way_back: bool,
        input: impl AsyncRead + Send + Unpin,
        progress: &Progress,
    ) -> Result<UpdateView, PlatformError> {
        match source {
            BundleSource::Input => {
                let input = intake::Input(input);
                self.install_from(input, no_way_back, progress).await
            }
            BundleSource::Address(address) => {
                drop(input);
                // Before anybody is asked for anything: a server does not wait for as long as this may.
                self.here()?.up(progress).await;
                let answer = fetch::open(&address).await?;
                self.install_from(answer, no_way_back, progress).await
            }
            BundleSource::Stick => {
                drop(input);
                let parts = self.here()?;
                parts.up(progress).await;
                let stick = stick::open(&parts.options.stick).await?;
                progress.say(format!("reading {} from the stick", stick.name));
                self.install_from(stick, no_way_back, progress).await
            }
            BundleSource::Uploaded => {
                drop(input);
                let parts = self.here()?;
                let _alone = parts.taking.try_lock().map_err(|_| error::busy())?;
                let here = parts.judge(no_way_back).await?;
                parts.up(progress).await;
                let from = parts.folder.join(UPLOADED);
                let incoming = parts.folder.join(INCOMING);
                let manifest = intake::adopt(&from, &incoming, &here, progress).await?;
                parts.write(manifest, incoming, progress).await?;
                Ok(self.status())
            }
        }
    }

    async fn install_from(
        &self,
        source: impl intake::Source,
        no_way_back: bool,
        progress: &Progress,
    ) -> Result<UpdateView, PlatformError> {
        let parts = self.here()?;
        let _alone = parts.taking.try_lock().map_err(|_| error::busy())?;
        let here = parts.judge(no_way_back).await?;
        parts.up(progress).await;
        // An upload that nobody installed makes room.
        let _ = std::fs::remove_file(parts.folder.join(UPLOADED));
        let incoming = parts.folder.join(INCOMING);
        let manifest = intake::take(source, &incoming, &here, progress).await?;
        parts.write(manifest, incoming, progress).await?;
        Ok(self.status())
    }

    /// Confirms a trial as soon as the box is healthy.
    pub async fn confirm(&self) -> Result<UpdateView, PlatformError> {
        self.wish(Wish::Confirm).await
    }

    /// Gives up what is under way.
    pub async fn roll_back(&self) -> Result<UpdateView, PlatformError> {
        self.wish(Wish::RollBack).await
    }

    async fn wish(&self, wish: Wish) -> Result<UpdateView, PlatformError> {
        let parts = self.here()?;
        parts.ask(|reply| Ask::Wish { wish, reply }).await?;
        Ok(self.status())
    }
}

/// Since the box was started.
fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}

/// Where a bundle may be put down by SFTP.
pub fn uploads(config: &Config) -> PathBuf {
    config.node.updates().join(UPLOADED)
}

impl Parts {
    fn running(&self) -> ReleaseView {
        ReleaseView {
            release: self.build.release,
            version: self.build.version.clone(),
        }
    }

    async fn ask(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<(), PlatformError>>) -> Ask,
    ) -> Result<(), PlatformError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.asks.send(make(reply)).await;
        sent.map_err(|_| error::ending())?;
        answer.await.map_err(|_| error::ending())?
    }

    /// Has a verified bundle written into the other slot.
    async fn write(
        &self,
        manifest: Manifest,
        incoming: PathBuf,
        progress: &Progress,
    ) -> Result<(), PlatformError> {
        progress.say("writing it beside what runs");
        let update = Update {
            release: manifest.release,
            version: manifest.version,
            from: Release::new(self.build.release),
        };
        let staged = self.folder.join(STAGED);
        self.ask(|reply| Ask::Install {
            update,
            incoming,
            staged,
            reply,
        })
        .await
    }

    /// Until everything that is to run is up. A box that has just started is less than what an update has to leave: what
    /// was taken for its measure then could be lost, and nobody would miss it. What is not up in time counts for nothing.
    async fn up(&self, progress: &Progress) {
        let mut reader = self.reader.clone();
        let coming = picture::coming(&reader.borrow());
        if let Some(what) = coming.filter(|_| Instant::now() < self.comes_up_by) {
            progress.say(format!("waiting for {what}: edged has just started"));
        }
        let up = reader.wait_for(|now| picture::coming(now).is_none());
        let _ = timeout_at(self.comes_up_by, up).await;
    }

    /// What a bundle is judged by, or why none is taken now.
    async fn judge(&self, no_way_back: bool) -> Result<Here, PlatformError> {
        // A box that has just started looks at its slots first.
        let mut seen = self.seen.clone();
        let looked = seen.wait_for(|seen| seen.slots.is_some());
        let _ = timeout(LOOKED, looked).await;
        let seen = self.seen.borrow().clone();
        let State::Idle { last } = &seen.state else {
            return Err(error::under_way(&seen.state));
        };
        let slots = seen
            .slots
            .as_ref()
            .ok_or_else(|| error::no_slots(seen.problem.as_deref()))?;
        let pem =
            |path: &Path| std::fs::read_to_string(path).map_err(|error| error::file(path, &error));
        let key = UpdateKey::from_pem(&pem(&self.options.key)?)
            .map_err(|error| error::file(&self.options.key, &error))?;
        let policy_key = match std::fs::read_to_string(&self.options.policy_key) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error::file(&self.options.policy_key, &error)),
        };
        let confirmed = last.as_ref().and_then(|last| match last.outcome {
            edged_update::Outcome::Confirmed => Some(last.update.release),
            _ => None,
        });
        let known = [
            Some(Release::new(self.build.release)),
            slots.floor.map(Release::new),
            confirmed,
        ];
        Ok(Here {
            board: self.build.board.clone(),
            release: known.into_iter().flatten().max().unwrap_or_default(),
            key,
            slot: slots.room,
            policy_key,
            schema: Some(SchemaHere {
                program: edged_store::SCHEMA,
                database: self.database,
                no_way_back,
            }),
        })
    }
}
