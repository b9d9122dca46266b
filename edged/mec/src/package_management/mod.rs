//! Package management (ETSI GS MEC 010-2): packages on-boarded, enabled, disabled, deleted.
//!
//! [`Packages`] is the one owner of what packages there are; [`PackageManagement`] changes it, for the REST interface
//! and for the operator's console alike, and every change is durable when it is answered. Content goes to a file as it
//! comes, and is checked whole on a blocking thread, one package after the other. A package that is refused leaves its
//! announcement with the reason and nothing else: no image, no file. So does one that a restart interrupted.

mod arrival;
mod fetch;
mod folder;
mod index;
mod interface;
mod notice;
mod onboard;
mod range;
mod record;
mod rules;
mod shown;
mod signers;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use edged_package::{Algorithm, Hash};
use mec_api::Problem;
use mec_api::package_management::NotificationType;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

pub(crate) use arrival::hex;
pub use arrival::{Arrival, CONTENT_MAX};
pub use index::{ARRIVALS, OnboardedPackage, PACKAGES, Packages};
pub use record::{Content, OwnImage, PackageId, Stage, StoredPackage};
pub use rules::{RuleFault, rules};
pub use signers::{CERTIFICATE_MAX, SIGNERS, TrustedSigner};

use crate::{Mec, Platform};
use folder::Folder;

/// Packages, for whoever may change them.
#[derive(Debug)]
pub struct PackageManagement<P>(Arc<Mec<P>>);

impl<P> Clone for PackageManagement<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A package that is to come.
#[derive(Debug, Default)]
pub struct Announcement {
    /// `appPkgName` and `appPkgVersion`: together they name one package. Without them its own id does.
    pub name: Option<(String, String)>,
    /// `appProvider`.
    pub provider: Option<String>,
    /// What its content must have.
    pub checksum: Option<Hash>,
    /// `userDefinedData`.
    pub user_data: Option<Map<String, Value>>,
}

/// Why packages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The state.
    #[error(transparent)]
    Store(#[from] edged_store::StoreError),
    /// The folder of packages.
    #[error("folder {path} cannot be used ({source}); make it writable for edged")]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl<P: Platform> PackageManagement<P> {
    /// Over this node.
    pub fn new(mec: Arc<Mec<P>>) -> Self {
        Self(mec)
    }

    fn mec(&self) -> &Mec<P> {
        &self.0
    }

    fn folder(&self) -> Folder {
        Folder::at(&self.0.facts.packages)
    }

    /// Takes up what the last run left, once, before anything is served: packages as they were, and the half-done ones
    /// undone. Needs the runtime.
    ///
    /// # Errors
    /// [`PackagesError`]: the state or the folder cannot be used.
    pub fn restore(&self) -> Result<(), PackagesError> {
        let stored: Vec<StoredPackage> = self.0.store().records()?;
        let (done, half): (Vec<&StoredPackage>, Vec<_>) = stored
            .iter()
            .partition(|package| matches!(package.stage, Stage::Onboarded | Stage::Created));
        let onboarded = done.iter().filter(|package| package.content.is_some());
        let prepared = self.folder().prepare(onboarded.map(|package| &package.id));
        prepared.map_err(|source| PackagesError::Folder {
            path: self.0.facts.packages.clone(),
            source,
        })?;
        let half: Vec<_> = half.into_iter().map(|package| package.id.clone()).collect();
        self.0.packages.fill(stored);
        for id in half {
            tokio::spawn(self.clone().undo(id));
        }
        Ok(())
    }

    async fn undo(self, id: PackageId) {
        let Some(package) = self.0.packages.at(&id) else {
            return;
        };
        if package.stage == Stage::Deleting {
            return self.take_away(package).await;
        }
        self.forget_image(&id).await;
        let problem = Problem::unavailable(
            "package: the node was restarted while the content came or was checked; send it again",
        );
        self.refuse(&id, &problem);
    }

    /// The package that keeps an image.
    pub fn user_of_image(
        &self,
        reference: &edged_model::ImageReference,
    ) -> Option<Arc<StoredPackage>> {
        self.0.packages.user_of_image(reference)
    }

    /// Every package, oldest first.
    pub fn all(&self) -> Vec<Arc<StoredPackage>> {
        self.0.packages.all()
    }

    /// Whether instances made of it exist.
    pub fn is_used(&self, package: &StoredPackage) -> bool {
        self.0.packages.is_used(&package.id)
    }

    /// A package by its id or, on-boarded, by its descriptor's.
    ///
    /// # Errors
    /// 404.
    pub fn find(&self, id: &str) -> Result<Arc<StoredPackage>, Problem> {
        let found = self.0.packages.find(id);
        found.ok_or_else(|| index::unknown(id))
    }

    /// Announces a package; its content is to come.
    ///
    /// # Errors
    /// 409 where the name is taken, 429 where there are enough.
    pub fn announce(&self, asked: Announcement) -> Result<Arc<StoredPackage>, Problem> {
        let id = PackageId::random();
        let (name, version) = asked
            .name
            .unwrap_or_else(|| (id.to_string(), String::new()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let package = StoredPackage {
            id,
            name,
            version,
            provider: asked.provider,
            checksum: asked.checksum,
            user_data: asked.user_data,
            created: now.map_or(0, |since| since.as_secs()),
            stage: Stage::Created,
            enabled: false,
            size: 0,
            failure: None,
            image: None,
            content: None,
        };
        self.0.packages.add(&self.0.store(), package)
    }

    /// Opens the way for the content of an announced package.
    ///
    /// # Errors
    /// 404, 409 where content came or comes already, 503 where too much comes at once.
    pub async fn receive(&self, id: &PackageId) -> Result<Arrival<P>, Problem> {
        let place = Arc::clone(&self.0.packages.arriving).try_acquire_owned();
        let place = place.map_err(|_| {
            Problem::unavailable(format!(
                "{ARRIVALS} packages come already; try again when one is done"
            ))
        })?;
        self.receive_at(place, id).await
    }

    /// The same, in a place that somebody waited for.
    async fn receive_at(
        &self,
        place: OwnedSemaphorePermit,
        id: &PackageId,
    ) -> Result<Arrival<P>, Problem> {
        let package = self.0.packages.change(&self.0.store(), id, |package, _| {
            match package.stage {
                Stage::Created => Ok(StoredPackage {
                    stage: Stage::Uploading,
                    failure: None,
                    ..package.clone()
                }),
                _ => Err(Problem::conflict(format!(
                    "the content of package {id} came or comes already; announce another package"
                ))),
            }
        })?;
        let checksum = package.checksum.as_ref();
        let algorithm = checksum.map_or(Algorithm::Sha256, |hash| hash.algorithm);
        Arrival::open(self.clone(), id.clone(), algorithm, place).await
    }

    /// All of the content has come: it is checked from now on, whoever waits for it.
    ///
    /// # Errors
    /// 503 where the disk does not keep it.
    pub async fn accept(&self, arrival: Arrival<P>) -> Result<JoinHandle<()>, Problem> {
        let arrived = arrival.finish().await?;
        Ok(tokio::spawn(self.clone().onboard(arrived)))
    }

    /// Enables or disables a package: instances that exist go on either way.
    ///
    /// # Errors
    /// 404, 409 where it is not on-boarded or is in that state already.
    pub fn enable(&self, id: &PackageId, enabled: bool) -> Result<Arc<StoredPackage>, Problem> {
        let package = self.0.packages.change(&self.0.store(), id, |package, _| {
            package.onboarded()?;
            if package.enabled == enabled {
                let state = if enabled { "ENABLED" } else { "DISABLED" };
                return Err(Problem::conflict(format!(
                    "package {id} is {state} already"
                )));
            }
            Ok(StoredPackage {
                enabled,
                ..package.clone()
            })
        })?;
        self.tell(
            &package,
            if enabled {
                NotificationType::AppPackageEnabled
            } else {
                NotificationType::AppPackageDisabled
            },
        );
        Ok(package)
    }

    /// Deletes a package, its files and its image; an image that somebody else uses stays.
    ///
    /// # Errors
    /// 404, 409 where it is enabled, in use, or its content comes or is checked.
    pub async fn delete(&self, id: &PackageId) -> Result<(), Problem> {
        let package = self
            .0
            .packages
            .change(&self.0.store(), id, |package, used| {
                let busy = |why: &str| Err(Problem::conflict(format!("package {id} {why}")));
                match package.stage {
                    Stage::Deleting => Err(index::unknown(id.as_str())),
                    Stage::Uploading => busy("gets its content; wait until it is on-boarded"),
                    Stage::Processing => busy("is being checked; wait until it is on-boarded"),
                    _ if package.enabled => busy("is ENABLED; disable it first"),
                    _ if used => busy("is IN_USE; delete the instances made of it first"),
                    Stage::Created | Stage::Onboarded => Ok(StoredPackage {
                        stage: Stage::Deleting,
                        ..package.clone()
                    }),
                }
            })?;
        // It goes on when the caller does not wait.
        let gone = tokio::spawn(self.clone().take_away(package));
        gone.await.map_err(|error| {
            tracing::error!(%error, "a package was not deleted");
            Problem::internal(
                "the package could not be deleted; it is tried again at the next start",
            )
        })
    }

    async fn take_away(self, package: Arc<StoredPackage>) {
        let id = &package.id;
        self.forget_image(id).await;
        self.folder().clear(id);
        if self.0.packages.forget(&self.0.store(), id).is_ok() && package.content.is_some() {
            self.tell(&package, NotificationType::AppPackageDeleted);
        }
    }

    /// Takes back the image that was brought in for a package, unless somebody else has it too.
    async fn forget_image(&self, id: &PackageId) {
        let Some(image) = self.0.packages.at(id).and_then(|found| found.image.clone()) else {
            return;
        };
        if image.shared || self.0.packages.share_image(id, &image.reference) {
            return;
        }
        if let Err(problem) = self.0.platform.forget_image(image.reference).await {
            tracing::error!(reason = problem.detail(), package = %id, "the image of a package stays");
        }
    }

    fn change(&self, id: &PackageId, with: impl FnOnce(&mut StoredPackage)) -> Result<(), Problem> {
        let changed = self.0.packages.change(&self.0.store(), id, |package, _| {
            let mut package = package.clone();
            with(&mut package);
            Ok(package)
        });
        changed.map(drop)
    }

    /// The package is announced and no more; `problem` says why.
    fn refuse(&self, id: &PackageId, problem: &Problem) {
        self.folder().clear(id);
        let refused = self.0.packages.change(&self.0.store(), id, |package, _| {
            Ok(package.refused(problem))
        });
        if let Err(problem) = refused {
            tracing::error!(reason = problem.detail(), package = %id, "a refused package was not kept");
        }
    }
}
