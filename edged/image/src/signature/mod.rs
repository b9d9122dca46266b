//! Whose images are taken: the policy of [`edged_signature`] in a file, and the finding of signatures.

mod find;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use edged_model::{Digest, ImageReference};
use edged_signature::{
    Accepted, KeyName, KnownKey, Policy, Record, RecordError, Release, Requirement, Signatures,
    Statement, Subject, Validity,
};

use crate::store::replace;
use crate::{ImageError, Refusal};

/// The largest file that is read: 64 keys, 256 rules and 4,096 releases have less.
const FILE_MAX: usize = 4 * 1024 * 1024;

/// Whose images are taken. Clones are handles of the same file.
///
/// Asked when an image comes into the store, and again for every new instance of it. What an instance was pinned to runs
/// on, whatever happens to a key, a tag or a registry later.
#[derive(Debug, Clone)]
pub struct ImageTrust {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Absent: nothing is kept.
    path: Option<PathBuf>,
    /// In force as long as nobody has set another.
    first: Policy,
    record: Mutex<Record>,
}

impl Default for ImageTrust {
    /// Takes everything and keeps nothing.
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                path: None,
                first: Policy::open(),
                record: Mutex::default(),
            }),
        }
    }
}

impl ImageTrust {
    /// Reads the file, if it is there; `first` is in force as long as no policy is set. Blocks.
    ///
    /// A file that says nothing (damaged, or of a newer release after a rollback) must keep nobody out of his box: nothing
    /// is taken then, until an operator adds the keys again and sets a policy. The file stays where it is until then, for
    /// the release that can read it, and beside it for good.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(path: &Path, first: Policy) -> Result<Self, ImageError> {
        let record = match std::fs::read(path) {
            Ok(bytes) if bytes.len() > FILE_MAX => Err(RecordError::Full("it has bytes,")),
            Ok(bytes) => Record::from_json(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => return Err(ImageError::file("read", path)(error)),
        };
        let record = record.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "no image is taken");
            if let Err(error) = keep_aside(path) {
                tracing::error!(path = %path.display(), %error, "it cannot be kept aside");
            }
            Record::closed()
        });
        Ok(Self {
            inner: Arc::new(Inner {
                path: Some(path.to_owned()),
                first,
                record: Mutex::new(record),
            }),
        })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.inner
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy in force, and whether somebody set it.
    pub fn policy(&self) -> (Policy, bool) {
        match self.record().policy() {
            Some(policy) => (policy.clone(), true),
            None => (self.inner.first.clone(), false),
        }
    }

    /// The keys by name.
    pub fn keys(&self) -> Vec<(KeyName, KnownKey)> {
        let record = self.record();
        let keys = record.keys().iter();
        keys.map(|(name, key)| (name.clone(), key.clone()))
            .collect()
    }

    /// Replaces the policy. Durable; blocks for a write.
    ///
    /// # Errors
    /// It does not fit the keys, or cannot be written; then nothing changed.
    pub fn set_policy(&self, policy: Policy) -> Result<(), ImageError> {
        self.change(|record| record.set_policy(policy))
    }

    /// Takes the images of a key from now on. Durable; blocks for a write.
    ///
    /// # Errors
    /// As [`Record::add`], or it cannot be written; then nothing changed.
    pub fn add_key(
        &self,
        name: KeyName,
        pem: &str,
        validity: Validity,
    ) -> Result<KnownKey, ImageError> {
        self.change(|record| record.add(name, pem, validity).cloned())
    }

    /// Takes no more images of a key, and makes nothing new of those that are here. Durable; blocks for a write.
    ///
    /// # Errors
    /// As [`Record::remove`], or it cannot be written; then nothing changed.
    pub fn remove_key(&self, name: &str) -> Result<(), ImageError> {
        self.change(|record| record.remove(name))
    }

    /// Memory follows the disk: what failed to be written did not happen.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<T, RecordError>,
    ) -> Result<T, ImageError> {
        let mut record = self.record();
        let mut next = record.clone();
        let policy = |reason| ImageError::Policy {
            path: self.inner.path.clone().unwrap_or_default(),
            reason,
        };
        let done = change(&mut next).map_err(policy)?;
        if let Some(path) = &self.inner.path {
            let bytes = next.to_json().map_err(policy)?;
            if let (Some(folder), Some(name)) = (path.parent(), path.file_name()) {
                replace(folder, &name.to_string_lossy(), &bytes)?;
            }
        }
        *record = next;
        Ok(done)
    }

    /// What images of that reference need; an error where they are not taken at all.
    pub(crate) fn needed(&self, reference: &ImageReference) -> Result<Option<Signatures>, Refusal> {
        let repository = repository(reference);
        needed(self.policy().0.of(&repository), &repository)
    }

    /// What images of an archive need.
    pub(crate) fn needed_locally(&self) -> Result<Option<Signatures>, Refusal> {
        needed(&self.policy().0.local, "archives")
    }

    /// Is one of these signatures enough?
    pub(crate) fn judge(
        &self,
        signatures: &Signatures,
        reference: Option<&ImageReference>,
        chain: &[Digest],
        statements: &[Statement],
    ) -> Result<Accepted, Refusal> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let repository = reference.map(repository);
        let subject = Subject {
            chain,
            repository: repository.as_deref(),
            // Before 1970 every key that has a beginning is not valid yet.
            at: since.map_or(0, |since| since.as_secs()),
        };
        Ok(signatures.verify(&self.record(), subject, statements)?)
    }

    /// Remembers the release of an image that is about to be recorded: first, so that no cut of the power leaves an
    /// image whose number is not known. Blocks.
    pub(crate) fn remember(
        &self,
        subject: &str,
        release: Option<&Release>,
    ) -> Result<(), ImageError> {
        let Some(release) = release else {
            return Ok(());
        };
        let newer = self.change(|record| match record.seen(&release.repository) {
            // A newer one came while this was fetched.
            Some(seen) if seen > release.number => Ok(Some(seen)),
            _ => record.saw(release).map(|_| None),
        })?;
        newer.map_or(Ok(()), |seen| {
            let found = release.number;
            let old = edged_signature::Refusal::OldRelease { found, seen };
            Err(ImageError::refused(subject, old.into()))
        })
    }
}

/// Gives a file that cannot be read a second name, under which it outlives its replacement.
fn keep_aside(path: &Path) -> std::io::Result<()> {
    let aside = path.with_extension("unread");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::hard_link(path, aside),
    }
}

fn needed(requirement: &Requirement, place: &str) -> Result<Option<Signatures>, Refusal> {
    match requirement {
        Requirement::Allow => Ok(None),
        Requirement::Deny => Err(edged_signature::Refusal::Denied(place.to_owned()).into()),
        Requirement::Signature(signatures) => Ok(Some(signatures.clone())),
    }
}

fn repository(reference: &ImageReference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}
